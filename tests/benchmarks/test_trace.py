"""Copies from the GPU: what a trace says of them, and when they may be pixels."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import trace
from benchmarks.figures import BenchmarkInvalid, Section
from benchmarks.media import Video
from benchmarks.trace import CROP_BYTES, Copies, check_no_pixels, copies_in, measure_trace
from models.device import CPU
from stream.config import RunSettings
from stream.load import Networks, load_networks


def copy(name: str, count: int) -> dict[str, object]:
    return {"ph": "X", "cat": "gpu_memcpy", "name": name, "args": {"bytes": count, "stream": 7}}


def test_copies_are_told_apart_by_direction() -> None:
    events = [
        copy("Memcpy DtoH (Device -> Pinned)", 100),
        copy("Memcpy DtoH (Device -> Pageable)", 50),
        copy("Memcpy HtoD (Pinned -> Device)", 7),
        copy("Memcpy DtoD (Device -> Device)", 10**6),
        {"ph": "X", "cat": "kernel", "name": "gemm", "args": {}},
        {"ph": "M", "name": "process_name"},
    ]
    assert copies_in(events) == ([100, 50], [7])


def test_numbers_pass_and_pixels_do_not() -> None:
    check_no_pixels("run", Copies(480, 480 * 6000, 6000), 48)
    with pytest.raises(BenchmarkInvalid, match="pixels may have come back"):
        check_no_pixels("run", Copies(48, 48 * 100, CROP_BYTES), 48)
    with pytest.raises(BenchmarkInvalid, match="pixels may have come back"):
        check_no_pixels("run", Copies(4800, 48 * CROP_BYTES, 2000), 48)


def test_on_the_cpu_it_does_not_apply(short: Video) -> None:
    section = Section("trace")
    measure_trace(section, CPU, short, lambda: pytest.fail("no network is needed"), RunSettings(device="cpu"))
    assert section.rows == []
    (reason,) = section.not_measured.values()
    assert reason.startswith("not applicable")


@pytest.mark.gpu
def test_the_profiler_sees_the_copies_of_a_gpu() -> None:
    device = torch.device("cuda", 0)
    numbers = torch.rand(1000, device=device)
    with profile(activities=[ProfilerActivity.CUDA], acc_events=True) as profiler:
        numbers.cpu()
        torch.rand(500).to(device)
        torch.cuda.synchronize()
    back, there = trace.read_copies(profiler)
    assert 4000 in back
    assert 2000 in there


@pytest.mark.gpu
def test_no_pixel_comes_back_from_a_gpu(short: Video) -> None:
    settings = RunSettings(device="cuda", engine="torch")
    loaded: Networks = load_networks(settings)
    section = Section("trace")
    measure_trace(section, torch.device("cuda", 0), short, lambda: loaded, settings)
    assert len(section.rows) == 1
