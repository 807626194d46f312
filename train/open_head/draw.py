"""Small pictures of a head, drawn on the CPU: for finding landmarks and for looking."""

from dataclasses import dataclass

import numpy as np
import torch

from models.geometry import Float64Array, Image
from models.rasterise import rasterise, scanlines
from train.open_head.assets import IntArray

LIGHTS = ((-0.5, 0.6, 0.9, 0.55), (0.6, 0.4, 0.8, 0.4), (0.0, -0.4, 0.9, 0.12))
"""Direction and strength."""
AMBIENT, BACKGROUND = 0.18, 60.0


@dataclass(frozen=True, slots=True)
class View:
    """An orthographic camera: it looks at `centre` along -z after the head is turned by `rotation`."""

    rotation: Float64Array  # [3, 3]
    centre: Float64Array  # [3] metres, of the turned head
    pixels_per_metre: float
    size: int

    def project(self, points: Float64Array) -> Float64Array:
        """Points [..., 3], metres, to columns, rows (from the picture's outer corner) and depth [..., 3], in pixels."""
        turned = (points @ self.rotation.T - self.centre) * self.pixels_per_metre
        return np.stack([self.size / 2 + turned[..., 0], self.size / 2 - turned[..., 1], -turned[..., 2]], axis=-1)


def turn(yaw: float, pitch: float = 0.0) -> Float64Array:
    """Rotation [3, 3] of a head, degrees: yaw > 0 to its left, pitch > 0 downwards."""
    a, b = np.radians(yaw), np.radians(pitch)
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return np.asarray(about_x @ about_y)


def normals(vertices: Float64Array, faces: IntArray) -> Float64Array:
    """Unit normals [V, 3], weighted by area."""
    corners = vertices[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(total, faces[:, corner], across)
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12))


def shade(vertices: Float64Array, faces: IntArray, colours: Float64Array, view: View, samples: int = 2) -> Image:
    """A picture [size, size, 3] of a head whose vertices have colours [V, 3], 0..255; `samples`^2 a pixel."""
    fine = View(view.rotation, view.centre, view.pixels_per_metre * samples, view.size * samples)
    points = fine.project(vertices)
    corners = points[faces]
    first, second = (corners[:, 1:, :2] - corners[:, :1, :2]).transpose(1, 0, 2)
    facing = faces[first[:, 0] * second[:, 1] < first[:, 1] * second[:, 0]]  # rows count downwards
    seen = rasterise(_tensor(points)[None], torch.from_numpy(facing), (fine.size, fine.size), scanlines)
    attributes = np.concatenate([colours, normals(vertices @ view.rotation.T, faces)], axis=1)
    values = seen.interpolate(_tensor(attributes)[None], torch.from_numpy(facing)).numpy()
    light = np.full(len(values), AMBIENT)
    for *direction, strength in LIGHTS:
        towards = np.array(direction) / np.linalg.norm(direction)
        light += strength * np.maximum(values[:, 3:] @ towards, 0)
    picture = np.full((fine.size * fine.size, 3), BACKGROUND)
    picture[seen.covered.numpy()] = values[:, :3] * light[:, None]
    shrunk = picture.reshape(view.size, samples, view.size, samples, 3).mean(axis=(1, 3))
    return np.asarray(np.clip(np.round(shrunk), 0, 255), np.uint8)


def _tensor(values: Float64Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))
