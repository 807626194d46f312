"""Smoothing of valence and arousal: which filter, how long a time constant, and what that gains.

python -m benchmarks.smoothing TUNE.csv REPORT.csv                 settings from the first file, figures of the second
python -m benchmarks.smoothing TUNE.csv REPORT.csv --out x.json    keep the figures

The files are what `flamestream-train ig3d predict` writes of clips; rows of stills are left out.

Found on clips of people that nobody is (results/smoothing-synthetic-cpu2.json: 42 clips of 10 s, settings from 18
others; a 3D head of six epochs on smirk-open 2a3e4a3f809b), whose labels are not late. Mean CCC, 95 % over clips:
* Little is to be gained: raw 0.312, causal filters 0.323 to 0.328. The best EMA, 0.15 s, gains 0.015 (0.004 to 0.027)
  over raw, the Kalman filters 0.016 and 0.011, One-Euro 0.015 with a gain of 0, which makes it an EMA too.
* EMAs of 0.1 to 0.3 s are as good as each other: within 0.004 on the clips that settings are chosen on.
* For files a centred window of 0.6 s on either side gains 0.019 (0.003 to 0.036): looking ahead adds only 0.005 to EMA,
  but halves its jitter and does not lag.
* The shipped EMA of 0.8 s loses 0.036 (0.002 to 0.065) against raw and 0.051 (0.027 to 0.072) against 0.15 s: it trails
  the face by 0.5 s, and emotions here come and go in 0.3 to 0.8 s. It is the steadiest: a thirteenth of raw's jitter.
* Labels that are late turn this round. If the same truth were written down 0.6 to 1 s late, 0.8 s would gain 0.08 to
  0.13 over raw, and no constant that was chosen on the tuning clips would do better.
So 0.8 s is right to agree with people who annotate as they watch and react that late (see stream.emit.smooth), and for
displays that must not tremble. Who asks what a face shows at this moment sets `smoothing.affect_s` to 0.15.

The data, of which the network has seen neither clips nor people:
flamestream-train synthetic labelled --out seen --people 60 --clips 60 --frames 75 --size 112 --no-occluders
flamestream-train synthetic labelled --out new --people 0 --clips 60 --frames 250 --size 112 --no-occluders --seed 1
flamestream-train features SET --whole --out SET.safetensors       of both
flamestream-train ig3d train seen --kind 3d --epochs 6 --features seen.safetensors --out 3d.safetensors
flamestream-train ig3d predict 3d.safetensors new --split SPLIT --features new.safetensors --out SPLIT.csv
REPORT.csv is of the split train; TUNE.csv is of val, with the rows of test after it.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.figures import progress, write_json
from benchmarks.machine import describe_machine
from benchmarks.smoothing_clips import Clips, jitter, lag_s, late_truth, read_clips, refuse_shared
from benchmarks.smoothing_filters import EMA, RAW, SHIPPED, Candidate, DoubleArray, at_edge, candidates
from train.errors import TrainingError
from train.ig3d.bootstrap import Interval, Plan, bootstrap_affect, bootstrap_affect_difference
from train.ig3d.metrics import affect_agreement

FIGURES = ("valence ccc", "arousal ccc", "mean ccc")
DELAYS_S = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5)
"""By which people who annotate videos may trail what they see."""
FULL_REPEATS, QUICK_REPEATS = 2000, 200
_OTHERS = ("raw", "shipped")

console = Console(stderr=True)


def main() -> None:
    """Choose, measure, print a table, and write JSON when asked to."""
    arguments = _arguments()
    try:
        tune, report = read_clips(arguments.tune), read_clips(arguments.report)
        refuse_shared(tune, report)
        result = compare(tune, report, Plan(arguments.repeats, arguments.seed), quick=arguments.quick)
    except TrainingError as error:
        sys.exit(f"benchmark invalid: {error}")
    result["tune"], result["report"] = describe(arguments.tune, tune), describe(arguments.report, report)
    console.print(table_of(result), late_table_of(result))
    if arguments.out is not None:
        write_json(arguments.out, result)
    if arguments.json:
        sys.stdout.write(json.dumps(result) + "\n")


# Measuring


def compare(tune: Clips, report: Clips, plan: Plan, *, quick: bool = False) -> dict[str, Any]:
    """Every filter with the settings that were best on `tune`, measured on `report`; JSON types."""
    plan = Plan(plan.repeats, plan.seed, plan.confidence, report.groups)
    chosen: dict[str, Candidate] = {}
    tried: dict[str, list[dict[str, Any]]] = {}
    edges: dict[str, list[str]] = {}
    for name, all_tried in candidates(quick=quick).items():
        progress(f"smoothing: {name}, {len(all_tried)} tried")
        scores = [affect_agreement(tune.smoothed(one.smooth), tune.true).mean.ccc for one in all_tried]
        chosen[name] = all_tried[int(np.argmax(scores))]
        edges[name] = at_edge(chosen[name], all_tried)
        tried[name] = [{**one.settings, "ccc": round(s, 5)} for one, s in zip(all_tried, scores, strict=True)]
    smoothed = {name: report.smoothed(one.smooth) for name, one in chosen.items()}
    filters = []
    for name, one in chosen.items():
        found = smoothed[name]
        filters.append(
            {
                "filter": name,
                "settings": dict(one.settings),
                "at_the_edge_of_what_was_tried": edges[name],
                "looks_ahead_s": one.ahead_s,
                "ccc": _told(bootstrap_affect(found, report.true, plan)),
                "ccc_minus_raw": _told(bootstrap_affect_difference(found, smoothed[RAW], report.true, plan)),
                "ccc_minus_shipped": _told(bootstrap_affect_difference(found, smoothed[SHIPPED], report.true, plan)),
                "lag_s": lag_s(report, found),
                "jitter": round(jitter(report, found), 5),
                "tried_on_tune": tried[name],
            }
        )
    return {
        "benchmark": "smoothing",
        "chosen_by": "mean CCC of valence and arousal over all frames of the tuning clips",
        "bootstrap": {"over": "clips", "repeats": plan.repeats, "seed": plan.seed, "confidence": plan.confidence},
        "true_jitter": round(jitter(report, report.true), 5),
        "filters": filters,
        "late_labels": _late_labels(tune, report, plan, candidates(quick=quick)[EMA], smoothed),
        "machine": describe_machine(),
    }


def _late_labels(
    tune: Clips, report: Clips, plan: Plan, tried: Sequence[Candidate], smoothed: Mapping[str, DoubleArray]
) -> list[dict[str, Any]]:
    """Which EMA would be best if the same truth had been written down late; JSON types.

    A causal filter trails the face, and so do people who annotate: it may gain by waiting for them alone.
    """
    on_tune = [tune.smoothed(one.smooth) for one in tried]
    told = []
    for delay_s in DELAYS_S:
        late, true = late_truth(tune, delay_s), late_truth(report, delay_s)
        best = tried[int(np.argmax([affect_agreement(found, late).mean.ccc for found in on_tune]))]
        found = report.smoothed(best.smooth)
        row: dict[str, Any] = {"delay_s": delay_s, "settings": dict(best.settings)}
        row |= {"ccc": _told(bootstrap_affect(found, true, plan))["mean"]}
        for of, name in zip(_OTHERS, (RAW, SHIPPED), strict=True):
            row[f"ccc_minus_{of}"] = _told(bootstrap_affect_difference(found, smoothed[name], true, plan))["mean"]
        told.append(row)
    return told


def _told(intervals: dict[str, Interval]) -> dict[str, dict[str, float]]:
    named = {name.split()[0]: intervals[name] for name in FIGURES}
    return {
        name: {edge: round(getattr(one, edge), 5) for edge in ("value", "low", "high")} for name, one in named.items()
    }


# Telling


def describe(path: Path, clips: Clips) -> dict[str, Any]:
    """What a file holds, and its hash."""
    return {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "clips": len(clips.names),
        "frames": len(clips.times_s),
        "stills_left_out": clips.stills,
    }


def table_of(result: dict[str, Any]) -> Table:
    """The figures for people: CCC is the mean of valence's and arousal's."""
    tune, report, bootstrap = result["tune"], result["report"], result["bootstrap"]
    table = Table("filter", "settings", title=f"smoothing: {report['frames']} frames of {report['clips']} clips")
    for column in ("CCC", "less raw", "less shipped", "lag, s", "jitter"):
        table.add_column(column, justify="right")
    table.caption = (
        f"Settings of the best mean CCC on {tune['clips']} other clips (!: at the edge of what was tried). "
        f"{bootstrap['confidence']:.0%} intervals of {bootstrap['repeats']} resamples of clips. "
        f"The truth's jitter is {result['true_jitter']:.4f}."
    )
    for row in result["filters"]:
        edges = row["at_the_edge_of_what_was_tried"]
        settings = [f"{name} {value:g}{'!' * (name in edges)}" for name, value in row["settings"].items()]
        ahead = f"\nlooks {row['looks_ahead_s']:g} s ahead" if row["looks_ahead_s"] else ""
        ours = (_cell(row["ccc"]["mean"], ""), *(_cell(row[f"ccc_minus_{of}"]["mean"], "+") for of in _OTHERS))
        table.add_row(
            f"{row['filter']}{ahead}", "\n".join(settings), *ours, f"{row['lag_s']:g}", f"{row['jitter']:.4f}"
        )
    return table


def late_table_of(result: dict[str, Any]) -> Table:
    """For people, which EMA would be best for labels that are late."""
    table = Table("labels late by, s", "best EMA, s", title="if the labels trailed the face")
    for column in ("CCC", "less raw", "less shipped"):
        table.add_column(column, justify="right")
    for row in result["late_labels"]:
        ours = (_cell(row["ccc"], ""), *(_cell(row[f"ccc_minus_{of}"], "+") for of in _OTHERS))
        table.add_row(f"{row['delay_s']:g}", *(f"{value:g}" for value in row["settings"].values()), *ours)
    return table


def _cell(one: dict[str, float], sign: str) -> str:
    return f"{one['value']:{sign}.4f}\n{one['low']:{sign}.4f}..{one['high']:{sign}.4f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tune", type=Path, metavar="TUNE.csv", help="predictions that settings are chosen on")
    parser.add_argument(
        "report", type=Path, metavar="REPORT.csv", help="predictions of other clips, which are reported"
    )
    parser.add_argument("--repeats", type=int, help=f"of the intervals [{FULL_REPEATS}; --quick: {QUICK_REPEATS}]")
    parser.add_argument("--seed", type=int, default=0, help="of the resamples")
    parser.add_argument("--quick", action="store_true", help="a third of the settings")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, too")
    parser.add_argument("--out", type=Path, help="write the figures as JSON to this file")
    arguments = parser.parse_args()
    arguments.repeats = arguments.repeats or (QUICK_REPEATS if arguments.quick else FULL_REPEATS)
    return arguments


if __name__ == "__main__":
    main()
