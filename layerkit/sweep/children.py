"""Runs a sweep's runs, several at a time, each as a `layerkit train` of its own."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerkit import snapshot, text
from layerkit.arrayfile import write_text
from layerkit.errors import UsageError
from layerkit.spec import differences
from layerkit.sweep.grid import Combination, Goal
from layerkit.sweep.results import ERRORS, Result, ranked, read, to_csv

CONFIG = "config.yaml"
"""Name of the resolved run in a run's folder."""

TABLE = "sweep.csv"
"""Name of the table in the sweep's folder."""

_LOCK = ".lock"

Told = Callable[[Combination, Result], None]


@dataclass
class _Child:
    """A run that is running."""

    combination: Combination
    process: subprocess.Popen[bytes]


class Sweep:
    """The runs of a sweep and the folder that holds theirs; `run` may be called again and again until all is done.

    A run that is finished is left as it is, one that was interrupted or failed goes on from its newest snapshot, and
    any other begins. Each run is a process, so that one that fails, or is killed, takes no other with it.
    """

    def __init__(self, file: Path, combinations: Sequence[Combination], folder: Path, *, by: str, best: Goal):
        self.file = file
        self.combinations = combinations
        self.folder = folder
        self.by = by
        self.best = best
        self._stops = 0
        self._done: dict[str, Result] = {}

    def stop(self) -> None:
        """End all runs and begin no more (call it from a signal handler, say): the first time each takes a snapshot.

        The second time they are ended at once, and go on later from an earlier snapshot.
        """
        self._stops += 1

    def results(self) -> list[tuple[Combination, Result]]:
        """What every run has come to, the best first."""
        rows = [(combination, self._result(combination)) for combination in self.combinations]
        return ranked(rows, self.by, self.best)

    def _result(self, combination: Combination) -> Result:
        """What a run has come to; once it is finished that does not change."""
        name = combination.folder
        found = self._done.get(name) or read(self.folder / name)
        if found.state == "finished":
            self._done[name] = found
        return found

    def _expect_same(self) -> None:
        """Raise UsageError if a folder holds a run that was made by another config than the one it would have now."""
        for combination in self.combinations:
            path = self.folder / combination.folder / CONFIG
            if not path.is_file():
                continue
            old, new = text.to_python(text.load(path)), combination.run.resolved()
            lines = differences({**old, **_elsewhere(new)}, new)
            if lines:
                more = f", and {len(lines) - 1} more" if len(lines) > 1 else ""
                raise UsageError(
                    f"{path.parent} holds a run with other settings ({lines[0]}{more}); --force runs all again, "
                    "and --set name=NAME makes a sweep with a folder of its own"
                )

    def run(
        self,
        jobs: int,
        threads: int,
        options: Sequence[str] = (),
        *,
        force: bool = False,
        told: Told = lambda *_: None,
    ) -> None:
        """Run what is not finished, `jobs` at a time with `threads` each, and keep sweep.csv up to date.

        `options` are further ones of `layerkit train`. With `force` every run begins again, and what there is of it
        goes. `told` hears of each run that ended. Raises UsageError where another sweep is at work in the folder, and
        for a run that was made by another config.
        """
        with self._alone() as lock:
            if force:
                self._clear()
            self._expect_same()
            waiting = [each for each in self.combinations if self._result(each).state != "finished"]
            options = ["--threads", str(threads), *options]
            running: list[_Child] = []
            asked = 0
            try:
                while running or (waiting and not self._stops):
                    while waiting and len(running) < jobs and not self._stops:
                        running.append(self._start(waiting.pop(0), options, lock))
                    if asked < self._stops:
                        asked = self._stops
                        _end(running, at_once=asked > 1)
                    for child in [child for child in running if child.process.poll() is not None]:
                        running.remove(child)
                        self._settle(child)
                        self._write()
                        told(child.combination, self._result(child.combination))
                    time.sleep(0.05)
            finally:  # something that is nobody's plan, such as a full disk, leaves no run behind
                _end(running, at_once=False)
                for child in running:
                    child.process.wait()
            self._write()

    def _clear(self) -> None:
        """Remove what earlier processes left of these runs."""
        self._done.clear()
        for combination in self.combinations:
            folder = self.folder / combination.folder
            for pattern in (CONFIG, ERRORS, snapshot.EVENTS, "iter_*.safetensors"):
                for path in folder.glob(pattern):
                    path.unlink()

    def _start(self, combination: Combination, options: Sequence[str], lock: int) -> _Child:
        """Begin a run, or go on with it; its process holds the lock too, and does not hear the terminal's Ctrl-C."""
        folder = self.folder / combination.folder
        folder.mkdir(parents=True, exist_ok=True)
        resumable = snapshot.newest_state(folder) is not None
        settings = [part for assignment in combination.assignments for part in ("--set", assignment)]
        command = [sys.executable, "-m", "layerkit", "train", str(self.file), *settings, "--folder", str(folder)]
        command += [*options, "--quiet", "--resume" if resumable else "--force"]
        with (folder / ERRORS).open("wb") as errors:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=[lock],
                process_group=0,
            )
        return _Child(combination, process)

    def _settle(self, child: _Child) -> None:
        """Leave what a run's process said where it failed, and only there."""
        path, status = self.folder / child.combination.folder / ERRORS, child.process.returncode
        ended = -status if status < 0 else {130: signal.SIGINT, 143: signal.SIGTERM}.get(status, 0)
        if status == 0 or (ended and self._stops) or ended in (signal.SIGINT, signal.SIGTERM):
            path.unlink(missing_ok=True)
        elif ended:
            hint = "; is there enough memory?" if ended == signal.SIGKILL else ""
            _append(path, f"its process was ended by {signal.Signals(ended).name}{hint}")
        elif not path.stat().st_size:
            _append(path, f"its process ended with status {status} and said nothing")

    def _write(self) -> None:
        write_text(self.folder / TABLE, to_csv(self.results(), self.folder))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[int]:
        """While inside, no other sweep works in the folder; nor while a process lives that got the descriptor."""
        if sys.platform == "win32":
            raise UsageError(
                "sweeps need the locks and signals of Linux or macOS; on Windows, train with each value by itself: "
                "layerkit train FILE --set A.B=VALUE"
            )
        import fcntl

        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / _LOCK).open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(
                    f"another sweep is at work in {self.folder}, or runs that it left behind; wait for their end"
                ) from None
            yield file.fileno()


def _elsewhere(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings of a resolved run that say how it is computed, not what."""
    return {key: resolved.get(key) for key in ("threads", "engine")}


def _append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def _end(children: Sequence[_Child], at_once: bool) -> None:
    """Ask processes to take a snapshot and end, or end them at once."""
    for child in children:
        if child.process.poll() is None:
            child.process.send_signal(signal.SIGKILL if at_once else signal.SIGTERM)
