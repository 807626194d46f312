"""SMIRK's network has the official layout and padding, and gives the same numbers in every engine."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.engines.engine import Target
from models.engines.torch import TorchEngine
from models.errors import CheckpointError
from models.face_model import FaceModel
from models.manifest import model_hash
from models.smirk import SmirkEncoder, SmirkFaceModel, open_smirk, split_parameters
from models.spec import FLAME_LAYOUT, FaceBatch

UPSTREAM_KEYS = Path(__file__).parents[3] / "shared" / "specs" / "smirk_state_dict_keys.json"

ENCODER_LAYOUT_SHA256 = "027339510ba9eaa2f920d6b792e365d4c743df29a0cfc8f51812198d950e0129"
"""Of the official checkpoint's 762 encoder tensors: sorted lines `name shape dtype`, without the prefix."""


def faces(count: int, seed: int = 0) -> FaceBatch:
    """Crops with structure at every scale: noise, enlarged and plain."""
    generator = torch.Generator().manual_seed(seed)
    crops = sum(
        F.interpolate(torch.rand(count, 3, side, side, generator=generator), 224, mode="bilinear") if count else 0
        for side in (4, 28, 224)
    )
    crops = crops / 3 if count else torch.empty(0, 3, 224, 224)
    return FaceBatch(
        crops=crops.numpy(),
        crop_boxes=np.zeros((count, 3), np.float32),
        landmarks=np.zeros((count, 478, 3), np.float32),
        blendshapes=np.zeros((count, 52), np.float32),
    )


