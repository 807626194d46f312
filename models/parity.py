"""How far a compiled network may be from its float32 reference, and the comparison that decides it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.errors import ParityError

FloatArray = npt.NDArray[np.float32]


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
"""For engines that compute in float32. OpenVINO 2026.4 on AVX-512 is within 2e-6 of an output's largest number for
SMIRK's encoders; one wrongly padded layer is beyond 1e-2."""


@dataclass(frozen=True, slots=True)
class OutputParity:
    """What the comparison found for one output."""

    max_abs_error: float
    max_abs_reference: float


def check_parity(
    name: str, reference: Sequence[FloatArray], candidate: Sequence[FloatArray], tolerance: Tolerance
) -> list[OutputParity]:
    """The figures of each output. Raises ParityError naming the worst number of the first output that does not fit."""
    if len(reference) != len(candidate):
        raise ParityError(f"{name} has {len(candidate)} outputs, its reference {len(reference)}; the export lost some")
    return [
        _check_output(f"{name}, output {number}", expected, found, tolerance)
        for number, (expected, found) in enumerate(zip(reference, candidate, strict=True))
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
            f"({tolerance.reason}); use the torch engine and report it"
        )
    return OutputParity(float(error.max(initial=0.0)), float(np.abs(expected).max(initial=0.0)))
