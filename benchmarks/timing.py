"""Timing that waits for the GPU, warms up first, and repeats."""

import time
from collections.abc import Callable

import torch


def synchronise(device: torch.device) -> None:
    """Wait for everything queued on a GPU; nothing is queued on the CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def samples_s(
    call: Callable[[], object], device: torch.device, *, repeats: int, warmup: int = 2, least_s: float = 0.02
) -> list[float]:
    """Seconds of one call, `repeats` times; each sample is a mean over as many calls as fill `least_s`."""
    for _ in range(max(warmup, 1) - 1):
        call()
    synchronise(device)
    once_s = _loop_s(call, device, 1)
    calls = max(1, min(1000, round(least_s / max(once_s, 1e-6))))
    return [_loop_s(call, device, calls) / calls for _ in range(repeats)]


def _loop_s(call: Callable[[], object], device: torch.device, calls: int) -> float:
    synchronise(device)
    started_s = time.perf_counter()
    for _ in range(calls):
        call()
    synchronise(device)
    return time.perf_counter() - started_s
