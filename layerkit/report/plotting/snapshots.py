"""A picture of a snapshot: which parts it has, and what is asked for that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from layerkit import snapshot
from layerkit.errors import UsageError
from layerkit.net import Net
from layerkit.report.plotting import activations, filters, histograms, page
from layerkit.report.plotting import saliency as saliencies
from layerkit.report.plotting.feeding import Feed
from layerkit.report.plotting.page import Part
from layerkit.report.plotting.saliency import SaliencyPart

_MOST = 12
"""Histograms that are drawn where nobody asked for them."""


class Choice(NamedTuple):
    """What a user wants to see of a snapshot, option by option."""

    filters: bool = False
    weights: bool = False
    layer: str | None = None
    blob: str | None = None
    saliency: bool = False
    wanted: str | None = None
    """The class of the saliency."""
    input: str | None = None
    part: str | None = None

    def refuse(self) -> None:
        """Raise UsageError if anything is wanted: there is no snapshot."""
        for option, value in self._options().items():
            if value:
                raise UsageError(f"{option} goes with a snapshot, whose name ends in .safetensors")

    def expect_sense(self) -> None:
        """Raise UsageError for options that do not go together."""
        options = self._options()
        kinds = [name for name in ("--blob", "--saliency") if options[name]]
        kinds += ["--filters or --weights"] if self.filters or self.weights else []
        if len(kinds) > 1:
            raise UsageError(f"{kinds[0]} makes a picture of its own; leave out {kinds[1]}")
        shown = self.blob is not None or self.saliency
        needless = {"--layer": shown, "--class": not self.saliency, "--input": not shown, "--part": self.input is None}
        for option, useless in needless.items():
            if options[option] and useless:
                goes = {"--layer": "--filters or --weights", "--class": "--saliency", "--input": "--blob or --saliency"}
                raise UsageError(f"{option} goes with {goes.get(option, '--input')}")

    def _options(self) -> dict[str, Any]:
        names = ("--filters", "--weights", "--layer", "--blob", "--saliency", "--class", "--input", "--part")
        return dict(zip(names, self, strict=True))


def draw(
    path: Path, choice: Choice, stdin: BinaryIO, note: Callable[[str], object], *, allow_python: bool = False
) -> Any:
    """The figure, made within `style.drawing()`. Raises SnapshotError, UsageError, and what its parts raise."""
    choice.expect_sense()
    net = snapshot.load(path, allow_python=allow_python)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # the picture shows what is not finite
        title, parts = _parts(net, choice, Feed(choice.input, choice.part, stdin, note))
    return page.draw(f"{net.name} ({path.stem}{f', {title}' if title else ''})", parts)


def _parts(net: Net, choice: Choice, feed: Feed) -> tuple[str, list[Part]]:
    """What the input is called, if there is one, and the parts."""
    if choice.blob is not None:
        place, part = activations.of(net, choice.blob, feed)
        return place, [part]
    if choice.saliency:
        found = saliencies.of(net, feed, choice.wanted)
        return found.place, [SaliencyPart(found)]
    if choice.filters or choice.weights:
        wanted: list[Part] = [filters.of(net, choice.layer)] if choice.filters else []
        return "", [*wanted, *([histograms.of(net, choice.layer)] if choice.weights else [])]
    whole = histograms.of(net, choice.layer, _MOST)
    try:
        return "", [filters.of(net, choice.layer), whole]
    except UsageError:  # not every net looks at images
        return "", [whole]
