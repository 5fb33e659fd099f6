"""What is shown live in a terminal, and only there: the frame that all bars of the command line share."""

from __future__ import annotations

from types import TracebackType
from typing import ClassVar, Self, TextIO

from rich.console import Console
from rich.progress import Progress, ProgressColumn


class Live:
    """A display for the length of a `with` block; where `file` is no terminal, or with `quiet`, there is none."""

    transient: ClassVar[bool] = True
    """Whether the display is gone at the end."""

    def __init__(self, file: TextIO, quiet: bool = False):
        self.quiet = quiet
        self._console = Console(file=file, highlight=False, soft_wrap=True)
        self._shown: Progress | None = None

    def _columns(self) -> tuple[ProgressColumn, ...]:
        """What stands in a row of the display."""
        raise NotImplementedError

    def _begin(self, shown: Progress) -> None:
        """Put the first rows into the display."""

    def __enter__(self) -> Self:
        if self._console.is_interactive and not self.quiet:
            self._shown = Progress(
                *self._columns(), console=self._console, transient=self.transient, refresh_per_second=4, expand=True
            )
            self._begin(self._shown)
            self._shown.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown is not None:
            self._shown.stop()
