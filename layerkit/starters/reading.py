"""The layer that reads samples, as YAML with a comment on each choice."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from layerkit.blob import shape_text
from layerkit.starters.facts import Facts
from layerkit.starters.model import Model
from layerkit.text import one_line

TEST_BATCH = 100


def reading(facts: Facts, model: Model) -> str:
    """The text of the Data layer, indented by four."""
    lines = [f"# {_about(facts)}", "- name: data", "  type: Data", "  top: [data, label]"]
    lines += [_field(name, value) for name, value in facts.written.items()]
    if not facts.divided:
        lines += ["  parts: {train: 0.8, test: 0.2}    # a fifth is kept for tests"]
        lines += ["  split: stratified                 # the same shares of every class"] * (facts.task == "classes")
    lines += [f"  batch_size: {{train: {facts.batch}, test: {TEST_BATCH}}}"]
    lines += _transforms(facts, model)
    return "".join(f"    {line}\n" for line in lines)


def _about(facts: Facts) -> str:
    shape = f"(batch, {shape_text(facts.seen).replace('x', ', ')})"  # as in (batch, 3, 32, 32)
    if facts.task == "text":
        return f"{shape}: numbers of characters or words, and as labels the same text one place later."
    return f"{shape}, brought to mean 0 and spread 1."


def _transforms(facts: Facts, model: Model) -> list[str]:
    """What is done to samples on their way, by the statistics of those that were looked at."""
    if facts.task == "text":
        return []
    said = {"type": "normalize", "mean": _numbers(facts.means), "std": _numbers(facts.stds)}
    normal = one_line(said)
    if facts.side is None and not (model.mirror and facts.shape[0] == 3):
        return ["  transform:", *_item(normal, 4)]
    lines = ["  transform:"]
    for phase in ("train", "test"):
        lines.append(f"    {phase}:")
        lines += [f"      - {each}" for each in _geometry(facts, model, phase)]
        lines += _item(normal, 6)
    return lines


def _item(text: str, indent: int) -> list[str]:
    """An item of a list, on as many lines as it takes: a table may have many columns."""
    before = " " * indent
    return textwrap.wrap(
        text,
        112,
        initial_indent=f"{before}- ",
        subsequent_indent=f"{before}   ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _geometry(facts: Facts, model: Model, phase: str) -> list[str]:
    """How images get their size; in training another piece of an image each time, so that it is never seen twice."""
    side = facts.side
    mirror = ["mirror"] if phase == "train" and model.mirror and facts.shape[0] == 3 else []
    if side is None:
        return mirror
    if phase == "train":
        return [f"{{type: random_resized_crop, size: {side}}}", *mirror]
    return [f"{{type: resize, size: {side * 9 // 8}}}", f"{{type: center_crop, size: {side}}}"]


def _numbers(values: Sequence[float]) -> Any:
    rounded = [float(f"{value:.4g}") for value in values]
    return rounded[0] if len(rounded) == 1 else rounded


def _field(name: str, value: Any) -> str:
    return f"  {name}: {one_line(value)}"
