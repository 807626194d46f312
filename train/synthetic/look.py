"""How one face looks and is lit: colours and lights, drawn by chance."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.spec import FloatArray

SKIN_TONES = np.array(
    [(250, 224, 206), (236, 198, 172), (222, 176, 144), (198, 146, 112), (166, 114, 82), (124, 82, 58), (84, 56, 42)],
    np.float32,
)
"""From light to dark, 0..255 red, green, blue."""
HAIR_TONES = np.array(
    [
        (20, 16, 15),
        (46, 32, 24),
        (84, 56, 36),
        (130, 92, 56),
        (190, 156, 106),
        (140, 66, 36),
        (160, 158, 156),
        (228, 226, 222),
    ],
    np.float32,
)
HAIR_SHARES = (0.3, 0.25, 0.14, 0.08, 0.07, 0.03, 0.08, 0.05)
IRIS_TONES = np.array(
    [(58, 36, 22), (92, 60, 32), (120, 90, 50), (96, 110, 70), (90, 124, 140), (70, 104, 150), (120, 130, 134)],
    np.float32,
)


@dataclass(frozen=True, slots=True)
class Light:
    """From far away."""

    towards: FloatArray  # [3] unit, from the face to the light
    colour: FloatArray  # [3] strength by red, green, blue


@dataclass(frozen=True, slots=True)
class Look:
    """Colours are [3], 0..1; shares are 0..1."""

    skin: FloatArray
    flushed: FloatArray
    """The skin where it is red."""
    lips: FloatArray
    hair: FloatArray
    beard_hair: FloatArray
    iris: FloatArray
    iris_radians: float
    pupil_radians: float
    white: FloatArray
    teeth: FloatArray
    mouth: FloatArray
    mottling: float
    redness: float
    bumps: float
    brow: float
    beard: float
    moustache: float
    hair_cover: float
    lashes: float
    shine: float
    gloss: int
    """Sharpness of the shine: the power of two of Blinn's exponent."""
    ambient: FloatArray
    lights: tuple[Light, ...]
    softness: float
    """How far light reaches around the terminator."""
    mirrored: bool
    skin_map: float
    hair_map: float
    """0..1: which of the bank's maps."""


def draw_look(random: np.random.Generator) -> Look:
    """A look as cameras meet them, light to dark."""
    skin = _between(SKIN_TONES, random.random()) * random.uniform(0.93, 1.06, 3)
    hair = HAIR_TONES[random.choice(len(HAIR_TONES), p=HAIR_SHARES)] * random.uniform(0.75, 1.2) / 255
    made_up = random.random() < 0.25
    lips = skin * random.uniform((0.8, 0.55, 0.55), (0.98, 0.78, 0.8))
    if made_up:
        lips = 0.4 * lips + 0.6 * 255 * random.uniform((0.4, 0.02, 0.1), (0.95, 0.35, 0.45))
    bearded, stubbly = random.random() < 0.28, random.random() < 0.2
    grown = random.uniform(0.5, 1.0) if bearded else random.uniform(0.1, 0.4) * stubbly
    ambient, lights = _draw_lights(random)
    return Look(
        skin=_unit(skin),
        flushed=_unit(skin * random.uniform((0.88, 0.5, 0.5), (1.0, 0.72, 0.72))),
        lips=_unit(lips),
        hair=np.asarray(np.clip(hair, 0, 1), np.float32),
        beard_hair=np.asarray(np.clip(hair * random.uniform(0.6, 1.2), 0, 1), np.float32),
        iris=_unit(_between(IRIS_TONES, random.random() ** 1.5) * random.uniform(0.7, 1.25)),
        iris_radians=float(np.radians(random.uniform(24.5, 29))),
        pupil_radians=float(np.radians(random.uniform(7, 15))),
        white=_unit(random.uniform((205, 190, 180), (246, 240, 236))),
        teeth=_unit(random.uniform((190, 176, 140), (246, 242, 230))),
        mouth=_unit(random.uniform((60, 18, 18), (130, 60, 56))),
        mottling=random.uniform(0.1, 0.6),
        redness=random.uniform(0.1, 0.8),
        bumps=random.uniform(0.2, 1.0),
        brow=random.uniform(0.25, 1.0) if random.random() > 0.04 else 0.05,
        beard=grown,
        moustache=grown if random.random() < 0.7 else random.uniform(0, 1) * bearded,
        hair_cover=0.0 if random.random() < 0.1 else random.uniform(0.75, 1.0),
        lashes=random.uniform(0.6, 1.0) if made_up else random.uniform(0.15, 0.7),
        shine=random.uniform(0.0, 0.45) ** 1.4,
        gloss=int(random.integers(3, 6)),
        ambient=ambient,
        lights=lights,
        softness=random.uniform(0, 0.4),
        mirrored=bool(random.random() < 0.5),
        skin_map=random.random(),
        hair_map=random.random(),
    )


def _draw_lights(random: np.random.Generator) -> tuple[FloatArray, tuple[Light, ...]]:
    """Ambient light [3] and one to three lights; now and then a hard one from the side."""
    warmth = random.normal(0, 0.06)
    tint = np.array([1 + warmth, 1, 1 - warmth], np.float32)
    hard = random.random() < 0.2
    towards = random.normal((0, 0.5, 1), (0.8, 0.5, 0), (int(random.integers(1, 4)), 3))
    if hard:
        towards[0, 0] = random.choice((-1, 1)) * random.uniform(0.7, 2.5)
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    strengths = random.uniform(0.3, 1, len(towards)) * np.where(np.arange(len(towards)) == 0, 1, 0.5)
    ambient = random.uniform(0.1, 0.3) if hard else random.uniform(0.45, 1.2)
    # What faces the viewer gets about as much light in every scene: cameras see to that.
    exposure = random.uniform(0.75, 1.15) / (ambient + strengths @ towards[:, 2])
    colours = tint * random.uniform(0.93, 1.07, (len(towards), 3)) * (strengths * exposure)[:, None]
    lights = tuple(
        Light(np.asarray(a, np.float32), np.asarray(b, np.float32)) for a, b in zip(towards, colours, strict=True)
    )
    return np.asarray(tint * ambient * exposure * random.uniform(0.95, 1.05, 3), np.float32), lights


def _unit(colour: npt.NDArray[np.floating]) -> FloatArray:
    return np.asarray(np.clip(colour / 255, 0.01, 1), np.float32)


def _between(tones: FloatArray, place: float) -> FloatArray:
    """The colour at 0..1 along a row of tones."""
    steps = np.arange(len(tones)) / (len(tones) - 1)
    return np.array([np.interp(place, steps, tones[:, channel]) for channel in range(3)], np.float32)
