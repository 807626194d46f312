"""Networks alone: faces per second of every engine and precision that this machine has, with parity beside it."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.figures import Row, Section, Spread, progress
from benchmarks.floors import Ceilings, Cost, bottleneck, cost_of, measure_ceilings, network_floor
from benchmarks.timing import samples_s
from models.assets import cache_dir, fetch
from models.engines.backends import backend_of
from models.engines.choose import ON_CPU, ON_CUDA, PRECISIONS
from models.engines.engine import Engine, FloatArray, Precision, Runtime, Target
from models.engines.threads import share_cores
from models.engines.torch import TorchEngine
from models.errors import EngineError
from models.export import engines_dir, load_or_build
from models.face_task import read_face_networks
from models.manifest import expected_manifest, key, misfit
from models.parity import tolerance_for
from models.real_faces import real_inputs

BATCHES = (1, 8, 32, 128, 512)
FIRST: tuple[Precision, ...] = ("f16", "bf16", "fp8", "int8", "f32")
"""The order of precisions: what matters most comes first, should time run out."""
BUILD_S = 60.0
"""An engine that must be built is left for another run when less time than this is left."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A network, and what it is really given."""

    engine_name: str
    """What production calls its engine, so that the two share what is built."""
    network: torch.nn.Module
    real: torch.Tensor  # [F, ...] inputs cut from photographs


def detector() -> Subject:
    """Finds faces in whole frames."""
    return Subject("face_detector", read_face_networks(fetch("face_landmarker")).detector, real_inputs().detector)


def landmarks() -> Subject:
    """478 points of a face."""
    return Subject("face_landmarks", read_face_networks(fetch("face_landmarker")).landmarks, real_inputs().landmarks)


def smirk() -> Subject:
    """SMIRK's encoders; their weights are random, for which speed does not care."""
    return Subject("smirk", random_smirk(), real_inputs().crops)


SUBJECTS: dict[str, Callable[[], Subject]] = {"detector": detector, "landmarks": landmarks, "smirk": smirk}


def random_smirk() -> torch.nn.Module:
    """The same random weights every time, so that engines made for them are found again."""
    from models.smirk import SmirkEncoder  # here, since timm takes seconds to import

    torch.manual_seed(0)
    return SmirkEncoder().eval()


def random_checkpoint() -> Path:
    """These weights in a file as the official ones come in."""
    path = cache_dir() / "benchmarks" / "smirk-random.pt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        torch.save({f"smirk_encoder.{name}": tensor for name, tensor in random_smirk().state_dict().items()}, draft)
        draft.replace(path)
    return path


def targets_on(device: torch.device) -> list[Target]:
    """Every engine and precision that is offered on `device`, whether or not it works here."""
    runtimes = ON_CPU if device.type == "cpu" else ON_CUDA
    return [
        Target(runtime, precision, device)
        for runtime in runtimes
        for precision in sorted(PRECISIONS[runtime], key=FIRST.index)
    ]


def is_built(subject: Subject, target: Target) -> bool:
    """Whether the engine is in the cache, or needs no building, or cannot be built anyway."""
    if target.runtime == "torch":
        return True
    try:
        identity = backend_of(target.runtime).identity(target)
    except EngineError:
        return True
    expected = expected_manifest(
        subject.engine_name, subject.network, [tuple(subject.real.shape[1:])], target, identity
    )
    return misfit(engines_dir() / f"{subject.engine_name}-{key(expected)}", expected) is None


