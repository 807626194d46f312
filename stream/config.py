"""What a run can be told: one documented type, read from TOML and the command line."""

import re
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from stream.emit.smooth import SmoothingSettings
from stream.errors import ConfigError
from stream.ingest.rtsp import RtspSettings


class SourceSettings(BaseModel):
    """One file or camera."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: SecretStr
    """A path or an rtsp:// URL. Kept secret in messages, since it may hold a password."""
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]+$", max_length=64)
    """Its name in events and Redis keys; taken from the file name or host when not given."""


class FaceSettings(BaseModel):
    """How faces are found and followed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_faces: int = Field(default=10, ge=1, le=100)
    """Most faces followed at once in a source."""
    detect_every_s: float = Field(default=0.5, gt=0)
    """How often the detector looks for new faces while others are followed, seconds of the source's time."""
    min_detection: float = Field(default=0.5, ge=0, le=1)
    """Least detector score of a new face."""
    min_presence: float = Field(default=0.5, ge=0, le=1)
    """Least presence for a face to stay followed."""


class RunSettings(BaseModel):
    """Everything `flamestream run` can be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: tuple[SourceSettings, ...] = ()
    """What to process, together."""
    redis: SecretStr | None = None
    """redis://, rediss:// or unix:// URL; without one an embedded server is started for the run."""
    prefix: str = Field(default="flamestream", pattern=r"^[A-Za-z0-9._:{}-]+$")
    """First part of every Redis key."""
    max_stream_length: int = Field(default=108_000, ge=0)
    """Entries kept per stream (about; 108,000 is an hour at 30 frames a second); 0 keeps all."""
    face_model: Literal["mediapipe", "smirk-open", "smirk"] = "mediapipe"
    """What turns a face into FLAME parameters: MediaPipe's blendshapes, or SMIRK's encoders.

    smirk-open has the weights that come with flamestream, on the open head; smirk the official ones, on FLAME 2020.
    """
    checkpoint: Path | None = None
    """The official SMIRK checkpoint; or, for smirk-open, other weights than those that come with flamestream."""
    affect_head: Path | None = None
    """A head file of `flamestream-train ig3d` that reads valence-arousal and emotions in place of the default head.

    It becomes one network with the encoders of smirk-open or smirk: the ones that it was trained on.
    """
    device: str = "auto"
    """Where pixels and networks live: auto (the first GPU, else the CPU), cpu, cuda or cuda:1."""
    engine: Literal["auto", "openvino", "torch", "inductor", "tensorrt", "tensorrt-rtx"] = "auto"
    """What runs the networks. auto: openvino on the CPU; on a GPU tensorrt, or inductor where that is not installed."""
    precision: Literal["auto", "f32", "f16", "bf16", "int8", "fp8"] = "auto"
    """What the face model's networks compute in. auto: f32 on the CPU, f16 on a GPU. Refused when results differ."""
    ingest: Literal["auto", "cpu", "nvdec", "gop"] = "auto"
    """What decodes: cpu; nvdec, picture by picture; gop, whole groups of pictures by DALI.

    auto: the CPU without a GPU; with one, DALI for files and nvdec for cameras.
    """
    gpu_memory_mib: int | None = Field(default=None, ge=1)
    """Most memory for decoded pictures on the GPU, over all sources; by default a quarter of what is free."""
    faces: FaceSettings = FaceSettings()
    rtsp: RtspSettings = RtspSettings()
    smoothing: SmoothingSettings = SmoothingSettings()

    @field_validator("device")
    @classmethod
    def _check_device(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
            raise ValueError("expected auto, cpu, cuda or, for the second GPU, cuda:1")
        return device

    @model_validator(mode="after")
    def _check_together(self) -> "RunSettings":
        if self.face_model == "smirk" and self.checkpoint is None:
            raise ValueError("face model smirk needs weights: --checkpoint FILE (SMIRK_em1.pt)")
        if self.face_model == "mediapipe" and self.checkpoint is not None:
            raise ValueError("--checkpoint is for --face-model smirk or smirk-open, not mediapipe")
        if self.face_model == "mediapipe" and self.affect_head is not None:
            raise ValueError("--affect-head is for --face-model smirk-open or smirk: it reads their parameters")
        return self


def load_settings(file: Path | None, overrides: dict[str, Any]) -> RunSettings:
    """Settings of a TOML file with `overrides` on top (None means not given).

    Raises ConfigError, with all problems at once.
    """
    values = {} if file is None else _read_toml(file)
    values.update({key: value for key, value in overrides.items() if value is not None})
    if not values.get("sources"):
        raise ConfigError("no source given; name at least one file or rtsp:// URL, e.g. flamestream run clip.mp4")
    try:
        return RunSettings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{file or 'arguments'}: {_problems(error)}") from None  # the cause would print passwords


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot read the configuration ({error.strerror}); check --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not a TOML file ({error}); see README, Configuration") from error


def _problems(error: ValidationError) -> str:
    """Each problem with its place, never with the value: it may be a password."""
    problems = []
    for problem in error.errors(include_input=False, include_url=False):
        place = ".".join(str(part) for part in problem["loc"])
        message = re.sub(r"^Value error, ", "", problem["msg"])
        problems.append(f"{place}: {message}" if place else message)
    return "; ".join(problems)
