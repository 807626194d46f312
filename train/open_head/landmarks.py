"""Where MediaPipe sees its points on the head, and the 68 points that follow from them.

The head is drawn from several sides and in several skins; the face_landmarker task's own networks find their 478
points in every picture; rays through those points meet the mesh, and the meetings are averaged, weighted by how
squarely each view sees them. The two sides of the face are averaged too, since the template is symmetric.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from models import blaze_face, face_mesh, ibug
from models.errors import AssetCorrupt
from models.face_task import FaceNetworks, read_face_networks
from models.geometry import Float64Array, Image, letterbox, regions_to_frame, sample_regions
from models.head import Embedding, IntArray
from models.head_pose import read_canonical_face
from train.open_head import surface
from train.open_head.cut import Cut
from train.open_head.draw import View, normals, shade, turn
from train.open_head.outline import CHIN, embed_contour
from train.open_head.paint import SKINS, paint

# fmt: off
MEDIAPIPE = np.array((
    276, 282, 283, 285, 293, 295, 296, 300, 334, 336, 46, 52, 53, 55, 63, 65, 66, 70, 105, 107, 249, 263, 362, 373,
    374, 380, 381, 382, 384, 385, 386, 387, 388, 390, 398, 466, 7, 33, 133, 144, 145, 153, 154, 155, 157, 158, 159,
    160, 161, 163, 173, 246, 168, 6, 197, 195, 5, 4, 129, 98, 97, 2, 326, 327, 358, 0, 13, 14, 17, 37, 39, 40, 61, 78,
    80, 81, 82, 84, 87, 88, 91, 95, 146, 178, 181, 185, 191, 267, 269, 270, 291, 308, 310, 311, 312, 314, 317, 318,
    321, 324, 375, 402, 405, 409, 415,
))
# fmt: on
"""The 105 points that SMIRK uses, in its order."""
CONTOUR, STATIC = ibug.CONTOUR, ibug.STATIC
"""The 68 points of iBUG, from the subject's right to the left, as points of MediaPipe."""
# fmt: off
UPPER_LIP = np.array((
    0, 11, 12, 13, 37, 38, 39, 40, 41, 42, 72, 73, 74, 80, 81, 82, 183, 184, 185, 191, 267, 268, 269, 270, 271, 272,
    302, 303, 304, 310, 311, 312, 407, 408, 409, 415,
))
LOWER_LIP = np.array((
    14, 15, 16, 17, 84, 85, 86, 87, 88, 89, 90, 91, 95, 96, 146, 178, 179, 180, 181, 314, 315, 316, 317, 318, 319, 320,
    321, 324, 325, 375, 402, 403, 404, 405,
))
# fmt: on
"""On a closed mouth the inner ones of both lie in one place, and only the jaw tells the lips apart."""
EYE_CORNERS = (33, 263)
"""The outer ones; their distance is the measure of every error."""
YAWS, PITCHES = (-30.0, -15.0, 0.0, 15.0, 30.0), (-14.0, 0.0, 14.0)
SIZE, PIXELS_PER_METRE = 352, 1400.0
LOWER = 0.45
"""Share of the jaw above which a triangle of the lips is the lower one's."""
CHIN_SQUARE, ABOUT_CHIN = 0.35, 2
"""Least cosine between the front and the contour's points that are at most so many from the chin's."""
LEAST = 0.05
"""Least cosine that counts between a surface and a view of it: the corners of the lips are seen squarely by none."""


@dataclass(frozen=True, slots=True)
class Found:
    """Embeddings, and how well they agree with the network: fractions of the distance of the outer eye corners."""

    embeddings: Mapping[str, Embedding]
    mediapipe_indices: IntArray  # [105]
    errors: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Sight:
    """What the network saw in a picture of the head."""

    view: View
    points: Float64Array  # [478, 2] columns and rows, from the outer corner


def find_embeddings(template: Float64Array, cut: Cut, jaw: Float64Array, task_file: Path) -> Found:
    """All landmark embeddings of a head whose jaw has shares `jaw` [V]. Raises AssetCorrupt when no face is found."""
    networks = read_face_networks(task_file)
    sights = [
        Sight(view, find_landmarks(networks, shade(template, cut.faces, colours, view)))
        for view in views(template, cut)
        for colours in (paint(template, cut.regions, skin) for skin in SKINS)
    ]
    points = _symmetric(_combine(sights, template, cut), task_file)
    every = _embed(points, template, cut, jaw)
    contour, static = _of(every, CONTOUR), _of(every, STATIC)
    embeddings = {
        "mediapipe": _of(every, MEDIAPIPE),
        "static": static,
        "full": Embedding(
            np.concatenate([contour.triangles, static.triangles]), np.concatenate([contour.weights, static.weights])
        ),
        "contour": embed_contour(contour, template, cut),
    }
    return Found(embeddings, MEDIAPIPE, _errors(sights, embeddings, template, cut))


def _embed(points: Float64Array, template: Float64Array, cut: Cut, jaw: Float64Array) -> Embedding:
    """The nearest points of the skin [478]; those of a lip on that lip."""
    skin = np.flatnonzero(np.isin(cut.faces, cut.regions["skin"]).all(axis=1))
    lips = np.flatnonzero(np.isin(cut.faces, cut.regions["lips"]).all(axis=1))
    lower = jaw[cut.faces[lips]].mean(axis=1) > LOWER
    every = surface.nearest(points, template, cut.faces, skin)
    for indices, allowed in ((UPPER_LIP, lips[~lower]), (LOWER_LIP, lips[lower])):
        found = surface.nearest(points[indices], template, cut.faces, allowed)
        every.triangles[indices], every.weights[indices] = found.triangles, found.weights
    return every