@torch.no_grad()
def randomise(network: SmirkEncoder) -> None:
    """Weights as if trained: normalised activations, and outputs that reach every clamp."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.uniform_(0.7, 1.3)
            module.bias.normal_(0, 0.1)
            module.momentum = None  # take the statistics of what comes next as they are
    for head in (network.pose_encoder.pose_cam_layers, network.shape_encoder.shape_layers):
        head[0].weight.normal_(0, 0.1)
    network.expression_encoder.expression_layers[0].weight.normal_(0, 0.1)
    network.train()(torch.from_numpy(faces(4, seed=9).crops))
    network.eval()


@pytest.fixture(scope="module")
def network() -> SmirkEncoder:
    network = SmirkEncoder()
    randomise(network)
    return network


@pytest.fixture(scope="module")
def checkpoint(network: SmirkEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The official file's layout: encoder tensors under their prefix, and the generator's beside them."""
    tensors = {f"smirk_encoder.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors["smirk_generator.encoder1.enc1conv1.weight"] = torch.zeros(32, 6, 3, 3)
    path = tmp_path_factory.mktemp("checkpoint") / "SMIRK_em1.pt"
    torch.save(tensors, path)
    return path


@pytest.fixture(scope="module", autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of its own, and one thread for eager torch: several threads on busy cores wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLAMESTREAM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def smirk(checkpoint: Path) -> SmirkFaceModel:
    return open_smirk(checkpoint)


def test_parameter_counts_are_the_published_ones(network: SmirkEncoder) -> None:
    parts = (network.pose_encoder, network.shape_encoder, network.expression_encoder)
    assert [sum(p.numel() for p in part.parameters()) for part in parts] == [432_350, 1_701_508, 1_466_063]
    assert [len(part.state_dict()) for part in parts] == [206, 278, 278]


def layout(network: SmirkEncoder) -> dict[str, list[object]]:
    return {
        name: [list(tensor.shape), str(tensor.dtype).removeprefix("torch.")]
        for name, tensor in network.state_dict().items()
    }


def test_tensor_names_and_shapes_are_the_official_ones(network: SmirkEncoder) -> None:
    lines = [f"{name} {shape} {dtype}" for name, (shape, dtype) in sorted(layout(network).items())]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == ENCODER_LAYOUT_SHA256


def test_tensor_names_and_shapes_against_the_list_of_the_official_file(network: SmirkEncoder) -> None:
    if not UPSTREAM_KEYS.exists():
        pytest.skip(f"list of the official tensors missing: {UPSTREAM_KEYS} (its hash is checked in any case)")
    official = json.loads(UPSTREAM_KEYS.read_text())
    prefix = "smirk_encoder."
    assert {name.removeprefix(prefix): form for name, form in official.items() if name.startswith(prefix)} == layout(
        network
    )


def test_strided_convolutions_pad_right_and_bottom_only(network: SmirkEncoder) -> None:
    crops = torch.from_numpy(faces(1).crops)
    for part in (network.pose_encoder, network.shape_encoder, network.expression_encoder):
        stem = part.encoder.conv_stem
        with torch.no_grad():
            expected = F.conv2d(F.pad(crops, (0, 1, 0, 1)), stem.weight, stride=2)
            symmetric = F.conv2d(crops, stem.weight, stride=2, padding=1)
            found = stem(crops)
        torch.testing.assert_close(found, expected)
        assert not torch.allclose(found, symmetric, atol=1e-3)
        norms = [module for module in part.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        assert {norm.eps for norm in norms} == {1e-3}


def test_outputs_are_in_layout_order_and_clamped_where_upstream_clamps(network: SmirkEncoder) -> None:
    crops = torch.from_numpy(faces(6).crops)
    with torch.inference_mode():
        numbers = network(crops)
        expression = network.expression_encoder
        raw = expression.expression_layers(expression.encoder(crops)[-1].mean((2, 3)))
        pose = network.pose_encoder
        raw_pose = pose.pose_cam_layers(pose.encoder(crops)[-1].mean((2, 3)))
    assert numbers.shape == (6, 361)
    parts = split_parameters(numbers)
    assert {name: part.shape[1] for name, part in parts.items()} == FLAME_LAYOUT
    torch.testing.assert_close(parts["pose"], raw_pose[:, :3])
    torch.testing.assert_close(parts["camera"], raw_pose[:, 3:])
    torch.testing.assert_close(parts["expression"], raw[:, :50])
    torch.testing.assert_close(parts["eyelids"], raw[:, 50:52].clamp(0, 1))
    torch.testing.assert_close(parts["jaw"][:, 0], raw[:, 52].clamp(min=0))
    torch.testing.assert_close(parts["jaw"][:, 1:], raw[:, 53:].clamp(-0.2, 0.2))
    outside = (raw[:, 50:52] < 0) | (raw[:, 50:52] > 1)
    assert outside.any()  # else this test would not notice a missing clamp
    assert (raw[:, 53:].abs() > 0.2).any()


def test_training_starts_at_the_mean_face_looking_ahead() -> None:
    parts = split_parameters(SmirkEncoder().eval()(torch.from_numpy(faces(2).crops)).detach())
    assert torch.equal(parts["shape"], torch.zeros(2, 300))
    assert torch.equal(parts["camera"][:, 0], torch.full((2,), 7.0))
    assert parts["pose"].abs().max() < 0.01
    assert parts["camera"][:, 1:].abs().max() < 0.01


def test_open_smirk_is_a_face_model_with_the_checkpoints_weights(smirk: SmirkFaceModel, network: SmirkEncoder) -> None:
    model: FaceModel = smirk
    assert (model.name, model.basis, model.needs_crops) == ("smirk", "flame2020", True)
    assert model.model_hash == model_hash(network)
    batch = faces(3)
    with torch.inference_mode():
        expected = split_parameters(network(torch.from_numpy(batch.crops)))
    found = model(batch)
    assert len(found) == 3
    for index, params in enumerate(found):
        for name in FLAME_LAYOUT:
            reference = expected[name][index].numpy()
            np.testing.assert_allclose(getattr(params, name), reference, rtol=1e-4, atol=1e-4, err_msg=name)


def test_a_face_does_not_depend_on_the_faces_beside_it(smirk: SmirkFaceModel) -> None:
    batch = faces(5)
    whole = smirk(batch)
    for index in range(5):
        one = slice(index, index + 1)
        alone = smirk(FaceBatch(batch.crops[one], batch.crop_boxes[one], batch.landmarks[one], batch.blendshapes[one]))
        for name in FLAME_LAYOUT:
            np.testing.assert_array_equal(getattr(alone[0], name), getattr(whole[index], name))


def test_no_faces_and_missing_crops(smirk: SmirkFaceModel) -> None:
    assert smirk(faces(0)) == []
    some = faces(2)
    with pytest.raises(ValueError, match="2 faces came with 0"):
        smirk(FaceBatch(some.crops[:0], some.crop_boxes, some.landmarks, some.blendshapes))


def test_the_torch_runtime_agrees(smirk: SmirkFaceModel, checkpoint: Path) -> None:
    reference = open_smirk(checkpoint, Target("torch"))
    assert isinstance(reference._engine, TorchEngine)
    for a, b in zip(reference(faces(2)), smirk(faces(2)), strict=True):
        for name in FLAME_LAYOUT:
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-4, atol=1e-4, err_msg=name)


def test_a_second_opening_loads_the_engine_without_exporting(
    smirk: SmirkFaceModel, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.export, "export", lambda *_, **__: pytest.fail("exported again"))
    again = open_smirk(checkpoint)
    for a, b in zip(again(faces(2)), smirk(faces(2)), strict=True):
        for name in FLAME_LAYOUT:
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_other_weights_are_another_model(smirk: SmirkFaceModel, network: SmirkEncoder, tmp_path: Path) -> None:
    tensors = {f"smirk_encoder.{name}": tensor.clone() for name, tensor in network.state_dict().items()}
    tensors["smirk_encoder.pose_encoder.pose_cam_layers.0.bias"][0] += 1
    torch.save(tensors, tmp_path / "stage1.pt")
    other = open_smirk(tmp_path / "stage1.pt", Target("torch"))
    assert other.model_hash != smirk.model_hash
    difference = other(faces(1))[0].pose - smirk(faces(1))[0].pose
    np.testing.assert_allclose(difference, [1, 0, 0], atol=1e-3)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    torch.save({"smirk_encoder.pose_encoder.encoder.conv_stem.weight": torch.zeros(16, 3, 3, 3)}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="761 tensors missing"):
        open_smirk(tmp_path / "w.pt")
