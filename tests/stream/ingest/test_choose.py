"""The way to decode is the one that was asked for, or an error that says what to do."""

import pytest
import torch

from models.device import CPU, MemoryBudget
from models.errors import EngineError
from stream.errors import ConfigError
from stream.ingest.choose import ON_CPU, Ingest, choose_decoding
from stream.ingest.decode_cpu import CpuDecoding
from stream.ingest.decode_gpu import NvdecDecoding
from stream.ingest.decode_upload import UploadDecoding

GPU = torch.device("cuda", 0)


@pytest.mark.parametrize("ingest", ["auto", "cpu"])
def test_without_a_gpu_the_cpu_decodes(ingest: Ingest) -> None:
    choice = choose_decoding(ingest, CPU, MemoryBudget(1))
    assert choice is ON_CPU
    assert isinstance(choice.for_files, CpuDecoding)
    assert isinstance(choice.for_live, CpuDecoding)


def test_nvdec_without_a_gpu_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--ingest nvdec: .* this run is on the CPU; use --ingest auto"):
        choose_decoding("nvdec", CPU, MemoryBudget(1))


def test_groups_of_pictures_are_decoded_on_the_cpu_too() -> None:
    pytest.importorskip("nvidia.dali", reason="DALI is made for Linux")
    from stream.ingest.decode_gop import GopDecoding

    choice = choose_decoding("gop", CPU, MemoryBudget(1))
    assert isinstance(choice.for_files, GopDecoding)
    assert choice.for_live is choice.for_files


@pytest.mark.parametrize(("ingest", "kind"), [("cpu", UploadDecoding), ("nvdec", NvdecDecoding)])
def test_for_a_gpu(ingest: Ingest, kind: type) -> None:
    choice = choose_decoding(ingest, GPU, MemoryBudget(1))
    assert isinstance(choice.for_files, kind)
    assert choice.for_live is choice.for_files


def test_where_dali_does_not_work_files_go_through_nvdec(caplog: pytest.LogCaptureFixture) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here, so DALI may work")
    choice = choose_decoding("auto", GPU, MemoryBudget(1))
    assert isinstance(choice.for_files, NvdecDecoding)
    assert choice.for_live is choice.for_files
    assert "files are decoded one picture at a time: DALI" in caplog.text
    with pytest.raises(EngineError, match="DALI"):
        choose_decoding("gop", GPU, MemoryBudget(1))


@pytest.mark.gpu
def test_on_a_gpu_files_come_by_groups_and_cameras_picture_by_picture() -> None:
    pytest.importorskip("nvidia.dali", reason="DALI is made for Linux")
    from stream.ingest.decode_gop import GopDecoding

    choice = choose_decoding("auto", GPU, MemoryBudget(1))
    assert isinstance(choice.for_files, GopDecoding)
    assert isinstance(choice.for_live, NvdecDecoding)
