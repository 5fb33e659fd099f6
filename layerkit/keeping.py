"""Which weights of a run are kept: those of its best test, and the last of its snapshots."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from layerkit import snapshot
from layerkit.averaging import Average, in_place
from layerkit.best import Best
from layerkit.events import EventLog
from layerkit.net import Net
from layerkit.spec import RunSpec, SolverSpec, differences
from layerkit.weights import STATE_SUFFIX, weights_of

BEST = "best.safetensors"
"""Name of the best test's weights in a run's folder."""


class Keeper:
    """Keeps what a run is to keep: the best test's weights if it follows its tests, in its folder if it has one."""

    def __init__(
        self,
        spec: SolverSpec,
        best: Best | None,
        net: Net,
        average: Average | None,
        folder: Path | None,
        described: Mapping[str, Any],
    ):
        self._last = spec.keep_last
        self._best = best
        self._net = net
        self._average = average
        self._folder = folder
        self._described = described

    def follow(self, outputs: Mapping[str, float], iteration: int, events: EventLog) -> None:
        """Take in what a test gave, and the weights that were tested if it is the best so far.

        Raises SnapshotError, DataError for what cannot be written.
        """
        averaged = 0 if self._average is None else int(self._average.count[0])
        if self._best is None or not self._best.see(outputs, iteration, averaged) or not self._best.keeps:
            return
        with in_place(self._average):
            self._best.take(self._net.flat.arrays())
        if self._folder is not None:
            self.write()
            events.emit("best", iteration, **self.about()["best"], weights=BEST)

    def about(self) -> dict[str, Any]:
        """What events say of the best test; nothing before there is one."""
        if self._best is None or self._best.state.value is None:
            return {}
        state = self._best.state
        return {"best": {"metric": self._best.metric, "value": state.value, "at": state.iteration}}

    def write(self) -> None:
        """Write the best test's weights to the run's folder; remove the file where there are none, not any more.

        So a run that goes on from an earlier snapshot has the file of that time. Raises SnapshotError.
        """
        if self._folder is None or self._best is None or not self._best.keeps:
            return
        if not self._best.weights:
            with contextlib.suppress(OSError):
                (self._folder / BEST).unlink()
            return
        state = self._best.state
        about = {**self._described, **({} if self._average is None else {"averaged": state.averaged})}
        snapshot.save_weights(self._folder / BEST, self._net, about, state.iteration, self._best.weights)

    def restores(self) -> bool:
        """Put the best test's weights into the net if early stopping is to; whether it did."""
        best = self._best
        if best is None or best.early is None or not best.early.restore_best or not best.weights:
            return False
        self._net.flat.load(best.weights, BEST)
        if self._average is not None:
            self._average.adopt()
        return True

    def remove_older(self) -> None:
        """Remove all but the last keep_last snapshots of this run, each with its weights; never that of the best test.

        Call it once a newer one is safely there. Each state goes before its weights: what a killed process leaves is
        then no snapshot to go on from.
        """
        if self._folder is None or self._last is None:
            return
        best = None if self._best is None else f"iter_{self._best.state.iteration}{STATE_SUFFIX}"
        for state in snapshot.states(self._folder)[: -self._last]:
            for path in () if state.name == best else (state, weights_of(state)):
                with contextlib.suppress(OSError):  # what cannot be removed takes up room, and nothing worse
                    path.unlink()


def changed_since(info: snapshot.StateInfo, run: RunSpec | None, runs_on: Mapping[str, Any]) -> list[str]:
    """What differs between the run that a state was saved by, and what that ran on, and this one; a line each."""
    notes: list[str] = []
    if run is not None and info.run:
        said = {key: info.run.get(key) for key in runs_on}  # what is in force says more, below
        notes = differences(info.run, {**run.resolved(), **said})
    was = {"threads": info.threads, "engine": info.engine}
    return notes + [
        f"{what}: {was[what]} -> {now} (the last bits may differ)" for what, now in runs_on.items() if was[what] != now
    ]
