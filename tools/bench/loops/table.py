"""From measured seconds to milliseconds, ratios and Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from bench.loops.cells import ROWS, STEPS
from bench.table import NONE, digits, foreign, head, in_rounds, table

ENGINES = ("onednn", "numpy")
Results = Mapping[str, Any]


def markdown(results: Results) -> str:
    """The whole report."""
    heads = [
        "cell", "batch", "units", "engine", "forward, ms: layer", "body", "body by layer",
        "with backward, ms: layer", "body", "body by layer", "at most", "cores others used: median, most",
    ]  # fmt: skip
    top = head(results["machine"], f"{results['rounds']} rounds, medians.")
    title = f"**Recurrent cells over {STEPS} steps: bodies beside the built-in layers**"
    return f"{top}\n\n{title}\n\n{table(heads, _rows(results['rows']))}\n"


def _rows(rows: Results) -> Iterator[list[str]]:
    for name, found in rows.items():
        row = ROWS[name]
        size = [str(row.batch), str(row.units)]
        if found["fault"]:
            yield [f"{row.cell.type}: {found['fault']}", *size, *[NONE] * 9]
            continue
        for engine in ENGINES:
            layer, body = (found["turns"][f"{engine}-{form}"] for form in ("layer", "body"))
            cells = []
            for work in ("forward", "both"):
                cells += [digits(1000 * statistics.median(turns[work])) for turns in (layer, body)]
                cells.append(in_rounds(layer[work], body[work]))
            target = NONE if row.target is None else f"{row.target:g}x"
            yield [row.cell.type, *size, engine, *cells, target, foreign(found["foreign"])]
