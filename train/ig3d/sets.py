"""Opens a data set and the features of its pictures as the samples of a network."""

from pathlib import Path
from typing import Literal, get_args

from models.ig3d import Design
from train.errors import TrainingError
from train.ig3d.affectnet import read_affectnet
from train.ig3d.features import Features, read_features
from train.ig3d.labelled import Classes, LabelledSet
from train.ig3d.rafdb import read_raf_db
from train.ig3d.samples import Samples

SetName = Literal["affectnet", "raf-db"]
VALIDATION = 0.15
"""Share of the people of a training split by which epochs and weights are chosen. Never the set that is reported."""


def open_set(root: Path, name: str, split: str, classes: int) -> LabelledSet:
    """A split of a data set, with AffectNet's 8 or 7 classes; RAF-DB has 7. Raises MediaError or TrainingError."""
    if name not in get_args(SetName):
        raise TrainingError(f"data set {name}: expected one of {', '.join(get_args(SetName))}")
    if not root.is_dir():
        raise TrainingError(f"{root}: no such folder; give the folder of {name}, or make one: see `synthetic labelled`")
    if name == "raf-db":
        if classes != 7:
            raise TrainingError(f"raf-db has 7 classes, not {classes}; give --classes 7")
        return read_raf_db(root, split)
    wanted: Classes = 7 if classes == 7 else 8
    return read_affectnet(root, split, wanted)


def open_features(path: Path | None, design: Design | None = None) -> Features | None:
    """The features of a file, as a network of a design reads them. Raises TrainingError for others, or for none."""
    if path is None:
        if design is not None and design.representation is not None:
            raise TrainingError(
                "this network reads 3D vectors: give --features (made with `flamestream-train features`)"
            )
        return None
    features = read_features(path)
    if design is None or design.representation is None:
        return features
    if features.origin.representation != design.representation:
        features = features.cut_to(design.representation)
    features.expect(design.representation, design.encoder_hash or None)
    return features


def samples_of(labelled: LabelledSet, features: Features | None, design: Design) -> Samples:
    """The samples of a set for a network. Raises TrainingError for pictures without features."""
    aligned = None
    if design.representation is not None:
        if features is None:
            raise TrainingError("this network reads 3D vectors: give --features")
        aligned = features.for_set(labelled, "keep")
    return Samples(labelled, aligned, pictures=design.backbone is not None)


def train_and_validation(labelled: LabelledSet, share: float, seed: int) -> tuple[LabelledSet, LabelledSet]:
    """A training split cut in two by people, or by pictures where people are not known. Raises TrainingError."""
    if not 0 < share < 1:
        raise TrainingError(f"--validation {share}, expected a share between 0 and 1")
    train, validation = labelled.split_off(share, seed)
    if not len(train) or not len(validation):
        raise TrainingError(
            f"{labelled.name} {labelled.split}: of {len(set(labelled.group))} people none is left to train on or to "
            "choose by; give a larger set or another --validation"
        )
    return train, validation
