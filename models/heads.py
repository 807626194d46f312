"""Affect heads: valence-arousal read off FLAME parameters.

`PrototypeHead` is the default one: it needs no training data, hence no data licence. It recognises the facial-action
prototypes of seven emotions and returns the activation-weighted mean of where people place those emotions.

From parameters to affect, every step continuous:
1. ARKit actions -> FACS action units, by name (`ACTION_UNITS`; Apple's description of each action against the FACS).
2. action unit -> evidence 0..1, a smooth step between its rest level and its full level (`ACTION_UNITS`).
3. evidence -> activation 0..1 of each emotion (`PROTOTYPES`).
4. activations a, whose emotions lie at c -> sum(a*c) / max(1, sum(a)). What the activations leave of 1 belongs to the
   neutral face at (0, 0), so intensity scales continuously and the result stays within the convex hull of the means.

Sources
* Prototypes: EMFACS (P. Ekman and W. Friesen) with the variants of the FACS Investigator's Guide (Ekman, Friesen and
  Hager 2002, table 10-1): happiness 6+12 or a marked 12 alone; sadness 1+4+15; surprise 1+2+5+26 and every pair of
  brows, lids and jaw; fear 1+2+4+5+20+26 down to 1+2+4+5 or 5+20; anger 4+5+7+23 or 24, also without one of 4, 5
  and 7; disgust 9 or 10, with 15, 16 or 17; contempt 12+14 on one side. The counts make these sums complete.
* Places on the circumplex: J. Russell and A. Mehrabian, "Evidence for a three-factor theory of emotions", Journal of
  Research in Personality 11 (1977) 273-294, table 4: mean pleasure and arousal of "happy", "sad", "surprised",
  "fearful", "angry", "disgusted" and "contemptuous".
* Rest and full levels: the same action units measured by MediaPipe on two unlabelled sets, neither holding a picture
  that any test reads a label of: 407 official portraits (every second one of 813, sorted by name; mostly smiling) and
  153 faces in every 12th frame of 20 videos (signers and other people before a camera). The rest level is the mean of
  the two sets' medians; for the mouth, of their faces with mouthSmile below 0.2 (15 and 88). The full level is the
  mean of their 99th percentiles, but at least 0.4 above rest, so that the noise of an action that neither set shows
  is not blown up.

What it cannot know: MediaPipe's blendshapes hardly ever score cheekSquint (AU6) and noseSneer (AU9), whose 99th
percentiles are 0.000 in both sets, and score lowered brows anywhere from 0 to 0.8 on resting ones. Anger and disgust
then rest on the mouth, and a moderate display of either comes out near neutral, though on the right side of it.
"""

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from models.open_basis import BLENDSHAPE_NAMES, actions
from models.spec import Affect, Basis, FlameParams, FloatArray

