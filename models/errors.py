"""The root of flamestream's error tree, and the errors of networks, assets and engines.

    FlamestreamError
    ├── AssetError            a file that must be fetched or supplied
    │   ├── AssetUnavailable      no source could be reached (retryable)
    │   └── AssetCorrupt          the bytes are not the ones that were promised
    ├── CheckpointError       weights that do not fit the network
    ├── GraphError            a .tflite graph that cannot be imported
    ├── EngineError           a network that cannot be compiled or loaded on this machine
    │   └── ParityError           a compiled network that disagrees with its float32 reference
    └── stream.errors         sources, sinks, configuration

Every message is one line that names the input, what was expected and what to do about it.
"""


class FlamestreamError(Exception):
    """Anything flamestream reports to its user; `retryable` tells whether trying again may help."""

    retryable: bool = False


class AssetError(FlamestreamError):
    """A file that must be fetched or supplied by the user is not usable."""


class AssetUnavailable(AssetError):
    """No source of an asset could be reached."""

    retryable = True


class AssetCorrupt(AssetError):
    """An asset's bytes do not have the promised sha256 or format."""


class CheckpointError(FlamestreamError):
    """A checkpoint does not hold exactly the tensors the network needs."""


class GraphError(FlamestreamError):
    """A .tflite graph holds something the importer does not know."""


class EngineError(FlamestreamError):
    """A network cannot be compiled or loaded on this machine."""


class ParityError(EngineError):
    """A compiled network's outputs leave the tolerance against eager float32."""
