"""Comments of a YAML file on their way to prototxt: those that stand alone on a line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from layerkit import text
from layerkit.convert.proto_text import COMMENT, Message
from layerkit.graph.blocks import Flat
from layerkit.text import Map

_SOLVER = "solver"


@dataclass
class Comments:
    """Each comment with what stands behind it."""

    heading: list[str] = field(default_factory=list)
    """In front of everything, apart from the first layer."""
    layers: dict[str, list[str]] = field(default_factory=dict)
    """In front of each layer, or in it, by its name."""
    ending: list[str] = field(default_factory=list)
    """Behind all layers."""
    settings: dict[str, list[str]] = field(default_factory=dict)
    """In front of each setting of the solver, by its name; behind all of them under an empty name."""


def read(source: Path, flats: Iterable[Flat]) -> Comments:
    """The comments of a file that was loaded, and of that in which its layers `flats` stand."""
    found, tree = Comments(), text.load(source)
    settings = tree.get(_SOLVER)
    layers = {name: (first, last, file) for name, first, last, file in map(_span, flats)}
    files = {file for _, _, file in layers.values() if file is not None}
    for path in sorted({str(source)} | files):
        spans = sorted((first, last, name) for name, (first, last, file) in layers.items() if file == path)
        standing = text.comments(Path(path).read_text(encoding="utf-8-sig"))
        for line, comment in standing.items():
            if path == str(source) and isinstance(settings, Map) and _owner(tree, line, standing) == _SOLVER:
                found.settings.setdefault(_next_key(settings, line), []).append(comment)
            elif not spans or (line < spans[0][0] and _is_apart(line, standing, spans[0][0])):
                found.heading.append(comment)
            elif behind := next((name for _, last, name in spans if line <= last), None):
                found.layers.setdefault(behind, []).append(comment)
            else:
                found.ending.append(comment)
    return found


def lines(comments: Iterable[str]) -> Message:
    """The comments as lines of a message."""
    return [(COMMENT, comment.strip()) for comment in comments]


def _span(flat: Flat) -> tuple[str, int, int, str | None]:
    """A layer's name, its first and last line, and its file; of one out of a block the place that uses it."""
    tree = flat.tree
    uses = [use.mark for use in flat.uses if use.mark is not None]
    places = uses[:1] or [mark for mark in (tree.mark, *tree.key_marks.values(), *tree.value_marks.values()) if mark]
    first = min((mark.line for mark in places), default=0)
    return str(tree["name"]), first, max((mark.line for mark in places), default=0), places[0].file if places else None


def _owner(tree: Map, line: int, standing: dict[int, str]) -> str | None:
    """The key at the file's top that a comment stands behind, or directly in front of."""
    for key, mark in tree.key_marks.items():
        if line < mark.line and standing[line][0] == "#" and not _is_apart(line, standing, mark.line):
            return key
    above = [(mark.line, key) for key, mark in tree.key_marks.items() if mark.line <= line]
    return max(above)[1] if above else None


def _next_key(settings: Map, line: int) -> str:
    behind = [(mark.line, key) for key, mark in settings.key_marks.items() if mark.line > line]
    return min(behind)[1] if behind else ""


def _is_apart(line: int, standing: dict[int, str], below: int) -> bool:
    """Whether a comment is none of those that stand directly above a line."""
    return any(between not in standing for between in range(line + 1, below))