ACTION_UNITS: dict[str, tuple[dict[str, float], float, float]] = {
    "1": ({"browInnerUp": 1}, 0.01, 0.46),
    "2": ({"browOuterUpLeft": 0.5, "browOuterUpRight": 0.5}, 0.02, 0.47),
    "4": ({"browDownLeft": 0.5, "browDownRight": 0.5}, 0.24, 0.78),
    "5": ({"eyeWideLeft": 0.5, "eyeWideRight": 0.5}, 0.00, 0.40),
    "6": ({"cheekSquintLeft": 0.5, "cheekSquintRight": 0.5}, 0.00, 0.40),
    "7": ({"eyeSquintLeft": 0.5, "eyeSquintRight": 0.5}, 0.45, 0.85),
    "9": ({"noseSneerLeft": 0.5, "noseSneerRight": 0.5}, 0.00, 0.40),
    "10": ({"mouthUpperUpLeft": 0.5, "mouthUpperUpRight": 0.5}, 0.00, 0.85),
    "12": ({"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5}, 0.06, 0.97),
    "12 on one side": ({"mouthSmileLeft": 1, "mouthSmileRight": -1}, 0.00, 0.40),
    "14 on one side": ({"mouthDimpleLeft": 1, "mouthDimpleRight": -1}, 0.03, 0.43),
    "15": ({"mouthFrownLeft": 0.5, "mouthFrownRight": 0.5}, 0.00, 0.40),
    "16": ({"mouthLowerDownLeft": 0.5, "mouthLowerDownRight": 0.5}, 0.00, 0.46),
    "17": ({"mouthShrugLower": 1}, 0.09, 0.66),
    "20": ({"mouthStretchLeft": 0.5, "mouthStretchRight": 0.5}, 0.00, 0.40),
    # ARKit has no lip tightener: narrowing the red of the lips shows as rolling them in.
    "23": ({"mouthRollLower": 0.5, "mouthRollUpper": 0.5}, 0.04, 0.44),
    "24": ({"mouthPressLeft": 0.5, "mouthPressRight": 0.5}, 0.26, 0.66),
    "26": ({"jawOpen": 1}, 0.01, 0.41),
}
"""For each action unit: the ARKit actions whose weighted sum, made positive, measures it; its rest and full levels."""

PROTOTYPES: dict[str, tuple[dict[str, float], float]] = {
    "happiness": ({"6": 0.3, "12": 1}, 1.0),
    "sadness": ({"1": 1, "2": -1, "4": 0.5, "5": -0.5, "15": 1, "17": 0.5}, 2.0),
    "surprise": ({"1": 0.5, "2": 0.5, "4": -1, "5": 1, "20": -1, "26": 1}, 2.0),
    "fear": ({"1": 0.5, "2": 0.5, "4": 0.5, "5": 0.5, "15": -0.5, "20": 1, "26": -1}, 2.0),
    "anger": ({"1": -1, "4": 1, "5": 0.5, "7": 1, "17": 0.5, "23": 1, "24": 1}, 3.0),
    "disgust": ({"9": 1.5, "10": 1, "15": 0.5, "16": 0.5, "17": 0.5}, 1.5),
    "contempt": ({"12 on one side": 1, "14 on one side": 1}, 2.0),
}
"""For each emotion: how much each action unit's evidence counts, and the sum that makes the emotion complete.

A negative count speaks against, and keeps prototypes that share actions apart: sadness raises the brow at its inner
end only (1 without 2), anger does not raise it, fear pulls it together (4) and stretches the mouth (20) where surprise
drops the jaw."""

CIRCUMPLEX: dict[str, tuple[float, float]] = {
    "happiness": (0.81, 0.51),
    "sadness": (-0.63, -0.27),
    "surprise": (0.40, 0.67),
    "fear": (-0.64, 0.60),
    "anger": (-0.51, 0.59),
    "disgust": (-0.60, 0.35),
    "contempt": (-0.24, 0.31),
}
"""Mean pleasure and arousal of each emotion's name, -1..1 (Russell and Mehrabian 1977, table 4)."""

FRAGMENT_EXPONENT = 2.0
"""Activation of an emotion is its share of the complete sum to this power: a fragment of a prototype, which is what
rest noise amounts to, counts for little. Happiness is exempt, since AU12 by itself is its prototype."""

_SMILE_EXCLUDES = ("sadness", "fear", "anger", "disgust", "contempt")  # AU12 is in none of these, seen on both sides


class PrototypeHead:
    """The `emfacs` head of the `open` basis."""

    name = "emfacs"
    basis: Basis = "open"

    def __init__(self) -> None:
        units, emotions = list(ACTION_UNITS), list(PROTOTYPES)
        self._measure = np.zeros((len(BLENDSHAPE_NAMES), len(units)), np.float32)  # [52, units]
        for unit, (weights, _, _) in ACTION_UNITS.items():
            for action, weight in weights.items():
                self._measure[BLENDSHAPE_NAMES.index(action), units.index(unit)] = weight
        self._rest = np.array([rest for _, rest, _ in ACTION_UNITS.values()], np.float32)
        self._range = np.array([full - rest for _, rest, full in ACTION_UNITS.values()], np.float32)
        self._share = np.zeros((len(units), len(emotions)), np.float32)  # [units, emotions]
        for emotion, (counts, complete) in PROTOTYPES.items():
            for unit, count in counts.items():
                self._share[units.index(unit), emotions.index(emotion)] = count / complete
        self._exponent = np.array([1.0 if e == "happiness" else FRAGMENT_EXPONENT for e in emotions], np.float32)
        self._excluded = np.array([float(e in _SMILE_EXCLUDES) for e in emotions], np.float32)
        self._places = np.array([CIRCUMPLEX[e] for e in emotions], np.float32)  # [emotions, 2]
        self._smile = units.index("12")
        design = json.dumps([ACTION_UNITS, PROTOTYPES, CIRCUMPLEX, FRAGMENT_EXPONENT, _SMILE_EXCLUDES])
        self.model_hash = hashlib.sha256(design.encode()).hexdigest()[:12]

    def __call__(self, params: Sequence[FlameParams]) -> list[Affect]:
        """Valence-arousal of each face, in order."""
        activations = self.activations(params)  # [B, 7]
        total = activations.sum(axis=1, keepdims=True)
        affects = activations @ self._places / np.maximum(total, 1.0)  # [B, 2]
        return [Affect(valence, arousal) for valence, arousal in affects.tolist()]

    def activations(self, params: Sequence[FlameParams]) -> FloatArray:
        """Activation [B, 7], 0..1, of each emotion of PROTOTYPES, in its order: what the affect is made of."""
        units = np.abs(actions(params) @ self._measure)  # [B, units]
        reach = np.clip((units - self._rest) / self._range, 0.0, 1.0)
        evidence = reach * reach * (3.0 - 2.0 * reach)
        complete = np.clip(evidence @ self._share, 0.0, 1.0)  # [B, 7]
        excluded: FloatArray = evidence[:, self._smile : self._smile + 1] * self._excluded
        activation: FloatArray = complete**self._exponent * (1.0 - excluded)
        return activation
