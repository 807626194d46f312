"""A model on synthetic faces that no training saw, against the truth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from models.flame import HeadLayer, project
from models.geometry import Image
from models.open_basis import EXPRESSION_NAMES
from models.spec import CROP_SIZE, FLAME_LAYOUT, FaceBatch, FlameParams, FloatArray
from train.errors import TrainingError
from train.evaluate.figures import degrees_between, mesh_distance_mm, pearson, stacked, turns
from train.evaluate.report import Figure, Section, Track, untracked
from train.evaluate.watch import Bench, no_crops
from train.real.teacher import Faces
from train.synthetic.faces import SyntheticBatch, SyntheticFaces
from train.synthetic.parameters import PLACES

SEED = 2
"""Of the faces that judge; training has others."""
FACES = 512
BLOCK = 16
SHAPES = 10
"""Axes of identity that are looked at one by one."""
WHOLE = np.array([(CROP_SIZE - 1) / 2, (CROP_SIZE - 1) / 2, CROP_SIZE - 1], np.float32)
"""The crop that is the picture itself: `models.geometry.crop_faces` gives it back as it is."""


def _coefficients() -> dict[str, int]:
    """Coefficients that are looked at one by one, and their places among the 361."""
    named = {name: PLACES["expression"].start + i for i, name in enumerate(EXPRESSION_NAMES)}
    for part, names in (
        ("jaw", ("jaw opening", "jaw sideways", "jaw roll")),
        ("eyelids", ("left lid", "right lid")),
        ("shape", tuple(f"shape {i}" for i in range(SHAPES))),
        ("pose", ("pitch", "yaw", "roll")),
    ):
        named |= {name: PLACES[part].start + i for i, name in enumerate(names)}
    return named


COEFFICIENTS = _coefficients()
GROUPS = {"actions": EXPRESSION_NAMES, "jaw": ("jaw opening", "jaw sideways"), "lids": ("left lid", "right lid")} | {
    "shape": tuple(f"shape {i}" for i in range(SHAPES))
}
"""Coefficients whose mean r is told."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What a model says of N faces, and the truth."""

    found: FloatArray  # [N, 361] in the order of FLAME_LAYOUT
    true: FloatArray  # [N, 361]
    vertex_mm: FloatArray  # [N] mean over the face, heads not turned
    degrees: FloatArray  # [N]
    percent: FloatArray  # [N, 105] distance of landmarks, of that between the eyes' outer corners

    def r(self) -> dict[str, float]:
        """Pearson's r of each of COEFFICIENTS that the truth moves."""
        columns = list(COEFFICIENTS.values())
        r, moves = pearson(self.found[:, columns], self.true[:, columns]), np.ptp(self.true[:, columns], axis=0) > 0
        return {name: float(r[i]) for i, name in enumerate(COEFFICIENTS) if moves[i]}


class Comparison:
    """Compares parameters with the truth."""

    def __init__(self, bench: Bench) -> None:
        self._layer = HeadLayer(bench.head)
        self._face = torch.from_numpy(bench.head.regions["face"])
        places = bench.head.mediapipe_indices.tolist()
        self._corners = [places.index(corner) for corner in (33, 263)]

    def __call__(self, params: Sequence[FlameParams], truth: SyntheticBatch) -> Compared:
        """How parameters of some faces compare; cameras are of the picture itself."""
        said, true = stacked(params), _parts(truth.parameters)
        with torch.inference_mode():
            mine, theirs = (self._vertices(values) for values in (said, true))
            points = project(self._layer(**_posed(said)).mediapipe, said["camera"])[..., :2].numpy()
        first, second = (truth.landmarks[:, corner] for corner in self._corners)
        eyes = np.linalg.norm(first - second, axis=1)[:, None]
        return Compared(
            found=torch.cat([said[name] for name in FLAME_LAYOUT], dim=1).numpy(),
            true=truth.parameters,
            vertex_mm=mesh_distance_mm(mine, theirs).astype(np.float32),
            degrees=degrees_between(turns(said["pose"].numpy()), turns(true["pose"].numpy())).astype(np.float32),
            percent=100 * np.linalg.norm(points - truth.landmarks, axis=2) / eyes,
        )

    def _vertices(self, values: dict[str, torch.Tensor]) -> FloatArray:
        still = _posed(values) | {"pose": torch.zeros_like(values["pose"])}
        vertices: FloatArray = self._layer(**still).vertices[:, self._face].numpy()
        return vertices


