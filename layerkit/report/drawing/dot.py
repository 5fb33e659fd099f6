"""A picture as a text in DOT, for Graphviz and whatever else reads it; Graphviz does the layout."""

from __future__ import annotations

from collections.abc import Iterator

from layerkit.report.drawing import palette, sizes
from layerkit.report.drawing.picture import Box, Picture


def write(picture: Picture, direction: str = "LR") -> str:
    """The graph; blocks that are unfolded become clusters."""
    return "\n".join(_lines(picture, direction)) + "\n"


def _lines(picture: Picture, direction: str) -> Iterator[str]:
    yield f"digraph {_quoted(picture.title)} {{"
    yield f"  graph [rankdir={direction}, label={_quoted(f'{picture.title} ({picture.subtitle})')}, labelloc=t];"
    yield '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=11];'
    yield f'  edge [fontname="Helvetica", fontsize=9, color="{palette.LINE}", fontcolor="{palette.QUIET}"];'
    for index, box in enumerate(picture.boxes):
        colour = palette.colour(box.family)
        looks = f'fillcolor="{colour.fill}", color="{colour.edge}", tooltip={_quoted(_tooltip(box))}'
        yield f"  n{index} [label={_quoted(_label(box))}, {looks}];"
    yield from _clusters(picture)
    for edge in picture.edges:
        about = f"label={_quoted(edge.shape)}, tooltip={_quoted(edge.ref.name)}"
        yield f"  n{edge.source} -> n{edge.target} [{about}];"
    yield "}"


def _clusters(picture: Picture) -> Iterator[str]:
    """One cluster inside the other, as blocks are used."""
    open_: tuple[str, ...] = ()
    order = sorted(range(len(picture.boxes)), key=lambda index: picture.boxes[index].frames)
    number = 0
    for index in order:
        frames = picture.boxes[index].frames
        same = 0
        while same < min(len(frames), len(open_)) and frames[same] == open_[same]:
            same += 1
        for depth in range(len(open_), same, -1):
            yield f"{'  ' * depth}}}"
        for depth in range(same, len(frames)):
            looks = f'label={_quoted(frames[depth])}; style="rounded,dashed"; color="#cbd5e1";'
            yield f"{'  ' * (depth + 1)}subgraph cluster{number} {{ {looks}"
            number += 1
        open_ = frames
        if frames:
            yield f"{'  ' * (len(frames) + 1)}n{index};"
    for depth in range(len(open_), 0, -1):
        yield f"{'  ' * depth}}}"


def _label(box: Box) -> str:
    strips = [sizes.strip_text(box, index) for index in range(len(box.strips))]
    return "\n".join([box.name, *box.lines, *(f"+ {strip}" for strip in strips)])


def _tooltip(box: Box) -> str:
    return "\n".join([box.tooltip, *(strip.tooltip for strip in box.strips)])


def _quoted(text: str) -> str:
    r"""A string in DOT: `\n` ends a line, `&` begins the name of a character."""
    escaped = text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
