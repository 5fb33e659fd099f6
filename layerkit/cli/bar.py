"""A bar that counts what is done of a known number of things: on standard error, and only in a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Bar:
    """Counts to `total`; where standard error is no terminal, or with `quiet`, it shows nothing."""

    def __init__(self, total: int, quiet: bool = False):
        self._total = total
        self._console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._shown: Progress | None = None
        self._wanted = self._console.is_interactive and not quiet
        self._quiet = quiet
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        if self._wanted:
            columns = (
                TextColumn("{task.completed:.0f}/{task.total:.0f}  {task.description}", markup=False),
                BarColumn(bar_width=None),
                TimeElapsedColumn(),
            )
            self._shown = Progress(*columns, console=self._console, transient=True, refresh_per_second=4, expand=True)
            self._task = self._shown.add_task("", total=self._total)
            self._shown.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown is not None:
            self._shown.stop()

    def advance(self, text: str = "", count: int = 1) -> None:
        """Count one more, or several, and say something beside the bar."""
        if self._shown is not None:
            self._shown.update(self._task, advance=count, description=text)

    def line(self, text: str) -> None:
        """Print a line of its own, above the bar if there is one."""
        if self._shown is not None:
            self._console.print(text, markup=False)
        elif not self._quiet:
            print(text, file=sys.stderr, flush=True)
