"""The face model that is judged: the blendshape default, or SMIRK's encoders with weights of the open basis."""

import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from models.engines.engine import Target
from models.errors import CheckpointError
from models.export import DEFAULT
from models.face_model import FaceModel
from models.manifest import model_hash
from models.open_smirk import OpenSmirk, read_open_smirk
from models.smirk import SmirkFaceModel, compile_encoders
from train.default.network import Trainee


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to be judged."""

    model: FaceModel
    network: nn.Module | None = None
    """What the model's engine runs, in PyTorch; None for a model without one."""


def open_weights(weights: Path, target: Target = DEFAULT) -> Candidate:
    """The model of a .safetensors of SMIRK's encoders, or of a training's checkpoint.pt (its averaged weights).

    Raises CheckpointError, ParityError or EngineError.
    """
    network = read_open_smirk(weights) if weights.suffix == ".safetensors" else _averaged(weights)
    engine = compile_encoders("smirk-open", network, target)
    return Candidate(SmirkFaceModel(engine, model_hash(network), name="smirk-open", basis="open"), network)


def _averaged(checkpoint: Path) -> OpenSmirk:
    """The network of the averaged weights in a checkpoint of `train.default.loop`; nothing in the file is run."""
    trainee = Trainee()
    try:
        trainee.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["mean"])
    except OSError as error:
        raise CheckpointError(f"cannot read checkpoint {checkpoint} ({error.strerror}); check the path") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{checkpoint}: no checkpoint of a training of the default model; give its checkpoint.pt or a .safetensors"
        ) from error
    return OpenSmirk(trainee.divided()).eval()
