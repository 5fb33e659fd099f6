"""What the command does where its streams are closed, full or left, and where it is interrupted early."""

import errno
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import layerkit
from layerkit import __main__ as entry
from layerkit.cli import table
from layerkit.datasets.writing.npz_writer import NpzWriter
from layerkit.datasets.writing.placing import whole
from layerkit.errors import DataError

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


def test_in_a_terminal_the_list_of_shipped_configs_is_folded(command, monkeypatch):
    whole = command("new").out.splitlines()
    monkeypatch.setattr(table, "columns", lambda: 80)
    folded = command("new").out.splitlines()
    assert max(map(len, folded)) <= 80 < max(map(len, whole))
    assert " ".join(folded).split() == " ".join(whole).split()


@pytest.mark.parametrize(("source", "told"), [("net.safetensors", "-o net.onnx"), ("net.prototxt", "-o net.yaml")])
def test_convert_asks_for_what_to_write(command, source, told):
    answer = command("convert", source)
    assert (answer.status, answer.err) == (2, f"say what to write, such as {told}\n")


def test_a_folder_that_cannot_be_written_to_is_named_by_the_file_that_was_asked_for(tmp_path, monkeypatch):
    def read_only(self, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    writer = NpzWriter(tmp_path / "features.npz")
    monkeypatch.setattr(Path, "unlink", read_only)
    monkeypatch.setattr("builtins.open", lambda path, *_, **__: read_only(path))
    with pytest.raises(DataError, match=r"^cannot write '.*/features.npz': Read-only file system$"), whole(writer):
        writer.append(data=np.zeros((2, 3), np.float32))
