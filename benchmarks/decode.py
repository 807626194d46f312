"""Decoding alone: frames per second from packets of a file to RGB pictures where the networks want them."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.figures import BenchmarkInvalid, Floor, Row, Section, Spread, progress
from benchmarks.floors import decode_floor, decoders
from benchmarks.media import Video
from benchmarks.timing import synchronise
from models.device import DeviceArray, MemoryBudget, own_stream
from models.errors import FlamestreamError
from stream.config import RunSettings
from stream.frame import Picture, Pixels
from stream.ingest.choose import choose_decoding
from stream.ingest.decode_cpu import CpuDecoding
from stream.ingest.decoder import Decoded, Decoder, Decoding
from stream.run import picture_memory

COMPARED_EVERY = 24
"""Of these frames the pixels are compared: about one a second."""
CLOSE = 3.0
"""Largest mean difference of a frame's pixels from the CPU's, levels of 0..255. Chroma is enlarged differently
(DALI 2.4 is 1.2 off on real video); a wrong matrix or range is 5 and more off, another frame of a cut far more."""
READY_S = 60.0
"""How long opening all files may take."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to decode that can be measured here."""

    name: str
    decoding: Decoding


@dataclass(slots=True)
class Decode:
    """What one pass over a file gave."""

    pts_s: list[float | None]
    lost: int
    description: str
    compared: dict[int, Pixels]


def ways(device: torch.device, names: Sequence[str], section: Section) -> list[Way]:
    """Those of `names` (values of --ingest) that this machine has; the others go to `section` with the reason."""
    found = []
    for name in names:
        try:
            settings = RunSettings.model_validate({"device": str(device), "ingest": name})
            choice = choose_decoding(settings.ingest, device, MemoryBudget(picture_memory(settings, device)))
        except FlamestreamError as error:
            section.skip(name, str(error))
        else:
            found.append(Way(name, choice.for_files))
    return found


def measure_decoding(
    section: Section, videos: Sequence[Video], found: Sequence[Way], device: torch.device, *, at_once: Sequence[int],
    repeats: int,
) -> None:  # fmt: skip
    """Every way with every file; one that gives wrong frames is an error, one that leaves it to the CPU no figure."""
    for video in videos:
        rows: list[tuple[str, int, Spread, dict[str, object]]] = []
        reference = read(video, CpuDecoding(), torch.device("cpu"), compare=True)
        for way in found:
            if not section.has_time(f"{video.label}, {way.name}"):
                continue
            decode = read(video, way.decoding, device, compare=True)
            if way.name != "cpu" and decode.description.startswith("CPU ("):
                section.skip(f"{video.label}, {way.name}", f"decoded on the {decode.description}")
                continue
            difference = verify(video, reference, decode)
            for count in at_once:
                samples = [rate(video, way.decoding, device, count) for _ in range(repeats)]
                details: dict[str, object] = {
                    "video": video.label, "ingest": way.name, "decoder": decode.description, "at_once": count,
                    "mean_difference_from_cpu": round(difference, 3),
                }  # fmt: skip
                rows.append((way.name, count, Spread.of(samples, "frames/s"), details))
                progress(f"{section.name}: {video.label}, {way.name}, {count} at once: {rows[-1][2].median:g} frames/s")
        best = max((spread.median for _, _, spread, _ in rows), default=0.0)
        for name, count, spread, details in rows:
            used = (decoders(device) or 1) if name == "gop" else count  # groups of one file go to several decoders
            floor = decode_floor(device, video.codec, video.width, video.height, used) if name != "cpu" else None
            floor = floor or Floor(best, "the best measured of this file")
            section.add(Row(f"{video.label}, {name}, {count} at once", spread, floor, None, details))


