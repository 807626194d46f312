"""Decoding alone: measured only when every frame is there, in order, and looks as it should."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import media
from benchmarks.decode import CLOSE, measure_decoding, rate, read, verify, ways
from benchmarks.figures import BenchmarkInvalid, Section
from benchmarks.media import Video
from models.device import CPU
from stream.ingest.decode_cpu import CpuDecoding


@pytest.fixture
def numbered(tmp_path: Path, numbered_video: Callable[..., Path]) -> Video:
    return media.describe(numbered_video(tmp_path / "numbered.mp4", frames=30))


def test_a_video_is_described_by_what_is_in_it(numbered: Video) -> None:
    assert (numbered.codec, numbered.frames) == ("h264", 30)


def test_every_frame_of_a_file_is_read(numbered: Video) -> None:
    decode = read(numbered, CpuDecoding(), CPU, compare=True)
    assert len(decode.pts_s) == 30
    assert decode.lost == 0
    assert list(decode.compared) == [0, 24]
    assert verify(numbered, decode, decode) == 0.0


def test_wrong_frames_are_no_figure(numbered: Video) -> None:
    good = read(numbered, CpuDecoding(), CPU, compare=True)
    cases = {
        "of 30 in the file": replace(good, pts_s=good.pts_s[:-1]),
        "1 lost": replace(good, lost=1),
        "other time stamps": replace(good, pts_s=[0.0, *good.pts_s[:-1]]),
        "levels off": replace(good, compared={n: (rgb // 2).astype(np.uint8) for n, rgb in good.compared.items()}),
    }
    for message, wrong in cases.items():
        with pytest.raises(BenchmarkInvalid, match=message):
            verify(numbered, good, wrong)


def test_time_stamps_that_step_back_are_no_figure(numbered: Video) -> None:
    good = read(numbered, CpuDecoding(), CPU)
    swapped = replace(good, pts_s=[good.pts_s[1], good.pts_s[0], *good.pts_s[2:]])
    with pytest.raises(BenchmarkInvalid, match="do not increase"):
        verify(numbered, swapped, swapped)


def test_a_file_that_breaks_off_is_no_figure(numbered: Video) -> None:
    with pytest.raises(BenchmarkInvalid, match="60 frames came, expected 62"):
        rate(replace(numbered, frames=31), CpuDecoding(), CPU, 2)


def test_ways_that_this_machine_does_not_have_say_why() -> None:
    section = Section("decode")
    found = ways(CPU, ("cpu", "nvdec"), section)
    assert [way.name for way in found] == ["cpu"]
    assert "NVIDIA GPU" in section.not_measured["nvdec"]


def test_dali_and_the_cpu_are_measured_side_by_side(short: Video) -> None:
    pytest.importorskip("nvidia.dali", reason="DALI is not installed")
    section = Section("decode")
    vp9 = media.made_from_clip(320, 180, 30, "libvpx-vp9")
    found = ways(CPU, ("cpu", "gop"), section)
    measure_decoding(section, [short, vp9], found, CPU, at_once=(1, 2), repeats=1)
    ingests = [(row.details["video"], row.details["ingest"], row.details["at_once"]) for row in section.rows]
    assert ingests == [
        (short.label, "cpu", 1), (short.label, "cpu", 2),
        (vp9.label, "cpu", 1), (vp9.label, "cpu", 2), (vp9.label, "gop", 1), (vp9.label, "gop", 2),
    ]  # fmt: skip
    assert list(section.not_measured) == [f"{short.label}, gop"], "H.264 is left to the CPU, which is no figure of DALI"
    dali = section.rows[-1]
    assert dali.details["decoder"] == "DALI"
    assert dali.details["mean_difference_from_cpu"] <= CLOSE
    assert all(row.floor is not None and row.share is not None and row.share <= 1 for row in section.rows)


@pytest.mark.gpu
def test_nvdec_and_dali_are_measured_on_a_gpu(short: Video) -> None:
    device, section = torch.device("cuda", 0), Section("decode")
    measure_decoding(
        section, [short], [*ways(device, ("cpu", "nvdec", "gop"), section)], device, at_once=(1,), repeats=1
    )
    measured = {row.details["ingest"] for row in section.rows}
    explained = " ".join(section.not_measured)
    assert "cpu" in measured
    assert all(name in measured or name in explained for name in ("nvdec", "gop"))
