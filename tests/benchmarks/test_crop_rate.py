"""Figures of the crop benchmark, as those of a section."""

import pytest

from benchmarks.crop_rate import crop_row
from benchmarks.crops import Agreement, Measured


def test_a_crop_rate_is_beside_the_rate_of_a_copy() -> None:
    agreement = Agreement(max_levels=0.0, changed=0.0)
    measured = Measured(
        "gather", 4, 2, agreement, agreement, floor_s=0.001, seconds=[0.004, 0.002, 0.016], cpu_seconds=[0.001]
    )
    row = crop_row(measured.row(), frames=2, repeats=3)
    assert (row.figure.minimum, row.figure.median, row.figure.maximum) == (500, 2000, 4000)
    assert row.floor is not None
    assert row.floor.value == pytest.approx(8000)
    assert row.share == 0.25
    assert row.bottleneck is not None
    assert row.bottleneck.startswith("overhead")
