"""Which head a face model's parameters belong to, and where its files are."""

from pathlib import Path

from models.flame_file import open_flame
from models.head import HeadModel
from models.open_head import load_open_head
from stream.config import RunSettings
from stream.errors import ConfigError

NEEDS_FLAME = ("smirk",)
"""Face models whose parameters are those of the official FLAME 2020, which cannot be shipped; all others are open."""

SMIRK_ASSETS = {
    "landmark_embedding": "landmark_embedding.npy",
    "mediapipe_embedding": "mediapipe_landmark_embedding/mediapipe_landmark_embedding.npz",
    "left_eyelid": "l_eyelid.npy",
    "right_eyelid": "r_eyelid.npy",
    "masks": "FLAME_masks/FLAME_masks.pkl",
}
"""What SMIRK's assets folder holds besides FLAME itself (in FLAME2020/)."""


def check_head(settings: RunSettings, flame: Path | None) -> None:
    """Refuse, before anything is loaded, a drawing that would lack its head. Raises ConfigError."""
    needed = settings.face_model in NEEDS_FLAME
    if needed and flame is None:
        raise ConfigError(
            f"drawing what --face-model {settings.face_model} predicts needs FLAME itself, which may not be passed on: "
            "--head generic_model.pkl (FLAME 2020, from flame.is.tue.mpg.de) within or beside SMIRK's assets folder"
        )
    if not needed and flame is not None:
        raise ConfigError(f"--head is for --face-model smirk; {settings.face_model} is drawn on the open head")
    if flame is not None and not flame.is_file():
        raise ConfigError(f"--head {flame}: no such file; give generic_model.pkl of FLAME 2020")


def open_head(settings: RunSettings, flame: Path | None) -> HeadModel:
    """The head to draw. Raises ConfigError as `check_head`, and AssetError for files that cannot be used."""
    check_head(settings, flame)
    if flame is None:
        return load_open_head()
    files = {name: beside(flame, place) for name, place in SMIRK_ASSETS.items()}
    return open_flame(
        flame,
        landmark_embedding=files["landmark_embedding"],
        mediapipe_embedding=files["mediapipe_embedding"],
        eyelids=(files["left_eyelid"], files["right_eyelid"]),
        masks=files["masks"],
    )


def beside(flame: Path, place: str) -> Path:
    """The file in FLAME's own folder or the one above, in its subfolder or not; the first guess when nowhere."""
    folders = (flame.parent, flame.absolute().parent.parent)
    guesses = [folder / name for folder in folders for name in (Path(place).name, place)]
    return next((guess for guess in guesses if guess.is_file()), guesses[0])
