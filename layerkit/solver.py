"""Solver: trains a net as a run says, tests it on the way, and snapshots it so that it can go on bit for bit."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from layerkit import graph, snapshot
from layerkit.averaging import Average, in_place
from layerkit.best import Best
from layerkit.diagnosis import Guard, Skipped, expect_something_to_train
from layerkit.displays import Displays
from layerkit.errors import LayerkitError, UsageError
from layerkit.evaluation import Outputs, Tests
from layerkit.events import EventLog
from layerkit.given import Keep
from layerkit.keeping import Keeper, changed_since
from layerkit.magnitudes import DebugInfo, expect_readable
from layerkit.net import Net
from layerkit.nets import nets_of
from layerkit.policies import Plateau, PlateauState, learning_rate
from layerkit.schedule import Every, Schedule, TimeLimit, epoch_in_iterations
from layerkit.spec import Origin, RunSpec, SolverSpec
from layerkit.updaters import UPDATERS
from layerkit.weights import STATE_SUFFIX


class Solver:
    """Trains `net` by the update rule and learning-rate policy of a run.

    `iteration` counts the updates made; `test_nets` share the weights, and are none for a run that says nothing of
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
        net, tests = nets_of(run, graphs, dtype, engine or run.engine, keep, allow_python)
        if weights is not None:
            net.load_weights(weights, strict)
        about = snapshot.describe(run, graphs.get("predict"), allow_python=allow_python)
        self._init(net, tests, run.solver, run, about, folder)

    @classmethod
    def from_net(cls, net: Net, spec: SolverSpec, *, test_net: Net | None = None) -> Self:
        """A solver over nets that exist already; snapshots then hold no predict net and need a path."""
        solver = cls.__new__(cls)
        solver._init(net, {} if test_net is None else {next(iter(spec.tests)): test_net}, spec, None, {}, None)
        return solver

    def _init(
        self,
        net: Net,
        test_nets: Mapping[str, Net],
        spec: SolverSpec,
        run: RunSpec | None,
        about: dict[str, Any],
        folder: str | os.PathLike[str] | None,
    ) -> None:
        expect_something_to_train(net)
        if spec.debug_info and spec.display:
            expect_readable(net)
        self.net = net
        self._tests = Tests(test_nets, spec.tests)
        self.test_nets = self._tests.nets
        """The test nets by name: the stages of each test_state, or `test`."""
        self.test_net = next(iter(self.test_nets.values()), None)
        self._schedule = Schedule(spec, net)
        self.spec = spec = self._schedule.spec
        self.run = run
        self._described = about
        self.folder = None if folder is None else Path(folder)
        self.events = EventLog(None if self.folder is None else self.folder / snapshot.EVENTS)
        self.updater = UPDATERS[spec.type](spec, net.flat, net.engine)
        self.average = None if spec.average is None else Average(spec.average, net.flat)
        """The average of the weights that tests and snapshots use, if the run asks for one."""
        self._plateau = Plateau(spec) if spec.lr_policy == "plateau" else None
        if self._plateau is not None and test_nets:
            self._plateau.expect(self._tests.makers())
        self.best = Best(spec, self._tests.makers()) if test_nets and Best.wanted(spec) else None
        """The best test so far, if the run asks for one."""
        self._keeper = Keeper(spec, self.best, net, self.average, self.folder, about)
        self._guard = Guard(net, self.folder)
        self._skipped = Skipped([net, *test_nets.values()])
        self.iteration = 0
        self.stopping = False
        """Set it (from a signal handler, say) and `solve` ends after the update in hand, with a snapshot."""
        self.reason = ""
        """Why `solve` ended: finished, early_stopping, max_time or interrupted."""
        self.limit = TimeLimit(spec.max_time)
        """Knows when max_time is over."""
        self._tested_at = -1
        self._outputs: Outputs = {}
        self._displays = Displays(net, spec)
        self._saved_at = -1
        self._resumed = False

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
            due = self._schedule.test.due(self.iteration) and (self.iteration or self.spec.test_initialization)
            if due and self._tested_at != self.iteration and not self._test_in_turn():
                break
            debug: DebugInfo | None = None
            begun = time.perf_counter()
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # the guard tells, in one sentence
                loss = self._gradients()
                if self._schedule.display.due(self.iteration):
                    self._displays.spend(time.perf_counter() - begun)
                    self.events.emit("display", self.iteration, **self._displays.record(self.lr))
                    self._skipped.tell(self.events, self.iteration)
                    debug = DebugInfo(self.net) if self.spec.debug_info else None
                    begun = time.perf_counter()
                self.updater.update(self.lr)
                if self.average is not None:
                    self.average.take(self.iteration + 1)
            self._displays.spend(time.perf_counter() - begun)
            if debug is not None:
                self.events.emit("debug_info", self.iteration, **debug.after_update())
            self.iteration += 1
            if (self._schedule.display if self.spec.display else Every(100)).due(self.iteration):
                self._guard.check_weights(self.iteration)
            if self._schedule.snapshot.due(self.iteration) and self.folder is not None:
                self.snapshot()
            if self._must_end():
                break
        return loss

    def solve(self) -> Outputs:
        """Train to the end, snapshot and test there; returns the last test's outputs (empty without a test net).

        Where early_stopping restores the best weights the net has these at last, and their test's outputs are returned.
        When `stopping` was set, or max_time is over, it ends early, with a snapshot and no test; a test in hand is cut
        short.
        """
        self.open()
        outputs: Outputs = {}
        self.limit.begin()
        try:
            self.events.emit("start", self.iteration, **self._about())
            if self._resumed:
                self._keeper.write()  # into what may be another folder
            while not self.finished and not self._must_end():
                self.step()
            ended = not self._must_end()
            wanted = self.spec.snapshot_after_train or not ended
            if wanted and self.folder is not None and self._saved_at != self.iteration:
                self.snapshot()
            if ended and self.test_nets:
                outputs = self._last_test()
            self._skipped.tell(self.events, self.iteration, last=True)
            self.reason = self._why()
            self.events.emit("stop", self.iteration, reason=self.reason, **self._keeper.about())
        except LayerkitError as error:
            with contextlib.suppress(LayerkitError):  # the log itself may be what failed
                self.events.emit("error", self.iteration, message=str(error))
            raise
        return outputs

    @property
    def finished(self) -> bool:
        """Whether all updates are made that are to be made."""
        return self.iteration >= self.spec.iterations or self._exhausted

    @property
    def _exhausted(self) -> bool:
        return self.best is not None and self.best.exhausted

    def _must_end(self) -> bool:
        """Whether `stopping` is set, or max_time is over before all updates are made."""
        return self.stopping or (self.limit.look() and not self.finished)

    def _why(self) -> str:
        if self.iteration >= self.spec.iterations:
            return "finished"
        return "early_stopping" if self._exhausted else "interrupted" if self.stopping else "max_time"

    def _gradients(self) -> float:
        """Sum the gradients of iter_size batches into the flat diff; returns the mean loss."""
        loss = 0.0
        for i in range(self.spec.iter_size):
            self._guard.forward(self.iteration)
            loss += self.net.loss / self.spec.iter_size
            self._guard.check_loss(loss, self.iteration)
            self.net.backward(accumulate=i > 0)
            self._guard.check_gradients(self.iteration)
            self._displays.count_batch()
        self._displays.losses.append(loss)
        return loss

    def _about(self) -> dict[str, Any]:
        return {
            "name": self.run.name if self.run else self.net.graph.name,
            "max_iter": self.spec.iterations,
            "epoch": epoch_in_iterations(self.net, self.spec.iter_size),
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
        """Run the test nets over test_iter batches; returns each scalar output over all samples, as `evaluate` does.

        It tests the averaged weights where the run averages, as soon as there are any. The outputs of one of several
        nets go by `NAME.output`.

        It is cut short, and returns nothing, if `stopping` is set meanwhile. Raises UsageError without a test net.
        """
        return self._test() or {}

    def _test(self) -> Outputs | None:
        """Outputs of a test, or None if it was cut short; then it is as if it had not begun."""
        if not self.test_nets:
            raise UsageError("there is no test net: neither test_interval nor a layer says anything of tests")
        begun, before = time.perf_counter(), self._must_end()
        with in_place(self.average):
            found = self._tests.run(stop=lambda: self._must_end() and not before)
        if found is None:
            return None
        speed = round(found.samples / max(time.perf_counter() - begun, 1e-9), 1)
        self.events.emit("test", self.iteration, lr=self.lr, samples_per_s=speed, **found.record())
        self._skipped.tell(self.events, self.iteration)
        return found.outputs

    def _test_in_turn(self) -> bool:
        """Test since it falls due, and let policies see it; whether the update follows."""
        outputs = self._test()
        if outputs is None:
            return False
        self._tested_at, self._outputs = self.iteration, outputs
        was = self.lr
        if self._plateau is not None and self._plateau.see(outputs):
            self.events.emit("lr", self.iteration, lr=self.lr, was=was, **self._plateau.about())
        self._keeper.follow(outputs, self.iteration, self.events)
        return not self._exhausted

    def _last_test(self) -> Outputs:
        """The outputs at the end of the run, for the best weights where these are restored."""
        if not self._exhausted:
            outputs = self._test()
            if outputs is None:
                return {}
            self._outputs = outputs
            self._keeper.follow(outputs, self.iteration, self.events)
        if self.best is not None and self._keeper.restores():
            return self.best.outputs
        return self._outputs or self.test()

    # -- snapshots -----------------------------------------------------------------------------------------------

    def snapshot(self, stem: str | os.PathLike[str] | None = None) -> Path:
        """Write weights and state (`stem`.safetensors, `stem`.state.safetensors; by default iter_N in the folder).

        The weights are the averaged ones where the run averages; then the trained ones are in the state. Returns the
        weights' path. Raises SnapshotError; what was there before stays then.
        """
        own = stem is None
        if stem is None:
            if self.folder is None:
                raise UsageError("nowhere to snapshot to: give a path, or make the solver with folder=...")
            with contextlib.suppress(OSError):  # where there can be no folder, saving says why
                self.folder.mkdir(parents=True, exist_ok=True)
            stem = self.folder / f"iter_{self.iteration}"
        self._guard.check_weights(self.iteration)
        weights = Path(f"{os.fspath(stem)}.safetensors")
        state = Path(f"{os.fspath(stem)}{STATE_SUFFIX}")
        averaged = {} if self.average is None else {"averaged": int(self.average.count[0])}
        with in_place(self.average):
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
            best=self.best,
            tested=self._tested_at,
            iteration=self.iteration,
            weights=digest,
            losses=list(self._displays.losses),
            events=self.events.position(),
        )
        self._saved_at = self.iteration
        if own:
            self._keeper.remove_older()
        return weights

    def restore(self, state: str | os.PathLike[str]) -> list[str]:
        """Go on from a solver's state and the weights beside it; in the state's folder the event log is rewound to it.

        Returns notes for the user: what differs between the run that was saved and this one. Raises SnapshotError,
        and nothing is changed then.
        """
        info, notes = snapshot.restore(state, self._nets(), self.updater, self.average, self.best)
        self.iteration = self._saved_at = info.iteration
        self._tested_at, self._outputs = info.tested, {}
        self._displays.losses.clear()
        self._displays.losses.extend(info.losses)
        if self._plateau is not None:
            self._plateau.state = info.plateau or PlateauState()
        self._resumed = True
        if self.folder is not None and self.folder.resolve() == Path(state).resolve().parent:
            self.events.rewind(info.events)
            snapshot.sweep(self.folder)
            self._keeper.write()
        return [*changed_since(info, self.run, self._runs_on()), *notes]

    def _nets(self) -> dict[str, Net]:
        return {"train": self.net, **self._tests.by_key()}

    def open(self) -> None:
        """Open the sources; `solve` does it too. Raises DataError, naming the layer, for one that is missing."""
        for net in self._nets().values():
            net.open()

    def close(self) -> None:
        """Let go of the sources."""
        for net in self._nets().values():
            net.close()
