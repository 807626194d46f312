"""Features on the way: what a job has done lies beside its output, so that it can go on where it stopped.

<output>.part is a line of JSON that says what the features are and of which pictures, and then a record for each
picture, in order.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.manifest import difference
from train.errors import TrainingError
from train.ig3d.features import CONTENT, FORMAT, Features, Origin, read_features

Records = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Job:
    """Features to be made."""

    folder: Path
    names: tuple[str, ...]
    origin: Origin
    out: Path

    @property
    def header(self) -> dict[str, Any]:
        """What pieces of the same features have in common."""
        return {"features": FORMAT, **asdict(self.origin), "images": list(self.names)}


def finished(job: Job) -> Features | None:
    """The features that a job has already made. Raises TrainingError when job.out is something else."""
    if not job.out.exists():
        return None
    features = read_features(job.out)
    _same(job.out, {"features": FORMAT, **asdict(features.origin), "images": list(features.names)}, job.header)
    return features


class PartFile:
    """What a job has done, and still does."""

    def __init__(self, job: Job) -> None:
        """Goes on with what is there; what was written of a last record when the power went is cut off.

        Raises TrainingError.
        """
        self.path = job.out.with_name(f"{job.out.name}.part")
        size = sum(job.origin.parts.values())
        self._kind = np.dtype([("state", "u1"), ("content", "u1", (CONTENT,)), ("vector", "<f4", (size,))])
        try:
            if not self.path.exists():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                draft = self.path.with_name(f"{self.path.name}.draft")
                draft.write_text(json.dumps(job.header) + "\n")
                draft.replace(self.path)
            with self.path.open("r+b") as file:
                _same(self.path, _header(self.path, file.readline()), job.header)
                self._start = file.tell()
                self.count = (self.path.stat().st_size - self._start) // self._kind.itemsize
                file.truncate(self._start + self.count * self._kind.itemsize)
        except OSError as error:
            raise self._unwritable(error) from error
        if self.count > len(job.names):
            raise TrainingError(f"{self.path}: more records than pictures; remove it to begin anew")

    def append(self, records: dict[str, npt.NDArray[Any]]) -> None:
        """Adds records of the next pictures. Raises TrainingError."""
        rows = np.zeros(len(records["state"]), self._kind)
        for name, values in records.items():
            rows[name] = values
        try:
            with self.path.open("ab") as file:
                file.write(rows.tobytes())
        except OSError as error:
            raise self._unwritable(error) from error
        self.count += len(rows)

    def read(self) -> Records:
        """All records."""
        return np.fromfile(self.path, self._kind, offset=self._start)

    def _unwritable(self, error: OSError) -> TrainingError:
        return TrainingError(f"{self.path}: cannot be written ({error.strerror}); free the disk or give another --out")


def _header(path: Path, line: bytes) -> dict[str, Any]:
    try:
        header = json.loads(line)
        if isinstance(header, dict) and "features" in header:
            return header
    except ValueError:
        pass
    raise TrainingError(f"{path}: not the beginning of a feature file; remove it or give another --out")


def _same(path: Path, found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Refuses what was made of other pictures, by another encoder or in another way, and says what differs."""
    found, expected = dict(found), dict(expected)
    before, now = found.pop("images", []), expected.pop("images")
    for header in (found, expected):
        header["parts"] = [list(part) for part in dict(header.get("parts") or {}).items()]  # their order counts
    differing = [difference(name, found.get(name), value) for name, value in expected.items()]
    if before != now:
        other = next((name for name, mine in zip(before, now, strict=False) if name != mine), None)
        at = f", {other} among them" if other is not None else ""
        differing.append(f"list of pictures ({len(before)}{at}, expected {len(now)})")
    reasons = ", another ".join(filter(None, differing))
    if reasons:
        raise TrainingError(f"{path}: of another {reasons}; remove it or give another --out")
