"""What is asked of an evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Part(StrEnum):
    """A part of an evaluation."""

    CLIPS = "clips"
    PORTRAITS = "portraits"
    STILL = "still"
    SYNTHETIC = "synthetic"
    AFFECT = "affect"
    SPEED = "speed"


@dataclass(frozen=True, slots=True)
class Request:
    """What to measure, and on how much."""

    media: Path
    parts: Sequence[Part] | None
    """None: all."""
    clips: Sequence[str] | None
    """Which of the judged clips; None: all."""
    portraits: int | None
    """At most so many; None: all."""
    still_frames: int
    synthetic: int
    out: Path | None
    """An existing folder for the pictures; None: draw none."""
