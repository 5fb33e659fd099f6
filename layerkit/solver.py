"""Solver: trains a net as a run says, tests it on the way, and snapshots it so that it can go on bit for bit."""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from layerkit import graph, snapshot
from layerkit.errors import DataError, LayerkitError, UsageError
from layerkit.events import EventLog
from layerkit.layer import SourceLayer
from layerkit.net import Net
from layerkit.policies import learning_rate
from layerkit.spec import RunSpec, SolverSpec, load_run
from layerkit.updaters import UPDATERS

Outputs = dict[str, float]


class Solver:
    """Trains `net` by the update rule and learning-rate policy of a run.

    `iteration` counts the updates made; `test_net` shares the weights, and is None without a test_interval. Nothing is
    written unless `folder` is given: there go the event log and the snapshots.

    Source: Caffe's Solver and SGDSolver.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Mapping[str, Any] | RunSpec,
        *,
        folder: str | os.PathLike[str] | None = None,
        overrides: Iterable[str] = (),
        dtype: str = "float32",
    ):
        """A solver for a run from a YAML file's path, a YAML text or a dict. Raises ConfigError."""
        run = source if isinstance(source, RunSpec) else load_run(source, overrides)
        if run.solver is None:
            raise UsageError(f"the run {run.name!r} has no 'solver', so there is nothing to train by")
        spec = run.solver
        train = graph.build(run.net, "train", spec.train_state.level, spec.train_state.stage)
        test = None
        if spec.test_interval:
            test = graph.build(run.net, "test", spec.test_state.level, spec.test_state.stage)
        net = Net.from_graph(train, seed=spec.random_seed, dtype=dtype)
        test_net = None if test is None else Net.from_graph(test, seed=spec.random_seed, dtype=dtype, share=net)
        self._init(net, test_net, spec, run, folder)

    @classmethod
    def from_net(cls, net: Net, spec: SolverSpec, *, test_net: Net | None = None) -> Self:
        """A solver over nets that exist already."""
        solver = cls.__new__(cls)
        solver._init(net, test_net, spec, None, None)
        return solver

    def _init(
        self,
        net: Net,
        test_net: Net | None,
        spec: SolverSpec,
        run: RunSpec | None,
        folder: str | os.PathLike[str] | None,
    ) -> None:
        self.net = net
        self.test_net = test_net
        self.spec = spec
        self.run = run
        self.folder = None if folder is None else Path(folder)
        self.events = EventLog(None if self.folder is None else self.folder / "events.jsonl")
        self.updater = UPDATERS[spec.type](spec, net.flat)
        self.iteration = 0
        self.stopping = False
        """Set it (from a signal handler, say) and `solve` ends after the update in hand, with a snapshot."""
        self._losses: deque[float] = deque(maxlen=spec.average_loss)
        self._saved_at = -1
        self._resumed = False
        self._clock = (time.perf_counter(), 0)
        self._samples = 0

    # -- training ------------------------------------------------------------------------------------------------

    @property
    def lr(self) -> float:
        """The learning rate of the next update."""
        return learning_rate(self.spec, self.iteration)

    def step(self, count: int = 1) -> float:
        """Make `count` updates, with the displays, tests and snapshots that fall due; returns the last loss.

        Raises DataError where the loss is no longer finite.
        """
        loss = math.nan
        for _ in range(count):
            if self._due(self.spec.test_interval) and (self.iteration or self.spec.test_initialization):
                self.test()
            loss = self._gradients()
            if self._due(self.spec.display):
                self._display()
            self.updater.update(self.lr)
            self.iteration += 1
            if self._due(self.spec.snapshot) and self.folder is not None:
                self.snapshot()
            if self.stopping:
                break
        return loss

    def solve(self) -> Outputs:
        """Train to max_iter, test and snapshot at the end; returns the last test's outputs (empty without a test net).

        When `stopping` was set it ends early, with a snapshot.
        """
        self.open()
        self.events.emit("start", self.iteration, **self._about())
        self._clock = (time.perf_counter(), self._samples)
        outputs: Outputs = {}
        try:
            while self.iteration < self.spec.max_iter and not self.stopping:
                self.step()
            if not self.stopping and self.test_net is not None:
                outputs = self.test()
        except LayerkitError as error:
            self.events.emit("error", self.iteration, message=str(error))
            raise
        wanted = self.spec.snapshot_after_train or self.stopping
        if wanted and self.folder is not None and self._saved_at != self.iteration:
            self.snapshot()
        self.events.emit("stop", self.iteration, reason="interrupted" if self.stopping else "finished")
        return outputs

    def _gradients(self) -> float:
        """Sum the gradients of iter_size batches into the flat diff; returns the mean loss."""
        loss = 0.0
        for i in range(self.spec.iter_size):
            self.net.forward()
            loss += self.net.loss / self.spec.iter_size
            self.net.backward(accumulate=i > 0)
            self._samples += _batch_size(self.net)
        if not math.isfinite(loss):
            hint = "lower base_lr, or look for extreme values in the data"
            raise DataError(f"the loss is {loss} at iteration {self.iteration}: {hint}")
        self._losses.append(loss)
        return loss

    def _due(self, interval: int) -> bool:
        return interval > 0 and self.iteration % interval == 0

    def _display(self) -> None:
        start, samples = self._clock
        now = time.perf_counter()
        self._clock = (now, self._samples)
        self.events.emit(
            "display",
            self.iteration,
            loss=sum(self._losses) / len(self._losses),
            lr=self.lr,
            samples_per_s=round((self._samples - samples) / max(now - start, 1e-9), 1),
            outputs={name: float(array) for name, array in _scalars(self.net)},
        )

    def _about(self) -> dict[str, Any]:
        return {
            "name": self.run.name if self.run else self.net.graph.name,
            "max_iter": self.spec.max_iter,
            "weights": int(self.net.flat.data.size),
            "seed": self.net.seed,
            "resumed": self._resumed,
        }

    # -- tests ---------------------------------------------------------------------------------------------------

    def test(self) -> Outputs:
        """Run the test net over test_iter batches; returns each scalar output's mean over samples.

        Raises UsageError without a test net.
        """
        if self.test_net is None:
            raise UsageError("there is no test net: the solver has no test_interval")
        outputs, samples = evaluate(self.test_net, self.spec.test_iter)
        self.events.emit("test", self.iteration, outputs=outputs, samples=samples)
        return outputs

    # -- snapshots -----------------------------------------------------------------------------------------------

    def snapshot(self, stem: str | os.PathLike[str] | None = None) -> Path:
        """Write weights and state (`stem`.safetensors, `stem`.state.safetensors; by default iter_N in the folder).

        Returns the weights' path. Raises SnapshotError; what was there before stays then.
        """
        if stem is None and self.folder is None:
            raise UsageError("nowhere to snapshot to: give a path, or make the solver with folder=...")
        stem = os.fspath(stem) if stem is not None else os.fspath(self._default_stem())
        weights, state = Path(f"{stem}.safetensors"), Path(f"{stem}{snapshot.STATE_SUFFIX}")
        snapshot.save_weights(weights, self.net, self.run, self.iteration)
        self.events.emit("snapshot", self.iteration, weights=weights.name, state=state.name)
        more = {"losses": list(self._losses), "events": self.events.position()}
        snapshot.save_state(state, self.net, self.updater, self.run, self.iteration, **more)
        self._saved_at = self.iteration
        return weights

    def _default_stem(self) -> Path:
        assert self.folder is not None
        return self.folder / f"iter_{self.iteration}"

    def restore(self, state: str | os.PathLike[str]) -> list[str]:
        """Go on from a solver's state and the weights beside it.

        Returns notes for the user: what differs between the run that was saved and this one. Raises SnapshotError.
        """
        self.net.load_weights(snapshot.weights_of(state))
        about = snapshot.load_state(state, self.net, self.updater)
        self.iteration = self._saved_at = int(about["iteration"])
        self._losses.extend(about["losses"])
        self._resumed = True
        if self.folder is not None and self.folder.resolve() == Path(state).resolve().parent:
            self.events.rewind(int(about["events"]))
        notes = [] if self.run is None else snapshot.differences(about["run"], self.run.resolved())
        if about["threads"] != snapshot.threads():
            notes.append(f"threads: {about['threads']} -> {snapshot.threads()} (the last bits may differ)")
        return notes

    def open(self) -> None:
        """Open the sources; `solve` does it too. Raises DataError, naming the layer, for one that is missing."""
        self.net.open()
        if self.test_net is not None:
            self.test_net.open()

    def close(self) -> None:
        """Let go of the sources."""
        self.net.close()
        if self.test_net is not None:
            self.test_net.close()


def evaluate(net: Net, batches: str | int = "all") -> tuple[Outputs, int]:
    """Each scalar output's mean over samples from the sources' beginning, and how many samples there were."""
    net.open()
    sources = [layer for layer in net.layers.values() if isinstance(layer, SourceLayer)]
    for source in sources:
        source.rewind()
    count = max((source.batches() for source in sources), default=1) if batches == "all" else int(batches)
    totals: dict[str, float] = {}
    samples = 0
    for _ in range(count):
        net.forward()
        size = _batch_size(net)
        samples += size
        for name, array in _scalars(net):
            totals[name] = totals.get(name, 0.0) + float(array) * size
    return {name: total / max(samples, 1) for name, total in totals.items()}, samples


def _scalars(net: Net) -> list[tuple[str, Any]]:
    return [(name, net.blobs[name].data) for name in net.outputs if net.blobs[name].count == 1]


def _batch_size(net: Net) -> int:
    """How many samples the last forward pass read: the leading axis of the first input."""
    shape = net.blobs[net.inputs[0]].shape if net.inputs else ()
    return shape[0] if shape else 1
