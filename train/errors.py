"""Errors of training and of making what is trained on."""

from models.errors import FlamestreamError


class TrainingError(FlamestreamError):
    """Training, or an evaluation of what was trained, cannot be done."""


class MediaError(TrainingError):
    """A picture or clip that is to be learnt from, or a folder of them, is not there or cannot be read."""
