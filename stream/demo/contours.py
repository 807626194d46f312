"""Which of MediaPipe's 478 landmarks are neighbours along the features of a face; closed lines end where they begin."""

Contour = tuple[int, ...]

# fmt: off
OVAL: Contour = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109, 10,
)
LEFT_EYE: Contour = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466, 263)
RIGHT_EYE: Contour = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246, 33)
LEFT_BROW: Contour = (300, 293, 334, 296, 336)
RIGHT_BROW: Contour = (70, 63, 105, 66, 107)
OUTER_LIPS: Contour = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185, 61,
)
INNER_LIPS: Contour = (
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191, 78,
)
RIGHT_IRIS: Contour = (469, 470, 471, 472, 469)
LEFT_IRIS: Contour = (474, 475, 476, 477, 474)
# fmt: on

CONTOURS = (OVAL, LEFT_EYE, RIGHT_EYE, LEFT_BROW, RIGHT_BROW, OUTER_LIPS, INNER_LIPS, RIGHT_IRIS, LEFT_IRIS)
"""Left and right are the subject's own."""
