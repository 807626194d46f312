"""Fusion treats every face by itself: nothing about a batch, its order or its size, reaches another face's answer."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.affect_network import AffectOutput
from models.affect_outputs import OutputLayout
from models.cage import Cage
from models.ddamfn import Ddamfn
from models.emotion import RAF_DB
from models.fusion import (
    DdamfnFusion,
    FusionHead,
    IntermediateFusion,
    MaxVitFusion,
    fuse,
    fuse_classes,
    load_ddamfn_fusion,
    load_maxvit_fusion,
)
from models.small_net import SmallNet
from tests.models.networks import blank, check_export, conv, layout_of, made_up, without_gradient

FACES = 7
Fuse = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def joined(output: AffectOutput) -> torch.Tensor:
    return torch.cat([part for part in output if part is not None], dim=1)


def heads() -> dict[str, FusionHead]:
    torch.manual_seed(0)
    return {
        "ddamfn": DdamfnFusion(6, feature_size=8).eval(),
        "ddamfn, raf-db": DdamfnFusion(6, OutputLayout(RAF_DB), feature_size=8).eval(),
        "maxvit": MaxVitFusion(6, feature_size=8).eval(),
        "maxvit, affect": MaxVitFusion(6, OutputLayout((), "valence-arousal"), feature_size=8).eval(),
    }


LATE: dict[str, Fuse] = {rule: partial(fuse, rule) for rule in ("max", "min", "mean", "weighted")}
LATE |= {
    f"{rule} of {of}": partial(fuse_classes, rule, of=of, temperatures=(1.5, 0.7))
    for rule in ("max", "min", "mean", "weighted")
    for of in ("logits", "probabilities")
}
INTERMEDIATE: dict[str, Fuse] = {name: lambda a, b, head=head: joined(head(a, b)) for name, head in heads().items()}
WIDTHS = {name: (8, 6) if name in INTERMEDIATE else (8, 8) for name in (*LATE, *INTERMEDIATE)}
EVERY = LATE | INTERMEDIATE


@torch.no_grad()
def strays(fused: Fuse, first: torch.Tensor, second: torch.Tensor, order: list[int], cut: int) -> float:
    """By how much a face's answer changes with the order and the size of its batch."""
    whole = fused(first, second)
    shuffled = fused(first[order], second[order])
    parts = [fused(first[part], second[part]) for part in (slice(cut), slice(cut, None)) if len(first[part])]
    return max(float((shuffled - whole[order]).abs().max()), float((torch.cat(parts) - whole).abs().max()))


def rows(name: str, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = WIDTHS[name]
    return torch.randn(FACES, first, generator=generator), torch.randn(FACES, second, generator=generator)


@pytest.mark.parametrize("name", EVERY)
@given(order=st.permutations(range(FACES)), cut=st.integers(0, FACES), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_a_face_does_not_depend_on_the_faces_beside_it(name: str, order: list[int], cut: int, seed: int) -> None:
    assert strays(EVERY[name], *rows(name, seed), order, cut) < 1e-5


@pytest.mark.parametrize("name", EVERY)
def test_what_other_faces_look_like_changes_nothing(name: str) -> None:
    first, second = rows(name, 0)
    with torch.no_grad():
        before = EVERY[name](first, second)[2]
        others = torch.arange(FACES) != 2
        first[others], second[others] = 100.0, -100.0
        torch.testing.assert_close(EVERY[name](first, second)[2], before)


def test_the_check_finds_the_published_mistake() -> None:
    def leaky(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return torch.maximum(first, second[0])

    assert strays(leaky, *rows("max", 0), [6, 5, 4, 3, 2, 1, 0], 3) > 0.1


@pytest.mark.parametrize("name", EVERY)
def test_what_torch_would_spread_over_a_batch_is_refused(name: str) -> None:
    first, second = rows(name, 0)
    for wrong in (second[0], second[:1], second[:, :1], second[:3], second[None], second[:, 0]):
        shapes = rf"\[7, 8\] and .*\[{', '.join(map(str, wrong.shape))}\], expected"
        with pytest.raises(ValueError, match=shapes):
            EVERY[name](first, wrong)
    with pytest.raises(ValueError, match="a row of each for every face"):
        EVERY[name](first[0], second)
    with pytest.raises(ValueError, match="a row of each for every face"):
        EVERY[name](first[0], second[0])


def test_late_rules_are_the_published_ones() -> None:
    a, b = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 4.0]])
    assert fuse("max", a, b).tolist() == [[1, 4]]
    assert fuse("min", a, b).tolist() == [[0, -2]]
    assert fuse("mean", a, b).tolist() == [[0.5, 1]]
    torch.testing.assert_close(fuse("weighted", a, b, 0.8), torch.tensor([[0.8, -0.8]]))
    assert torch.equal(fuse("weighted", a, b), fuse("weighted", a, b, 0.6))
    assert torch.equal(fuse_classes("max", a, b), fuse("max", a, b))  # logits as they are, by default
    found = fuse_classes("weighted", a, b, 0.3, of="probabilities", temperatures=(2.0, 0.5))
    torch.testing.assert_close(found, 0.3 * (a / 2).softmax(1) + 0.7 * (b / 0.5).softmax(1))
    torch.testing.assert_close(found.sum(1), torch.ones(1))


