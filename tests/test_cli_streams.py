"""What the command does where its streams are closed, full or left, and where it is interrupted early."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import layerkit
from layerkit import __main__ as entry

RUN = [sys.executable, "-m", "layerkit"]
needs_posix = pytest.mark.skipif(os.name != "posix", reason="shells and devices of POSIX")


def run(arguments, redirection="", **options):
    environment = {**os.environ, "PYTHONPATH": str(Path(layerkit.__file__).parents[1])}
    return subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", *arguments],
        env=environment,
        text=True,
        timeout=60,
        stderr=subprocess.PIPE,
        **options,
    )


@needs_posix
def test_what_cannot_be_printed_because_the_output_is_closed_is_no_bug():
    done = run([*RUN, "new"], "<&- >&-")
    assert (done.returncode, done.stderr) == (0, "")


@needs_posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("arguments", [["--help"], ["new"]])
def test_a_full_disk_behind_standard_output_is_one_sentence(arguments):
    done = run([*RUN, *arguments], "> /dev/full")
    assert (done.returncode, done.stderr) == (2, "cannot write: the disk is full\n")


@needs_posix
def test_a_plot_whose_reader_has_gone_ends_as_the_other_verbs_do(command, folder):
    source = Path(__file__).parents[1] / "configs" / "lecture" / "least_squares.yaml"
    assert command("train", str(source), "--folder", "run", "--set", "solver.max_iter=2").status == 0
    reading, writing = os.pipe()
    os.close(reading)
    done = run([*RUN, "plot", "run"], stdout=writing, cwd=folder)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_ctrl_c_while_the_command_is_imported_is_no_traceback(monkeypatch, capsys):
    class Slow(types.ModuleType):
        def __getattr__(self, name):
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "layerkit.cli.main", Slow("layerkit.cli.main"))
    with pytest.raises(SystemExit) as stopped:
        entry.main()
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"
