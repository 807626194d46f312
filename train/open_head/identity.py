"""Who a head may be: a population sampled over MakeHuman's targets, its mean adult, and its principal components."""

import itertools
from dataclasses import dataclass

import numpy as np

from models.geometry import Float64Array
from models.spec import FloatArray
from train.open_head.assets import Library
from train.open_head.cut import Cut
from train.open_head.sparse import Matrix, stack

SEED = 2024
PEOPLE = 20_000
COMPONENTS = 300

AGES = ("baby", "child", "young", "old")  # about 1, 11, 25 and 90 years
RACES = ("african", "asian", "caucasian")
GENDERS = ("female", "male")
LEVELS = ("min", "average", "max")
LOCAL = ("head", "eyes", "mouth", "nose", "eyebrows", "cheek", "chin", "ears", "forehead", "neck", "asym")
"""Folders of targets that change one feature."""
OPPOSITES = {
    "decr": "incr",
    "down": "up",
    "in": "out",
    "backward": "forward",
    "compress": "uncompress",
    "concave": "convex",
}
LEFT_OUT = ("trans-in", "trans-out", "head-trans", "neck-trans", "measure-", "pointed", "asymm-")
"""Targets that move the head rather than change it, that shear it, or that no human has."""
LOCAL_SPREAD, SIDE_SPREAD, KIND_SPREAD = 0.17, 0.04, 0.1
"""Standard deviations: of a feature, of the difference between its sides, of a kind that has no opposite.

MakeHuman's ends are caricatures, and a person of the components adds some 150 of them: at twice these spreads most
looked like no human.
"""
SIZE_SPREAD, SIZE_AT_FOUR = 0.035, 0.88
"""Size of heads: relative standard deviation among people of one age, and a four-year-old's over an adult's.

MakeHuman scales a head with the body, to half of it, so its sizes are taken out and these are put in.
"""
IMPORTANCE = {"neck": 0.3, "mouth_cavity": 0.02, "left_eye_socket": 0.02, "right_eye_socket": 0.02}
"""Weight of a vertex in the components where it is not 1."""


@dataclass(frozen=True, slots=True)
class Identities:
    """A population's mean adult and how it varies. Metres, in the frame of the base mesh."""

    template: Float64Array  # [V, 3]
    basis: Float64Array  # [300, V, 3] one standard deviation each
    joints: Float64Array  # [5, 3]
    joint_basis: Float64Array  # [300, 5, 3]
    explained: Float64Array  # [300] share of the variance that the components up to here hold


@dataclass(frozen=True, slots=True)
class _Trait:
    """Targets and the share of each that every person of the population has."""

    targets: list[str]
    shares: Float64Array  # [people, targets]


def build_identities(library: Library, cut: Cut, joints: Matrix, people: int = PEOPLE) -> Identities:
    """The population of `people` made with SEED; `joints` [5, N] are means of the base mesh's vertices."""
    random = np.random.default_rng(SEED)
    age = _ages(random, people)
    traits = [*_macro_traits(random, people, age), *_local_traits(library, random, people)]
    names = [name for trait in traits for name in trait.targets]
    shares = np.concatenate([trait.shares for trait in traits], axis=1)  # [people, K]
    mean = shares[age >= 2].mean(axis=0)
    points = stack([cut.weights, joints])  # [V + 5, N]
    offsets = np.empty((len(names) + 1, points.shape[0], 3), np.float32)  # [K + 1, V + 5, 3]
    for i, name in enumerate(names):
        offsets[i] = points @ library.target(name)
    template = points @ library.mesh.vertices + np.tensordot(mean, offsets[:-1], 1)  # [V + 5, 3]
    skull = np.setdiff1d(cut.regions["skin"], cut.regions["neck"])
    offsets -= offsets[:, skull].mean(axis=1, keepdims=True)  # where a body carries its head is no part of who it is
    outward = template - template[skull].mean(axis=0)
    sizes = np.einsum("kvc,vc->k", offsets[:-1, skull], outward[skull]) / np.square(outward[skull]).sum()
    offsets[:-1] -= sizes[:, None, None] * outward
    offsets[-1] = outward
    size = (SIZE_AT_FOUR - 1) * np.maximum(2 - age, 0) / 1.6 + random.normal(0, SIZE_SPREAD, people)
    deviations = np.column_stack([shares - mean, size])
    basis, explained = _components(offsets, deviations, np.append(_importance(cut), np.zeros(joints.shape[0])))
    head = slice(cut.weights.shape[0])
    bones = slice(cut.weights.shape[0], None)
    return Identities(template[head], basis[:, head], template[bones], basis[:, bones], explained)


