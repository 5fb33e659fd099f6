"""Parts of a picture of a snapshot, one below the other on a page."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from layerkit.report.drawing.lettering import shorten
from layerkit.report.drawing.palette import QUIET
from layerkit.report.plotting import style

WIDTH = 9.6
"""Inches of a page."""
_HEAD, _TITLE, _TALLEST = 0.45, 0.5, 8.0


class Part(ABC):
    """Something that takes up the whole width of a page."""

    @property
    @abstractmethod
    def height(self) -> float:
        """Inches that it needs."""

    @abstractmethod
    def fill(self, figure: Any) -> None:
        """Draw it into an empty figure, or a part of one."""


def draw(title: str, parts: Sequence[Part]) -> Any:
    """The page. It is made, and written, within `style.drawing()`."""
    heights = [part.height for part in parts]
    figure = style.figure(WIDTH, sum(heights) + _HEAD)
    figure.suptitle(shorten(title, 72), x=0.012, ha="left")
    for part, each in zip(
        parts, figure.subfigures(len(parts), 1, squeeze=False, height_ratios=heights)[:, 0], strict=True
    ):
        part.fill(each)
    return figure


def height_of(rows: int, columns: int) -> float:
    """Inches that an image of so many pixels needs together with its title, if it is as wide as the page."""
    return min(WIDTH * rows / columns, _TALLEST) + _TITLE


def head(axes: Any, title: str, note: str = "") -> None:
    """Write a title above the left end of axes, and in smaller letters a note above the right one."""
    axes.set_title(title)
    if note:
        axes.set_title(note, loc="right", fontsize=8, color=QUIET, fontweight="normal")


def bare(axes: Any, frame: bool = False) -> None:
    """Take away everything of axes but what is drawn in them, and with `frame` a pale line around it."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(frame)
        spine.set_color(style.PALE)
