"""Small labelled sets whose answer is known, without any rendering: fast, and learnable by every network."""

import numpy as np
import pytest
from PIL import Image

from models.representation import REPRESENTATIONS
from train.ig3d.features import CONTENT, Features, Origin, content_of
from train.ig3d.labelled import LabelledSet

COUNT = 48


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[LabelledSet, Features]:
    """48 pictures of 24 people, whose colour and whose expression coefficients tell class, valence and arousal."""
    folder = tmp_path_factory.mktemp("tiny")
    random = np.random.default_rng(0)
    emotion = np.arange(COUNT, dtype=np.int64) % 8
    affect = np.stack([np.cos(emotion), np.sin(emotion)], axis=1).astype(np.float32) * 0.8
    paths, content = [], []
    for number in range(COUNT):
        picture = random.normal(0, 8, (48, 48, 3)) + 30 * emotion[number] + np.array([0, 5, 10])
        path = folder / f"{number}.png"
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path)
        paths.append(path)
        content.append(np.frombuffer(content_of(path.read_bytes()), np.uint8))
    smirk = REPRESENTATIONS["smirk-full"]
    vectors = random.normal(0, 0.1, (COUNT, smirk.size)).astype(np.float32)
    vectors[np.arange(COUNT), smirk.places["expression"].start + emotion] += 1
    found = np.ones(COUNT, bool)
    found[5] = False
    vectors[~found] = 0
    names = tuple(path.name for path in paths)
    origin = Origin("smirk-full", dict(smirk.parts), "smirk-open", "0123456789ab", "open", "openvino f32", "whole")
    labelled = LabelledSet(
        name="tiny",
        split="train",
        paths=tuple(paths),
        ids=tuple(path.stem for path in paths),
        emotion=emotion,
        affect=affect,
        group=tuple(f"p{number // 2}" for number in range(COUNT)),
        time_s=np.full(COUNT, np.nan),
    )
    assert np.stack(content).shape == (COUNT, CONTENT)
    return labelled, Features(origin, names, vectors, found, np.stack(content))
