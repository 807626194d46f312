"""Training of Ig3D's networks: it learns, can be cut, and chooses and weighs on validation alone."""

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.ig3d import Design, Ig3dNetwork, read_head, write_head
from models.small_net import SmallNet
from train.errors import TrainingError
from train.ig3d.combine import combine
from train.ig3d.features import Features
from train.ig3d.labelled import LabelledSet
from train.ig3d.loop import BEST, Epoch, Training, attention_of, rate
from train.ig3d.predict import answers, branch_outputs, predictions_of
from train.ig3d.recipes import RECIPES, Recipe, recipe
from train.ig3d.samples import Samples, masked, sized, varied
from train.ig3d.sets import open_features, open_set, samples_of, train_and_validation
from train.ig3d.start import begun

Tiny = tuple[LabelledSet, Features]
Trained = Callable[[Design], tuple[Path, list[Epoch]]]
FACE = Design("3d", None, "smirk-full", encoder="smirk-open", encoder_hash="0123456789ab")
PICTURE = Design("2d", "small")
BOTH = replace(FACE, kind="intermediate", backbone="small")
RECIPE = Recipe("cross-entropy", 16, 3, "drawn", 4e-4, 1e-4, "cosine", flip=False)


def samples(tiny: Tiny, design: Design) -> tuple[Samples, Samples]:
    labelled, features = tiny
    rest, held = train_and_validation(labelled, 0.25, 0)
    assert not set(rest.group) & set(held.group)
    return samples_of(rest, features, design), samples_of(held, features, design)


def run(
    tiny: Tiny, design: Design, folder: Path, recipe: Recipe = RECIPE, until: int = 99
) -> tuple[Training, list[Epoch]]:
    training = Training(begun(design, 0, None), recipe, *samples(tiny, design), folder)
    seen: list[Epoch] = []
    training.run(seen.append, lambda: training.epoch >= until)
    return training, seen


