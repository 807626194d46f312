"""Real pixels with new parameters: a photographed face, textured from its own photo, doing something else.

The fitted head is posed anew; what each pixel of the new face shows is looked up where the same place of the skin was
in the photo, as bright as the photo's light now makes it (train.real.light). Around the face the picture follows it
(train.real.carry). A mouth that opens further than it was is painted inside (train.real.mouth). Eyes look aside as they
did in the photo, or are painted anew (train.real.eyes).

Two people blended are a third: the same head, shaped between theirs, is textured from both photos and the pictures are
mixed.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

from models.flame import HeadLayer, project, rotation_matrices
from models.geometry import Image
from models.head import HeadModel
from models.rasterise import EMPTY, Size, rasterise, scanlines
from models.renderer import FaceMesh, to_pixels, vertex_normals
from models.spec import CROP_SIZE, FloatArray
from train.real.carry import carried
from train.real.eyes import CONTOURS, Palette, contours_of, paint_eyes, palettes_of
from train.real.light import light_of, lit, relit
from train.real.mouth import Bite, paint_mouth
from train.synthetic.parameters import GAZE_DOWN, GAZE_UP, PLACES

CANVAS = 288
"""Side of the new picture, pixels: the crop with something around it."""
ROOM = CANVAS / CROP_SIZE
"""Sides of the canvas over those of the crop."""
PARTS = ("face", "left_eyeball", "right_eyeball", "mouth_cavity", "left_eye_socket", "right_eye_socket")
"""What is textured from the photo."""
SEAM = 6.0
"""Pixels over which a blended face goes over into the first photo."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A face that was fitted, ready to be given other parameters."""

    picture: Image  # [CANVAS, CANVAS, 3] its photo, the crop in the middle
    parameters: FloatArray  # [361] as it was fitted
    landmarks: FloatArray  # [478, 3] MediaPipe's, in the picture
    places: torch.Tensor  # [K, 2] where the vertices of PARTS are in the picture, pixels
    gap: float  # how far the lips were apart, in distances of the eyes' outer corners
    light: torch.Tensor  # [4] of the photo
    brightness: torch.Tensor  # [K] of the vertices in that light
    eyes_off: FloatArray  # [2, 16, 2] from the fitted head's eyes to those of the photo
    palettes: tuple[Palette, Palette] | None  # of the eyes, where both are open


@dataclass(frozen=True, slots=True)
class _Posed:
    """A head as it is placed in the canvas."""

    parameters: FloatArray  # [361]
    points: torch.Tensor  # [K, 3] pixels and depth of the vertices of PARTS
    normals: torch.Tensor  # [K, 3]
    eyes: FloatArray  # [2, 16, 2] outlines of the eyes, pixels
    gap: float