def views(template: Float64Array, cut: Cut) -> list[View]:
    """The cameras, the middle of the face in the middle of each."""
    middle = template[cut.regions["face"]].mean(axis=0)
    turns = [turn(yaw, pitch) for yaw in YAWS for pitch in PITCHES]
    return [View(rotation, rotation @ middle, PIXELS_PER_METRE, SIZE) for rotation in turns]


def find_landmarks(networks: FaceNetworks, picture: Image) -> Float64Array:
    """MediaPipe's points [478, 2] of the one face in a picture, from the outer corner. Raises AssetCorrupt."""
    height, width = picture.shape[:2]
    with torch.inference_mode():
        boxes, scores = networks.detector(torch.from_numpy(letterbox(picture, blaze_face.INPUT_SIZE).copy())[None])
        found = blaze_face.decode(boxes[0].numpy(), scores[0].numpy(), width, height, blaze_face.MIN_SCORE)
        if not found:
            raise AssetCorrupt("no face is found in a picture of the head; look at it with `open-head show`")
        regions = blaze_face.detection_regions(found[:1])
        for _ in range(3):  # the region that landmarks give is better than the detector's
            pixels = torch.from_numpy(sample_regions(picture, regions, face_mesh.INPUT_SIZE))
            landmarks = regions_to_frame(networks.landmarks(pixels)[0].numpy(), regions)
            regions = face_mesh.landmark_regions(landmarks)
    return landmarks[0, :, :2].astype(np.float64)


def _combine(sights: list[Sight], template: Float64Array, cut: Cut) -> Float64Array:
    """The mean place [478, 3] on the head of each point of the network."""
    total, weight = np.zeros((face_mesh.LANDMARKS, 3)), np.zeros(face_mesh.LANDMARKS)
    outward = normals(template, cut.faces)
    outside = np.concatenate([cut.regions[name] for name in ("skin", "left_eyeball", "right_eyeball")])
    faces = cut.faces[np.isin(cut.faces, outside).all(axis=1)]  # a ray between the lips must not end in the throat
    for sight in sights:
        hits = surface.cast(sight.view.project(template), faces, sight.points)
        squarely = (surface.at(hits, outward, faces) @ sight.view.rotation.T)[:, 2]
        share = np.where(hits.triangles >= 0, np.square(np.maximum(squarely, LEAST)), 0)
        total += share[:, None] * surface.at(hits, template, faces)
        weight += share
    missed = [int(index) for index in np.concatenate([MEDIAPIPE, STATIC]) if not weight[index]]
    if missed:
        raise AssetCorrupt(f"no picture of the head shows the points {missed}; look at it with `open-head show`")
    mean = total / np.maximum(weight, 1e-12)[:, None]
    mean[CONTOUR] = _outline([sight for sight in sights if _is_frontal(sight)], template, cut)
    return mean


def _outline(sights: list[Sight], template: Float64Array, cut: Cut) -> Float64Array:
    """The places [17, 3] of the contour's points. Only the front tells: from elsewhere the network's outline slides.

    A point that the network puts beside the head, or about the chin on the throat, which turns away from the viewer,
    is drawn towards the middle of the face until its ray meets what it should.
    """
    view = sights[0].view
    points = np.mean([sight.points for sight in sights], axis=0)
    middle = points.mean(axis=0)
    projected, outward = view.project(template), normals(template, cut.faces)
    places = np.empty((len(CONTOUR), 3))
    for i, point in enumerate(points[CONTOUR]):
        rays = middle + np.linspace(1, 0.5, 101)[:, None] * (point - middle)
        hits = surface.cast(projected, cut.faces, rays)
        least = CHIN_SQUARE if abs(i - CHIN) <= ABOUT_CHIN else 0.0
        right = (hits.triangles >= 0) & (surface.at(hits, outward, cut.faces)[:, 2] >= least)
        places[i] = surface.at(hits, template, cut.faces)[int(right.argmax())]
    return places


def _is_frontal(sight: Sight) -> bool:
    return bool(np.allclose(sight.view.rotation, np.eye(3)))


def _symmetric(points: Float64Array, task_file: Path) -> Float64Array:
    """The points [478, 3] averaged with those of the other side; partners are told by MediaPipe's canonical face."""
    canonical = read_canonical_face(task_file).points
    mirrored = canonical * [-1, 1, 1]
    partner = np.linalg.norm(canonical[:, None] - mirrored[None], axis=2).argmin(axis=1)
    both = points.copy()
    both[: len(partner)] = (points[: len(partner)] + points[partner] * [-1, 1, 1]) / 2
    return both


def _errors(
    sights: list[Sight], embeddings: Mapping[str, Embedding], template: Float64Array, cut: Cut
) -> dict[str, float]:
    """How far the embedded points lie from where the network saw them, in all views and in those from the front."""
    errors: dict[str, float] = {}
    for name, indices in (("mediapipe", MEDIAPIPE), ("static", STATIC)):
        distances = []
        for sight in sights:
            seen = sight.view.project(surface.at(embeddings[name], template, cut.faces))[:, :2]
            measure = np.linalg.norm(np.subtract(*sight.points[list(EYE_CORNERS)]))
            distances.append(np.linalg.norm(seen - sight.points[indices], axis=1) / measure)
        frontal = [d for d, sight in zip(distances, sights, strict=True) if _is_frontal(sight)]
        errors[f"{name}_frontal_mean"] = round(float(np.mean(frontal)), 5)
        errors[f"{name}_mean"] = round(float(np.mean(distances)), 5)
        errors[f"{name}_p95"] = round(float(np.quantile(distances, 0.95)), 5)
    return errors


def _of(points: Embedding, indices: IntArray) -> Embedding:
    return Embedding(points.triangles[indices], points.weights[indices])
