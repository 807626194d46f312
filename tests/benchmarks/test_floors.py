"""Floors: what is counted is what a network must do, and the largest part is the one that limits."""

import pytest
import torch
from torch import nn

from benchmarks.figures import Floor
from benchmarks.floors import (
    Ceilings,
    Cost,
    bottleneck,
    cost_of,
    decode_floor,
    decoders_of,
    measure_ceilings,
    network_floor,
)


def test_the_cost_of_a_network_is_counted_per_item_and_its_weights_once() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 6 * 6, 10)).eval()
    cost = cost_of(network, (torch.rand(4, 3, 8, 8),))
    convolution, linear = 2 * 8 * 36 * 27, 2 * 288 * 10
    assert cost.flops == convolution + linear
    assert cost.activations == (3 * 64 + 288) + (288 + 10), "inputs and outputs of the two, the ReLU fused"
    assert cost.weights == 8 * 27 + 288 * 10 + 10
    assert cost.inputs == 3 * 64


COST = Cost(flops=1e9, activations=1e6, weights=1e6, inputs=1e5)


@pytest.mark.parametrize(
    ("ceilings", "slowest", "rate"),
    [
        (Ceilings({"f16": 1e12}, 1e15, None), "arithmetic", 1000),
        (Ceilings({"f16": 1e18}, 22e6, 1e15), "memory", 10),
        (Ceilings({"f16": 1e18}, 1e15, 4e5), "host to device", 1),
    ],
)
def test_the_floor_is_the_slowest_part(ceilings: Ceilings, slowest: str, rate: float) -> None:
    floor, parts_ms = network_floor(COST, ceilings, "f16", 10, from_host=True)
    assert floor.what == slowest
    assert floor.value == pytest.approx(rate)
    assert max(parts_ms.values()) == parts_ms[slowest] == pytest.approx(10 / rate * 1e3)


def test_a_floor_that_explains_little_is_not_the_bottleneck() -> None:
    floor = Floor(1000, "memory")
    assert bottleneck(floor, 900) == "memory"
    assert bottleneck(floor, 100) == "overhead beyond the floor (memory takes 10% of the time)"


def test_ceilings_of_this_machine() -> None:
    ceilings = measure_ceilings(torch.device("cpu"), ["f32"], quick=True)
    assert ceilings.flops["f32"] > 1e8
    assert ceilings.memory_bytes > 1e8
    assert ceilings.bus_bytes is None


@pytest.mark.parametrize(
    ("gpu", "count"),
    [
        ("NVIDIA H100 80GB HBM3", 7),
        ("NVIDIA A100-SXM4-80GB", 5),
        ("NVIDIA L4", 4),
        ("NVIDIA L40S", 3),
        ("Tesla T4", 2),
        ("NVIDIA GeForce RTX 4090", 1),
        ("another", None),
    ],
)
def test_decoders_by_name(gpu: str, count: int | None) -> None:
    assert decoders_of(gpu) == count


def test_no_decode_floor_without_a_gpu() -> None:
    assert decode_floor(torch.device("cpu"), "h264", 1920, 1080, 1) is None


@pytest.mark.gpu
def test_ceilings_of_a_gpu() -> None:
    ceilings = measure_ceilings(torch.device("cuda", 0), ["f32", "f16", "bf16", "int8", "fp8"], quick=True)
    assert ceilings.flops["f16"] > ceilings.flops["f32"] > 1e11
    assert ceilings.bus_bytes is not None
    assert ceilings.memory_bytes > ceilings.bus_bytes > 1e8
