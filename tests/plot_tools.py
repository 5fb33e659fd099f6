"""What the tests of plots share: records of runs that never ran, and what a reader finds in a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from layerkit.events import EventLog

SVG = "{http://www.w3.org/2000/svg}"
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


class Picture:
    """What a reader of the SVG finds in it."""

    def __init__(self, path: Path | str):
        self.root = ElementTree.parse(path).getroot()
        self.texts = [text.text for text in self.root.iter(f"{SVG}text")]

    @property
    def curves(self) -> dict[str, ElementTree.Element]:
        """The paths of curves by their ids."""
        groups = {group.get("id", ""): group for group in self.root.iter(f"{SVG}g")}
        return {name: next(group.iter(f"{SVG}path")) for name, group in groups.items() if name.startswith("curve-")}

    def points(self, name: str) -> list[tuple[float, float]]:
        """The corners of a curve, y growing upwards."""
        words = self.curves[name].get("d", "").replace("M", " ").replace("L", " ").split()
        return [(float(x), -float(y)) for x, y in zip(words[::2], words[1::2], strict=True)]
