"""Where every frame went: received = published + no_face + dropped, per source."""

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class SourceAccount:
    """The frames of one source, by what became of them."""

    received: int = 0
    """Frames the source delivered or had to give up."""
    published: int = 0
    """Frames with at least one face whose every entry the server has acknowledged."""
    no_face: int = 0
    """Frames without a face: nothing to publish."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Frames that were given up, by reason."""

    @property
    def in_flight(self) -> int:
        """Frames still on their way; 0 once a run has ended."""
        return self.received - self.published - self.no_face - sum(self.dropped.values())


class Ledger:
    """Accounts of every source of a run; safe to use from any thread."""

    def __init__(self) -> None:
        self._accounts: dict[str, SourceAccount] = {}
        self._lock = threading.Lock()

    def open(self, source: str) -> None:
        """Start an account, so that a source that never delivers is reported too."""
        with self._lock:
            self._accounts.setdefault(source, SourceAccount())

    def received(self, source: str) -> None:
        """One frame came in."""
        with self._lock:
            self._accounts[source].received += 1

    def lost_in_source(self, source: str, reason: str, count: int) -> None:
        """The source gave up frames before they became pictures: received and dropped at once."""
        with self._lock:
            self._accounts[source].received += count
            self._accounts[source].dropped[reason] += count

    def dropped(self, source: str, reason: str, count: int = 1) -> None:
        """Frames that had been received were given up."""
        with self._lock:
            self._accounts[source].dropped[reason] += count

    def no_face(self, source: str) -> None:
        """A frame held no face."""
        with self._lock:
            self._accounts[source].no_face += 1

    def published(self, source: str, count: int = 1) -> None:
        """Every entry of these frames is on the server."""
        with self._lock:
            self._accounts[source].published += count

    def account(self, source: str) -> SourceAccount:
        """A copy of one account."""
        with self._lock:
            kept = self._accounts[source]
            return SourceAccount(kept.received, kept.published, kept.no_face, Counter(kept.dropped))