def measure_engines(
    section: Section,
    device: torch.device,
    *,
    subjects: Sequence[str],
    batches: Sequence[int],
    repeats: int,
    only: Sequence[Runtime] | None = None,
    quick: bool = False,
) -> None:
    """Every network in every target, `only` those of some runtimes if that is given; what cannot be says why."""
    wanted = targets_on(device)
    precisions: list[Precision] = sorted({target.precision for target in wanted})
    ceilings = measure_ceilings(device, precisions, quick=quick)
    section.details["ceilings"] = ceilings.to_json()
    section.details["included"] = "outputs copied to the host always; inputs from the host where the row says so"
    section.save()
    for name in subjects:
        subject = SUBJECTS[name]()
        cost = cost_of(subject.network, (subject.real[:2],))
        reference = TorchEngine(subject.network, (subject.real,))(subject.real)
        section.details[f"{name}: a face costs"] = {
            "mflop": round(cost.flops / 1e6, 1),
            "activations_mib_f32": round(cost.activations * 4 / 2**20, 2),
            "weights_mib_f32": round(cost.weights * 4 / 2**20, 2),
        }
        for target in wanted:
            what = f"{name}, {target.runtime} {target.precision}"
            if only is not None and target.runtime not in only:
                section.skip(what, f"left out: only {', '.join(only)} asked for")
                continue
            if section.has_time(what, 0.0 if is_built(subject, target) else BUILD_S):
                _measure(section, what, subject, reference, target, cost, ceilings, batches, repeats)


def _measure(
    section: Section, what: str, subject: Subject, reference: Sequence[FloatArray], target: Target, cost: Cost,
    ceilings: Ceilings, batches: Sequence[int], repeats: int,
) -> None:  # fmt: skip
    progress(f"engines: {what}: loading, or building")
    try:
        share_cores(target.runtime)
        engine = load_or_build(
            subject.engine_name, subject.network, (subject.real,), target, real_example=lambda: (subject.real,)
        )
        parity = parity_of(engine, subject.real, reference, target)
    except EngineError as error:
        section.skip(what, str(error))
        return
    for batch in batches:
        if not section.has_time(f"{what}, batch {batch}", 1.0):
            continue
        inputs = _tiled(subject.real, batch)
        on_device = torch.from_numpy(inputs).to(target.device)
        on_gpu = target.device.type == "cuda"
        here = "inputs on the GPU" if on_gpu else "inputs in memory"
        places: dict[str, Callable[[], object]] = {here: functools.partial(engine, on_device)}
        if on_gpu:
            places["inputs from the host"] = functools.partial(engine, inputs)
        for place, call in places.items():
            seconds = samples_s(call, target.device, repeats=repeats, least_s=0.05)
            rates = Spread.of([batch / each for each in seconds], "faces/s")
            floor, parts_ms = network_floor(
                cost, ceilings, target.precision, batch, from_host=place == "inputs from the host"
            )
            details = {
                "network": subject.engine_name, "runtime": target.runtime, "precision": target.precision,
                "batch": batch, "inputs": place, "ms_a_call": round(1e3 * batch / rates.median, 4),
                "floor_ms_a_call": parts_ms, "parity": parity,
            }  # fmt: skip
            section.add(Row(f"{what}, batch {batch}, {place}", rates, floor, bottleneck(floor, rates.median), details))


def parity_of(
    engine: Engine, real: torch.Tensor, reference: Sequence[FloatArray], target: Target
) -> dict[str, float | str]:
    """How far the engine is from eager float32 on the CPU, on real faces; `of_allowed` beyond 1 would be refused."""
    inputs = real.numpy()
    tolerance = tolerance_for(target)
    errors = [
        (float(np.abs(found - expected).max()), tolerance.allowed(expected))
        for found, expected in zip(engine(inputs), reference, strict=True)
    ]
    worst, allowed = max(errors, key=lambda pair: pair[0] / pair[1])
    return {
        "max_abs_error": float(f"{worst:.4g}"),
        "allowed": float(f"{allowed:.4g}"),
        "of_allowed": round(worst / allowed, 4),
        "on": f"{len(inputs)} real inputs, against eager float32 on the CPU",
    }


def _tiled(real: torch.Tensor, batch: int) -> FloatArray:
    """`batch` inputs: the real ones, again and again."""
    array: FloatArray = np.ascontiguousarray(np.resize(real.numpy(), (batch, *real.shape[1:])))
    return array
