"""From measured seconds an image to images a second, ratios and Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from bench.data.rows import ROWS
from bench.data.session import NETS
from bench.table import NONE, foreign, head, in_rounds, table

Results = Mapping[str, Any]


def markdown(results: Results) -> str:
    """The whole report."""
    parts = [head(results["machine"], f"{results['rounds']} rounds, medians.")]
    if results["rows"]:
        heads = [
            "read", "batch", "workers", "threads, images/s", "processes, images/s", "torch, images/s",
            "lead of threads", "lead of processes", "cores others used: median, most",
        ]  # fmt: skip
        parts.append(f"**Images read and transformed**\n\n{table(heads, _rows(results['rows']))}")
    if results["waiting"]:
        heads = ["net", "batch", "ms a step", "waiting for data"]
        parts.append(f"**Training**\n\n{table(heads, _waiting(results['waiting']))}")
    return "\n\n".join(parts) + "\n"


def _rows(rows: Results) -> Iterator[list[str]]:
    for name, found in rows.items():
        row = ROWS[name]
        if found.get("fault"):
            yield [f"{row.label}: {found['fault']}", str(row.batch), *[NONE] * 7]
            continue
        for workers, measured in found["workers"].items():
            turns = measured["turns"]
            yield [
                row.label,
                str(row.batch),
                workers,
                *(f"{1 / statistics.median(seconds):,.0f}" for seconds in turns.values()),
                *(in_rounds(turns[side], turns["torch"]) for side in ("threads", "processes")),
                foreign(measured["foreign"]),
            ]


def _waiting(nets: Results) -> Iterator[list[str]]:
    for name, found in nets.items():
        batch = str(ROWS[NETS[name][1]].batch)
        if "fault" in found:
            yield [f"{name}: {found['fault']}", batch, NONE, NONE]
        else:
            yield [name, batch, f"{1000 * found['step_s']:.2f}", f"{found['share']:.1%}"]
