"""What `flamestream run` would choose on this machine, by the very functions that it uses to choose."""

import torch

from models.device import MemoryBudget, open_device
from models.engines.choose import choose_target
from stream.ingest.choose import choose_decoding
from stream.ingest.decoder import Decoding
from stream.ops.check import Finding

DECODED_BY = {"CpuDecoding": "CPU", "UploadDecoding": "CPU", "NvdecDecoding": "NVDEC", "GopDecoding": "DALI"}
"""Way to decode: what a run's report calls it."""


def plan() -> Finding:
    """Device, engine and decoding of a run without options. Raises EngineError, ConfigError when it could not start."""
    device = open_device("auto")
    target = choose_target("auto", "auto", device)
    choice = choose_decoding("auto", device, MemoryBudget(2**30))
    files, cameras = _decoded_by(choice.for_files, device), _decoded_by(choice.for_live, device)
    name = "CPU" if device.type == "cpu" else torch.cuda.get_device_name(device)
    facts = {
        "device": str(device),
        "device_name": name,
        "engine": target.runtime,
        "precision": target.precision,
        "decoding": {"files": files, "cameras": cameras},
    }
    where = name if device.type == "cpu" else f"{device} ({name})"
    decoding = f"decoding by {files}" if files == cameras else f"files decoded by {files}, cameras by {cameras}"
    detail = f"device {where}, engine {target.runtime} in {target.precision}, {decoding}"
    return Finding("works", detail, facts=facts)


def _decoded_by(way: Decoding, device: torch.device) -> str:
    """What decodes, the CPU in the place of an NVDEC that does not work: so does the run."""
    name = DECODED_BY[type(way).__name__]
    if name != "NVDEC":
        return name
    from stream.ingest.decode_gpu import probe

    why = probe(device)
    return name if why is None else f"CPU ({why})"
