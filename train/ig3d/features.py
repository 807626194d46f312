"""A feature file: one 3D vector for each picture of a folder, with everything that says what the numbers are.

A .safetensors, which holds no code, of three tensors
    vectors [N, D] float32    the representation's parts end to end, as the encoder gives them, not normalised
    found [N] uint8           1, or 0 where no face was found or the picture could not be read: zeros in `vectors`
    content [N, 8] uint8      the beginning of the sha256 of the picture's file, all 0 where it could not be read
and one entry of metadata, KEY, whose JSON has
    format           FORMAT
    representation   its name in models.representation
    parts            name and length of each part, in order
    encoder, model_hash, basis, engine    what made the vectors
    crop             how the face was cut out of the picture
    images           N names, relative to the folder, with / between its parts
    unreadable       those of them that could not be read
Upstream keeps vectors in .json files of no fixed order, and trains on zeros where no face was found.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from models.representation import REPRESENTATIONS, Name
from models.spec import FloatArray
from train.errors import MediaError, TrainingError
from train.ig3d.labelled import LabelledSet, few

KEY, FORMAT = "flamestream-features", 1
CONTENT = 8
"""Bytes of a picture's hash that are kept."""
COMPARED = 16
"""So many pictures of a labelled set are compared with those that the features are of."""
Lost = Literal["refuse", "keep"]
"""What to do with pictures in which no face was found."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What vectors are, and what made them."""

    representation: Name
    parts: dict[str, int]
    """Length of each part, in order."""
    encoder: str
    model_hash: str
    basis: str
    engine: str
    crop: str


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Of N pictures."""

    origin: Origin
    names: tuple[str, ...]
    """Relative to the folder that they were made of."""
    vectors: FloatArray  # [N, D], zeros where not `found`
    found: npt.NDArray[np.bool_]  # [N]
    content: npt.NDArray[np.uint8]  # [N, CONTENT]
    unreadable: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count, size = len(self.names), sum(self.origin.parts.values())
        shapes = {"vectors": (count, size), "found": (count,), "content": (count, CONTENT)}
        types = {"vectors": np.float32, "found": np.bool_, "content": np.uint8}
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != types[name]:
                raise ValueError(f"{name} is {array.dtype} {array.shape}, expected {np.dtype(types[name])} {shape}")
        if len(set(self.names)) < count:
            raise ValueError("a picture is there more than once")
        if self.vectors[~self.found].any() or not np.isfinite(self.vectors).all():
            raise ValueError("vectors are not finite, or not zero where no face was found")

    def __len__(self) -> int:
        return len(self.names)

    def expect(self, representation: Name, model_hash: str | None = None) -> None:
        """Refuses, with a TrainingError, what a model of that representation and encoder cannot read."""
        parts = list(REPRESENTATIONS[representation].parts.items())
        if self.origin.representation != representation or list(self.origin.parts.items()) != parts:
            raise TrainingError(
                f"these features are {self.origin.representation}, expected {representation}; "
                f"make them with `flamestream-train features --representation {representation}`"
            )
        if model_hash is not None and self.origin.model_hash != model_hash:
            raise TrainingError(
                f"these features are of the encoder {self.origin.encoder} {self.origin.model_hash}, expected "
                f"{model_hash}; make them with the encoder that the model was trained on"
            )

    def cut_to(self, representation: Name) -> "Features":
        """The same features in a representation whose parts are all in theirs: a short one of a full one.

        Raises TrainingError for another.
        """
        parts, places, start = dict(REPRESENTATIONS[representation].parts), {}, 0
        for part, size in self.origin.parts.items():
            places[part] = np.arange(start, start + size)
            start += size
        if any(self.origin.parts.get(part) != size for part, size in parts.items()):
            raise TrainingError(f"{representation} cannot be cut out of features that are {self.origin.representation}")
        vectors = self.vectors[:, np.concatenate([places[part] for part in parts])]
        return replace(self, origin=replace(self.origin, representation=representation, parts=parts), vectors=vectors)

    def for_ids(self, ids: Sequence[str], lost: Lost = "refuse") -> "Features":
        """The features of pictures by their stems, in the order of `ids`.

        Raises TrainingError for one that is not here or here twice; and where no face was found, unless those are
        kept: then `found` tells them.
        """
        by_stem = self._by_stem()
        doubled = [name for name in ids if len(by_stem[name]) > 1]
        if doubled:
            raise TrainingError(
                f"{len(doubled)} pictures are in several folders of the features ({few(doubled)}); "
                "make features of the folder of one split alone"
            )
        return self._picked(ids, [by_stem[name][0] if by_stem[name] else -1 for name in ids], lost)

    def for_set(self, labelled: LabelledSet, lost: Lost = "refuse", *, copies: bool = False) -> "Features":
        """The features of a labelled set's pictures, in its order: by id, and by folder where two have one id.

        Some pictures are compared by content, unless the features are of other `copies`, such as larger ones. Raises
        TrainingError as `for_ids`, and for features of other pictures.
        """
        by_stem, rows = self._by_stem(), []
        for picture, path in zip(labelled.ids, labelled.paths, strict=True):
            fitting = by_stem[picture]
            if len(fitting) > 1:
                fitting = [row for row in fitting if path.as_posix().endswith(f"/{self.names[row]}")]
            rows.append(fitting[0] if len(fitting) == 1 else -1)
        aligned = self._picked(labelled.ids, rows, lost)
        if not copies:
            aligned._compare(labelled)
        return aligned

    def _by_stem(self) -> defaultdict[str, list[int]]:
        rows: defaultdict[str, list[int]] = defaultdict(list)
        for row, name in enumerate(self.names):
            rows[PurePosixPath(name).stem].append(row)
        return rows

    def _picked(self, ids: Sequence[str], rows: Sequence[int], lost: Lost) -> "Features":
        missing = [name for name, row in zip(ids, rows, strict=True) if row < 0]
        if missing:
            raise TrainingError(
                f"{len(missing)} of {len(ids)} pictures have no features ({few(missing)}); "
                "make features of the very folder that holds the data set"
            )
        chosen = np.asarray(rows, np.int64)
        faceless = [name for name, found in zip(ids, self.found[chosen], strict=True) if not found]
        if faceless and lost == "refuse":
            raise TrainingError(
                f"in {len(faceless)} of {len(ids)} pictures no face was found ({few(faceless)}); leave them out"
            )
        names = tuple(self.names[row] for row in rows)
        unreadable = tuple(set(self.unreadable).intersection(names))
        return Features(self.origin, names, self.vectors[chosen], self.found[chosen], self.content[chosen], unreadable)

    def _compare(self, labelled: LabelledSet) -> None:
        """Looks at some pictures of a set that these features are aligned to."""
        for row in np.unique(np.linspace(0, len(self) - 1, min(COMPARED, len(self))).astype(int)).tolist():
            path = labelled.paths[row]
            try:
                content = content_of(path.read_bytes())
            except OSError as error:
                raise MediaError(f"{path}: cannot be read ({error.strerror}); get the data set again") from error
            if self.content[row].any() and content != self.content[row].tobytes():
                raise TrainingError(
                    f"{path}: the features of {self.names[row]} are of another picture; make features of this folder"
                )


def content_of(data: bytes) -> bytes:
    """What tells a picture's file from others, CONTENT bytes."""
    return hashlib.sha256(data).digest()[:CONTENT]