def _components(
    offsets: FloatArray, shares: Float64Array, importance: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Principal axes [300, V, 3] of the people `shares` [people, K] @ `offsets` [K, V, 3], and what they explain.

    Solved among the K targets, which is exact and small: of S = A A', the people's covariance, and G, the targets'
    products, the eigenvectors of A' G A give those of the people's.
    """
    flat = offsets.reshape(len(offsets), -1)
    products = (flat * np.repeat(importance, 3)) @ flat.T  # [K, K]
    spread = shares.T @ shares / len(shares)
    values, vectors = np.linalg.eigh(spread)
    root = vectors * np.sqrt(np.maximum(values, 0))
    variances, axes = np.linalg.eigh(root.T @ products @ root)
    order = np.argsort(variances)[::-1]
    variances, mixes = variances[order], (root @ axes[:, order])[:, :COMPONENTS]
    basis = (mixes.T @ flat).reshape(COMPONENTS, -1, 3)
    heaviest = np.abs(basis).reshape(COMPONENTS, -1).argmax(axis=1)
    signs = np.sign(basis.reshape(COMPONENTS, -1)[np.arange(COMPONENTS), heaviest])
    return basis * signs[:, None, None], np.cumsum(variances)[:COMPONENTS] / variances.sum()


def _importance(cut: Cut) -> Float64Array:
    weights = np.ones(cut.weights.shape[0])
    for region, weight in IMPORTANCE.items():
        weights[np.setdiff1d(cut.regions[region], cut.regions["face"])] = weight
    return weights


def _ages(random: np.random.Generator, people: int) -> Float64Array:
    """Place on the line of AGES [people]: three quarters are adults, the rest from about four years on."""
    grown = 2 + random.beta(1.0, 1.5, people)
    growing = random.uniform(0.4, 2.0, people)
    return np.where(random.random(people) < 0.75, grown, growing)


def _macro_traits(random: np.random.Generator, people: int, age: Float64Array) -> list[_Trait]:
    """Age, sex, muscle, weight, height, proportions and descent, which MakeHuman blends by products."""
    ages = _hats(age, len(AGES))
    male = random.beta(0.35, 0.35, people)
    genders = np.stack([1 - male, male], axis=1)
    muscles = _hats(2 * random.beta(4.0, 4.0, people), 3)
    weights = _hats(2 * random.beta(3.0, 3.2, people), 3)
    height = random.beta(2.5, 2.5, people) * 2 - 1
    beauty = random.beta(2.5, 2.5, people) * 2 - 1
    races = random.dirichlet([0.5] * len(RACES), people)
    heights = np.stack([np.maximum(-height, 0), np.maximum(height, 0)], axis=1)
    proportions = np.stack([np.maximum(-beauty, 0), np.maximum(beauty, 0)], axis=1)
    build = [(f"{level}muscle", f"{other}weight") for level in LEVELS for other in LEVELS]
    bodies = [f"{gender}-{age}-{'-'.join(both)}" for gender in GENDERS for age in AGES for both in build]
    of_body = _products(genders, ages, muscles, weights)
    return [
        _Trait([f"macrodetails/universal-{body}" for body in bodies], of_body),
        _Trait(
            [f"macrodetails/{race}-{sex}-{age}" for race, sex, age in itertools.product(RACES, GENDERS, AGES)],
            _products(races, genders, ages),
        ),
        _pairs("height", bodies, ("minheight", "maxheight"), of_body, heights),
        _pairs("proportions", bodies, ("uncommonproportions", "idealproportions"), of_body, proportions),
    ]


def _pairs(
    folder: str, bodies: list[str], ends: tuple[str, str], of_body: Float64Array, of_ends: Float64Array
) -> _Trait:
    """A trait with two ends for every kind of body; babies have one kind of proportions, so no target."""
    shares = _products(of_body, of_ends)
    names = [f"macrodetails/{folder}/{body}-{end}" for body in bodies for end in ends]
    known = [i for i, name in enumerate(names) if not (folder == "proportions" and "-baby-" in name)]
    return _Trait([names[i] for i in known], shares[:, known])


def _local_traits(library: Library, random: np.random.Generator, people: int) -> list[_Trait]:
    """Features one by one: both sides alike but for a little, except the asymmetries."""
    traits = []
    for folder in LOCAL:
        names = [name for name in library.targets(folder) if not any(part in name for part in LEFT_OUT)]
        for stem in sorted({_stem(name) for name in names}):
            same = random.normal(0, LOCAL_SPREAD, people)
            kind = np.abs(random.normal(0, KIND_SPREAD, people))
            for side in ("", "l-", "r-"):
                members = [name for name in names if _stem(name) == stem and name.startswith(side or stem)]
                value = np.clip(same + (random.normal(0, SIDE_SPREAD, people) if side else 0), -1, 1)
                for name in members:
                    share = _share(name, value, kind)
                    traits.append(_Trait([f"{folder}/{name}"], share[:, None]))
    return traits


def _share(name: str, value: Float64Array, kind: Float64Array) -> Float64Array:
    end = name.rsplit("-", 1)[-1]
    if end in OPPOSITES:
        return np.maximum(-value, 0)
    if end in OPPOSITES.values():
        return np.maximum(value, 0)
    return kind


def _stem(name: str) -> str:
    """What a target changes, without side and direction."""
    feature, _, end = name.rpartition("-")
    directed = end in OPPOSITES or end in OPPOSITES.values()
    return (feature if directed else name).removeprefix("l-").removeprefix("r-")


def _hats(places: Float64Array, count: int) -> Float64Array:
    """Shares [people, count] of the two whole numbers that a place on 0..count-1 lies between."""
    return np.asarray(np.maximum(1 - np.abs(places[:, None] - np.arange(count)), 0))


def _products(first: Float64Array, *others: Float64Array) -> Float64Array:
    """Products of a choice from each [people, n * m * ...], the last one running fastest."""
    for other in others:
        first = (first[:, :, None] * other[:, None, :]).reshape(len(first), -1)
    return first
