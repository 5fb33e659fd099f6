"""Updater: an update rule for all the weights of a tape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from layerkit.errors import Problems, UnknownNameError, UsageError
from layerkit.policies import depends_on_the_end, learning_rate
from layerkit.spec import SolverSpec
from layerkit.spec.sentences import Source, validate
from layerkit.text import Map, from_python
from layerkit.updaters import UPDATERS
from layerkit.updaters import Updater as Rule
from layerkit.updaters.clipping import clip
from layerkit.weights import WeightStore

if TYPE_CHECKING:
    from layerkit.eager.tape import Tape


class Updater:
    """Changes a tape's weights by their gradients: `F.Updater(tape, type="Adam", base_lr=0.001)`, then `update()`.

    The settings are those of `solver` in YAML that speak of updates: the rule and its numbers, clipping, decay,
    iter_size, and the policy of the learning rate, which goes by the updates made. Weights that come later are updated
    too. Raises UnknownNameError for another setting, ConfigError for a wrong one, UsageError for a policy that goes by
    tests, and for one that falls over max_iter updates where that is left out.
    """

    settings: ClassVar[tuple[str, ...]] = (
        *("type", "base_lr", "momentum", "momentum2", "rms_decay", "delta", "weight_decay", "regularization_type"),
        *("clip_value", "clip_layer_norm", "clip_gradients", "iter_size", "max_iter", "warmup_iter", "warmup_start"),
        *("lr_policy", "gamma", "power", "stepsize", "stepvalue", "start_factor", "peak", "end_factor"),
        *("restart_iter", "restart_mult", "lr_table"),
    )
    """The fields of `solver` that can be set."""

    def __init__(self, tape: Tape, **settings: Any):
        for name in settings:
            if name not in self.settings:
                raise UnknownNameError("setting of an updater", name, self.settings)
        if settings.get("lr_policy") == "plateau":
            raise UsageError("the policy 'plateau' goes by tests, which a tape has not; give each rate: update(lr)")
        self.tape = tape
        problems, tree = Problems(), Map(from_python({"base_lr": 0.01, "max_iter": 1, **settings}))
        spec = validate(SolverSpec, tree, Source(tree, "updater"), problems)
        problems.check()
        assert spec is not None  # otherwise problems.check raised
        if "max_iter" not in settings and depends_on_the_end(spec):
            raise UsageError(f"the policy {spec.lr_policy!r} falls over max_iter updates; say how many they are")
        self.spec = spec
        self.iteration = 0
        """How many updates were made."""
        self._rules: dict[WeightStore, Rule] = {}

    @property
    def lr(self) -> float:
        """The learning rate of the next update."""
        return learning_rate(self.spec, self.iteration)

    def update(self, lr: float | None = None) -> None:
        """Change the weights by their diffs, at the learning rate `lr` or the policy's; the diffs are zero then."""
        for store in self.tape.parameters.stores:
            if store.trained and store not in self._rules:
                self._rules[store] = UPDATERS[self.spec.type](self.spec, store)
        clip(self.spec, list(self._rules))
        for rule in self._rules.values():
            rule.change(self.lr if lr is None else lr)
        self.iteration += 1
        self.tape.parameters.zero()