class Stage:
    """Draws actors with other parameters."""

    def __init__(self, head: HeadModel) -> None:
        self._layer = HeadLayer(head)
        ids = np.unique(np.concatenate([head.regions[name] for name in PARTS]))
        kept = np.zeros(len(head.template), bool)
        kept[ids] = True
        numbers = kept.cumsum() - 1
        inside = np.isin(ids, np.setdiff1d(head.regions["mouth_cavity"], head.regions["face"]))
        self._mesh = FaceMesh(
            torch.from_numpy(ids), torch.from_numpy(numbers[head.faces[kept[head.faces].all(axis=1)]])
        )
        self._skin = torch.from_numpy(np.isin(ids, head.regions["face"]))
        self._inside = torch.from_numpy(inside.astype(np.float32))[:, None]
        places = list(head.mediapipe_indices)
        self._lips = (places.index(13), places.index(14))
        self._corners = (places.index(33), places.index(263))
        self._eyes = torch.tensor([[places.index(name) for name in contour] for contour in CONTOURS])

    def actor(self, rgb: Image, box: FloatArray, landmarks: FloatArray, parameters: FloatArray) -> Actor:
        """A face of a photo [H, W, 3] with landmarks [478, 3], crop `box` [3] and the fitted `parameters` [361]."""
        to_canvas = (CROP_SIZE - 1) / float(box[2])  # the crop's own pixel grid, carried on beyond its borders
        shift = (CANVAS - 1) / 2 - to_canvas * box[:2]
        matrix = np.array([[to_canvas, 0, shift[0]], [0, to_canvas, shift[1]]], np.float64)
        warped = cv2.warpAffine(rgb, matrix, (CANVAS, CANVAS), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        picture = np.asarray(warped, np.uint8)
        posed = self._pose(parameters)
        moved = landmarks * np.float32(to_canvas) + np.array([*shift, 0], np.float32)
        light = light_of(picture, posed.points[self._skin, :2], posed.normals[self._skin])
        return Actor(
            picture,
            parameters,
            moved,
            posed.points[:, :2],
            posed.gap,
            light,
            lit(light, posed.normals),
            contours_of(moved) - posed.eyes,
            palettes_of(picture, moved),
        )

    def perform(
        self, actor: Actor, parameters: FloatArray, random: np.random.Generator, aside: float | None = None
    ) -> Image:
        """The picture [CANVAS, CANVAS, 3] of an actor with other parameters [361].

        With `aside`, -1..1 to the picture's right, eyes that were open in the photo are painted to look there.
        """
        posed = self._pose(parameters)
        picture, _ = self._drawn(actor, posed, random)
        return _looking(picture, actor, parameters, posed.eyes + actor.eyes_off, aside)

    def perform_blended(
        self,
        actor: Actor,
        other: Actor,
        share: float,
        parameters: FloatArray,
        random: np.random.Generator,
        aside: float | None = None,
    ) -> Image:
        """The same of a face that is `share` of another's, on the first one's shoulders, with the first one's eyes."""
        posed = self._pose(parameters)
        picture, mask = self._drawn(actor, posed, random)
        second, _ = self._drawn(other, posed, random)
        weight = share * within(mask)[..., None]
        mixed = picture * (1 - weight) + _matched(second, picture, mask > 0) * weight
        blend = np.asarray(mixed.round().clip(0, 255), np.uint8)
        eyes = posed.eyes + (1 - share) * actor.eyes_off + share * other.eyes_off
        return _looking(blend, actor, parameters, eyes, aside)

    @torch.inference_mode()
    def bite(self, parameters: FloatArray) -> Bite:
        """Where the teeth of a head [361] are in the canvas: lips rest on them, with the jaw closed and as it is."""
        parts, camera = _divided(parameters)
        idle = {"expression": (0, 0), "eyelids": (0, 0), "jaw": (0, 1)}
        resting = {name: torch.cat([part * share for share in idle.get(name, (1, 1))]) for name, part in parts.items()}
        lips = _placed(self._layer(**resting).mediapipe[:, self._lips], camera)[:, :, :2].numpy()  # [2, 2, 2]
        seam, fall = lips[0].mean(axis=0), lips[1, 1] - lips[0, 1]
        up = rotation_matrices(parts["pose"])[0, :2, 1].numpy() * (1, -1)  # pictures count downwards
        return Bite(seam, seam + fall, -up / np.linalg.norm(up), float(camera[0, 0]) * CANVAS / 2 / 1000)

    def _drawn(self, actor: Actor, posed: _Posed, random: np.random.Generator) -> tuple[Image, npt.NDArray[np.uint8]]:
        """The picture of an actor in another pose, and where the face is in it [CANVAS, CANVAS], 0 or 1."""
        seen = rasterise(posed.points[None], self._mesh.faces, (CANVAS, CANVAS), _outer_sides)
        change = torch.where(self._skin, lit(actor.light, posed.normals) / actor.brightness, 1.0)[:, None]
        values = seen.interpolate(torch.cat([actor.places, self._inside, change], dim=1)[None], self._mesh.faces)
        filled = seen.picture(values)[0].numpy()
        mask = seen.mask[0].numpy()
        here = np.mgrid[0:CANVAS, 0:CANVAS].astype(np.float32)[::-1]
        shift = carried(filled[:2] - here - 0.5, mask)
        x, y = shift + here
        moved = cv2.remap(actor.picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        picture = relit(np.asarray(moved, np.uint8), filled[3], mask)
        opened = np.clip((posed.gap - actor.gap) / 0.06, 0, 1)
        if opened > 0:
            picture = paint_mouth(picture, filled[2] * mask * opened, self.bite(posed.parameters), random)
        return picture, mask.astype(np.uint8)

    @torch.inference_mode()
    def _pose(self, parameters: FloatArray) -> _Posed:
        parts, camera = _divided(parameters)
        head = self._layer(**parts)
        vertices = head.vertices[:, self._mesh.vertices]
        normals = vertex_normals(vertices, self._mesh.faces)[0]
        points = _placed(vertices, camera)[0]
        points[:, :2] += 0.5  # SMIRK counts from the middle of the first pixel, a rasteriser from its edge
        marks = head.mediapipe[0]
        apart = (marks[self._lips[0]] - marks[self._lips[1]]).norm() / (
            marks[self._corners[0]] - marks[self._corners[1]]
        ).norm()
        eyes = _placed(marks[None, self._eyes.flatten()], camera)[0, :, :2].reshape(*self._eyes.shape, 2)
        return _Posed(parameters, points, normals, eyes.numpy(), float(apart))


def _outer_sides(points: torch.Tensor, faces: torch.Tensor, size: Size) -> torch.Tensor:
    """A Rasteriser, of one head, that sees nothing where a triangle turns its back.

    The head ends below the chin: one would look into a face that looks up, and take the mouth's back for a mouth.
    """
    triangles = scanlines(points, faces, size)
    a, b, c = (points[0, faces[:, corner], :2] for corner in range(3))
    first, second = b - a, c - a
    back = first[:, 0] * second[:, 1] >= first[:, 1] * second[:, 0]  # y counts downwards
    return torch.where((triangles != EMPTY) & ~back[triangles.clamp(min=0)], triangles, EMPTY)


def _divided(parameters: FloatArray) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Parameters [361] as the head layer takes them, of one head, and the camera [1, 3] of the canvas."""
    row = torch.from_numpy(parameters)[None]
    parts = {name: row[:, place] for name, place in PLACES.items()}
    camera = parts.pop("camera").clone()
    camera[:, 0] /= ROOM
    return parts, camera


def _placed(points: torch.Tensor, camera: torch.Tensor) -> torch.Tensor:
    """Points [B, N, 3] of heads in the canvas, pixels and depth."""
    return to_pixels(project(points, camera), (CANVAS, CANVAS))


def _looking(picture: Image, actor: Actor, parameters: FloatArray, eyes: FloatArray, aside: float | None) -> Image:
    if actor.palettes is None:
        return picture
    now, then = (_upwards(row[PLACES["expression"]]) for row in (parameters, actor.parameters))
    return paint_eyes(picture, eyes, actor.palettes, aside, now - then)


def _upwards(expression: FloatArray) -> float:
    return float((expression[GAZE_UP] - expression[GAZE_DOWN]).mean())


def within(mask: npt.NDArray[np.uint8]) -> FloatArray:
    """How much of a blend is the second face [H, W]: 1 inside a mask of 0 and 1, falling softly at its border."""
    inner = cv2.erode(mask, np.ones((5, 5), np.uint8), iterations=2).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(inner, (0, 0), SEAM), np.float32)


def _matched(picture: Image, other: Image, mask: npt.NDArray[np.bool_]) -> FloatArray:
    """A picture whose face has the colours that the other's has, in mean and spread."""
    face, aim = picture[mask].astype(np.float32), other[mask].astype(np.float32)
    gain = aim.std(axis=0) / np.maximum(face.std(axis=0), 1.0)
    matched: FloatArray = (picture.astype(np.float32) - face.mean(axis=0)) * gain + aim.mean(axis=0)
    return matched
