"""The machine beside the figures."""

import pytest
import torch

from benchmarks.machine import describe_machine


def test_libraries_that_are_not_installed_are_left_out() -> None:
    machine = describe_machine(torch.device("cpu"))
    libraries = machine["libraries"]
    assert isinstance(libraries, dict)
    assert libraries["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert all(libraries.values())
    assert "gpu" not in machine


@pytest.mark.gpu
def test_a_gpu_is_named_with_its_driver() -> None:
    gpu = describe_machine(torch.device("cuda", 0))["gpu"]
    assert isinstance(gpu, dict)
    assert gpu["name"] == torch.cuda.get_device_name(0)
    assert gpu["memory_gib"] > 1
    assert "." in gpu["compute_capability"]
