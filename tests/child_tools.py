"""What the tests of real processes share: how these are started, and awaited."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import layerkit as lk

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A child process: Python with these arguments."""
    source = Path(lk.__file__).parents[1]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_PROCESS")}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**inherited, **ENVIRONMENT, "PYTHONPATH": str(source)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = child.communicate(timeout=300)
    return child.returncode, out, err
