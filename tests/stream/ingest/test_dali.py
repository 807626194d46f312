"""DALI's video decoder by itself: what it refuses, and what is said where it cannot be had."""

import pytest
import torch

from models.device import CPU
from models.errors import EngineError
from stream.ingest import dali as dali_module
from stream.ingest.dali import Dali, Refused


def test_it_says_what_it_refuses_and_goes_on() -> None:
    dali = Dali(CPU)
    good = dali_module._one_picture("libvpx-vp9")
    with pytest.raises(Refused):
        dali.decode([good, b"no video at all"])
    with pytest.raises(Refused) as refusal:
        dali.decode([dali_module._one_picture("libx264")])
    assert len(str(refusal.value).splitlines()) == 1
    (pictures,) = dali.decode([good])
    assert pictures.shape == (1, 192, 320, 3)
    assert dali.decode_part(good, 0, 5).shape == (1, 192, 320, 3)  # what is missing is not made up


def test_without_dali_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(dali_module.importlib, "import_module", missing)
    with pytest.raises(EngineError, match=r"pip install 'flamestream\[gpu\]'"):
        Dali(CPU)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_the_error_says_so() -> None:
    with pytest.raises(EngineError, match="DALI cannot decode on cuda"):
        Dali(torch.device("cuda", 0))