def judge_synthetic(bench: Bench, count: int = FACES, track: Track = untracked) -> tuple[Section, Compared]:
    """The first faces of SEED; also what the model said, to be drawn. Raises TrainingError.

    The baseline sees only those faces that MediaPipe finds, and so does a model that reads no crops.
    """
    data, compare = SyntheticFaces(bench.head, seed=SEED), Comparison(bench)
    model: list[Compared] = []
    baseline: list[Compared] = []
    for start in track(range(0, count, BLOCK), "synthetic faces", -(-count // BLOCK)):
        truth = data.batch(range(start, min(start + BLOCK, count)))
        seen, faces = _sights(bench, truth.images)
        if bench.model.needs_crops:
            model.append(compare(bench.model(_crops(truth.images)), truth))
        elif len(seen):
            model.append(compare(bench.model(faces), _some(truth, seen)))
        if len(seen):
            baseline.append(compare(bench.baseline(faces), _some(truth, seen)))
    if not model or not baseline:
        raise TrainingError(f"MediaPipe finds none of {count} synthetic faces; raise --synthetic")
    mine, other = joined(model), joined(baseline)
    return _section(mine, other, count), mine


def joined(parts: Sequence[Compared]) -> Compared:
    """Several comparisons as one."""
    names = Compared.__dataclass_fields__
    return Compared(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _section(mine: Compared, other: Compared, count: int) -> Section:
    r, other_r = mine.r(), other.r()
    figures = [
        Figure("vertices, mean", float(mine.vertex_mm.mean()), float(other.vertex_mm.mean()), "mm", note="not turned"),
        Figure("vertices, median face", float(np.median(mine.vertex_mm)), float(np.median(other.vertex_mm)), "mm"),
        Figure("rotation, mean", float(mine.degrees.mean()), float(other.degrees.mean()), "°"),
        Figure(
            "landmarks, median",
            float(np.median(mine.percent)),
            float(np.median(other.percent)),
            "%",
            note="of the eyes' distance",
        ),
    ]
    for group, names in GROUPS.items():
        figures.append(Figure(f"r of {group}, mean", _mean(r, names), _mean(other_r, names)))
    details = {
        "faces": {"model": len(mine.found), "baseline": len(other.found)},
        "r": {"model": r, "baseline": other_r},
    }
    return Section(f"synthetic faces, {count}, of which MediaPipe finds {len(other.found)}", figures, details)


def _mean(r: dict[str, float], names: Sequence[str]) -> float | None:
    values = [r[name] for name in names if name in r]
    return float(np.mean(values)) if values else None


def _sights(bench: Bench, images: Image) -> tuple[list[int], FaceBatch]:
    """Which of the pictures [N, 224, 224, 3] the teacher finds a face in, and these, in crops of the whole picture."""
    looks: list[tuple[int, Faces]] = [(i, bench.teacher.look(image)) for i, image in enumerate(images)]
    found = [(i, faces) for i, faces in looks if len(faces)]
    landmarks = [faces.landmarks[:1] for _, faces in found] or [np.zeros((0, 478, 3), np.float32)]
    blendshapes = [faces.blendshapes[:1] for _, faces in found] or [np.zeros((0, 52), np.float32)]
    boxes = np.tile(WHOLE, (len(found), 1))
    batch = FaceBatch(no_crops(), boxes, np.concatenate(landmarks), np.concatenate(blendshapes))
    return [i for i, _ in found], batch


def _crops(images: Image) -> FaceBatch:
    """Pictures for a model that reads crops; landmarks and blendshapes it must not need."""
    count = len(images)
    crops = np.divide(images.transpose(0, 3, 1, 2), np.float32(255), dtype=np.float32, order="C")
    nothing = np.zeros((count, 478, 3), np.float32), np.zeros((count, 52), np.float32)
    return FaceBatch(crops, np.tile(WHOLE, (count, 1)), *nothing)


def _some(truth: SyntheticBatch, rows: list[int]) -> SyntheticBatch:
    return SyntheticBatch(truth.images[rows], truth.parameters[rows], truth.landmarks[rows], truth.outline[rows])


def _parts(parameters: FloatArray) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(parameters[:, place])) for name, place in PLACES.items()}


def _posed(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in values.items() if name != "camera"}
