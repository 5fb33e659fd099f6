"""A run's record as curves: numbers by name, over iterations, epochs or time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from layerkit.errors import DataError
from layerkit.events import Event
from layerkit.report.log import seconds_of
from layerkit.report.tensorboard import named

Across = Literal["iteration", "epoch", "time"]
"""What curves run over; time is in seconds, without what lay between being interrupted and being resumed."""
TRAIN = "train"
_SOLVERS_OWN, _OUTPUTS_OF_TEST = "solver/", "test/"


class Curve(NamedTuple):
    """Numbers of one metric, in the order in which they were recorded."""

    run: str
    metric: str
    """`loss`, `lr`, `grad_norm`, `weight_norm`, `samples_per_s`, the name of an output, or `debug_info/...`."""
    source: str
    """Where they come from: train, test, or one of several test nets by its name."""
    x: list[float]
    y: list[float]
    """nan stands for what was not finite."""

    @property
    def finite(self) -> list[float]:
        """The numbers among them."""
        return [value for value in self.y if math.isfinite(value)]

    @property
    def lost(self) -> list[float]:
        """The x at which there was a number that is none."""
        return [x for x, y in zip(self.x, self.y, strict=True) if not math.isfinite(y)]

    def smoothed(self, width: int) -> Curve:
        """The mean of `width` neighbours, half of them on either side; of an even number one more lies before.

        There are fewer at the ends, and what is nan stays nan.
        """
        found = []
        for i, value in enumerate(self.y):
            around = self.y[max(0, i - width // 2) : i + (width + 1) // 2]
            near = [each for each in around if math.isfinite(each)]
            found.append(sum(near) / len(near) if math.isfinite(value) else math.nan)
        return self._replace(y=found)


def read(run: str, record: Sequence[Event], across: Across = "iteration") -> list[Curve]:
    """The curves of a record, in the order in which their first numbers came.

    The test's loss goes by the name `loss`, as training's does, whatever the layer is called, where the net has one
    loss. Raises DataError for a record that does not say how long an epoch is, where that is asked for.
    """
    xs = _across(run, record, across)
    loss = _name_of_loss(record)
    found: dict[tuple[str, str], Curve] = {}
    for event, x in zip(record, xs, strict=True):
        for metric, source, value in _numbers(event, loss):
            curve = found.setdefault((metric, source), Curve(run, metric, source, [], []))
            curve.x.append(x)
            curve.y.append(value)
    return list(found.values())


def _across(run: str, record: Sequence[Event], across: Across) -> list[float]:
    """Where each event stands."""
    if across == "time":
        return seconds_of(record)
    if across == "iteration":
        return [event["iter"] for event in record]
    epochs = [event.get("epoch") for event in record if event["event"] == "start"]
    epoch = epochs[-1] if epochs else None
    if not isinstance(epoch, (int, float)) or not epoch > 0:
        raise DataError(f"the record of {run} does not say how long an epoch is; plot it over iterations or time")
    return [event["iter"] / epoch for event in record]


def _name_of_loss(record: Sequence[Event]) -> str | None:
    """The output of the net that is its loss, where it is one: its only output, or the one that equals the loss."""
    for event in record:
        outputs = event.get("outputs")
        if event["event"] == "display" and isinstance(outputs, dict) and outputs:
            same = [name for name, value in outputs.items() if value is not None and value == event.get("loss")]
            return next(iter(same if len(outputs) > 1 else outputs), None)
    return None


def _numbers(event: Event, loss: str | None) -> Iterator[tuple[str, str, float]]:
    """Metric, source and value of each number in an event."""
    for tag, value in named(event):
        metric, source = tag, TRAIN
        if tag.startswith(_SOLVERS_OWN):
            metric = tag.removeprefix(_SOLVERS_OWN)
        elif tag.startswith(_OUTPUTS_OF_TEST):
            metric = tag.removeprefix(_OUTPUTS_OF_TEST)
            source, metric = _test_net(metric, event["outputs"])
            metric = "loss" if metric == loss else metric
        elif event["event"] == "display":
            metric = tag.partition("/")[2]
            if metric in (loss, "loss"):  # the solver's own is the mean of these
                continue
        number = _number(value)
        if number is not None:
            yield metric, source, number


def _test_net(output: str, outputs: Iterable[str]) -> tuple[str, str]:
    """The test net and the output's own name: of several nets each output is `NET.name`."""
    several = len({name.partition(".")[0] for name in outputs if "." in name[1:-1]}) > 1
    net, dot, own = output.partition(".")
    return (net, own) if several and dot and own else ("test", output)


def _number(value: Any) -> float | None:
    """A number as it can be drawn, nan for one that was not finite; None for what is no number at all."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e300:
        return None
    return float(value)
