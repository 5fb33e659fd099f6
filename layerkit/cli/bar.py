"""A bar that counts what is done of a known number of things: on standard error, and only in a terminal."""

from __future__ import annotations

import sys

from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn, TimeElapsedColumn

from layerkit.cli.live import Live


class Bar(Live):
    """Counts to `total`; where standard error is no terminal, or with `quiet`, it shows nothing."""

    def __init__(self, total: int, quiet: bool = False):
        super().__init__(sys.stderr, quiet)
        self._total = total
        self._task = TaskID(0)

    def _columns(self) -> tuple[ProgressColumn, ...]:
        count = TextColumn("{task.completed:.0f}/{task.total:.0f}  {task.description}", markup=False)
        return count, BarColumn(bar_width=None), TimeElapsedColumn()

    def _begin(self, shown: Progress) -> None:
        self._task = shown.add_task("", total=self._total)

    def advance(self, text: str = "", count: int = 1) -> None:
        """Count one more, or several, and say something beside the bar."""
        if self._shown is not None:
            self._shown.update(self._task, advance=count, description=text)

    def line(self, text: str) -> None:
        """Print a line of its own, above the bar if there is one."""
        if self._shown is not None:
            self._console.print(text, markup=False)
        elif not self.quiet:
            print(text, file=sys.stderr, flush=True)
