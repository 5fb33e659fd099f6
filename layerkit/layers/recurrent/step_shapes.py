"""The body of one step with the shapes of its states, which may follow from what the body makes of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from layerkit.blob import Shape, shape_text
from layerkit.errors import ConfigError, Problem, Problems, ShapeError
from layerkit.layer import Body, Layer, Loop
from layerkit.layers.recurrent.roles import StateParams

GUESSES = (1, 3)
"""Lengths that a state whose shape is unknown is tried with: what is wrong with both of them is wrong with the body."""


def plan_step(
    layer: Layer,
    name: str,
    layers: Sequence[Any],
    inputs: Mapping[str, Shape],
    given: Mapping[str, Shape],
    states: Mapping[str, StateParams],
    outputs: Sequence[str],
    rows: int,
    **loop: Any,
) -> tuple[Body, list[Shape]]:
    """The body, and the shapes of its outputs in one step.

    `inputs` are the shapes of all that the body reads but its states; `given` those of states, as far as they are
    known. Raises ShapeError and ConfigError for what is wrong with the body or its names.
    """
    _expect_new_names(name, layers, inputs, states)
    carried = {state: each.next for state, each in states.items()}

    def body(of_states: Mapping[str, Shape]) -> Body:
        both = {**inputs, **{state: of_states[state] for state in states}}
        return Body(name, layers, both, list(outputs), Loop(carried, **loop), layer.params.blocks)

    tries = dict.fromkeys([(rows, GUESSES[0]), *(shape for shape in inputs.values() if shape[:1] == (rows,))])
    shapes = _find_shapes(layer, body, given, states, [*tries])
    whole = body(shapes)
    found = [_shapes_of(layer, whole, [output], "outputs", i)[output] for i, output in enumerate(outputs)]
    for i, (output, shape) in enumerate(zip(outputs, found, strict=True)):
        if not shape:
            raise ShapeError(f"the output {output!r} is a single number; it needs an axis for the rows", "outputs", i)
    return whole, found


def _expect_new_names(name: str, layers: Sequence[Any], inputs: Collection[str], states: Collection[str]) -> None:
    """Raise ShapeError where a layer of the body, or a top of one, is called like something that the body reads."""
    for i, layer in enumerate(layers):
        written = {"name": _listed(layer.get("name")), "top": _listed(layer.get("top"))}
        for field, made in written.items():
            taken = next((each for each in made if each in inputs or each in states), None)
            if taken is None or (field == "top" and taken in _listed(layer.get("bottom"))):  # it works in place
                continue
            what = "layer" if field == "name" else "top"
            advice = f"give this {what} another name"
            if taken in states:
                advice += f", as {taken}_new, and name that in next"
            raise ShapeError(
                f"{taken!r} is a {'state' if taken in states else 'bottom'} already; {advice}", name, i, field
            )


def _listed(names: Any) -> list[Any]:
    return names if isinstance(names, list) else [names]


def _find_shapes(
    layer: Layer,
    body: Callable[[Mapping[str, Shape]], Body],
    given: Mapping[str, Shape],
    states: Mapping[str, StateParams],
    tries: Sequence[Shape],
) -> dict[str, Shape]:
    """The shapes of all states. What is not given is tried with some shapes, until its next value has the same."""
    unknown = [state for state in states if state not in given]
    for shape in tries if unknown else ():
        tried = {**dict.fromkeys(unknown, shape), **given}
        with suppress(ConfigError):
            for _ in range(len(unknown) + 1):
                made = _next_shapes(layer, body(tried), states)
                if made == tried:
                    return tried
                tried = {**made, **given}
    tried = {**dict.fromkeys(unknown, tries[0]), **given}
    if unknown:
        raise _because_of_guess(
            layer, body, tried, {**tried, **dict.fromkeys(unknown, (tries[0][0], GUESSES[1]))}, unknown
        )
    made = _next_shapes(layer, body(tried), states)
    state = next((each for each in states if made[each] != tried[each]), None)
    if state is not None:
        raise ShapeError(
            f"the state {state!r} is {shape_text(tried[state])}, but its next value {states[state].next!r} is "
            f"{shape_text(made[state])}",
            "states",
            state,
            "next",
        )
    return tried


def _because_of_guess(
    layer: Layer,
    body: Callable[[Mapping[str, Shape]], Body],
    one: Mapping[str, Shape],
    other: Mapping[str, Shape],
    unknown: Sequence[str],
) -> ConfigError | ShapeError:
    """What is wrong with the body whatever shape its states have; if nothing is, that a shape must be given."""
    found: list[list[Problem]] = []
    for shapes in (one, other):
        problems = Problems()
        with problems.collecting():
            layer.body_shapes(body(shapes))
        found.append(problems.found)
    surely = [problem for problem in found[0] if problem in found[1]]
    if surely:
        return ConfigError(surely)
    why = f" ({found[0][0].where}: {found[0][0].message})" if found[0] else ""
    return ShapeError(
        f"the shape of the state {unknown[-1]!r} does not follow from the body; give it, as in shape: [64]{why}",
        "states",
        unknown[-1],
    )


def _next_shapes(layer: Layer, body: Body, states: Mapping[str, StateParams]) -> dict[str, Shape]:
    return {s: _shapes_of(layer, body, [each.next], "states", s, "next")[each.next] for s, each in states.items()}


def _shapes_of(layer: Layer, body: Body, names: Sequence[str], *field: int | str) -> Mapping[str, Shape]:
    """The shapes of some of a body's blobs. Raises ShapeError, placed at `field`, for one that it has not."""
    try:
        return layer.body_shapes(replace(body, outputs=list(names)))
    except ConfigError:
        raise
    except ShapeError as error:
        if error.field is not None:
            raise
        raise ShapeError(str(error), str(field[0]), *field[1:]) from None
