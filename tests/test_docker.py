"""The images of docker/, as far as they can be tested without Docker: every file they name, every command they run."""

import fnmatch
import os
import re
import shlex
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from stream.__main__ import app
from stream.config import load_settings

REPOSITORY = Path(__file__).parents[1]
DOCKER = REPOSITORY / "docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
LOCKS = {"cpu": "requirements.lock", "gpu": "requirements-gpu.lock"}
PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ ]+)", re.MULTILINE)


@dataclass(frozen=True)
class Instruction:
    stage: int
    name: str
    value: str


def parse(dockerfile: Path) -> list[Instruction]:
    """Its instructions, with comments gone and continued lines joined."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    instructions, stage = [], -1
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, value = line.partition(" ")
        stage += name == "FROM"
        instructions.append(Instruction(stage, name, value.strip()))
    return instructions


def ignored(path: Path) -> bool:
    """Whether .dockerignore keeps a file of the repository away from the build. The last rule that fits decides."""
    relative = path.relative_to(REPOSITORY)
    places = [relative, *relative.parents][:-1]
    result = False
    for line in (REPOSITORY / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        rule, keeps = line.removeprefix("!"), line.startswith("!")
        if any(_fits(place, rule) for place in places):
            result = not keeps
    return result


def _fits(place: Path, rule: str) -> bool:
    if rule.startswith("**/"):
        return fnmatch.fnmatch(place.name, rule.removeprefix("**/"))
    return len(place.parts) == len(Path(rule).parts) and fnmatch.fnmatch(str(place), rule)


def own_copies(dockerfile: Path) -> list[list[str]]:
    """Arguments of each COPY from the repository."""
    copies = [shlex.split(part.value) for part in parse(dockerfile) if part.name == "COPY"]
    return [arguments for arguments in copies if not arguments[0].startswith("--from=")]


def variables(dockerfile: Path) -> dict[str, str]:
    """Values of ARG and ENV."""
    found: dict[str, str] = {}
    for part in parse(dockerfile):
        if part.name in ("ARG", "ENV"):
            found.update(word.split("=", 1) for word in shlex.split(part.value))
    return found


def locked(lock: str) -> dict[str, set[str]]:
    """Versions of each package; there are several where they differ by Python or platform."""
    found: dict[str, set[str]] = {}
    for name, version in PINNED.findall((REPOSITORY / lock).read_text()):
        found.setdefault(name, set()).add(version)
    return found


def run_build_stage(dockerfile: Path, folder: Path, **arguments: str) -> list[list[str]]:
    """Runs every RUN of the first stage under sh, in `folder` with what COPY brings; the installers that it called.

    Installers are stand-ins that only note how they were called: nothing is installed.
    """
    programs, calls = folder / "programs", folder / "calls"
    programs.mkdir(parents=True)
    for name in ("pip", "uv", "python"):
        script = programs / name
        script.write_text(
            f'#!/bin/sh\nfor word in {name} "$@"; do printf "%s\\n" "$word"; done >> {calls}\necho >> {calls}\n'
        )
        script.chmod(0o755)
    for *sources, _ in own_copies(dockerfile):
        for source in sources:
            if (REPOSITORY / source).is_file():
                (folder / source).write_bytes((REPOSITORY / source).read_bytes())
    environment = {**variables(dockerfile), **arguments, "PATH": f"{programs}:{os.environ['PATH']}"}
    for part in parse(dockerfile):
        if part.name == "RUN" and part.stage == 0:
            subprocess.run(["/bin/sh", "-euc", part.value], cwd=folder, env=environment, check=True)
    return [call.split("\n") for call in calls.read_text().strip().split("\n\n")]


@pytest.fixture(params=DOCKERFILES, ids=lambda path: path.name)
def dockerfile(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_both_images_are_there() -> None:
    assert [path.name for path in DOCKERFILES] == ["cpu.Dockerfile", "gpu.Dockerfile"]


def test_everything_that_is_copied_exists_and_reaches_the_build(dockerfile: Path) -> None:
    sources = [source for arguments in own_copies(dockerfile) for source in arguments[:-1]]
    assert {"pyproject.toml", "README.md", "models", "stream", "train"} <= set(sources)
    for source in sources:
        path = REPOSITORY / source
        assert path.exists(), source
        files = [path] if path.is_file() else [file for file in path.rglob("*") if "__pycache__" not in file.parts]
        lost = [file for file in files if ignored(file)]
        assert not lost, f".dockerignore keeps {lost[:3]} away from COPY {source}"


def test_every_package_of_the_wheel_is_copied(dockerfile: Path) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    copied = {source for arguments in own_copies(dockerfile) for source in arguments[:-1]}
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= copied
    assert project["project"]["readme"] in copied


@pytest.mark.parametrize(
    "path", [".git/HEAD", ".venv/bin/python", "models/__pycache__/spec.pyc", "tests/conftest.py", "docker/run.toml"]
)
def test_what_no_image_needs_stays_outside(path: str) -> None:
    assert ignored(REPOSITORY / path)


def test_images_and_tools_are_pinned(dockerfile: Path) -> None:
    bases = [part.value.split()[0] for part in parse(dockerfile) if part.name == "FROM"]
    assert len(set(bases)) == 1, "what one stage installs must fit the other"
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", bases[0])
    makefile = (REPOSITORY / "Makefile").read_text()
    (uv,) = {word for part in parse(dockerfile) for word in part.value.split() if word.startswith("uv==")}
    assert uv in makefile, "the images install with another uv than the Makefile"


def test_every_command_is_one_that_a_shell_can_read(dockerfile: Path) -> None:
    for part in parse(dockerfile):
        if part.name == "RUN":
            subprocess.run(["/bin/sh", "-n", "-c", part.value], check=True)


def test_it_is_the_command_and_never_root(dockerfile: Path) -> None:
    last = {part.name: part.value for part in parse(dockerfile) if part.stage == 1}
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last["USER"])
    assert f"--uid {last['USER'].split(':')[0]} " in " ".join(p.value for p in parse(dockerfile) if p.name == "RUN")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert last["ENTRYPOINT"] == '["flamestream"]'
    assert "flamestream" in project["scripts"]
    found = variables(dockerfile)
    assert last["VOLUME"] == found["FLAMESTREAM_CACHE"]
    assert found["PATH"].startswith(found["VIRTUAL_ENV"])


def test_the_cpu_image_installs_what_is_locked_but_for_cuda(tmp_path: Path) -> None:
    calls = run_build_stage(DOCKER / "cpu.Dockerfile", tmp_path)
    (from_lock,) = (call for call in calls if "--require-hashes" in call)
    assert from_lock == ["uv", "pip", "install", "--no-deps", "--require-hashes", "-r", "cpu.lock"]
    whole, kept = locked(LOCKS["cpu"]), dict(PINNED.findall((tmp_path / "cpu.lock").read_text()))
    gone = set(whole) - set(kept)
    assert {"torch", "torchvision", "triton", "nvidia-cudnn-cu13"} <= gone
    assert not [name for name in gone if not re.match(r"torch|torchvision|triton|nvidia-|cuda-", name)]
    assert not [name for name in kept if re.match(r"nvidia-|cuda-", name)]
    assert not re.search(r"^ +--hash.*\n[^ #]+==\S+ *$", (tmp_path / "cpu.lock").read_text(), re.MULTILINE)

    (torch,) = (call for call in calls if "--index-url" in call)
    index = torch.index("--index-url")
    assert torch[index + 1] == variables(DOCKER / "cpu.Dockerfile")["TORCH_INDEX"]
    assert torch[index + 2 :] == [f"{name}=={version}" for name in ("torch", "torchvision") for version in whole[name]]
    assert calls[-1] == ["uv", "pip", "install", "--no-deps", "."]


def test_the_gpu_image_installs_its_lock_then_tensorrt(tmp_path: Path) -> None:
    calls = run_build_stage(DOCKER / "gpu.Dockerfile", tmp_path / "with")
    assert ["uv", "pip", "install", "--no-deps", "--require-hashes", "-r", "requirements-gpu.lock"] in calls
    (tensorrt,) = (call for call in calls if "--index-url" in call)
    version = variables(DOCKER / "gpu.Dockerfile")["TENSORRT"]
    names = ["tensorrt-cu13", "tensorrt-cu13-bindings", "tensorrt-cu13-libs"]
    assert tensorrt[-3:] == [f"{name}=={version}" for name in names]

    without = run_build_stage(DOCKER / "gpu.Dockerfile", tmp_path / "without", TENSORRT="")
    assert without == [call for call in calls if call is not tensorrt]


def test_the_gpu_lock_is_the_other_one_and_the_extra() -> None:
    base, gpu = locked(LOCKS["cpu"]), locked(LOCKS["gpu"])
    differing = {name for name in base if base[name] != gpu.get(name)}
    assert not differing, "run `make lock`"
    extra = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]["gpu"]
    wanted = {re.split(r"[<>=!~;\[ ]", requirement)[0] for requirement in extra}
    assert wanted <= set(gpu), "run `make lock`"
    assert not [name for name in gpu if name.startswith("tensorrt")], "those cannot be locked; see gpu.Dockerfile"


def test_the_gpu_image_is_shown_nvdec() -> None:
    capabilities = variables(DOCKER / "gpu.Dockerfile")["NVIDIA_DRIVER_CAPABILITIES"].split(",")
    assert {"compute", "video", "utility"} <= set(capabilities)


def compose(name: str) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: the compose files are not read")
    document: dict[str, Any] = yaml.safe_load((DOCKER / name).read_text())
    return document


def test_compose_names_files_that_exist_and_pinned_images() -> None:
    services = compose("compose.yaml")["services"]
    over = compose("compose.gpu.yaml")["services"]
    assert set(over) <= set(services)
    assert re.fullmatch(r"valkey/valkey:\d+\.\d+\.\d+-\w+", services["redis"]["image"])
    for service in (services["flamestream"], {**services["flamestream"], **over["flamestream"]}):
        assert (REPOSITORY / service["build"]["dockerfile"]).is_file()
    assert (DOCKER / services["flamestream"]["build"]["context"]).resolve() == REPOSITORY
    for published in services["redis"]["ports"]:
        assert published.startswith("127.0.0.1:"), "a server without a password is open to the network"


def test_the_command_of_compose_is_one_that_flamestream_takes() -> None:
    service = compose("compose.yaml")["services"]["flamestream"]
    mounted = {target: DOCKER / source for source, target, *_ in (v.split(":") for v in service["volumes"])}
    arguments = [str(mounted.get(word, word)) for word in service["command"]]
    command: Any = typer.main.get_command(app)
    name, run, rest = command.resolve_command(command.make_context("flamestream", list(arguments)), arguments)
    with run.make_context(name, rest) as context:
        config = context.params["config"]
    assert config.is_file()
    settings = load_settings(config, {"redis": service["environment"]["FLAMESTREAM_REDIS"]})
    assert [source.name for source in settings.sources] == ["camera"]
    assert settings.redis is not None


def test_the_parser_reads_what_docker_reads(tmp_path: Path) -> None:
    (tmp_path / "x.Dockerfile").write_text("# a\nFROM b AS c\nRUN d \\\n    # e\n    && f\nFROM g\nCOPY --from=c h i\n")
    assert parse(tmp_path / "x.Dockerfile") == [
        Instruction(0, "FROM", "b AS c"),
        Instruction(0, "RUN", "d      && f"),
        Instruction(1, "FROM", "g"),
        Instruction(1, "COPY", "--from=c h i"),
    ]
    assert own_copies(tmp_path / "x.Dockerfile") == []