def test_shares_and_temperatures_have_limits() -> None:
    a = torch.rand(2, 3)
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"expected 0\.\.1"):
            fuse("weighted", a, a, share)
    for temperature in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="above 0"):
            fuse_classes("mean", a, a, temperatures=(1.0, temperature))


def test_the_order_of_the_branches_is_upstreams() -> None:
    """3D before 2D in the classifier, 2D before 3D in the regressor."""
    features, vectors = torch.rand(2, 512), torch.rand(2, 156)
    head = DdamfnFusion(156).eval()
    x = torch.cat([head.Wash_Linear1(vectors), features], 1)
    for layer in (head.linear_fusion[0], head.linear_fusion[2]):
        assert isinstance(layer, torch.nn.Linear)
        x = torch.nn.functional.leaky_relu(layer(x), 0.2)
    torch.testing.assert_close(joined(head(features, vectors)), head.out(x))
    other = MaxVitFusion(156).eval()
    x = torch.cat([features, other.additional_feature_transform(vectors)], 1)
    first, last = other.classifier[0], other.classifier[2]
    torch.testing.assert_close(joined(other(features, vectors)), last(first(x).tanh()))


DDAMFN_HEAD = {
    name: form
    for part in (
        conv("Wash_Linear1", 512, 334, bias=True),
        conv("linear_fusion.0", 2048, 1024, bias=True),
        conv("linear_fusion.2", 1024, 2048, bias=True),
        conv("out", 7, 1024, bias=True),
    )
    for name, form in part.items()
}
MAXVIT_HEAD = {
    name: form
    for part in (
        conv("additional_feature_transform", 512, 156, bias=True),
        conv("classifier.0", 512, 1024, bias=True),
        conv("classifier.2", 10, 512),
    )
    for name, form in part.items()
}


def test_files_of_upstreams_trainings_load(tmp_path: Path) -> None:
    network, head = Ddamfn(heads=1, label_order=RAF_DB), DdamfnFusion(334, OutputLayout(RAF_DB))
    assert layout_of(head) == DDAMFN_HEAD
    tensors = made_up(layout_of(network.net) | DDAMFN_HEAD)
    torch.save({"iter": 1, "model_state_dict": tensors, "optimizer_state_dict": {}}, tmp_path / "fused.pth")
    load_ddamfn_fusion(network, head, tmp_path / "fused.pth")
    found = network.net.state_dict() | head.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_the_two_files_of_upstreams_regressor_load(tmp_path: Path) -> None:
    network, head = blank(Cage), MaxVitFusion(156)
    assert layout_of(head) == MAXVIT_HEAD
    body = {name: form for name, form in layout_of(network.net).items() if name != "classifier.5.weight"}
    torch.save(made_up(body), tmp_path / "model.pt")
    torch.save(made_up(MAXVIT_HEAD), tmp_path / "model_cls.pt")
    load_maxvit_fusion(network, head, tmp_path / "model.pt", tmp_path / "model_cls.pt")
    found = network.net.state_dict() | head.state_dict()
    expected = made_up(body)
    assert torch.equal(found["stem.0.0.weight"], expected["stem.0.0.weight"])
    assert torch.equal(head.classifier[2].weight, made_up(MAXVIT_HEAD)["classifier.2.weight"])


@pytest.mark.parametrize("kind", [DdamfnFusion, MaxVitFusion])
def test_backbone_projection_and_head_all_learn(kind: type[DdamfnFusion] | type[MaxVitFusion]) -> None:
    """Upstream's valence-arousal training gave its optimiser the backbone only."""
    torch.manual_seed(0)
    backbone = SmallNet()
    network = IntermediateFusion(backbone, kind(6, feature_size=backbone.width)).train()
    crops, vectors = torch.rand(4, 3, 112, 112), torch.rand(4, 6)
    assert without_gradient(network, lambda: network(crops, vectors)) == []
    idle = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    assert idle == ["backbone.net.head.weight", "backbone.net.head.bias"]  # the head stands in for it


def test_ddamfn_learns_through_its_fusion() -> None:
    torch.manual_seed(0)
    network = IntermediateFusion(Ddamfn(), DdamfnFusion(6)).train()
    assert without_gradient(network, lambda: network(torch.rand(2, 3, 112, 112), torch.rand(2, 6))) == []


def test_a_head_for_another_backbone_is_refused() -> None:
    with pytest.raises(ValueError, match="SmallNet gives 576 features, the head takes 512"):
        IntermediateFusion(SmallNet(), DdamfnFusion(6))


@torch.no_grad()
def test_a_fused_face_does_not_depend_on_the_faces_beside_it() -> None:
    torch.manual_seed(0)
    network = IntermediateFusion(SmallNet(), MaxVitFusion(6, feature_size=576)).eval()
    crops, vectors = torch.rand(4, 3, 112, 112), torch.rand(4, 6)
    whole = joined(network(crops, vectors))
    for index in range(4):
        one = slice(index, index + 1)
        torch.testing.assert_close(joined(network(crops[one], vectors[one])), whole[one], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"\[4, 576\] and vectors of \[1, 6\]"):
        network(crops, vectors[:1])


def test_export_leaves_the_batch_open() -> None:
    check_export(IntermediateFusion(SmallNet(), DdamfnFusion(6, feature_size=576)), (3, 224, 224), (6,))
    check_export(MaxVitFusion(6), (512,), (6,))
