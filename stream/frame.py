"""What travels between the stages. Small, frozen, and named with units."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from models.spec import Affect, FlameParams, FloatArray

if TYPE_CHECKING:
    from models.device import DeviceArray  # would load torch, for which a command's wrong arguments should not wait

Pixels = npt.NDArray[np.uint8]
"""A picture, [H, W, 3] full-range RGB."""
Picture: TypeAlias = "Pixels | DeviceArray"
"""The same, in the CPU's memory or in a device's (uint8)."""


@dataclass(frozen=True, slots=True)
class FrameStamp:
    """Which frame of which source this is, and when it was."""

    source: str
    epoch: int
    """0, then one more at each discontinuity (a reconnect, a jump of the time stamps)."""
    seq: int
    """0, 1, 2 ... over every frame received from the source in this run, dropped ones included."""
    pts_s: float
    """Presentation time in the source's own clock, seconds; strictly increasing within an epoch."""
    captured_ms: int
    """Wall clock, ms since 1970: a camera's arrival time, or a file's start of run plus pts."""
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame, upright."""

    stamp: FrameStamp
    rgb: Picture

    def __post_init__(self) -> None:
        expected = (self.stamp.height, self.stamp.width, 3)
        if self.rgb.shape != expected:
            raise ValueError(f"frame {self.stamp.seq} of {self.stamp.source} is {self.rgb.shape}, expected {expected}")


@dataclass(frozen=True, slots=True)
class TrackedFace:
    """A face found in a frame, before any face model has looked at it."""

    track: int
    """Stable while the face is followed; never used again within the source and run."""
    is_new: bool
    """True on the first frame of the track."""
    presence: float
    """The landmark network's own confidence that this is a face, 0..1."""
    landmarks: FloatArray  # [478, 3] frame pixels; z in the scale of x, smaller is nearer


@dataclass(frozen=True, slots=True)
class FoundFrame:
    """A frame after its faces were found and cut out; the frame's own pixels are gone."""

    stamp: FrameStamp
    faces: tuple[TrackedFace, ...]
    crop_boxes: FloatArray  # [faces, 3] centre x, centre y, side, frame pixels
    crops: "FloatArray | DeviceArray"  # [faces, 3, 224, 224] RGB 0..1, or [0, 3, 224, 224] when no model reads crops


@dataclass(frozen=True, slots=True)
class AnalysedFace:
    """A face with everything that is published about it."""

    face: TrackedFace
    crop_box: tuple[float, float, float]
    """Centre x, centre y and side of the crop's square, frame pixels."""
    params: FlameParams
    affect: Affect


@dataclass(frozen=True, slots=True)
class AnalysedFrame:
    """A frame without its pixels, with its faces."""

    stamp: FrameStamp
    faces: tuple[AnalysedFace, ...]


@dataclass(frozen=True, slots=True)
class EndOfSource:
    """The last thing that comes from a source: no frame of it follows."""

    source: str
    error: str | None
    """Why it failed, one printable line; None when it simply ended."""
