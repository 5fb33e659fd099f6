"""A trace as the bytes of a picture or of a page."""

from __future__ import annotations

from layerkit.errors import UsageError
from layerkit.report.drawing import png, svg
from layerkit.report.drawing.layout import arrange
from layerkit.report.tracing import page
from layerkit.report.tracing.passes import Trace
from layerkit.report.tracing.picture import Drawn

KINDS = (".svg", ".png", ".html")


def expect_kind(suffix: str) -> None:
    """Raise UsageError for the suffix of no kind of picture."""
    if suffix not in KINDS:
        instead = f", not in {suffix!r}" if suffix else ""
        raise UsageError(f"a traced graph's file ends in .svg, .png or .html{instead}")


def draw(trace: Trace, suffix: str) -> bytes:
    """The picture as a file of that suffix holds it. Raises UsageError and, without resvg, DataError for .png."""
    expect_kind(suffix)
    drawn = Drawn(trace)
    layout = arrange(drawn.picture)
    if suffix == ".png":
        return png.write(drawn.picture, layout)
    return (svg.write(drawn.picture, layout) if suffix == ".svg" else page.write(drawn, layout)).encode()
