"""What each bottom of a layer with a body is: a part of what the body reads, or something that steers it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from layerkit.errors import ShapeError, did_you_mean
from layerkit.fields import Strict
from layerkit.fillers import Filler


def _only_mappings(layers: list[Any]) -> list[Any]:
    if not all(isinstance(layer, Mapping) for layer in layers):
        raise ValueError("must be a list of layers, each of which is a mapping")
    return layers


def _mappings_by_name(blocks: dict[str, Any]) -> dict[str, Any]:
    if not all(isinstance(block, Mapping) for block in blocks.values()):
        raise ValueError("must be a mapping of blocks, each of which is a mapping")
    return blocks


Layers = Annotated[
    list[Any],
    Field(min_length=1),
    AfterValidator(_only_mappings),
    WithJsonSchema({"title": "layers", "type": "array", "minItems": 1, "items": {"$ref": "#/$defs/layer"}}),
]
"""A body as it is written: a list of layers, which the net reads."""
Blocks = Annotated[
    dict[str, Any],
    AfterValidator(_mappings_by_name),
    WithJsonSchema({"title": "blocks", "type": "object", "additionalProperties": {"$ref": "#/$defs/block"}}),
]
"""Blocks of a body as they are written, by name, as a net has them."""
ZEROS, LEARNED = "zeros", "learned"


class StateParams(Strict):
    """A state: an input of the body that the step before has made."""

    next: str = Field(description="The blob of the body that is the state in the next step.")
    start: str = Field(ZEROS, description="What it is at first: zeros, learned, or a bottom's name in the body.")
    shape: list[Annotated[int, Field(gt=0)]] | None = Field(
        None, description="Its shape in one row; none: as it follows from the body or from where it starts."
    )
    filler: Filler = Field(Filler(), description="How a learned start begins.")


class OutputParams(Strict):
    """A blob of the body that becomes a top."""

    shorthand: ClassVar[str | None] = "blob"

    blob: str = Field(description="The blob's name in the body.")
    take: Literal["all", "last"] = Field("all", description="Whether the top has all steps, or only the last one.")


@dataclass(frozen=True)
class Roles:
    """The bottoms of a layer with a body, each by its position."""

    sliced: Mapping[str, int]
    """Inputs of the body that differ from step to step."""
    static: Mapping[str, int]
    """Inputs of the body that are the same in all steps."""
    starts: Mapping[str, int]
    """What a state starts as, by the state's name."""
    cont: int | None = None
    lengths: int | None = None

    @property
    def steering(self) -> frozenset[int]:
        """The bottoms that have no gradient."""
        return frozenset(i for i in (self.cont, self.lengths) if i is not None)


def find_roles(
    names: Sequence[str],
    states: Mapping[str, StateParams],
    static: Sequence[str] | None,
    cont: str | None = None,
    lengths: str | None = None,
) -> Roles:
    """What the bottoms are, from their names; with `static` None all that the body reads is the same in all steps.

    Raises ShapeError where a name means nothing, or two things.
    """
    position = {name: i for i, name in enumerate(names)}
    taken: dict[str, str] = {}

    def claim(name: str, what: str, field: str, *inside: int | str) -> int:
        found = take(name, names, field, *inside)
        if name in taken:
            raise ShapeError(f"the bottom {name!r} cannot be {what} and {taken[name]}", field, *inside)
        taken[name] = what
        return found

    found = {"cont": cont, "lengths": lengths}
    steering = {what: None if name is None else claim(name, what, what) for what, name in found.items()}
    starts = {}
    for state, given in states.items():
        if state in position:
            raise ShapeError(f"the state {state!r} has the name of a bottom; choose another", "states", state)
        if given.start not in (ZEROS, LEARNED):
            starts[state] = claim(given.start, "what a state starts as", "states", state, "start")
    same = {name: claim(name, "static", "static", i) for i, name in enumerate(static or ())}
    rest = {name: i for name, i in position.items() if name not in taken}
    if static is None:
        same, rest = rest, {}
    return Roles(rest, same, starts, **steering)


def take(name: str, names: Sequence[str], field: str, *inside: int | str) -> int:
    """The position of the bottom of this name. Raises ShapeError, placed at `field`, where there is none."""
    if name not in names:
        hint = did_you_mean(name, names) or f"; there are: {', '.join(names)}"
        raise ShapeError(f"no bottom is called {name!r}{hint}", field, *inside)
    return list(names).index(name)


def names_of(given: Sequence[str], bottom_names: Sequence[str], count: int) -> list[str]:
    """What the bottoms are called in the body. Raises ShapeError where that is not clear."""
    if given and len(given) != count:
        raise ShapeError(f"there must be as many names as bottoms: {count}, not {len(given)}", "inputs")
    names = list(given) or [name.rpartition("/")[2] for name in bottom_names] or [f"x{i}" for i in range(count)]
    twice = _twice(names)
    if twice is not None:
        raise ShapeError(f"two bottoms are called {twice!r}; say in inputs what they are called", "inputs")
    return names


def _twice(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
