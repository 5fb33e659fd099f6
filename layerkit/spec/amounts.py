"""Amounts that are written with a unit: epochs beside iterations, and times."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from layerkit.spec.sentences import plain
from layerkit.words import plural

_EPOCHS = re.compile(r"([0-9]{1,9}) epochs?")
_SPAN = re.compile(r"(?:(\d+)d)? ?(?:(\d+)h)? ?(?:(\d+)m)? ?(?:(\d+)s)?", re.ASCII)
_SECONDS = (86400, 3600, 60, 1)


@dataclass(frozen=True)
class Epochs:
    """A number of passes over the training samples, written as `2 epochs`."""

    count: int

    def __str__(self) -> str:
        return f"{self.count} {plural(self.count, 'epoch')}"


def _interval(value: Any) -> int | Epochs:
    if isinstance(value, Epochs):
        return value
    if isinstance(value, str) and (said := _EPOCHS.fullmatch(value.strip())) is not None:
        if int(said[1]) == 0:
            raise ValueError("must be at least 1 epoch")
        return Epochs(int(said[1]))
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"must be a whole number of iterations, or as '2 epochs', not {plain(value)}")
    if value < 0:
        raise ValueError(f"must be at least 0, not {value}")
    return value


def _span(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and value and (said := _SPAN.fullmatch(value.strip())) is not None:
        seconds = float(sum(int(part or 0) * size for part, size in zip(said.groups(), _SECONDS, strict=True)))
    else:
        raise ValueError(f"must be a time such as 2h30m, 45m or 90s, or a number of seconds, not {plain(value)}")
    if not 0 < seconds < math.inf:
        raise ValueError(f"must be longer than no time, not {plain(value)}")
    return seconds


Interval = Annotated[
    int | Epochs,
    PlainValidator(_interval),
    WithJsonSchema(
        {
            "title": "interval",
            "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^\s*[0-9]{1,9} epochs?\s*$"}],
        }
    ),
]
"""Iterations, or epochs as in `1 epoch`; 0 is never."""

Span = Annotated[
    float | None,
    PlainValidator(_span),
    WithJsonSchema(
        {
            "title": "span",
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^\s*([0-9]+d)? ?([0-9]+h)? ?([0-9]+m)? ?([0-9]+s)?\s*$"},
                {"type": "null"},
            ],
        }
    ),
]
"""A time in seconds, or written with units of days, hours, minutes and seconds: `2h30m`."""
