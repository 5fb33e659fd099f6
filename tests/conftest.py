"""What tests share: `cases` importable, the command line as a fixture, and the whole stack's one-second test first."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # whichever layerkit (installed or the checkout) the tests run against

ROOT = Path(__file__).parents[1]


class Answer(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the test of the whole stack first: if that fails, the rest need not be read."""
    items.sort(key=lambda item: item.path.name != "test_tiny.py")


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute on one thread, here and in child processes: no last bit and no waiting depends on the machine's cores."""
    from layerkit import threads

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads.use(1, "blas")


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is found in a cache of this machine's user, nor put there: the folder cannot be made."""
    monkeypatch.setenv("LAYERKIT_DATA", os.path.join(os.devnull, "cache"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, so that paths are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder that has the shipped configs in `configs`, as a checkout has."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """`command("check", "x.yaml")` runs `layerkit check x.yaml` in this process, in `folder`."""
    from layerkit.cli.main import main
    from layerkit.report import doctor

    monkeypatch.setattr(doctor, "advice", lambda: None)  # what is printed must not depend on what is installed

    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["layerkit", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        return Answer(stopped.value.code or 0, *capsys.readouterr())  # sys.exit(None) is 0

    return run
