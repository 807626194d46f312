"""Rates of an engine and of its network, with both made slow by hand."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from train.evaluate.speed import BATCHES, judge_speed

Make = Callable[..., Any]


class Slow(nn.Module):
    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        time.sleep(0.02)
        return crops


def test_both_read_the_same_faces_and_the_slower_loses(saying: Make) -> None:
    quick = saying(lambda batch: [])
    section = judge_speed(quick, Slow(), torch.rand(3, 3, 224, 224), repeats=2, least_s=0.0)
    assert {len(batch.crops) for batch in quick.given} == set(BATCHES)
    times = [figure for figure in section.figures if figure.what.startswith("times")]
    assert [figure.met for figure in times] == [True] * len(BATCHES)
    assert section.details["batch 8"]["eager"] <= 8 / 0.02
