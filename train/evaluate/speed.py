"""How much faster a model's engine is than its network in eager PyTorch, on the CPU, in the same run."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from models.face_model import FaceModel
from models.spec import FaceBatch
from train.evaluate.report import Figure, Section, Track, untracked

BATCHES = (1, 8, 32)
TIMES_FASTER = 2.0
"""Target of the engine."""
REPEATS = 7
LEAST_S = 0.2
"""Seconds that a sample takes at least, in whole calls."""


def judge_speed(
    model: FaceModel,
    network: nn.Module,
    crops: torch.Tensor,
    *,
    repeats: int = REPEATS,
    least_s: float = LEAST_S,
    track: Track = untracked,
) -> Section:
    """Faces a second of a model that runs `network` in an engine, and of the network itself, one after the other.

    Both read the same crops [N, 3, 224, 224], again and again.
    """
    figures: list[Figure] = []
    details: dict[str, Any] = {"threads": torch.get_num_threads(), "repeats": repeats}
    for size in track(BATCHES, "speed", len(BATCHES)):
        engine, eager = (size * rate for rate in _rates(model, network, _faces(crops, size), repeats, least_s))
        figures.append(Figure(f"faces/s, batch {size}", engine, None, "", note=f"eager PyTorch {eager:.1f}"))
        figures.append(Figure(f"times eager PyTorch, batch {size}", engine / eager, None, "", (">=", TIMES_FASTER)))
        details[f"batch {size}"] = {"engine": engine, "eager": eager}
    return Section(f"speed, {details['threads']} threads of PyTorch", figures, details)


def _rates(model: FaceModel, network: nn.Module, faces: FaceBatch, repeats: int, least_s: float) -> tuple[float, float]:
    """Median calls a second of the model and of the network, in turns: what else runs here hits both alike."""
    crops = torch.as_tensor(faces.crops)
    calls = (lambda: model(faces), lambda: _eager(network, crops))
    counts = [_calls_in(call, least_s) for call in calls]
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for call, count, taken in zip(calls, counts, seconds, strict=True):
            taken.append(_seconds(call, count) / count)
    engine, eager = (1 / statistics.median(taken) for taken in seconds)
    return engine, eager


def _calls_in(call: Callable[[], object], least_s: float) -> int:
    call()
    return max(1, round(least_s / max(_seconds(call, 1), 1e-6)))


def _seconds(call: Callable[[], object], count: int) -> float:
    started_s = time.perf_counter()
    for _ in range(count):
        call()
    return time.perf_counter() - started_s


@torch.inference_mode()
def _eager(network: nn.Module, crops: torch.Tensor) -> object:
    return network(crops)


def _faces(crops: torch.Tensor, count: int) -> FaceBatch:
    many = crops.repeat(-(-count // len(crops)), 1, 1, 1)[:count].contiguous()
    landmarks = torch.zeros(count, 478, 3).numpy()
    return FaceBatch(many.numpy(), torch.zeros(count, 3).numpy(), landmarks, torch.zeros(count, 52).numpy())
