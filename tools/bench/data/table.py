"""From measured seconds an image to images a second, ratios and Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from bench.data.rows import ROWS
from bench.data.session import NETS
from bench.table import NONE, foreign, head, table

Results = Mapping[str, Any]


def markdown(results: Results) -> str:
    """The whole report."""
    parts = [head(results["machine"], f"{results['rounds']} rounds, medians.")]
    if results["rows"]:
        heads = ["read", "batch", "workers", "layerkit, images/s", "torch, images/s", "lead", "least", "most",
                 "cores others used: median, most"]  # fmt: skip
        parts.append(f"**Images read and transformed**\n\n{table(heads, _rows(results['rows']))}")
    if results["waiting"]:
        heads = ["net", "batch", "ms a step", "waiting for data"]
        parts.append(f"**Training**\n\n{table(heads, _waiting(results['waiting']))}")
    return "\n\n".join(parts) + "\n"


def rates(turns: Results) -> dict[str, float]:
    """Images a second of each side, in the median turn."""
    return {side: 1 / statistics.median(seconds) for side, seconds in turns.items()}


def leads(turns: Results) -> list[float]:
    """How many times as long torch takes as layerkit, round by round."""
    return [theirs / ours for ours, theirs in zip(turns["layerkit"], turns["torch"], strict=True)]


def _rows(rows: Results) -> Iterator[list[str]]:
    for name, found in rows.items():
        row = ROWS[name]
        if found.get("fault"):
            yield [f"{row.label}: {found['fault']}", str(row.batch), *[NONE] * 7]
            continue
        for workers, measured in found["workers"].items():
            rate, lead = rates(measured["turns"]), leads(measured["turns"])
            yield [
                row.label,
                str(row.batch),
                workers,
                *(f"{rate[side]:,.0f}" for side in ("layerkit", "torch")),
                *(f"{value:.2f}x" for value in (statistics.median(lead), min(lead), max(lead))),
                foreign(measured["foreign"]),
            ]


def _waiting(nets: Results) -> Iterator[list[str]]:
    for name, found in nets.items():
        batch = str(ROWS[NETS[name][1]].batch)
        if "fault" in found:
            yield [f"{name}: {found['fault']}", batch, NONE, NONE]
        else:
            yield [name, batch, f"{1000 * found['step_s']:.2f}", f"{found['share']:.1%}"]
