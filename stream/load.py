"""Loads everything that computes: from settings to networks on a device."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from models.assets import fetch
from models.device import open_device
from models.engines.choose import choose_target
from models.engines.engine import Target
from models.errors import EngineError
from models.face_engines import open_face_engines
from models.face_model import FaceModel
from models.face_reader import FaceReader, InTurn
from models.heads import PrototypeHead
from models.mediapipe_face import open_mediapipe_face
from models.sampler import open_sampler
from stream.config import RunSettings
from stream.errors import ConfigError
from stream.faces.find import FaceFinder
from stream.faces.infer import Analyser

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Networks:
    """Everything that computes, loaded once and usable for several runs."""

    finder: Callable[[], FaceFinder]
    """Makes a finder with no memory of earlier frames."""
    analyser: Analyser
    target: Target
    """What the face model's networks run on."""


def targets(settings: RunSettings, device: torch.device) -> tuple[Target, Target]:
    """What finds faces, always in float32 since tracks depend on it, and what the face model runs on.

    Raises ConfigError for an engine, precision and device that do not go together.
    """
    try:
        find = choose_target(settings.engine, "f32", device)
        return find, choose_target(settings.engine, settings.precision, device)
    except EngineError as error:
        raise ConfigError(str(error)) from error


def load_networks(settings: RunSettings) -> Networks:
    """Fetch, compile and load what the settings name. Raises ConfigError, AssetError, CheckpointError, EngineError."""
    device = open_device(settings.device)
    find, target = targets(settings, device)
    log.info("loading networks")
    task = fetch("face_landmarker")
    engines = open_face_engines(task, find)
    reader = _open_reader(settings, task, target)
    return Networks(
        finder=partial(FaceFinder, engines, open_sampler(device), **settings.faces.model_dump()),
        analyser=Analyser(engines.blendshapes, reader),
        target=target,
    )


def _open_reader(settings: RunSettings, task: Path, target: Target) -> FaceReader:
    """One network of encoders and head where a head file is given; else a face model and the default head."""
    if settings.affect_head is not None:
        from models.facenet import open_facenet  # here, since timm takes seconds to import

        return open_facenet(settings.face_model, settings.checkpoint, settings.affect_head, target)
    mediapipe, head = open_mediapipe_face(task), PrototypeHead()
    face_model = mediapipe if settings.face_model == "mediapipe" else _open_encoders(settings, target)
    return InTurn(face_model, head, None if face_model.basis == head.basis else mediapipe)


def _open_encoders(settings: RunSettings, target: Target) -> FaceModel:
    from models.open_smirk import WEIGHTS, open_open_smirk  # here, since timm takes seconds to import
    from models.smirk import open_smirk

    if settings.face_model == "smirk-open":
        return open_open_smirk(settings.checkpoint or WEIGHTS, target)
    assert settings.checkpoint is not None  # RunSettings refuses smirk without one
    return open_smirk(settings.checkpoint, target)
