"""What `flamestream doctor` looks at, and how what it sees is told."""

from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["works", "missing", "broken"]
"""missing: something it needs is not on this machine. broken: it is there, and does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look at the machine found. Texts hold no password: pass what others wrote through `stream.redact`."""

    status: Status
    detail: str
    """In a few words; one line for each of several devices."""
    remedy: str = ""
    """What to do, the exact command where there is one; empty when there is nothing to do."""
    blocks: bool = False
    """Whether `flamestream run` cannot work here before this is remedied."""
    facts: dict[str, Any] = field(default_factory=dict)
    """The same for machines, as JSON types."""


@dataclass(frozen=True, slots=True)
class Check:
    """One look at the machine, made in another process."""

    name: str
    probe: str
    """`module:function`, a function without arguments that returns a Finding."""
    lane: str = "host"
    """Checks of one lane share a process, one after the other: those that import the same heavy library."""
    needed: bool = False
    """Whether a run cannot do without what this looks at: then a crash or hang of the check blocks the run."""


@dataclass(frozen=True, slots=True)
class Result:
    """A check and what it found."""

    check: Check
    finding: Finding
    elapsed_s: float
