"""What `layerkit train` shows: a progress bar in a terminal, plain lines in a pipe. Reads only events."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from rich.progress import BarColumn, ProgressColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Rows

from layerkit.cli.live import Live
from layerkit.events import Event
from layerkit.report.debug_info import magnitude_lines


class Progress(Live):
    """Shows a run's events on standard output and notes on standard error; `quiet` shows neither."""

    def __init__(self, folder: Path, quiet: bool = False):
        super().__init__(sys.stdout, quiet)
        self._folder = folder
        self._task = TaskID(0)
        self._begun = (time.perf_counter(), 0)
        self._max_iter = 0
        self._numbers = ""

    def _columns(self) -> tuple[ProgressColumn, ...]:
        at = TextColumn("{task.description}", markup=False)
        return at, BarColumn(bar_width=None), TextColumn("eta"), TimeRemainingColumn(compact=True)

    def _begin(self, shown: Rows) -> None:
        self._task = shown.add_task("starting", total=None)

    def note(self, text: str) -> None:
        """Say something beside the events."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def show(self, event: Event) -> None:
        """Show one event."""
        if self.quiet:
            return
        show = getattr(self, f"_{event['event']}", None)
        if show is not None:
            show(event)
        if self._shown is not None and "iter" in event:
            at = f"{self._at(event)}  {self._numbers}".rstrip()
            self._shown.update(self._task, completed=event["iter"], description=at)

    def _start(self, event: Event) -> None:
        self._max_iter = event["max_iter"]
        self._begun = (time.perf_counter(), event["iter"])
        if self._shown is not None:
            self._shown.update(self._task, total=self._max_iter)
        self._line(f"{event['name']}: {event['weights']:,} weights, {self._max_iter} iterations, seed {event['seed']}")

    def _display(self, event: Event) -> None:
        self._numbers = f"loss {event['loss']:<8.4g}  lr {event['lr']:<8.4g}  {event['samples_per_s']:>9,.0f} samples/s"
        if self._shown is None:
            self._line(f"{self._at(event)}  {self._numbers}  eta {self._eta(event['iter'])}")

    def _test(self, event: Event) -> None:
        outputs = "  ".join(f"{name} {value:.4f}" for name, value in event["outputs"].items())
        self._line(f"{self._at(event)}  test  {outputs}  ({event['samples']} samples)")

    def _best(self, event: Event) -> None:
        best = f"best {event['metric']} {event['value']:.4f}"
        self._line(f"{self._at(event)}  {best}  {self._folder / event['weights']}")

    def _lr(self, event: Event) -> None:
        best = "" if event["best"] is None else f", {event['metric']} was no better than {event['best']:.4f}"
        self._line(f"{self._at(event)}  lr {event['was']:.4g} -> {event['lr']:.4g}{best}")

    def _skipped(self, event: Event) -> None:
        self.note(left_out(event["layer"], event["phase"], event["samples"], event["different"], event["first"]))

    def _debug_info(self, event: Event) -> None:
        for line in magnitude_lines(event):
            self._line(line)

    def _snapshot(self, event: Event) -> None:
        self._line(f"{self._at(event)}  snapshot {self._folder / event['weights']}")

    def _stop(self, event: Event) -> None:
        seconds = time.perf_counter() - self._begun[0]
        done = event["iter"] - self._begun[1]
        why = {"early_stopping": "stopped early", "max_time": "stopped at max_time"}.get(
            event["reason"], event["reason"]
        )
        self._line(f"{why} after {done} iterations in {seconds:.1f} s")
        if "best" in event:
            best = event["best"]
            self._line(f"best {best['metric']} {best['value']:.4f} at iteration {best['at']}")
        if event["reason"] in ("interrupted", "max_time"):
            self._line("the same command with --resume goes on from there")

    def _at(self, event: Event) -> str:
        width = len(str(self._max_iter))
        return f"{event['iter']:{width}d}/{self._max_iter}"

    def _eta(self, iteration: int) -> str:
        begun, first = self._begun
        if iteration <= first:
            return "-"
        seconds = round((time.perf_counter() - begun) / (iteration - first) * (self._max_iter - iteration))
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"

    def _line(self, text: str) -> None:
        if self._shown is None:
            print(text, flush=True)
        else:
            self._console.print(text, markup=False)


def left_out(layer: str, phase: str, times: int, different: int, first: str) -> str:
    """A line on samples that a source could not use, and left out."""
    often = f", {times} times in all" if times > different else ""
    samples = "1 sample that cannot be used" if different == 1 else f"{different} samples that cannot be used"
    return f"{layer} ({phase}): left out {samples}{often}; the first: {first}"
