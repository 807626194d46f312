"""How far an engine may be from float32, and what is said when it is further."""

import numpy as np
import pytest
import torch

from models.engines.engine import Precision, Target
from models.errors import ParityError
from models.parity import BFLOAT16, CUDA_FLOAT32, FLOAT32, HALF, QUANTISED, Tolerance, check_parity, tolerance_for


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [
        ("f32", "cpu", FLOAT32),
        ("f32", "cuda:0", CUDA_FLOAT32),
        ("f16", "cpu", HALF),
        ("f16", "cuda:0", HALF),
        ("bf16", "cuda:0", BFLOAT16),
        ("int8", "cuda:0", QUANTISED),
        ("fp8", "cuda:0", QUANTISED),
    ],
)
def test_every_precision_has_a_tolerance_with_a_reason(precision: Precision, device: str, expected: Tolerance) -> None:
    tolerance = tolerance_for(Target("inductor", precision, torch.device(device)))
    assert tolerance == expected
    assert len(tolerance.reason) > 20


def test_fewer_bits_may_be_further_off() -> None:
    of_one = [tolerance.allowed(np.ones(1, np.float32)) for tolerance in (FLOAT32, CUDA_FLOAT32, HALF, BFLOAT16)]
    assert of_one == sorted(of_one)
    assert len(set(of_one)) == 4


def test_parts_are_held_to_the_tolerance_by_themselves() -> None:
    reference = np.array([[0.1, 0.2, 7.0]], np.float32)
    off = reference + np.array([[0.05, 0, 0]], np.float32)
    check_parity("net", [reference], [off], Tolerance(0, 0.01, "of the largest"))
    with pytest.raises(ParityError, match=r"net, jaw leaves tolerance in 1 of 2 numbers, worst at \[0, 0\]: 0\.15"):
        check_parity("net", [reference], [off], Tolerance(0, 0.01, "of the largest"), {"jaw": 2, "camera": 1})
    figures = check_parity("net", [reference], [reference], FLOAT32, {"jaw": 2, "camera": 1})
    assert [each.max_abs_reference for each in figures] == pytest.approx([0.2, 7.0])


def test_parity_names_the_worst_number() -> None:
    reference = np.array([[1.0, 100.0], [0.0, 2.0]], np.float32)
    off = reference.copy()
    off[1, 0] += 0.0009  # inside rtol of the largest number
    (figures,) = check_parity("net", [reference], [off], FLOAT32)
    assert figures.max_abs_error == pytest.approx(0.0009)
    assert figures.max_abs_reference == 100
    off[1, 0] = 0.5
    with pytest.raises(ParityError, match=r"net, output 0 leaves tolerance in 1 of 4 numbers, worst at \[1, 0\]: 0\.5"):
        check_parity("net", [reference], [off], FLOAT32)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_parity_refuses_what_is_not_a_number(bad: float) -> None:
    reference = np.ones((2, 2), np.float32)
    off = reference.copy()
    off[1, 1] = bad
    with pytest.raises(ParityError, match=r"worst at \[1, 1\]"):
        check_parity("net", [reference], [off], FLOAT32)
    with pytest.raises(ParityError, match="reference is not finite"):
        check_parity("net", [off], [off], FLOAT32)


def test_parity_refuses_another_number_or_shape_of_outputs() -> None:
    ones = np.ones((2, 2), np.float32)
    with pytest.raises(ParityError, match="1 outputs, its reference 2"):
        check_parity("net", [ones, ones], [ones], FLOAT32)
    with pytest.raises(ParityError, match=r"\[2, 1\], its reference \[2, 2\]"):
        check_parity("net", [ones], [ones[:, :1]], FLOAT32)
