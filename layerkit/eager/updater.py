"""Updater: an update rule for all the weights of a tape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from layerkit.errors import Problems, UnknownNameError
from layerkit.spec import SolverSpec
from layerkit.spec.sentences import Source, validate
from layerkit.text import Map, from_python
from layerkit.updaters import UPDATERS
from layerkit.updaters import Updater as Rule
from layerkit.weights import WeightStore

if TYPE_CHECKING:
    from layerkit.eager.tape import Tape

_FIELDS = (
    *("type", "base_lr", "momentum", "momentum2", "rms_decay", "delta", "weight_decay", "regularization_type"),
    *("clip_value", "clip_layer_norm"),
)


class Updater:
    """Changes a tape's weights by their gradients: `F.Updater(tape, type="Adam", base_lr=0.001)`, then `update()`.

    The settings are those of `solver` in YAML that speak of one update. Weights that come later are updated too.
    Raises UnknownNameError for another setting, ConfigError for a wrong one.
    """

    def __init__(self, tape: Tape, **settings: Any):
        for name in settings:
            if name not in _FIELDS:
                raise UnknownNameError("setting of an updater", name, _FIELDS)
        self.tape = tape
        problems, tree = Problems(), Map(from_python({"base_lr": 0.01, **settings, "max_iter": 1}))
        spec = validate(SolverSpec, tree, Source(tree, "updater"), problems)
        problems.check()
        assert spec is not None  # otherwise problems.check raised
        self.spec = spec
        self._rules: dict[WeightStore, Rule] = {}

    def update(self, lr: float | None = None) -> None:
        """Change the weights by their diffs, at the learning rate `lr` or base_lr; the diffs are zero then."""
        for store in self.tape.parameters.stores:
            if store.trained and store not in self._rules:
                self._rules[store] = UPDATERS[self.spec.type](self.spec, store)
        for rule in self._rules.values():
            rule.update(self.spec.base_lr if lr is None else lr)
        self.tape.parameters.zero()
