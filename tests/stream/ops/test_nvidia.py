"""The driver's states, told by a small library in the place of NVIDIA's; and the real one where there is one."""

import ctypes
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from stream.ops import engines, nvidia, video
from stream.ops.check import Check, Finding
from stream.ops.isolate import run_checks

DRIVER = """
int cuInit(unsigned flags) {{ return {code}; }}
int cuGetErrorName(int code, const char **name) {{ *name = "CUDA_ERROR_OF_TEST"; return 0; }}
int cuDriverGetVersion(int *version) {{ *version = {version}; return 0; }}
"""


def ask_driver(folder: Path, *, code: int = 0, version: int = 13000) -> Finding:
    """What doctor says of a driver whose cuInit gives `code`."""
    if (compiler := shutil.which("gcc")) is None:
        pytest.skip("no C compiler to make a stand-in for the driver")
    source, library = folder / "driver.c", folder / "libcuda.so.1"
    source.write_text(DRIVER.format(code=code, version=version))
    subprocess.run([compiler, "-shared", "-fPIC", source, "-o", library], check=True)
    check = Check("driver", "stream.ops.nvidia:driver")
    (result,) = run_checks([check], environment={"LD_LIBRARY_PATH": str(folder)})
    return result.finding


def test_a_driver_that_works(tmp_path: Path) -> None:
    finding = ask_driver(tmp_path, version=13020)
    assert finding.status == "works"
    assert finding.facts["cuda"] == "13.2"


def test_a_driver_too_old_for_the_wheels(tmp_path: Path) -> None:
    finding = ask_driver(tmp_path, version=12040)
    assert finding.status == "broken"
    assert "CUDA up to 12.4" in finding.detail
    assert "580" in finding.remedy


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(802, "nvidia-fabricmanager"), (100, "--gpus all"), (803, "restart"), (999, "nvidia_uvm"), (46, "nvidia-smi")],
)
def test_a_driver_that_does_not_start_says_what_helps(tmp_path: Path, code: int, remedy: str) -> None:
    finding = ask_driver(tmp_path, code=code)
    assert finding.status == "broken"
    assert f"CUDA_ERROR_OF_TEST ({code})" in finding.detail
    assert remedy in finding.remedy


def test_no_driver_is_missing_and_blocks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "load", lambda library: None)
    for probe in (nvidia.driver, nvidia.gpus, nvidia.decoding_library, nvidia.nvdec):
        finding = probe()
        assert (finding.status, finding.blocks) == ("missing", False)
        assert "no NVIDIA driver" in finding.detail


def test_the_structure_of_the_decoding_library_has_its_size_and_places() -> None:
    """As in cuviddec.h of NVIDIA's Video Codec SDK."""
    assert ctypes.sizeof(nvidia.DecodeCaps) == 88
    assert (nvidia.DecodeCaps.supported.offset, nvidia.DecodeCaps.engines.offset) == (24, 25)


def test_commands_name_extras_that_exist() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    remedies = [engines.GET_TENSORRT, engines.GET_TENSORRT_RTX, engines.GET_TORCH, video.GET_AV, video.GET_DALI]
    extras = [extra for remedy in remedies for extra in re.findall(r"flamestream\[(\w+)\]", remedy)]
    assert len(extras) == 2
    assert set(extras) <= set(project["optional-dependencies"])
    required = {*project["dependencies"], *project["optional-dependencies"]["gpu"]}
    for requirement in ("torch>=2.11,<2.15", "av>=18.1", "nvidia-dali-cuda130>=2.4"):
        assert any(requirement in remedy for remedy in remedies)
        assert any(line.startswith(requirement) for line in required), (
            f"pyproject.toml no longer asks for {requirement}"
        )


@pytest.mark.gpu
def test_the_gpu_and_its_decoder_are_found() -> None:
    probes = ("driver", "gpus", "decoding_library", "nvdec")
    results = run_checks([Check(probe, f"stream.ops.nvidia:{probe}", lane="torch") for probe in probes])
    found = {result.check.name: result.finding for result in results}
    assert found["driver"].status == "works", found["driver"]
    assert found["driver"].facts["version"]
    assert found["gpus"].facts["gpus"][0]["total_bytes"] > 2**30
    if found["decoding_library"].status == "missing":
        pytest.skip(f"NVDEC is hidden from this machine: {found['decoding_library'].detail}")
    assert found["decoding_library"].facts["engines"] >= 1
    assert found["nvdec"].status == "works", found["nvdec"]
