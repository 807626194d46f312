"""How far a compiled network may be from its float32 reference, and the comparison that decides it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.engines.engine import FloatArray, Precision, Target
from models.errors import ParityError


@dataclass(frozen=True, slots=True)
class Tolerance:
    """An output fits when |output - reference| <= atol + rtol * largest |reference| of that output, everywhere.

    The largest, because rounding errors follow the sums: a result that cancels to nearly zero is no more exact.
    """

    atol: float
    rtol: float
    reason: str

    def allowed(self, reference: FloatArray) -> float:
        """The largest error that fits, for one output."""
        return self.atol + self.rtol * float(np.abs(reference).max(initial=0.0))


FLOAT32 = Tolerance(1e-4, 1e-5, "the same float32 sums added up in another order")
"""For engines that compute in float32 on the CPU. OpenVINO 2026.4 on AVX-512 is within 2e-6 of an output's largest
number for SMIRK's encoders; one wrongly padded layer is beyond 1e-2."""

CUDA_FLOAT32 = Tolerance(1e-4, 2e-4, "float32 sums in another order, by convolution algorithms that round more often")
"""For float32 on a GPU, without TensorFloat-32. Not measured yet: Winograd's transforms lose one to two digits of
float32's seven. TensorFloat-32, which must not pass, rounds like f16: 2e-3 and more on the networks measured below."""

HALF = Tolerance(5e-3, 1.5e-2, "half precision rounds every layer's result to 11 bits")
"""For f16. Measured with PyTorch on the CPU on `real_faces.real_inputs` (15 faces, 12 views): SMIRK's encoders with
three sets of random weights are off by 0.030 of 4.6 in expression and 0.0041 of 0.62 rad in jaw (1.3 % at most),
landmarks by 0.0024 of the region's side, presence by 0.0041 of 1, detector boxes by 0.17 %. Twice that or more is
allowed. Blendshapes are off by 0.041 of 1 and refused: that network reads landmarks in whole-frame pixels."""

BFLOAT16 = Tolerance(1e-2, 3e-2, "bfloat16 rounds every layer's result to 8 bits")
"""For bf16, measured likewise: SMIRK's expression is off by 0.110 of 4.6, jaw by 0.0089 of 0.2 rad (allowed: 0.016).
A quarter more than the worst is allowed. Refused are detector boxes (11 % off), presence (0.054 of 1) and blendshapes
(0.33 of 1): those networks need f16 or f32."""

QUANTISED = Tolerance(2e-2, 5e-2, "8 bits for weights and activations, scaled by calibration on real faces")
"""For int8 and fp8: what may be let through rather than what is usual. With weights and activations rounded in eager
PyTorch, int8 left SMIRK's expression 3 % off (0.14 of 4.6), inside this, and one of two sets of random weights had a
jaw 0.058 rad off and is refused; fp8 was 9 % off and is refused."""


def tolerance_for(target: Target) -> Tolerance:
    """What an engine for `target` may differ by from eager float32 on the CPU."""
    if target.precision == "f32":
        return FLOAT32 if target.device.type == "cpu" else CUDA_FLOAT32
    by_precision: dict[Precision, Tolerance] = {"f16": HALF, "bf16": BFLOAT16, "int8": QUANTISED, "fp8": QUANTISED}
    return by_precision[target.precision]


@dataclass(frozen=True, slots=True)
class EventTolerance:
    """How far what a GPU run publishes may be from what a CPU run does, of the same face in the same frame."""

    affect: float
    """Valence and arousal, smoothed."""
    affect_raw: float
    """The same, of one frame alone: smoothing averages most of the difference away."""
    landmarks: float
    """Any of the 478 points, in distances between the outer corners of the eyes."""
    pose_rad: float
    """Any number of the head's axis-angle vector."""
    expression: float
    """Any coefficient of the `open` basis."""


EVENTS = EventTolerance(affect=0.03, affect_raw=0.12, landmarks=0.04, pose_rad=0.025, expression=0.15)
"""Twice what was measured on the 472 frames of the demo clip with the GPU's own code on CPU tensors: 0.012, 0.056,
0.019, 0.011 and 0.070; the medians are 0.002, 0.002, 0.002, 0.001 and 0.010. The reasons: the GPU's colours differ by
up to 4 levels (FFmpeg truncates, the GPU rounds), which moves landmarks, and each frame is searched where the one
before had its face, so that a difference is carried on."""


@dataclass(frozen=True, slots=True)
class OutputParity:
    """What the comparison found for one output."""

    max_abs_error: float
    max_abs_reference: float


def check_parity(
    name: str,
    reference: Sequence[FloatArray],
    candidate: Sequence[FloatArray],
    tolerance: Tolerance,
    parts: Mapping[str, int] | None = None,
) -> list[OutputParity]:
    """The figures of each output. Raises ParityError naming the worst number of the first output that does not fit.

    `parts`: names and widths of what lies side by side on the only output's last axis. Each is then held to the
    tolerance by itself: a camera scale of 7 must not excuse a jaw that is off by a tenth.
    """
    if len(reference) != len(candidate):
        raise ParityError(f"{name} has {len(candidate)} outputs, its reference {len(reference)}; the export lost some")
    whole = [
        _check_output(f"{name}, output {number}", expected, found, tolerance)
        for number, (expected, found) in enumerate(zip(reference, candidate, strict=True))
    ]
    if parts is None:
        return whole
    ends = np.cumsum(list(parts.values()))[:-1]
    pieces = (np.split(arrays[0], ends, axis=-1) for arrays in (reference, candidate))
    return [
        _check_output(f"{name}, {part}", expected, found, tolerance)
        for part, expected, found in zip(parts, *pieces, strict=True)
    ]


def _check_output(what: str, expected: FloatArray, found: FloatArray, tolerance: Tolerance) -> OutputParity:
    if expected.shape != found.shape:
        raise ParityError(f"{what} is {list(found.shape)}, its reference {list(expected.shape)}; the export is wrong")
    if not np.isfinite(expected).all():
        raise ParityError(f"{what}: the reference is not finite; give example inputs that lead to numbers")
    error = np.abs(found.astype(np.float64) - expected)
    # A difference that is not a number must count as too large, not as "not larger".
    allowed = tolerance.allowed(expected)
    fits = error <= allowed
    if not fits.all():
        worst = np.unravel_index(np.argmax(np.where(fits, -1.0, np.nan_to_num(error, nan=np.inf))), error.shape)
        raise ParityError(
            f"{what} leaves tolerance in {np.count_nonzero(~fits)} of {fits.size} numbers, worst at "
            f"{[int(i) for i in worst]}: {found[worst]:g}, reference {expected[worst]:g}; allowed is {allowed:.2g} "
            f"({tolerance.reason}); use another precision, or the torch engine, and report it"
        )
    return OutputParity(float(error.max(initial=0.0)), float(np.abs(expected).max(initial=0.0)))
