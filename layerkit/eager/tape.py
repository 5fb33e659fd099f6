"""Tape: runs calls at once, records them, goes backward through them, and writes them down as a net."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from itertools import islice
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from layerkit import text
from layerkit.blob import Array, Blob, shape_text
from layerkit.eager.call import Call, Settings, Step, give, take
from layerkit.eager.names import Names
from layerkit.eager.parameters import Parameters
from layerkit.eager.recording import whole_net
from layerkit.eager.updater import Updater
from layerkit.eager.variable import Variable
from layerkit.errors import Mark, ShapeError, UnknownNameError, UsageError
from layerkit.given import as_array
from layerkit.net import DTYPES, Net
from layerkit.registry import layer_class
from layerkit.text import Map, from_python

PHASES = ("train", "test")
_FROM_THE_TAPE = ("type", "name", "bottom", "top", "include", "exclude")
"""Fields of a layer that no call can have as a setting."""

_open: ContextVar[tuple[Tape, ...]] = ContextVar("open tapes", default=())


def current() -> Tape:
    """The tape that is open. Raises UsageError where none is."""
    if not is_open():
        raise UsageError("no tape is open; make one, tape = Tape(), and call inside of `with tape:`")
    return _open.get()[-1]


def is_open() -> bool:
    """Whether any tape is open."""
    return bool(_open.get())


class Tape:
    """Records what calls do. `with tape:` opens it for a new run, which takes the last one's place; weights stay.

    With `share`, the weights are another tape's: `F.Tape("test", share=tape)` tests what `tape` trains. The others are
    as for Net. Raises UnknownNameError for a phase but train and test.
    """

    def __init__(
        self,
        phase: str = "train",
        *,
        seed: int = 0,
        dtype: str = "float32",
        engine: str = "numpy",
        share: Tape | None = None,
        allow_python: bool = False,
        name: str = "recorded",
    ):
        if phase not in PHASES:
            raise UnknownNameError("phase of a tape", phase, PHASES)
        if dtype not in DTYPES:
            raise UnknownNameError("dtype", dtype, DTYPES)
        self.settings = Settings(phase, seed, dtype, engine, allow_python)
        self.name = name
        self.parameters: Parameters = Parameters(np.dtype(dtype)) if share is None else share.parameters
        """Weights and statistics, with the gradients that backward passes added up."""
        self._calls: dict[str, Call] = {}
        self.names = Names()
        self._run = 0
        self._begin()

    def _begin(self) -> None:
        self._run += 1
        self.steps: list[Step | Variable] = []
        """What ran, in order; a variable is an input."""
        self.names.begin()
        self._owners: dict[str, str] = {}  # whose weights the call used that made a blob

    def __enter__(self) -> Self:
        self._begin()
        _open.set((*_open.get(), self))
        return self

    def __exit__(self, *error: object) -> None:
        _open.set(_open.get()[:-1])

    def close(self) -> None:
        """Let go of files and threads of layers that read data."""
        for call in self._calls.values():
            call.net.close()

    @property
    def params(self) -> Mapping[str, Blob]:
        """The trained weights by name, `layer.weight`: each with `data`, and with `diff`, its gradient."""
        return self.parameters.trained

    # -- forward -----------------------------------------------------------------------------------------------------

    def input(self, data: npt.ArrayLike, name: str | None = None) -> Variable:
        """Put an array on the tape, as an input of the net that is recorded."""
        made = self._input(data, name)
        self.steps.append(made)
        return made

    def _input(self, data: npt.ArrayLike, name: str | None = None) -> Variable:
        array = as_array(name or "input", data)
        return Variable(self, self._run, self.names.input(name), array.astype(self.settings.dtype))

    def call(
        self,
        type: str,
        bottoms: Sequence[Any],
        params: Mapping[str, Any],
        *,
        name: str | None = None,
        top: int | str | Sequence[str] | None = None,
        weights_of: Variable | str | None = None,
        stem: str,
    ) -> Variable | tuple[Variable, ...]:
        """Run a layer and record it; see `layerkit.eager`. Without a name it is called `stem` and a number.

        Raises ConfigError for settings, numbers of bottoms and tops and shapes that are wrong, with the caller's place.
        """
        for field in _FROM_THE_TAPE:
            if field in params:
                raise UsageError(f"a call of {type} cannot set {field!r}; a call says it by itself")
        if name is not None and not isinstance(name, str):
            raise UsageError(f"the name of a layer is text, not {name!r}")
        below = [each if isinstance(each, Variable) else self._input(each) for each in bottoms]
        for variable in below:
            self._expect_own(variable)
        layer = self.names.layer(name, stem)
        owner = self._owner_of(weights_of) if weights_of is not None else name or layer
        tree = Map({"name": layer, "type": type}, _caller())
        if below:
            tree["bottom"] = [each.name for each in below]
        cls = layer_class(type)
        usual = len(below) if cls.same_number else cls.tops[0]
        tree["top"] = self.names.tops(layer, usual if top is None else top)
        tree.update(from_python(params))
        call = self._call(tree, below, owner, known=weights_of is not None)
        before = take(call.net)
        arrays = call.forward([each.data for each in below])
        weights = call.node.loss_weights
        made = tuple(Variable(self, self._run, *each) for each in zip(tree["top"], arrays, weights, strict=True))
        self._owners.update(dict.fromkeys(tree["top"], owner))
        self.steps += [each for each, given in zip(below, bottoms, strict=True) if each is not given]
        self.steps.append(Step(call, tuple(below), made, before))
        return made[0] if len(made) == 1 else made

    def _call(self, tree: Map, below: Sequence[Variable], owner: str, known: bool) -> Call:
        """The call of this name, the one of the last run if it can be used again."""
        last = self._calls.get(tree["name"])
        if last is not None and last.fits(tree, owner):
            return last
        call = Call(tree, [each.shape for each in below], owner, self.parameters, self.settings, known)
        if last is not None:
            give(call.net, take(last.net))
            last.net.close()
        self._calls[tree["name"]] = call
        return call

    def _owner_of(self, made_by: Variable | str) -> str:
        """Whose weights a call used, by what it made or its name."""
        if isinstance(made_by, Variable):
            self._expect_own(made_by)
            return self._owners.get(made_by.name, made_by.name)
        return made_by

    def _expect_own(self, variable: Variable) -> None:
        if variable.tape is not self:
            raise UsageError(f"{variable.name!r} is on another tape; give its data to use it as an input here")
        if variable.run != self._run:
            raise UsageError(f"{variable.name!r} is of an earlier run of the tape; give its data to use it as an input")

    # -- backward ----------------------------------------------------------------------------------------------------

    def backward(self, diffs: Mapping[Variable, npt.ArrayLike] | None = None) -> None:
        """Add the gradients of the run's losses, or from `diffs` of some variables, to all that they depend on.

        That is to the `diff` of variables and of weights; `zero` ends the sum. Raises UsageError without a loss.
        """
        if diffs is None:
            made = [each for step in self.steps if isinstance(step, Step) for each in step.tops]
            diffs = {each: np.full(each.shape, each.loss_weight) for each in made if each.loss_weight}
            if not diffs:
                raise UsageError("the run has no loss; say what to go back from: variable.backward()")
        seeds = {variable: self._seed(variable, diff) for variable, diff in diffs.items()}
        found: dict[Variable, Array] = {}
        ran: list[Call] = []
        for step in reversed(self.steps):
            for variable in (step,) if isinstance(step, Variable) else step.tops:
                if variable in seeds:
                    found[variable] = found[variable] + seeds[variable] if variable in found else seeds[variable]
            if isinstance(step, Variable) or found.keys().isdisjoint(step.tops):
                continue
            below = step.call.backward({each.name: found[each] for each in step.tops if each in found})
            for variable, diff in zip(step.bottoms, below, strict=True):
                if diff is not None:
                    found[variable] = found[variable] + diff if variable in found else diff.copy()
            ran.append(step.call)
        for variable, diff in found.items():
            variable.diff[...] += diff
        totals: dict[str, Array] = {}
        for call in reversed(ran):  # in the order in which they ran forward, as a net adds up a shared weight
            for key, diff in call.weight_diffs().items():
                totals[key] = totals[key] + diff if key in totals else diff
        self.parameters.add(totals)

    def _seed(self, variable: Variable, diff: npt.ArrayLike) -> Array:
        self._expect_own(variable)
        array = as_array(variable.name, diff)
        if array.shape != variable.shape:
            what = f"the diff of {variable.name!r} is {shape_text(variable.shape)}, not {shape_text(array.shape)}"
            raise ShapeError(what)
        return array.astype(variable.dtype)

    def zero(self) -> None:
        """Set the gradients of all weights, and of the variables of this run, to zero."""
        self.parameters.zero()
        for step in self.steps:
            for variable in (step,) if isinstance(step, Variable) else step.tops:
                variable.diff.fill(0)

    def update(self, lr: float) -> None:
        """One step of gradient descent, w <- w - lr g, after which g is zero. Other rules: `layerkit.eager.Updater`."""
        Updater(self, base_lr=lr).update()

    # -- written down ------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The net that ran, as dicts and lists. Raises UsageError where a net in YAML cannot say it."""
        return {"name": self.name, "layers": whole_net(self.steps)}

    def to_yaml(self) -> str:
        """The net that ran, as YAML. Raises as `to_dict` does."""
        layers = [line for layer in self.to_dict()["layers"] for line in text.item(layer, "  ")]
        return "\n".join([f"name: {text.one_line(self.name)}", "", "layers:", *layers]) + "\n"

    def to_net(self) -> Net:
        """The net that ran, as a Net: with the inputs of the run and the weights as they are now.

        Its layers draw at random what they drew in the run. Raises as `to_dict` does.
        """
        phase, seed, dtype, engine, allow_python = self.settings
        net = Net(self.to_dict(), phase, seed=seed, dtype=dtype, engine=engine, allow_python=allow_python)
        calls = [step for step in self.steps if isinstance(step, Step)]
        blobs = self.parameters.blobs
        uses = {
            f"{step.call.node.name}.{weight.name}": blobs[key].values
            for step in calls
            for weight, key in zip(step.call.node.plan.weights, step.call.keys, strict=True)
        }
        net.load_weights(uses)
        for step in self.steps:
            if isinstance(step, Variable):
                net.blobs[step.name].data[...] = step.data
            else:
                give(net, step.before)
        return net


def _caller() -> Mark | None:
    """The place in the user's program that calls: the innermost one outside of this package."""
    frame = sys._getframe(1)
    while frame.f_globals.get("__name__", "").startswith("layerkit.eager") and frame.f_back is not None:
        frame = frame.f_back
    line, _, column, _ = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None))
    return Mark(frame.f_code.co_filename, line or frame.f_lineno, (column or 0) + 1)
