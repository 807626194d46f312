"""What the checks say together: whether a run works here, what with, and what to do about the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stream.ops.check import Result

PLAN = "run"
"""Name of the check that tells what a run would choose; it is the last line, and no row of the table."""
ENGINE_CHECKS = {
    "openvino": "OpenVINO",
    "torch": "PyTorch",
    "inductor": "inductor",
    "tensorrt": "TensorRT",
    "tensorrt-rtx": "TensorRT-RTX",
}
"""Engine: the check that looks at it."""
FALLBACK = {"cpu": "--engine torch", "cuda": "--engine inductor, --engine torch or --device cpu"}
"""Kind of device: what to give `flamestream run` when the engine it would choose does not work."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The results of all checks."""

    rows: tuple[Result, ...]
    """Without the plan."""
    plan: Result

    @property
    def obstacles(self) -> list[str]:
        """Why `flamestream run` does not work here; empty when it does."""
        found = [f"{row.check.name}: {row.finding.detail}" for row in (*self.rows, self.plan) if row.finding.blocks]
        engine = self.plan.finding.facts.get("engine")
        for row in self.rows:
            chosen = engine is not None and row.check.name == ENGINE_CHECKS[engine]
            if chosen and row.finding.status != "works" and not row.finding.blocks:
                device = self.plan.finding.facts["device"].partition(":")[0]
                found.append(f"engine {engine} is what a run would choose, but does not work; use {FALLBACK[device]}")
        return found

    @property
    def ok(self) -> bool:
        """Whether a run without options works here, with an embedded server or the one that was named."""
        return not self.obstacles

    def last_words(self) -> str:
        """One line: what a run will use, or why it will not run."""
        if self.ok:
            return f"flamestream run will use: {self.plan.finding.detail}"
        return f"flamestream run does not work here: {'; '.join(self.obstacles)}"

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON types."""
        return {
            "ok": self.ok,
            "run": self.plan.finding.facts if self.ok else None,
            "obstacles": self.obstacles,
            "checks": [
                {
                    "name": row.check.name,
                    "status": row.finding.status,
                    "detail": row.finding.detail,
                    "remedy": row.finding.remedy,
                    "blocks": row.finding.blocks,
                    "facts": row.finding.facts,
                    "seconds": round(row.elapsed_s, 3),
                }
                for row in self.rows
            ],
        }


def diagnose(results: Sequence[Result]) -> Diagnosis:
    """The diagnosis of results, one of which is the plan."""
    (plan,) = (result for result in results if result.check.name == PLAN)
    return Diagnosis(tuple(result for result in results if result is not plan), plan)
