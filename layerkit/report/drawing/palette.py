"""The colours of every picture: of layers, by family, and of curves."""

from __future__ import annotations

from typing import NamedTuple

INK, QUIET, LINE, PAPER = "#1e293b", "#64748b", "#7c8aa0", "#ffffff"
VALUE, DERIVATIVE = "#15803d", "#be123c"
"""What is written above and below an edge, where both are."""


class Colour(NamedTuple):
    """What a box is filled and edged with; INK can be read on every fill."""

    fill: str
    edge: str


_FAMILIES = {
    "data": Colour("#e2e8f0", "#64748b"),
    "vision": Colour("#dbeafe", "#3b82f6"),
    "linear": Colour("#e0e7ff", "#6366f1"),
    "activation": Colour("#fef3c7", "#e0a100"),
    "normalization": Colour("#d1fae5", "#10a36f"),
    "shape": Colour("#f1f5f9", "#94a3b8"),
    "recurrent": Colour("#f3e8ff", "#a855f7"),
    "attention": Colour("#ffedd5", "#f07818"),
    "detection": Colour("#ecfccb", "#76a80c"),
    "loss": Colour("#fee2e2", "#e04848"),
    "metric": Colour("#fce7f3", "#dd4a98"),
    "primitive": Colour("#fef9c3", "#ca9a04"),
    "weight": Colour("#cffafe", "#0891b2"),
    "output": Colour("#ffffff", "#94a3b8"),
}
_OTHER = Colour("#f5f5f4", "#78716c")
_OF_CURVES = ("vision", "attention", "normalization", "recurrent", "loss", "detection", "metric", "data")
CURVES = tuple(_FAMILIES[family].edge for family in _OF_CURVES)
"""Those of curves, in the order in which they are taken; next to each other they are told apart at a glance."""


def colour(family: str) -> Colour:
    """The colour of a family; grey for layers that came by a plug-in."""
    return _FAMILIES.get(family, _OTHER)
