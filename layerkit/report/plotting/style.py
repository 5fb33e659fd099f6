"""What every figure looks like, and how it becomes a file whose bytes depend on nothing but what is drawn."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

from layerkit.datasets.optional import need
from layerkit.errors import UsageError
from layerkit.report.drawing.palette import CURVES, INK, LINE, PAPER, QUIET, colour

SUFFIXES = (".png", ".svg", ".pdf")
PALE = "#e2e8f0"
"""Grid lines, and the frames of small images."""
LOST = colour("loss").edge
"""What marks a number that is not finite."""
_DOTS_PER_INCH = 160
_SETTINGS: dict[str, Any] = {
    "axes.edgecolor": LINE,
    "axes.formatter.limits": (-4, 6),
    "axes.formatter.use_mathtext": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.labelcolor": QUIET,
    "axes.labelsize": 9.0,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.xmargin": 0.015,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.09,
    "figure.constrained_layout.w_pad": 0.09,
    "figure.dpi": _DOTS_PER_INCH,
    "figure.facecolor": PAPER,
    "figure.titlesize": 13.0,
    "figure.titleweight": "bold",
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"],  # matplotlib brings the first, and measures by it
    "font.size": 9.5,
    "grid.color": PALE,
    "grid.linewidth": 0.8,
    "legend.fontsize": 9.0,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.7,
    "lines.markeredgewidth": 0.8,
    "lines.markersize": 4.5,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
    "pdf.fonttype": 42,
    "svg.fonttype": "none",  # text stays text: smaller, and it can be searched
    "svg.hashsalt": "layerkit",
    "text.color": INK,
    "text.parse_math": False,  # names of runs and layers stand as they are, whatever is in them
    "xtick.color": LINE,
    "xtick.labelcolor": QUIET,
    "xtick.labelsize": 8.5,
    "ytick.color": LINE,
    "ytick.labelcolor": QUIET,
    "ytick.labelsize": 8.5,
    "ytick.left": False,
}
_UNDATED: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def expect_kind(suffix: str) -> None:
    """Raise UsageError for the suffix of no kind of plot."""
    if suffix not in SUFFIXES:
        instead = f", not in {suffix!r}" if suffix else ""
        raise UsageError(f"a plot's file ends in .png, .svg or .pdf{instead}")


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """While inside, figures are made in this style, whatever settings of matplotlib the user has.

    Raises DataError, with the command that installs it, where matplotlib is missing.
    """
    matplotlib = need("matplotlib", "matplotlib", "plotting", extra="plot")
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def figure(width: float, height: float) -> Any:
    """An empty figure, in inches."""
    return matplotlib_part("figure").Figure(figsize=(width, height))


def to_bytes(drawn: Any, suffix: str) -> bytes:
    """A figure as a file of that suffix holds it. Raises UsageError for another than SUFFIXES."""
    expect_kind(suffix)
    stream = io.BytesIO()
    drawn.savefig(stream, format=suffix[1:], metadata=_UNDATED[suffix])
    return stream.getvalue()


def colours(count: int) -> list[str]:
    """As many colours for curves: those of the house, or of more than it has a scale from dark to light."""
    if count <= len(CURVES):
        return list(CURVES[:count])
    scale = matplotlib_part("cm").viridis
    to_hex = matplotlib_part("colors").to_hex
    return [to_hex(scale(0.9 * i / (count - 1))) for i in range(count)]  # the light end cannot be read on white


def scale_of(*stops: str) -> Any:
    """A scale of colours for numbers from 0 to 1, with these at even distances."""
    return matplotlib_part("colors").LinearSegmentedColormap.from_list("layerkit", stops)


def matplotlib_part(name: str) -> Any:
    """One of matplotlib's modules. Raises DataError, with the command that installs it, where it is missing."""
    return need(f"matplotlib.{name}", "matplotlib", "plotting", extra="plot")
