"""Skins, brows, beards and hair: a bank of maps around the head, made once, of which every face takes its own.

A map is laid around the head's axis: columns by the angle from straight ahead, rows by height. Its channels say *where*
and *how much*; colours are chosen for each face when it is drawn.
"""

import numpy as np
import numpy.typing as npt

from models.spec import FloatArray
from train.synthetic.noise import octaves, streaks

SIZE = 512
REACH = 1.95
"""Radians: the maps' columns go from -REACH to REACH; what lies farther back has the last column."""
TOP, BOTTOM = 0.15, -0.16
"""Metres."""
RADIUS = 0.086
"""Of the head, metres, where brows and beards are laid out."""
CHANNELS = ("tone", "red", "bump", "brow", "beard", "moustache", "hair", "strand")
TONE, RED, BUMP, BROW, BEARD, MOUSTACHE, HAIR, STRAND = range(8)
EYE_X, EYE_Y = 0.0296, 0.0325

Bank = npt.NDArray[np.uint8]


def build_bank(random: np.random.Generator, count: int) -> Bank:
    """Maps [count, SIZE, SIZE, 8], 0..255."""
    bank = np.empty((count, SIZE, SIZE, len(CHANNELS)), np.uint8)
    angle = np.linspace(-REACH, REACH, SIZE, dtype=np.float32)[None, :]
    height = np.linspace(TOP, BOTTOM, SIZE, dtype=np.float32)[:, None]
    for maps in bank:
        for channel, values in enumerate(_draw_maps(random, angle, height)):
            maps[..., channel] = np.clip(values * 255, 0, 255)
    return bank


def look_up(bank: Bank, chosen: tuple[float, float], angle: FloatArray, height: FloatArray) -> FloatArray:
    """The channels [8, N], 0..1, at angles and heights [N]: those of the skin from one map, the hair's from another.

    `chosen` says which, 0..1 over the bank.
    """
    column = np.clip((angle + REACH) * ((SIZE - 1) / (2 * REACH)), 0, SIZE - 1).astype(np.int32)
    row = np.clip((TOP - height) * ((SIZE - 1) / (TOP - BOTTOM)), 0, SIZE - 1).astype(np.int32)
    place = row * SIZE + column
    skin, hair = (
        bank[int(which * len(bank))].reshape(-1, len(CHANNELS)).view(np.uint64)[place].view(np.uint8)
        for which in chosen
    )  # eight bytes fetched as one number
    found = np.concatenate([skin[:, :BROW], hair[:, BROW:]], axis=1).T
    return np.asarray(np.multiply(found, np.float32(1 / 255), order="C"))


def _draw_maps(random: np.random.Generator, angle: FloatArray, height: FloatArray) -> list[FloatArray]:
    """The channels, 0..1, in order; `angle` [1, SIZE], `height` [SIZE, 1]."""
    fine = octaves(random, SIZE, 64, 256, 0.9)
    coarse = octaves(random, SIZE, 4, 64)
    strand = streaks(random, SIZE, int(random.integers(4, 24)), int(random.integers(90, 240)))
    tone = _tone(random, fine, coarse)
    red = _redness(random, angle, height) * (0.4 + 1.2 * octaves(random, SIZE, 6, 48))
    bump = _wrinkles(random, angle, height, fine)
    brow = _brows(random, angle, height) * (0.35 + 1.3 * streaks(random, SIZE, 90, 160))
    beard, moustache = _beard(random, angle, height)
    patchy = 0.3 + 0.9 * octaves(random, SIZE, 16, 256, 0.9)
    hair = _hair(random, angle, height, coarse)
    return [tone, red, bump, brow, beard * patchy, moustache * patchy, hair, strand]


def _tone(random: np.random.Generator, fine: FloatArray, coarse: FloatArray) -> FloatArray:
    """Darker and lighter skin about 0.5: blotches, pores, freckles, moles."""
    tone = 0.5 + random.uniform(0.1, 0.7) * (coarse - 0.5) + random.uniform(0.1, 0.5) * (fine - 0.5)
    if random.random() < 0.3:
        freckles = octaves(random, SIZE, 128, 256, 1.0)
        tone -= random.uniform(0.1, 0.4) * np.clip((freckles - 0.75) * 8, 0, 1) * (coarse > 0.4)
    rows, columns = np.ogrid[:SIZE, :SIZE]
    for _ in range(int(random.integers(0, 6))):
        x, y, radius = random.uniform(100, 412), random.uniform(100, 400), random.uniform(1.2, 4)
        tone -= 0.45 * np.clip(radius + 0.5 - np.hypot(columns - x, rows - y), 0, 1).astype(np.float32)
    return np.asarray(tone)


