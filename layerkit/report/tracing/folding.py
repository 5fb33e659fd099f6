"""Groups of steps as one step each, so that a long loop takes up no more room than a short one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from layerkit.blob import Array
from layerkit.report.tracing.operations import Operation
from layerkit.report.tracing.values import Group, Step, Steps


class Folded(Operation):
    """Steps one after another; results are those of their values that others read."""

    def __init__(self, steps: Steps, members: Sequence[int], arguments: Sequence[int], results: Sequence[int]):
        self.steps, self.members = steps, [steps.steps[i] for i in members]
        self.arguments, self.results = arguments, results

    def pull(self, which: int, gradient: Array) -> list[Array | None]:
        totals = {self.results[which]: gradient}
        for step in reversed(self.members):
            for i, result in enumerate(step.results):
                if result in totals and step.operation is not None:
                    _add(self.steps, totals, step.arguments, step.operation.pull(i, totals[result]))
        return [totals.get(argument) for argument in self.arguments]

    def push(self, argument: int, tangent: Array) -> list[Array | None]:
        totals = {self.arguments[argument]: tangent}
        for step in self.members:
            for i, source in enumerate(step.arguments):
                if source in totals and step.operation is not None:
                    _add(self.steps, totals, step.results, step.operation.push(i, totals[source]))
        return [totals.get(result) for result in self.results]


def _add(steps: Steps, totals: dict[int, Array], values: Sequence[int], parts: Sequence[Array | None]) -> None:
    for value, part in zip(values, parts, strict=True):
        if value >= 0 and part is not None:
            part = part.reshape(steps.values[value].data.shape).copy()
            totals[value] = totals[value] + part if value in totals else part


def folded(steps: Steps) -> Steps:
    """The same graph with each group as one step, where its first step was. Only what is still shown has a name."""
    found = Steps(steps.title, steps.phase, steps.dtype)
    number: dict[int, int] = {}
    read: dict[int, set[Group | None]] = {}
    for step in steps.steps:
        for value in step.arguments:
            read.setdefault(value, set()).add(step.group)
    for i, step in enumerate(steps.steps):
        if step.group and step.results and step.results[0] not in number:
            members = [j for j in range(i, len(steps.steps)) if steps.steps[j].group == step.group]
            _fold(steps, found, members, read, number)
        elif not step.group and step.results[0] not in number:
            _copy(steps, found, step, number)
    found.names.update({name: number[value] for name, value in steps.names.items() if number.get(value, -1) >= 0})
    found.losses = {number[value]: weight for value, weight in steps.losses.items()}
    found.outputs = [number[value] for value in steps.outputs]
    return found


def _copy(steps: Steps, found: Steps, step: Step, number: dict[int, int]) -> None:
    arguments = tuple(number.get(value, -1) for value in step.arguments)
    made = [(steps.values[value].name, steps.values[value].data) for value in step.results]
    number.update(zip(step.results, found.add(replace(step, arguments=arguments), made), strict=True))


def _fold(
    steps: Steps, found: Steps, members: Sequence[int], read: dict[int, set[Group | None]], number: dict[int, int]
) -> None:
    """Put a group's one step behind the others. Its weights come before it; what only it reads is no value (-1)."""
    group = steps.steps[members[0]].group
    assert group is not None
    inside = {value: -1 for i in members for value in steps.steps[i].results}
    outside = dict.fromkeys(
        value for i in members for value in steps.steps[i].arguments if value >= 0 and value not in inside
    )
    for value in outside:
        if value not in number:  # a weight that is first read here
            _copy(steps, found, steps.steps[steps.values[value].step], number)
    results = [value for value in inside if read.get(value, set()) - {group}]
    operation = Folded(steps, members, [*outside], results)
    arguments = tuple(number[value] for value in outside)
    made = [(steps.values[value].name, steps.values[value].data) for value in results]
    numbers = found.add(Step(group.name, group.written, group.family, operation, arguments), made)
    number.update(inside)
    number.update(zip(results, numbers, strict=True))