def read(video: Video, decoding: Decoding, device: torch.device, *, compare: bool = False) -> Decode:
    """One pass over the file, keeping some of its pictures if they are to be compared."""
    result = Decode([], 0, "", {})

    def keep(decoded: Decoded) -> None:
        if compare and decoded.rgb is not None and len(result.pts_s) % COMPARED_EVERY == 0:
            result.compared[len(result.pts_s)] = in_memory(decoded.rgb)
        result.pts_s.append(decoded.pts_s)
        result.lost += decoded.lost + (decoded.rgb is None)

    decoder = decode_once(video, decoding, device, keep)
    result.lost += decoder.lost_at_end()
    result.description = decoder.description
    return result


def verify(video: Video, reference: Decode, decode: Decode) -> float:
    """Largest mean difference of a compared picture, levels of 0..255. Raises BenchmarkInvalid for wrong frames."""
    if len(decode.pts_s) != video.frames or decode.lost:
        raise BenchmarkInvalid(
            f"{video.label} by {decode.description}: {len(decode.pts_s)} frames, {decode.lost} lost, "
            f"of {video.frames} in the file"
        )
    stamps = [pts for pts in decode.pts_s if pts is not None]
    if not np.allclose(stamps, [pts for pts in reference.pts_s if pts is not None], atol=1e-4):
        raise BenchmarkInvalid(f"{video.label} by {decode.description}: other time stamps than the CPU's decoder gives")
    if any(later <= earlier for earlier, later in itertools.pairwise(stamps)):
        raise BenchmarkInvalid(f"{video.label} by {decode.description}: time stamps do not increase")
    worst = 0.0
    for number, expected in reference.compared.items():
        worst = max(worst, float(np.abs(decode.compared[number].astype(np.int16) - expected).mean()))
    if worst > CLOSE:
        raise BenchmarkInvalid(
            f"{video.label} by {decode.description}: a frame is {worst:.1f} levels off the CPU's in the mean, "
            f"allowed is {CLOSE:g}"
        )
    return worst


def rate(video: Video, decoding: Decoding, device: torch.device, at_once: int) -> float:
    """Frames per second of the file decoded `at_once` times at once, from the first packet to the last picture.

    Raises BenchmarkInvalid when pictures are missing.
    """
    ready = threading.Barrier(at_once + 1)
    counts = [0] * at_once

    def decode(number: int) -> None:
        def count(decoded: Decoded) -> None:
            counts[number] += decoded.rgb is not None

        decode_once(video, decoding, device, count, ready)

    with ThreadPoolExecutor(at_once) as pool:
        passes = [pool.submit(decode, number) for number in range(at_once)]
        with suppress(threading.BrokenBarrierError):  # the pass that broke it says why
            ready.wait(READY_S)
        started_s = time.perf_counter()
        # What failed by itself comes before those that waited for it in vain.
        for one in sorted(passes, key=lambda one: isinstance(one.exception(), threading.BrokenBarrierError)):
            one.result()
        synchronise(device)
        elapsed_s = time.perf_counter() - started_s
    if sum(counts) != at_once * video.frames:
        raise BenchmarkInvalid(f"{video.label}: {sum(counts)} frames came, expected {at_once * video.frames}")
    return sum(counts) / elapsed_s


def decode_once(
    video: Video,
    decoding: Decoding,
    device: torch.device,
    take: Callable[[Decoded], None],
    ready: threading.Barrier | None = None,
) -> Decoder:
    """Decodes a file from packets in memory, all at once when everyone is `ready`; the decoder, when it is done."""
    with own_stream(device), decoding.open(f"file:{video.path}") as container:
        try:
            stream = container.streams.video[0]
            decoder = decoding.decoder(stream, live=False)
            packets = [packet for packet in container.demux(stream) if packet.size]
        except BaseException:
            if ready is not None:
                ready.abort()
            raise
        if ready is not None:
            ready.wait(READY_S)
        for packet in [*packets, None]:
            for decoded in decoder.decode(packet):
                if decoded is not None:
                    take(decoded)
        if device.type == "cuda":
            torch.cuda.current_stream(device).synchronize()
        return decoder


def in_memory(picture: Picture) -> Pixels:
    """A picture's pixels, for comparison."""
    if isinstance(picture, DeviceArray):
        pixels: Pixels = picture.here().cpu().numpy()
        return pixels
    return picture
