"""The solvers: one class for each of Caffe's update rules, each made from a solver.prototxt."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from layerkit import solver as solvers
from layerkit.convert import solverstate
from layerkit.convert.caffemodel import MODEL
from layerkit.convert.solverstate import STATE
from layerkit.evaluation import Tests
from layerkit.events import Event
from layerkit.net import Net as Inner
from layerkit.pycaffe import modes
from layerkit.pycaffe.net import Net
from layerkit.pycaffe.solver_file import SolverFile
from layerkit.spec import SolverSpec

Callback = Callable[[], object]
_LEVEL = "GLOG_minloglevel"
"""The variable by which Caffe is told what to print: 0 for all, 1 and more for no information."""


class Solver:
    """Trains `net` as a solver.prototxt says, and tests `test_nets`, which have its weights all the time.

    Snapshots are Caffe's files, PREFIX_iter_N.caffemodel and PREFIX_iter_N.solverstate, with .h5 behind them where
    snapshot_format is HDF5.
    As in Caffe these say nothing of how far the samples were read; `lk.Solver` of a converted run goes on bit for bit.
    Displays and tests are printed to stderr unless the environment's GLOG_minloglevel is above 0.

    Source: Caffe's Solver; pycaffe's _caffe.cpp.
    """

    kind: ClassVar[str] = ""
    """The update rule; the base takes the file's."""

    def __init__(self, solver_file: str | os.PathLike[str]):
        """Raises ConfigError with all that is wrong with the file or the nets that it names."""
        file = SolverFile.load(solver_file)
        spec = file.spec(self.kind or file.type)
        if file.fields.get("random_seed", -1) >= 0:
            modes.set_random_seed(spec.random_seed)
        seed = modes.next_seed()
        train, state = file.train()
        inner = Inner.from_graph(train.build(modes.TRAIN, **state), seed=seed, engine=modes.engine())
        self.net = Net.over(inner, train.words, owned=True)
        self.test_nets: list[Net] = []
        batches: dict[str, int | str] = {}
        for found, state, count in file.tests():
            built = found.build(modes.TEST, **state)
            test = Inner.from_graph(built, seed=seed, engine=modes.engine(), share=inner)
            batches[f"#{len(self.test_nets)}"] = count
            self.test_nets.append(Net.over(test, found.words, owned=True))
        tests = {name: net.inner for name, net in zip(batches, self.test_nets, strict=True)}
        self._run = _Run.over(self.net, tests, batches, spec)
        self._run.events.listen(_log)
        self._prefix, self._ending = file.prefix, file.ending
        self._max_iter = int(file.fields.get("max_iter", 0))

    @property
    def iter(self) -> int:
        """Updates made."""
        return self._run.iteration

    @property
    def lr(self) -> float:
        """The learning rate of the next update."""
        return self._run.lr

    @property
    def param(self) -> SolverSpec:
        """The settings: `param.max_iter`, `param.display` ..."""
        return self._run.spec

    def step(self, count: int) -> None:
        """Make `count` updates, with the tests, displays and snapshots that fall due.

        Raises DataError where the loss is no longer finite.
        """
        for _ in range(count):
            self._run.step()
            if self.param.snapshot and self.iter % int(str(self.param.snapshot)) == 0:
                self.snapshot()

    def solve(self, resume_file: str | os.PathLike[str] | None = None) -> None:
        """Train to max_iter, from a solverstate if one is given, snapshot there and test."""
        if resume_file is not None:
            self.restore(resume_file)
        self.step(max(0, self._max_iter - self.iter))
        interval = int(str(self.param.snapshot))
        if self.param.snapshot_after_train and not (interval and self.iter % interval == 0):
            self.snapshot()
        if self.test_nets and self.param.test_interval and self.iter % int(str(self.param.test_interval)) == 0:
            self._run.test()

    def apply_update(self) -> None:
        """Change the weights by their diffs as they are, by the update rule and the current learning rate."""
        self._run.updater.update(self.lr)

    def snapshot(self) -> None:
        """Write PREFIX_iter_N.caffemodel and PREFIX_iter_N.solverstate, or both with .h5. Raises SnapshotError."""
        stem, ending = f"{self._prefix}_iter_{self.iter}", self._ending
        model = f"{stem}{MODEL}{ending}"
        if ending:
            self.net.save_hdf5(model)
        else:
            self.net.save(model)
        solverstate.write(f"{stem}{STATE}{ending}", solverstate.state_of(self._run.updater, self.iter, model))

    def restore(self, state_file: str | os.PathLike[str]) -> None:
        """Go on from a solverstate, in HDF5 or not, and the caffemodel that it names, which may also lie beside it.

        Raises SnapshotError for files that cannot be read or do not fit.
        """
        state = solverstate.read(state_file)
        solverstate.put_back(state, self._run.updater, os.fspath(state_file))
        model = solverstate.weights_beside(state, state_file)
        if model is not None:
            self.net.copy_from(model)
        self._run.go_on_from(state.iteration)

    def add_callback(self, on_start: Callback, on_gradients_ready: Callback | None = None) -> None:
        """Call `on_start` before each update's forward pass, and `on_gradients_ready` before the weights change."""
        self._run.on_start.append(on_start)
        if on_gradients_ready is not None:
            self._run.on_gradients_ready.append(on_gradients_ready)

    def share_weights(self, net: Net) -> None:
        """Let another net use the weights of this solver's net."""
        net.share_with(self.net)


