"""Errors of sources, sinks and configuration; the tree's root is in `models.errors`.

    FlamestreamError
    ├── ConfigError           a setting or argument that cannot work
    ├── SourceError           a file or camera
    │   ├── SourceInvalid         what is there is not a usable video
    │   └── SourceUnreachable     nothing answers, or it stopped answering (retryable)
    ├── RenderError           a video or picture of the result cannot be written
    └── SinkError             the Redis server
        ├── SinkRefused           the server answered no: password, permission, memory, key type
        └── SinkUnreachable       nothing answers (retryable)

No message ever holds a password: pass every URL through `stream.redact.redact` first.
"""

from models.errors import FlamestreamError


class ConfigError(FlamestreamError):
    """A setting or argument that cannot work."""


class SourceError(FlamestreamError):
    """A file or camera cannot be read."""


class SourceInvalid(SourceError):
    """What is there is not a usable video; trying again will not help."""


class SourceUnreachable(SourceError):
    """Nothing answers at that address, or it stopped answering."""

    retryable = True


class RenderError(FlamestreamError):
    """A video or picture of the result cannot be written."""


class SinkError(FlamestreamError):
    """Events cannot be published."""


class SinkRefused(SinkError):
    """The Redis server answered with a refusal that a retry will not change."""


class SinkUnreachable(SinkError):
    """No Redis server answers at that address, or it went away."""

    retryable = True
