"""`flamestream image`: what is read off the faces of still pictures, as a table, as JSON, and drawn over them."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.device import open_device
from models.emotion import EMOTIONS
from models.flame import rotation_matrices
from models.geometry import bounding_boxes
from models.open_basis import BLENDSHAPE_NAMES, actions
from models.spec import FLAME_LAYOUT
from stream.config import RunSettings
from stream.errors import ConfigError, RenderError, SourceInvalid
from stream.faces.crop import cut_out
from stream.faces.still import find_in_still, on_device
from stream.frame import AnalysedFace, Frame, FrameStamp, Pixels
from stream.load import Networks, load_networks
from stream.render.head import open_head
from stream.render.mesh import MeshPainter

TOP_ACTIONS = 3
ACTIONS = "strongest actions"
NO_PICTURE = "give a JPEG, PNG or WebP picture"


@dataclass(frozen=True, slots=True)
class Looked:
    """One picture and the faces found in it."""

    path: Path
    rgb: Pixels  # [H, W, 3] upright
    faces: tuple[AnalysedFace, ...]
    basis: str

    def to_json(self) -> dict[str, object]:
        """Plain JSON types: every parameter of every face."""
        height, width = self.rgb.shape[:2]
        faces = [_face_json(face, self.basis) for face in self.faces]
        return {"picture": str(self.path), "width": width, "height": height, "basis": self.basis, "faces": faces}


class Looker:
    """Finds and reads the faces of single pictures."""

    def __init__(self, settings: RunSettings, networks: Networks) -> None:
        self._device = open_device(settings.device)
        self._networks = networks

    def look(self, path: Path) -> Looked:
        """Raises SourceInvalid for a file that is no picture, or a picture without a face."""
        rgb = read_picture(path)
        height, width = rgb.shape[:2]
        finder, analyser = self._networks.finder, self._networks.analyser
        faces = find_in_still(finder, rgb)
        if not faces:
            raise SourceInvalid(f"{path}: no face found; faces should be upright, and a fifteenth of its width or more")
        frame = Frame(FrameStamp("still", 0, 0, 0.0, 0, width, height), on_device(rgb, self._device))
        sampler = finder().sampler if analyser.reader.needs_crops else None
        (analysed,) = analyser(cut_out([frame], [faces], sampler))
        return Looked(path, rgb, analysed.faces, analyser.reader.face_model.basis)


def read_picture(path: Path) -> Pixels:
    """A picture file, upright: [H, W, 3] RGB. Raises SourceInvalid."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except UnidentifiedImageError:
        raise SourceInvalid(f"{path}: not a picture; {NO_PICTURE}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise SourceInvalid(f"{path}: too large to be read whole ({error}); make it smaller") from error
    except (OSError, SyntaxError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SourceInvalid(f"{path}: cannot be read ({reason}); {NO_PICTURE}") from error


def run_images(
    settings: RunSettings, pictures: Sequence[Path], console: Console, *, out: Path | None, flame: Path | None
) -> tuple[list[Looked], list[str]]:
    """Look at every picture and write the drawn ones; what was seen, and a line for each picture that failed.

    With one picture `out` is its file; with more the name of each is added. Raises ConfigError, AssetError and so on
    for what no picture could do without.
    """
    places = _places(pictures, out)
    painter = None if out is None else MeshPainter(open_head(settings, flame))
    with console.status("loading networks"):
        looker = Looker(settings, load_networks(settings))
    seen: list[Looked] = []
    failures: list[str] = []
    for path in pictures:
        try:
            looked = looker.look(path)
            seen.append(looked)
            if painter is not None:
                _write(painter, looked, places[path])
        except (SourceInvalid, RenderError) as error:
            failures.append(str(error))
    return seen, failures


def table_of(looked: Looked) -> Table:
    """The faces of a picture, a line each."""
    table = Table(title=Text(str(looked.path)), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    told = any(face.affect.emotions for face in looked.faces)
    for heading in ("face", "valence", "arousal", *(("emotion",) if told else ()), "pitch", "yaw", "roll", ACTIONS):
        words = heading == ACTIONS
        table.add_column(heading, justify="left" if words else "right", no_wrap=not words)
    for number, face in enumerate(looked.faces, start=1):
        degrees = (f"{angle:+.0f}°" for angle in pitch_yaw_roll(face))
        affect = (f"{face.affect.valence:+.2f}", f"{face.affect.arousal:+.2f}", *_emotion(face))
        table.add_row(str(number), *affect, *degrees, _strongest(face, looked.basis))
    return table


def _emotion(face: AnalysedFace) -> tuple[str, ...]:
    """The most probable emotion with its probability; nothing of a head that tells none."""
    chances = face.affect.emotions
    return () if chances is None else (f"{EMOTIONS[chances.index(max(chances))]} {max(chances):.2f}",)


def pitch_yaw_roll(face: AnalysedFace) -> tuple[float, float, float]:
    """Degrees: lowered, turned to the right of the picture, tipped anticlockwise; applied in the order roll first."""
    turn = rotation_matrices(torch.from_numpy(face.params.pose).double()).numpy()
    pitch = np.arcsin(np.clip(-turn[1, 2], -1, 1))
    yaw, roll = np.arctan2(turn[0, 2], turn[2, 2]), np.arctan2(turn[1, 0], turn[1, 1])
    return float(np.degrees(pitch)), float(np.degrees(yaw)), float(np.degrees(roll))


def _strongest(face: AnalysedFace, basis: str) -> str:
    if basis != "open":
        return "-"  # principal components have no names
    found = sorted(_actions(face).items(), key=lambda item: -item[1])[:TOP_ACTIONS]
    return ", ".join(f"{name} {score:.2f}" for name, score in found)


def _actions(face: AnalysedFace) -> dict[str, float]:
    scores = actions([face.params])[0].tolist()
    return {name: round(score, 4) for name, score in zip(BLENDSHAPE_NAMES, scores, strict=True) if name != "_neutral"}


def _face_json(face: AnalysedFace, basis: str) -> dict[str, object]:
    pitch, yaw, roll = pitch_yaw_roll(face)
    chances = face.affect.emotions
    return {
        "face": face.face.track,
        "confidence": face.face.presence,
        "box": bounding_boxes(face.face.landmarks[None])[0].tolist(),
        "crop_box": list(face.crop_box),
        "valence": face.affect.valence,
        "arousal": face.affect.arousal,
        "emotions": None if chances is None else dict(zip(EMOTIONS, chances, strict=True)),
        "degrees": {"pitch": pitch, "yaw": yaw, "roll": roll},
        "actions": _actions(face) if basis == "open" else None,
        "parameters": {name: getattr(face.params, name).tolist() for name in FLAME_LAYOUT},
    }


def _write(painter: MeshPainter, looked: Looked, out: Path) -> None:
    """The picture beside itself with the meshes over it. Raises RenderError."""
    drawn = painter.paint(looked.rgb, looked.faces, [face.affect for face in looked.faces])
    try:
        Image.fromarray(np.concatenate([looked.rgb, drawn], axis=1)).save(out)
    except OSError as error:
        reason = error.strerror or str(error)
        raise RenderError(
            f"{out}: the picture cannot be written ({reason}); name a file where there is room and you may write"
        ) from error


def _places(pictures: Sequence[Path], out: Path | None) -> dict[Path, Path]:
    """Where each picture's drawing goes. Raises ConfigError."""
    if out is None:
        return {}
    if out.suffix.lower() != ".png":
        raise ConfigError(f"--out {out}: expected a file name that ends in .png")
    if not out.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {out.parent}; make it first")
    several = len(pictures) > 1
    places = {path: out.with_stem(f"{out.stem}-{path.stem}") if several else out for path in pictures}
    if len(set(places.values())) < len(places):
        raise ConfigError(f"--out {out}: two pictures have the same name; give them in calls of their own")
    for place in places.values():
        if place.resolve() in {path.resolve() for path in pictures}:
            raise ConfigError(f"--out {out}: would write over the picture {place}; give another name")
    return places