class SGDSolver(Solver):
    """Stochastic gradient descent with momentum."""

    kind = "SGD"


class NesterovSolver(Solver):
    """Nesterov's accelerated gradient."""

    kind = "Nesterov"


class AdaGradSolver(Solver):
    """AdaGrad."""

    kind = "AdaGrad"


class RMSPropSolver(Solver):
    """RMSProp."""

    kind = "RMSProp"


class AdaDeltaSolver(Solver):
    """AdaDelta."""

    kind = "AdaDelta"


class AdamSolver(Solver):
    """Adam."""

    kind = "Adam"


def get_solver(solver_file: str | os.PathLike[str]) -> Solver:
    """The solver of the type that the file names."""
    kinds = {cls.kind: cls for cls in Solver.__subclasses__()}
    return kinds[SolverFile.load(solver_file).type](solver_file)


class _Run(solvers.Solver):
    """layerkit's solver, with calls around each update."""

    shown: Net
    on_start: list[Callback]
    on_gradients_ready: list[Callback]

    @classmethod
    def over(cls, net: Net, tests: Mapping[str, Inner], batches: Mapping[str, int | str], spec: SolverSpec) -> Self:
        """A solver over nets that exist already, with the number of batches that each is tested by."""
        run = cls.from_net(net.inner, spec)
        run.shown = net
        run._tests = Tests(tests, batches)
        run.test_nets = run._tests.nets
        run.on_start, run.on_gradients_ready = [], []
        return run

    def go_on_from(self, iteration: int) -> None:
        """Count on from an iteration, as if it had been reached."""
        self.iteration, self._tested_at = iteration, -1
        self._displays.losses.clear()

    def _gradients(self) -> float:
        for call in self.on_start:
            call()
        loss = self._layer_by_layer() if self.shown.hooked else super()._gradients()
        for call in self.on_gradients_ready:
            call()
        return loss

    def _layer_by_layer(self) -> float:
        """What the base does, with the script's hooks around each layer."""
        loss, last = 0.0, len(self.shown.layers) - 1
        self.shown.clear_param_diffs()
        for _ in range(self.spec.iter_size):
            loss += self.shown._forward(0, last) / self.spec.iter_size
            self._guard.check_loss(loss, self.iteration)
            self.shown._backward(last, 0)
            self._displays.count_batch()
        self._displays.losses.append(loss)
        return loss


def _log(event: Event) -> None:
    """Print what Caffe logs of a training run."""
    if os.environ.get(_LEVEL, "0") > "0":
        return
    values: dict[str, Any] = event.get("outputs", {})
    if event["event"] == "display":
        print(f"Iteration {event['iter']}, loss = {event['loss']:.6g}, lr = {event['lr']:g}", file=sys.stderr)
    elif event["event"] == "test":
        print(f"Iteration {event['iter']}, Testing net", file=sys.stderr)
        for name, value in values.items():
            print(f"    Test net output: {name} = {value:.6g}", file=sys.stderr)
