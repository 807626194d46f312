"""The 68 face points of iBUG (Sagonas et al., 2013), as points of MediaPipe's mesh of 478.

What SMIRK and the open head use: each is MediaPipe's point that lies nearest to what annotators of iBUG click on.
"""

import numpy as np

# fmt: off
CONTOUR = np.array((127, 234, 93, 58, 172, 136, 149, 176, 152, 400, 378, 365, 397, 288, 323, 454, 356))
STATIC = np.array((
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
    168, 197, 5, 4, 98, 97, 2, 326, 327,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 81, 13, 311, 308, 402, 14, 178,  # mouth
))
# fmt: on
"""The 17 points of the outline and the 51 inside it, from the subject's right to the left."""

IBUG = np.concatenate([CONTOUR, STATIC])
"""All 68, in iBUG's order."""
