"""A picture as PNG: the SVG, rendered by resvg, which needs no package of the system but one of its fonts."""

from __future__ import annotations

from layerkit.datasets.optional import need
from layerkit.errors import UsageError
from layerkit.report.drawing import svg
from layerkit.report.drawing.layout import Layout
from layerkit.report.drawing.lettering import FONTS
from layerkit.report.drawing.picture import Picture

_ZOOM = 2.0
"""Pixels of the image a pixel of the picture."""
_MOST = 16_000
"""Pixels of a side, at most."""
_SIZE = 'xmlns="http://www.w3.org/2000/svg" width="20" height="20"'
_PROBE = f'<svg {_SIZE} font-family="{FONTS}"><text y="18">{{}}</text></svg>'


def write(picture: Picture, layout: Layout) -> bytes:
    """The file's bytes. Raises DataError without resvg, UsageError on a machine without fonts."""
    resvg = need("resvg_py", "resvg-py", "drawing PNG", extra="plot")
    if resvg.svg_to_bytes(svg_string=_PROBE.format("W")) == resvg.svg_to_bytes(svg_string=_PROBE.format("")):
        raise UsageError("drawing PNG needs a font, and this machine has none; draw SVG instead: -o net.svg")
    whole = svg.canvas(picture, layout)
    zoom = min(_ZOOM, _MOST / max(whole.width, whole.height))
    return bytes(resvg.svg_to_bytes(svg_string=svg.write(picture, layout), zoom=zoom))