@pytest.fixture(scope="module")
def trained(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The best head of a design, trained once, and its epochs."""
    folder = tmp_path_factory.mktemp("trained")

    @functools.cache
    def of(design: Design) -> tuple[Path, list[Epoch]]:
        quick = replace(RECIPE, rate=2e-3, epochs=14) if design is PICTURE else RECIPE
        _, seen = run(tiny, design, folder / design.kind, quick)
        return folder / design.kind / BEST, seen

    return of


@pytest.mark.parametrize("design", [FACE, PICTURE, BOTH], ids=["3d", "2d", "intermediate"])
def test_it_learns_and_keeps_the_best_epoch(tiny: Tiny, trained: Trained, design: Design) -> None:
    head, seen = trained(design)
    assert seen[-1].loss < seen[0].loss
    best = max(seen, key=lambda epoch: epoch.measure)
    assert best.best
    network = read_head(head)
    held = samples(tiny, design)[1]
    accuracy = (answers(network, held)[:, 2:].argmax(axis=1) == held.labelled.emotion).mean()
    assert accuracy == pytest.approx(best.measure)


def test_a_training_cut_in_pieces_is_the_uncut_one(tiny: Tiny, tmp_path: Path) -> None:
    short = replace(RECIPE, epochs=2)
    _, whole = run(tiny, PICTURE, tmp_path / "whole", short)
    run(tiny, PICTURE, tmp_path / "cut", short, until=1)
    _, rest = run(tiny, PICTURE, tmp_path / "cut", short)
    assert [epoch.number for epoch in rest] == [2]
    assert [(e.loss, e.measure) for e in rest] == [(e.loss, e.measure) for e in whole[1:]]


def test_checkpoints_of_another_training_and_damaged_ones_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    run(tiny, PICTURE, tmp_path, until=1)
    with pytest.raises(TrainingError, match="another training"):
        run(tiny, PICTURE, tmp_path, replace(RECIPE, batch=8))
    (tmp_path / "checkpoint.pt").write_bytes(b"no checkpoint")
    with pytest.raises(TrainingError, match=r"checkpoint\.pt: not a checkpoint"):
        run(tiny, PICTURE, tmp_path)


def test_pictures_without_a_face_are_left_out_and_counted(tiny: Tiny) -> None:
    labelled, features = tiny
    all_of_them = samples_of(labelled, features, FACE)
    assert (len(all_of_them), all_of_them.without_face) == (len(labelled) - 1, 1)
    assert "5" not in all_of_them.labelled.ids


def test_every_part_of_an_intermediate_fusion_is_trained(trained: Trained) -> None:
    """Upstream's optimiser holds the backbone only: its projection and head stay as they began."""
    before = {name: tensor.clone() for name, tensor in begun(BOTH, 0, None).named_parameters()}
    after = dict(read_head(trained(BOTH)[0]).named_parameters())
    learnt = [name for name, parameter in after.items() if parameter.requires_grad]
    same = [name for name in learnt if torch.equal(before[name], after[name])]
    assert not same
    for part in ("fusion.head.Wash_Linear1", "fusion.head.linear_fusion", "fusion.head.out", "encoder"):
        assert any(part in name for name in learnt), part


def test_a_late_fusion_is_weighed_on_validation_and_survives_its_file(
    tiny: Tiny, trained: Trained, tmp_path: Path
) -> None:
    picture, face = (read_head(trained(design)[0]) for design in (PICTURE, FACE))
    late = replace(FACE, kind="late", backbone="small")
    held = samples(tiny, late)[1]
    combined = combine(picture, face, held)
    shares = combined.network.design.shares
    assert combined.affect is not None
    assert (shares.affect, shares.emotions) == (combined.affect.weight, combined.emotions.weight)
    first, second = branch_outputs(combined.network, held)
    assert first.affect is not None
    assert second.affect is not None
    said = answers(combined.network, held)
    expected = shares.affect * first.affect + (1 - shares.affect) * second.affect
    np.testing.assert_allclose(said[:, :2], expected.clip(-1, 1), atol=1e-5)
    np.testing.assert_allclose(said[:, 2:].sum(axis=1), 1, atol=1e-5)
    write_head(combined.network, tmp_path / "late.safetensors")
    np.testing.assert_array_equal(answers(read_head(tmp_path / "late.safetensors"), held), said)
    assert predictions_of(combined.network, held, "late").labels is not None
    labels_only = replace(tiny[0], affect=np.full_like(tiny[0].affect, np.nan))
    unweighed = combine(picture, face, samples((labels_only, tiny[1]), late)[1])
    assert unweighed.affect is None
    assert unweighed.network.design.shares.emotions == shares.emotions
    assert predictions_of(unweighed.network, samples((labels_only, tiny[1]), late)[1], "late").true is None
    with pytest.raises(TrainingError, match="expected 2d and then 3d"):
        combine(face, picture, held)


def test_a_stage_begins_at_the_one_before(trained: Trained) -> None:
    head, _ = trained(FACE)
    network = begun(FACE, 0, head)
    torch.testing.assert_close(network.state_dict(), read_head(head).state_dict())
    with pytest.raises(TrainingError, match="give the same options"):
        begun(replace(FACE, labels=FACE.labels[:7]), 0, head)


def test_the_small_backbone_begins_at_faces() -> None:
    network = begun(PICTURE, 0, None).picture
    assert isinstance(network, SmallNet)
    random = SmallNet()
    stem = network.net.encoder.state_dict()["blocks.0.0.bn1.running_mean"]
    assert not torch.equal(stem, random.net.encoder.state_dict()["blocks.0.0.bn1.running_mean"])


def test_masking_zeroes_parts_of_some_faces_only() -> None:
    from models.representation import REPRESENTATIONS

    smirk = REPRESENTATIONS["smirk-full"]
    vectors = torch.ones(400, smirk.size)
    hidden = masked(vectors, smirk, 0.1, torch.Generator().manual_seed(0))
    for place in smirk.places.values():
        touched = (hidden[:, place] == 0).any(dim=1).float().mean()
        assert 0.03 < float(touched) < 0.17
    assert masked(vectors, smirk, 0.0, torch.Generator()) is vectors


def test_pictures_are_brought_to_one_size_and_varied_by_the_seed() -> None:
    small = np.full((50, 40, 3), 90, np.uint8)
    assert sized(small).shape == (224, 224, 3)
    pictures = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    first, again, other = (varied(pictures, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", RECIPES)
def test_rates_stay_within_the_recipe(name: str) -> None:
    chosen = RECIPES[name]
    rates = [rate(chosen, epoch, step, 10) for epoch in range(chosen.epochs) for step in range(10)]
    assert 0 < max(rates) <= chosen.rate
    if chosen.schedule in ("cyclic", "cosine"):
        assert min(rates) >= chosen.least_rate
    if chosen.schedule == "cyclic" and chosen.cycle is None:
        assert rates[0] == pytest.approx(chosen.least_rate)
        assert max(rates) == pytest.approx(chosen.rate)


def test_attention_maps_are_there_for_ddamfn_only() -> None:
    network = Ig3dNetwork(Design("2d", "ddamfn")).eval()
    with attention_of(network) as maps, torch.inference_mode():
        said = network.branches(torch.rand(1, 3, 112, 112), torch.zeros(1, 0))
    assert [tuple(each.shape) for each in maps] == [(1, 512, 7, 7)] * 2
    assert said[0].affect is None
    with torch.inference_mode():
        numbers = network(torch.rand(1, 3, 112, 112), torch.zeros(1, 0))
    assert numbers.shape == (1, 10)
    with attention_of(Ig3dNetwork(PICTURE)) as none:
        pass
    assert none == []


def test_what_does_not_go_together_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    labelled, features = tiny
    with pytest.raises(TrainingError, match="expected one of affectnet, raf-db"):
        open_set(tmp_path, "fer2013", "train", 8)
    with pytest.raises(TrainingError, match="no such folder"):
        open_set(tmp_path / "nowhere", "affectnet", "train", 8)
    with pytest.raises(TrainingError, match="raf-db has 7 classes"):
        open_set(tmp_path, "raf-db", "train", 8)
    with pytest.raises(TrainingError, match="give --features"):
        samples_of(labelled, None, FACE)
    with pytest.raises(TrainingError, match="give --features"):
        open_features(None, FACE)
    with pytest.raises(TrainingError, match="share between 0 and 1"):
        train_and_validation(labelled, 1.5, 0)
    with pytest.raises(TrainingError, match="expected one of"):
        recipe("fast")
    with pytest.raises(ValueError, match="kind 3d"):
        Design("3d", "small", "smirk-full")
    assert features.origin.representation == "smirk-full"
