"""Records of runs that never ran, for tests of plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from layerkit.events import EventLog

SWEEP = ("lr=0.1", "lr=1e1", "lr=0.02")


def record(
    folder: Path,
    displays: Sequence[tuple[int, float | None]],
    *,
    tests: Sequence[tuple[int, float, float]] = (),
    loss: str = "loss",
    **about: Any,
) -> Path:
    """Write the log of a run: its displays (iteration, loss) and tests (iteration, loss, accuracy) in turn.

    An iteration takes two seconds, the learning rate falls as 1/iteration, and the gradients' norm is the loss.
    """
    log = EventLog(folder / "events.jsonl")
    log.emit("start", 0, time=1000.0, **about)
    entries = [(at, 1, [value]) for at, value in displays] + [(at, 0, list(values)) for at, *values in tests]
    for at, is_display, values in sorted(entries, key=lambda entry: entry[:2]):
        if is_display:
            fields = {"lr": 0.1 / (1 + at), "grad_norm": values[0], "outputs": {loss: values[0]}}
            log.emit("display", at, time=1000.0 + 2 * at, loss=values[0], **fields)
        else:
            outputs = {loss: values[0], "accuracy": values[1]}
            log.emit("test", at, time=1000.0 + 2 * at, outputs=outputs, samples=9)
    return folder
