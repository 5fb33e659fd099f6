"""A side's process, seen from the one that gives the orders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from bench.sides import Side

TOOLS = Path(__file__).parents[1]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class SideError(Exception):
    """A side that cannot do what it was told; the text says why."""


class Process:
    """A worker that runs until it is closed."""

    def __init__(self, side: Side, folder: Path, threads: int):
        self.side = side
        self._log = (folder / f"{side.name}.log").open("w+", encoding="utf-8")
        inherited = [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
        environment = {
            **os.environ,
            **dict.fromkeys(THREAD_VARIABLES, str(threads)),
            "PYTHONPATH": os.pathsep.join([str(TOOLS), str(TOOLS.parent), *inherited]),
            "TORCHINDUCTOR_CACHE_DIR": str(folder / f"{side.name}-compiled"),  # nothing is left over from another run
            "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no processes that stay about
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", side.program, side.name, str(folder), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
        )

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def ask(self, order: str, **details: Any) -> dict[str, Any]:
        """Give an order and wait for the answer. Raises SideError where it failed or the process died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": order, **details}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise SideError(
                f"the process of {self.side.label} ended with status {self._process.wait()}: {self._last_words()}"
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise SideError(answer["error"])
        return answer

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().split("\n")
        return next((line for line in reversed(lines) if line.strip()), "it said nothing")

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            self._process.kill()  # it is dying or dead
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None:
            self._process.kill()  # it may be in the middle of something long
        self.close()


def attempt(measure: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """What is measured, or the `fault` that a side has."""
    try:
        return measure(*arguments)
    except SideError as error:
        return {"fault": str(error)}