def write_features(features: Features, path: Path) -> None:
    """Writes a feature file, whole or not at all, the same bytes for the same features. Raises TrainingError."""
    about = {"format": FORMAT, **asdict(features.origin), "parts": list(features.origin.parts.items())}
    about |= {"images": features.names, "unreadable": features.unreadable}
    tensors: dict[str, npt.NDArray[Any]] = {
        "vectors": features.vectors,
        "found": features.found.astype(np.uint8),
        "content": features.content,
    }
    draft = path.with_name(f"{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        safetensors.numpy.save_file(tensors, draft, {KEY: json.dumps(about)})
        draft.replace(path)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{path}: cannot be written ({error}); free the disk or give another --out") from error


def read_features(path: Path) -> Features:
    """The features of a file. Raises TrainingError."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            about = json.loads(metadata[KEY])
            tensors = {name: file.get_tensor(name) for name in ("vectors", "found", "content")}
        if about["format"] != FORMAT:
            raise TrainingError(f"{path}: features of format {about['format']}, expected {FORMAT}; make them again")
        return _features(about, tensors)
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error}); make it with `flamestream-train features`") from error
    except (SafetensorError, LookupError, TypeError, ValueError) as error:
        raise TrainingError(f"{path}: no feature file ({error}); make it with `flamestream-train features`") from error


def _features(about: dict[str, Any], tensors: dict[str, npt.NDArray[Any]]) -> Features:
    """Raises LookupError, TypeError or ValueError for what is none."""
    texts = ("representation", "encoder", "model_hash", "basis", "engine", "crop")
    given = {name: str(about[name]) for name in texts}
    if given["representation"] not in REPRESENTATIONS:
        raise ValueError(f"representation {given['representation']}, expected one of {', '.join(REPRESENTATIONS)}")
    if not np.isin(tensors["found"], (0, 1)).all():
        raise ValueError("found is neither 0 nor 1")
    return Features(
        origin=Origin(parts={str(name): int(size) for name, size in about["parts"]}, **given),  # type: ignore[arg-type]
        names=tuple(about["images"]),
        vectors=tensors["vectors"],
        found=tensors["found"].astype(bool),
        content=tensors["content"],
        unreadable=tuple(about["unreadable"]),
    )