def _redness(random: np.random.Generator, angle: FloatArray, height: FloatArray) -> FloatArray:
    """Cheeks, nose, chin, and about the eyes, each as red as chance has it."""
    x = RADIUS * np.sin(angle)
    red = np.full((SIZE, SIZE), random.uniform(0, 0.2), np.float32)
    spots = ((0.042, -0.008, 0.02), (0.0, -0.004, 0.014), (0.0, -0.068, 0.014), (EYE_X, EYE_Y - 0.012, 0.012))
    for across, up, radius in spots:
        distance = ((np.abs(x) - across) ** 2 + (height - up) ** 2) / radius**2
        red += random.uniform(0, 0.7) * np.exp(-distance)
    return red


def _wrinkles(random: np.random.Generator, angle: FloatArray, height: FloatArray, fine: FloatArray) -> FloatArray:
    """Height of the skin about 0.5: pores, and folds of the forehead, about the eyes and beside the mouth."""
    age = random.random() ** 1.5
    x = RADIUS * np.sin(angle)
    bump = 0.5 + random.uniform(0.1, 0.5) * (fine - 0.5)
    wave = np.sin(height * random.uniform(700, 1100) + 2 * np.cos(x * random.uniform(30, 70)) + random.uniform(0, 6))
    bump += 0.3 * age * wave * _soft(height, 0.065, 0.006) * _soft(-np.abs(x), -0.045, 0.008)
    crow = np.sin(np.arctan2(height - EYE_Y, np.abs(x) - EYE_X) * random.uniform(14, 26))
    bump += 0.3 * age * crow * np.exp(-(((np.abs(x) - 0.055) / 0.012) ** 2) - ((height - EYE_Y) / 0.014) ** 2)
    fold = np.abs(x) - (0.021 + 0.45 * np.clip(-0.006 - height, 0, 0.05))
    bump -= 0.5 * age * np.exp(-((fold / 0.0022) ** 2)) * _soft(height, -0.052, 0.006) * _soft(-height, 0.004, 0.005)
    bags = np.hypot((np.abs(x) - EYE_X) / 0.019, (height - EYE_Y) / 0.0165) - 1
    bump -= 0.35 * age * np.exp(-((bags / 0.12) ** 2)) * (height < EYE_Y)
    return np.asarray(bump)


def _brows(random: np.random.Generator, angle: FloatArray, height: FloatArray) -> FloatArray:
    """A bow above each eye; thick or thin, high or low, more or less bent."""
    across = np.abs(RADIUS * np.sin(angle)) - EYE_X  # outwards
    inner, outer = random.uniform(-0.023, -0.015), random.uniform(0.021, 0.030)
    along = np.clip((across - inner) / (outer - inner), 0, 1)
    bend, tilt = random.uniform(0.001, 0.006), random.uniform(-0.002, 0.004)
    middle = EYE_Y + random.uniform(0.0195, 0.0255) + bend * np.sin(along * np.pi * 0.85) + tilt * along
    half = random.uniform(0.0018, 0.0052) * (1 - 0.6 * along**2)
    brow = _soft(half - np.abs(height - middle), 0, 0.0011)
    ends = _soft(across, inner, random.uniform(0.001, 0.004)) * _soft(-across, -outer, random.uniform(0.001, 0.005))
    return np.asarray(brow * ends)


def _beard(random: np.random.Generator, angle: FloatArray, height: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Where a beard and a moustache grow."""
    x = np.abs(RADIUS * np.sin(angle))
    upper = np.interp(np.abs(angle), [0, 0.35, 0.75, 1.15], [-0.054, -0.05, random.uniform(-0.045, -0.02), 0.03])
    width = random.uniform(0.002, 0.007)
    jaw = _soft(upper - height, 0, width) * _soft(height, random.uniform(-0.12, -0.085), 0.006) * (angle**2 < 2.2)
    if random.random() < 0.3:  # about the chin alone
        jaw = jaw * _soft(-x, -random.uniform(0.018, 0.032), 0.004)
    lip = _soft(0.030 - x, 0, 0.005) * _soft(height, -0.031 - 0.5 * np.clip(x - 0.012, 0, 1), 0.002)
    lip = lip * _soft(-height, 0.0175, 0.003)
    return np.asarray(jaw, np.float32), np.asarray(lip, np.float32)


def _hair(random: np.random.Generator, angle: FloatArray, height: FloatArray, coarse: FloatArray) -> FloatArray:
    """Everything above a line over the forehead that goes down before the ears."""
    front, side = random.uniform(0.084, 0.118), random.uniform(-0.02, 0.045)
    corner = random.uniform(0.6, 0.85)
    peak = random.uniform(-0.008, 0.012) * np.cos(np.clip(angle / corner * np.pi, -np.pi, np.pi))
    line = np.interp(np.abs(angle), [0, corner, corner + 0.25, 1.3], [front, front - 0.012, 0.05, side]) - peak
    edge = random.uniform(0.002, 0.008)
    return _soft(height - line + 0.03 * (coarse - 0.5), 0, edge)


def _soft(values: npt.ArrayLike, start: npt.ArrayLike, width: float) -> FloatArray:
    """0 below `start`, 1 above it, over about `width`."""
    return np.asarray(1 / (1 + np.exp(-np.clip((np.asarray(values) - start) / (width / 3), -30, 30))), np.float32)
