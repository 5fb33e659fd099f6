"""Solver: trains a net as a run says, tests it on the way, and snapshots it so that it can go on bit for bit."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np

from layerkit import graph, snapshot
from layerkit.averaging import Average
from layerkit.errors import DataError, LayerkitError, UsageError
from layerkit.evaluation import Outputs, batch_size, evaluate, scalars
from layerkit.events import EventLog
from layerkit.given import Keep
from layerkit.net import Net
from layerkit.passes import remember
from layerkit.policies import Plateau, PlateauState, learning_rate
from layerkit.spec import Origin, RunSpec, SolverSpec, differences
from layerkit.updaters import UPDATERS
from layerkit.weights import STATE_SUFFIX

LOGGED = 10_000
"""Numbers in a table that the event log still records: a confusion matrix of 1,000 classes would swell it."""


class Solver:
    """Trains `net` by the update rule and learning-rate policy of a run.

    `iteration` counts the updates made; `test_net` shares the weights, and is None for a run that says nothing of
    tests. Nothing is written unless `folder` is given: there go the event log and the snapshots.

    Source: Caffe's Solver and SGDSolver.
    """

    def __init__(
        self,
        source: Origin | RunSpec | graph.Loaded,
        *,
        folder: str | os.PathLike[str] | None = None,
        weights: str | os.PathLike[str] | None = None,
        strict: bool = False,
        overrides: Iterable[str] = (),
        dtype: str = "float32",
        engine: str | None = None,
        keep: Keep = "all",
        allow_python: bool = False,
    ):
        """A solver for a run from a YAML file's path, a YAML text or a dict (`overrides` are for these), or a RunSpec.

        `weights` is a file to start from, loaded as `Net.load_weights` does: without `strict`, what agrees by name.
        With what `graph.load` gave, graphs are not built again; one solver can be made from it. `engine` replaces the
        run's; `keep` says which blobs of the nets can be read, and `allow_python` whether they may hold Python layers,
        as in Net. Raises ConfigError, and UsageError for a run without a solver, or with nothing to train.
        """
        if isinstance(source, RunSpec):
            source = graph.Loaded(source, {})
        if not isinstance(source, graph.Loaded):
            source = graph.load(source, overrides=overrides, allow_python=allow_python)
        run, graphs = source
        if run.solver is None:
            raise UsageError(f"the run {run.name!r} has no 'solver', so there is nothing to train by")
        nets: dict[str, Net] = {}
        for phase in ("train", "test"):
            if phase in graph.phases_of(run):
                state = run.state(phase)
                built = graphs.get(phase) or graph.build(
                    run.net, phase, state.level, state.stages, allow_python=allow_python
                )
                nets[phase] = Net.from_graph(
                    built,
                    seed=run.solver.random_seed,
                    dtype=dtype,
                    engine=engine or run.engine,
                    keep=keep,
                    share=nets.get("train"),
                )
        if weights is not None:
            nets["train"].load_weights(weights, strict)
        about = snapshot.describe(run, graphs.get("predict"), allow_python=allow_python)
        self._init(nets["train"], nets.get("test"), run.solver, run, about, folder)

    @classmethod
    def from_net(cls, net: Net, spec: SolverSpec, *, test_net: Net | None = None) -> Self:
        """A solver over nets that exist already; snapshots then hold no predict net and need a path."""
        solver = cls.__new__(cls)
        solver._init(net, test_net, spec, None, {}, None)
        return solver

    def _init(
        self,
        net: Net,
        test_net: Net | None,
        spec: SolverSpec,
        run: RunSpec | None,
        about: dict[str, Any],
        folder: str | os.PathLike[str] | None,
    ) -> None:
        _expect_something_to_train(net)
        self.net = net
        self.test_net = test_net
        self.spec = spec
        self.run = run
        self._described = about
        self.folder = None if folder is None else Path(folder)
        self.events = EventLog(None if self.folder is None else self.folder / snapshot.EVENTS)
        self.updater = UPDATERS[spec.type](spec, net.flat, net.engine)
        self.average = None if spec.average is None else Average(spec.average, net.flat)
        """The average of the weights that tests and snapshots use, if the run asks for one."""
        self._plateau = Plateau(spec) if spec.lr_policy == "plateau" else None
        if self._plateau is not None and test_net is not None:
            self._plateau.expect(name for name in test_net.outputs if test_net.blobs[name].count == 1)
        self.iteration = 0
        self.stopping = False
        """Set it (from a signal handler, say) and `solve` ends after the update in hand, with a snapshot."""
        self._losses: deque[float] = deque(maxlen=spec.average_loss)
        self._saved_at = -1
        self._resumed = False
        self._samples = 0
        self._seconds = 0.0
        """Spent on updates since the last display, in which `_samples` were read."""

    @property
    def predict_missing(self) -> str | None:
        """Why snapshots will hold no predict net, or None if they will."""
        return self._described.get("predict_missing")

    # -- training ------------------------------------------------------------------------------------------------

    @property
    def lr(self) -> float:
        """The learning rate of the next update."""
        rate = learning_rate(self.spec, self.iteration)
        return rate if self._plateau is None else rate * self._plateau.state.factor

    def step(self, count: int = 1) -> float:
        """Make `count` updates, with the displays, tests and snapshots that fall due; returns the last loss.

        Tests and displays come before the update of their iteration, snapshots after. Raises DataError where the loss
        is no longer finite, UsageError for a negative count.
        """
        if count < 0:
            raise UsageError(f"the count of updates must be 0 or more, not {count}")
        loss = math.nan
        for _ in range(count):
            due = self._due(self.spec.test_interval) and (self.iteration or self.spec.test_initialization)
            if due:
                outputs = self._test()
                if outputs is None:
                    break
                if self._plateau is not None:
                    self._plateau.see(outputs)
            begun = time.perf_counter()
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # the loss tells, in one sentence
                loss = self._gradients()
                if self._due(self.spec.display):
                    self._display(begun)
                    begun = time.perf_counter()
                self.updater.update(self.lr)
                if self.average is not None:
                    self.average.take(self.iteration + 1)
            self._seconds += time.perf_counter() - begun
            self.iteration += 1
            if self._due(self.spec.display or 100):
                self._expect_finite_weights()
            if self._due(self.spec.snapshot) and self.folder is not None:
                self.snapshot()
            if self.stopping:
                break
        return loss

    def solve(self) -> Outputs:
        """Train to max_iter, snapshot and test at the end; returns the last test's outputs (empty without a test net).

        When `stopping` was set it ends early, with a snapshot and no test; a test in hand is cut short.
        """
        self.open()
        outputs: Outputs = {}
        try:
            self.events.emit("start", self.iteration, **self._about())
            while self.iteration < self.spec.max_iter and not self.stopping:
                self.step()
            wanted = self.spec.snapshot_after_train or self.stopping
            if wanted and self.folder is not None and self._saved_at != self.iteration:
                self.snapshot()
            if not self.stopping and self.test_net is not None:
                outputs = self._test() or {}
            self.events.emit("stop", self.iteration, reason="finished" if self.finished else "interrupted")
        except LayerkitError as error:
            with contextlib.suppress(LayerkitError):  # the log itself may be what failed
                self.events.emit("error", self.iteration, message=str(error))
            raise
        return outputs

    @property
    def finished(self) -> bool:
        """Whether all updates are made."""
        return self.iteration >= self.spec.max_iter

    def _gradients(self) -> float:
        """Sum the gradients of iter_size batches into the flat diff; returns the mean loss."""
        loss = 0.0
        for i in range(self.spec.iter_size):
            self.net.forward()
            loss += self.net.loss / self.spec.iter_size
            self.net.backward(accumulate=i > 0)
            self._samples += batch_size(self.net)
        if not math.isfinite(loss):
            hint = "lower base_lr, or look for extreme values in the data"
            raise DataError(f"the loss is {loss} at iteration {self.iteration}: {hint}")
        self._losses.append(loss)
        return loss

    def _expect_finite_weights(self) -> None:
        """Raise DataError where a weight is no longer finite, which a rectifier behind it may keep from the loss."""
        values = self.net.flat.values
        if not (math.isfinite(values.min()) and math.isfinite(values.max())):
            slot = next(slot for slot in self.net.flat.trained if not np.isfinite(slot.blob.values).all())
            hint = "lower base_lr, or go on from an earlier snapshot"
            raise DataError(
                f"the {slot.name} of layer {slot.layer!r} is not finite at iteration {self.iteration}: {hint}"
            )

    def _due(self, interval: int) -> bool:
        return interval > 0 and self.iteration % interval == 0

    def _display(self, begun: float) -> None:
        seconds = self._seconds + time.perf_counter() - begun
        self.events.emit(
            "display",
            self.iteration,
            loss=sum(self._losses) / len(self._losses),
            lr=self.lr,
            samples_per_s=round(self._samples / max(seconds, 1e-9), 1),
            outputs={name: float(value) for name, value in scalars(self.net)},
        )
        self._samples, self._seconds = 0, 0.0

    def _about(self) -> dict[str, Any]:
        return {
            "name": self.run.name if self.run else self.net.graph.name,
            "max_iter": self.spec.max_iter,
            "weights": int(self.net.flat.values.size),
            "seed": self.net.seed,
            "resumed": self._resumed,
            **self._runs_on(),
        }

    def _runs_on(self) -> dict[str, Any]:
        """What computes: on another engine, or by another number of threads, the last bits may differ."""
        return {"threads": snapshot.threads(), "engine": self.net.engine.name}

    # -- tests ---------------------------------------------------------------------------------------------------

    def test(self) -> Outputs:
        """Run the test net over test_iter batches; returns each scalar output over all samples, as `evaluate` does.

        It tests the averaged weights where the run averages, as soon as there are any.

        It is cut short, and returns nothing, if `stopping` is set meanwhile. Raises UsageError without a test net.
        """
        return self._test() or {}

    def _test(self) -> Outputs | None:
        """Outputs of a test, or None if it was cut short; then it is as if it had not begun."""
        if self.test_net is None:
            raise UsageError("there is no test net: neither test_interval nor a layer says anything of tests")
        before, undo = self.stopping, remember(node for _, node in self.test_net.nodes())
        with self._averaged():
            found = evaluate(self.test_net, self.spec.test_iter, stop=lambda: self.stopping and not before)
        if self.stopping and not found.samples:
            undo()
            return None
        tables = {name: table.tolist() for name, table in found.tables.items() if table.size <= LOGGED}
        about = {"tables": tables} if tables else {}
        self.events.emit("test", self.iteration, outputs=found.outputs, samples=found.samples, **about)
        return found.outputs

    def _averaged(self) -> contextlib.AbstractContextManager[None]:
        """While inside, the nets have the weights that tests and snapshots use: averaged ones, if there are any."""
        return contextlib.nullcontext() if self.average is None else self.average.in_place()

    # -- snapshots -----------------------------------------------------------------------------------------------

    def snapshot(self, stem: str | os.PathLike[str] | None = None) -> Path:
        """Write weights and state (`stem`.safetensors, `stem`.state.safetensors; by default iter_N in the folder).

        The weights are the averaged ones where the run averages; then the trained ones are in the state. Returns the
        weights' path. Raises SnapshotError; what was there before stays then.
        """
        if stem is None:
            if self.folder is None:
                raise UsageError("nowhere to snapshot to: give a path, or make the solver with folder=...")
            with contextlib.suppress(OSError):  # where there can be no folder, saving says why
                self.folder.mkdir(parents=True, exist_ok=True)
            stem = self.folder / f"iter_{self.iteration}"
        self._expect_finite_weights()
        weights = Path(f"{os.fspath(stem)}.safetensors")
        state = Path(f"{os.fspath(stem)}{STATE_SUFFIX}")
        averaged = {} if self.average is None else {"averaged": int(self.average.count[0])}
        with self._averaged():
            digest = snapshot.save_weights(weights, self.net, {**self._described, **averaged}, self.iteration)
        # The event comes between the files, so that the position which the state notes lies behind it. A state that
        # the log does not speak of, or without its weights, is passed over by `newest_state`.
        self.events.emit("snapshot", self.iteration, weights=weights.name, state=state.name)
        snapshot.save_state(
            state,
            self._nets(),
            self.updater,
            self.run,
            average=self.average,
            plateau=None if self._plateau is None else self._plateau.state,
            iteration=self.iteration,
            weights=digest,
            losses=list(self._losses),
            events=self.events.position(),
        )
        self._saved_at = self.iteration
        return weights

    def restore(self, state: str | os.PathLike[str]) -> list[str]:
        """Go on from a solver's state and the weights beside it; in the state's folder the event log is rewound to it.

        Returns notes for the user: what differs between the run that was saved and this one. Raises SnapshotError,
        and nothing is changed then.
        """
        info, notes = snapshot.restore(state, self._nets(), self.updater, self.average)
        self.iteration = self._saved_at = info.iteration
        self._losses.clear()
        self._losses.extend(info.losses)
        if self._plateau is not None:
            self._plateau.state = info.plateau or PlateauState()
        self._resumed = True
        if self.folder is not None and self.folder.resolve() == Path(state).resolve().parent:
            self.events.rewind(info.events)
            snapshot.sweep(self.folder)
        if self.run is not None and info.run:
            said = {key: info.run.get(key) for key in ("threads", "engine")}  # what is in force says more, below
            now = {**self.run.resolved(), **said}
            notes = [*differences(info.run, now), *notes]
        was = {"threads": info.threads, "engine": info.engine}
        notes += [
            f"{what}: {was[what]} -> {now} (the last bits may differ)"
            for what, now in self._runs_on().items()
            if was[what] != now
        ]
        return notes

    def _nets(self) -> dict[str, Net]:
        return {"train": self.net, **({} if self.test_net is None else {"test": self.test_net})}

    def open(self) -> None:
        """Open the sources; `solve` does it too. Raises DataError, naming the layer, for one that is missing."""
        for net in self._nets().values():
            net.open()

    def close(self) -> None:
        """Let go of the sources."""
        for net in self._nets().values():
            net.close()


def _expect_something_to_train(net: Net) -> None:
    """Raise UsageError for a train net without a loss, or without a weight that learns."""
    if not any(weight for node in net.graph.nodes for weight in node.loss_weights):
        raise UsageError("no layer of the train net is a loss, so there is nothing to train")
    if not net.flat.trained:
        raise UsageError(
            "no layer of the train net has weights that learn (lr_mult above 0), so there is nothing to train"
        )
