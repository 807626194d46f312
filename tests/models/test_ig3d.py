"""Ig3D networks as a whole: every kind says ten numbers, and a head file gives back the network or says why not."""

from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from models.emotion import EMOTIONS
from models.errors import CheckpointError
from models.heads import CIRCUMPLEX
from models.ig3d import Design, Ig3dNetwork, Shares, read_head, write_head

FACE = Design("3d", None, "smirk-short", encoder="smirk-open", encoder_hash="0123456789ab")
KINDS = {
    "2d": Design("2d", "small"),
    "3d": FACE,
    "late": replace(FACE, kind="late", backbone="small", shares=Shares(0.3, 0.8, (2.0, 0.5))),
    "intermediate": replace(FACE, kind="intermediate", backbone="small"),
    "seven": replace(FACE, labels=EMOTIONS[:7]),
}
VECTORS = torch.randn(3, 353, generator=torch.Generator().manual_seed(1))
CROPS = torch.rand(3, 3, 224, 224, generator=torch.Generator().manual_seed(2))


def network(kind: str) -> Ig3dNetwork:
    torch.manual_seed(0)
    return Ig3dNetwork(KINDS[kind]).eval()


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_every_kind_says_affect_and_probabilities(kind: str) -> None:
    numbers = network(kind)(CROPS, VECTORS)
    assert numbers.shape == (3, 10)
    assert float(numbers[:, :2].abs().max()) <= 1
    torch.testing.assert_close(numbers[:, 2:].sum(dim=1), torch.ones(3))
    assert bool((numbers[:, 9] == 0).all()) == (kind == "seven")


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_a_face_is_read_by_itself(kind: str) -> None:
    """Upstream's leak: the answer for a face must not depend on which others are in the batch, or where it is."""
    said = network(kind)
    whole = said(CROPS, VECTORS)
    torch.testing.assert_close(said(CROPS.flip(0), VECTORS.flip(0)).flip(0), whole, atol=1e-5, rtol=0)
    alone = torch.cat([said(CROPS[i : i + 1], VECTORS[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(alone, whole, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_a_late_fusion_weighs_calibrated_branches() -> None:
    late = network("late")
    first, second = late.branches(CROPS, VECTORS)
    assert first.logits is not None
    assert second.logits is not None
    expected = 0.8 * (first.logits / 2).softmax(1) + 0.2 * (second.logits / 0.5).softmax(1)
    torch.testing.assert_close(late(CROPS, VECTORS)[:, 2:], expected)


@torch.inference_mode()
def test_ddamfn_alone_places_its_emotions_on_the_circumplex() -> None:
    numbers = Ig3dNetwork(Design("2d", "ddamfn")).eval()(CROPS[:1], VECTORS[:1, :0])
    places = torch.tensor([CIRCUMPLEX.get(emotion, (0.0, 0.0)) for emotion in EMOTIONS])
    torch.testing.assert_close(numbers[:, :2], numbers[:, 2:] @ places)


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_a_head_file_gives_back_the_network(kind: str, tmp_path: Path) -> None:
    written = network(kind)
    if written.design.representation is not None:
        written.standardise(torch.randn(50, written.mean.shape[0]))
    write_head(written, tmp_path / "head.safetensors")
    read = read_head(tmp_path / "head.safetensors")
    assert read.design == written.design
    assert not read.training
    torch.testing.assert_close(read(CROPS, VECTORS), written(CROPS, VECTORS), atol=0, rtol=0)


def test_files_that_are_no_heads_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    with pytest.raises(CheckpointError, match="cannot read head"):
        read_head(path)
    path.write_bytes(b"no safetensors")
    with pytest.raises(CheckpointError, match="no head file"):
        read_head(path)
    safetensors.torch.save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="no head file"):
        read_head(path)
    broken = network("2d")
    assert broken.picture is not None
    torch.nn.init.constant_(broken.picture.net.head.bias, float("nan"))  # type: ignore[union-attr, arg-type]
    write_head(broken, path)
    with pytest.raises(CheckpointError, match="NaN"):
        read_head(path)
    with pytest.raises(CheckpointError, match="cannot be written"):
        write_head(network("2d"), tmp_path / "head.safetensors" / "below")


@pytest.mark.parametrize(
    "parts",
    [
        {"kind": "3d", "backbone": "small", "representation": "smirk-full"},
        {"kind": "2d", "representation": "smirk-full", "backbone": "small"},
        {"kind": "late", "backbone": "small"},
        {"kind": "2d", "backbone": "efficientnet", "labels": EMOTIONS[:7]},
    ],
)
def test_parts_that_do_not_go_together_are_refused(parts: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"kind|efficientnet"):
        Design(**parts)  # type: ignore[arg-type]
