"""How large boxes, tags and labels are, in pixels."""

from __future__ import annotations

from layerkit.report.drawing.lettering import LINE, shorten, width
from layerkit.report.drawing.picture import Box

NAME, TEXT, LABEL = 13.0, 11.0, 10.0
"""Font sizes of names, of what stands under them, and of the shapes on edges."""
BELOW = 16.0
"""From the baseline of what is written above an edge to that of what is written below it."""
MARGIN = 11.0
"""Between a box's edge and its text."""
STRIP = 20.0
"""Height of a strip."""
CARDS = 4.0
"""By how much the second card of a folded block shows."""


def head(box: Box) -> float:
    """Height of a box without its strips."""
    return 2 * MARGIN - 4 + (NAME + TEXT * len(box.lines)) * LINE


def box_size(box: Box) -> tuple[float, float]:
    """Width and height of a box."""
    texts = [width(shorten(box.name), NAME, bold=True)]
    texts += [width(shorten(line), TEXT) for line in box.lines]
    texts += [width(strip_text(box, index), TEXT) for index in range(len(box.strips))]
    return max(72.0, max(texts) + 2 * MARGIN), head(box) + STRIP * len(box.strips)


def strip_text(box: Box, index: int) -> str:
    """What stands in a strip."""
    strip = box.strips[index]
    return shorten(f"{strip.type} {strip.gist}".rstrip())


def tag_size(text: str) -> tuple[float, float]:
    """Width and height of a tag."""
    return width(shorten(text), LABEL) + 14, 18.0


def label_width(text: str) -> float:
    """Width of a shape on an edge."""
    return width(text, LABEL)
