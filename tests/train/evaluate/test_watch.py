"""Faces on their way from pictures to both models."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from train.errors import TrainingError
from train.evaluate.watch import AT_ONCE, watch_clip

Make = Callable[..., Any]
BLACK = np.zeros((120, 160, 3), np.uint8)


def test_each_face_keeps_its_picture_and_goes_to_both_models(
    bench_of: Make, faces_of: Make, params_of: Make, saying: Make
) -> None:
    counts = [1, 0, 2] + [1] * AT_ONCE
    random = np.random.default_rng(0)
    seen = [faces_of(random.normal(scale=0.2, size=(n, 3)), random.uniform(size=(n, 52))) for n in counts]
    model = saying(lambda batch: params_of(np.zeros((len(batch), 3)), batch.blendshapes))
    other = saying(lambda batch: params_of(np.ones((len(batch), 3)), batch.blendshapes), needs_crops=False)
    bench = bench_of(seen, model, other)
    watched = watch_clip(bench, [BLACK] * len(counts), "clip")
    assert bench.teacher.forgotten == 1
    assert watched.pictures.tolist() == [0, 2, 2, *range(3, 3 + AT_ONCE)]
    assert np.array_equal(watched.faces.blendshapes, np.concatenate([faces.blendshapes for faces in seen]))
    assert {float(face.pose[0]) for face in watched.model} == {0.0}
    assert {float(face.pose[0]) for face in watched.baseline} == {1.0}
    assert len(watched.model) == len(watched.baseline) == sum(counts)
    assert watched.rotations is None
    assert len(model.given) > 1  # not all crops are held at once
    assert all(len(batch.crops) == len(batch) <= AT_ONCE + 1 for batch in model.given)


def test_a_clip_without_faces_is_an_error_that_names_it(bench_of: Make, faces_of: Make, saying: Make) -> None:
    nobody = faces_of(np.zeros((0, 3)), np.zeros((0, 52)))
    with pytest.raises(TrainingError, match=r"empty\.mp4: no face"):
        watch_clip(bench_of([nobody] * 3, saying(lambda batch: [])), [BLACK] * 3, "empty.mp4")
