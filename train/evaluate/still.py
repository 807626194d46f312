"""How calm a model is on a face that does not move: portraits shown again and again to a bad camera."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pictures
from torch.nn import functional as F

from models.flame import HeadLayer, project
from models.geometry import Image
from models.head import HeadModel
from models.heads import PrototypeHead
from models.open_basis import actions
from models.renderer import to_frame
from models.spec import FlameParams, FloatArray
from train.errors import TrainingError
from train.evaluate.figures import jitter, jitter_of_turns, stacked
from train.evaluate.report import Figure, Section, Track, untracked
from train.evaluate.watch import Bench, Watched, watch_clip
from train.open_head.landmarks import EYE_CORNERS
from train.real.media import portraits, read_picture

PEOPLE = 3
FRAMES = 60
NOISE = 2.0
"""Standard deviation of the sensor's noise, of 255."""
QUALITY = 85
"""Of JPEG."""
SHIFT = 0.3
"""Pixels that the picture moves by at most, either way."""


@dataclass(frozen=True, slots=True)
class Jitter:
    """Frame-to-frame standard deviations."""

    points: float
    """Of the mesh in the frame, percent of the distance between the eyes' outer corners."""
    action: float
    """Mean of the 52 actions."""
    degrees: float
    valence: float
    arousal: float


def shown(picture: Image, seed: int, frames: int = FRAMES) -> Iterator[tuple[Image, FloatArray]]:
    """A still picture [H, W, 3] as a camera sees it, and how far it moved in each frame [2], pixels right and down."""
    random = np.random.default_rng(seed)
    still = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    height, width = picture.shape[:2]
    for _ in range(frames):
        shift = random.uniform(-SHIFT, SHIFT, 2)
        source = torch.tensor([[[1, 0, -2 * shift[0] / width], [0, 1, -2 * shift[1] / height]]], dtype=torch.float32)
        grid = F.affine_grid(source, list(still.shape), align_corners=False)
        moved = F.grid_sample(still, grid, mode="bicubic", padding_mode="border", align_corners=False)
        noisy = moved[0].permute(1, 2, 0).numpy() + random.normal(0, NOISE, picture.shape)
        file = io.BytesIO()
        Pictures.fromarray(noisy.round().clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=QUALITY)
        with Pictures.open(file) as stored:
            yield np.array(stored), shift.astype(np.float32)


def judge_still(
    bench: Bench, media: Path, *, people: int = PEOPLE, frames: int = FRAMES, track: Track = untracked
) -> Section:
    """Portraits kept out of training, shown as `shown` does. Raises MediaError or TrainingError."""
    stills = portraits(media, "held_out")[:people]
    layer = HeadLayer(bench.head)
    model: list[Jitter] = []
    baseline: list[Jitter] = []
    for number, still in enumerate(track(stills, "still faces", len(stills))):
        pictures, shifts = zip(*shown(read_picture(still.path), number, frames), strict=True)
        watched = watch_clip(bench, pictures, str(still.path))
        if watched.pictures.tolist() != list(range(frames)):
            raise TrainingError(f"{still.path}: {len(watched)} faces in {frames} frames, expected one in each")
        for said, list_of in ((watched.model, model), (watched.baseline, baseline)):
            list_of.append(_jitter(bench.head, layer, watched, said, np.stack(shifts)))
    units = {"points": "%", "degrees": "°"}
    notes = {
        "points": "mesh in the frame less its known shift, of the eyes' distance",
        "action": "mean of all actions",
        "degrees": "rotation of the head",
        "valence": "not smoothed",
        "arousal": "not smoothed",
    }
    figures = []
    for what, note in notes.items():
        mine, other = (float(np.mean([getattr(one, what) for one in each])) for each in (model, baseline))
        figures.append(Figure(f"jitter of {what}", mine, other, units.get(what, ""), ("<=", other), note))
    people_details = {
        still.name: {"model": asdict(mine), "baseline": asdict(other)}
        for still, mine, other in zip(stills, model, baseline, strict=True)
    }
    return Section(f"still faces, {len(stills)} people, {frames} frames each", figures, people_details)


def _jitter(
    head: HeadModel, layer: HeadLayer, watched: Watched, params: Sequence[FlameParams], shifts: FloatArray
) -> Jitter:
    points = mesh_in_frame(head, layer, params, watched.faces.boxes) - shifts[:, None]
    first, second = (watched.faces.landmarks[:, corner, :2] for corner in EYE_CORNERS)
    eyes = float(np.linalg.norm(first - second, axis=1).mean())
    affects = np.array([(one.valence, one.arousal) for one in PrototypeHead()(params)], np.float32)
    valence, arousal = jitter(affects).tolist()
    return Jitter(
        points=100 * float(np.sqrt((jitter(points) ** 2).sum(axis=1).mean())) / eyes,
        action=float(jitter(actions(params)[:, 1:]).mean()),
        degrees=jitter_of_turns(np.stack([face.pose for face in params])),
        valence=valence,
        arousal=arousal,
    )


@torch.inference_mode()
def mesh_in_frame(head: HeadModel, layer: HeadLayer, params: Sequence[FlameParams], boxes: FloatArray) -> FloatArray:
    """Where the vertices of the face lie in the frame [B, V, 2], pixels, for crops [B, 3]."""
    values = stacked(params)
    camera = values.pop("camera")
    face = layer(**values).vertices[:, torch.from_numpy(head.regions["face"])]
    places: FloatArray = to_frame(project(face, camera), torch.from_numpy(boxes))[..., :2].numpy()
    return places
