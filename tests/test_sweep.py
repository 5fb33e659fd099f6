"""`layerkit sweep`: runs in processes of their own, going on, failures, interrupts, the table and the CSV."""

import csv
import itertools
import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_tools import in_terminal, start, visible, wait_for
from train_tools import same

import layerkit
from layerkit import events
from layerkit.errors import UsageError
from layerkit.solver import Solver
from layerkit.sweep import Result, Sweep, children, plan, read

MLP = "configs/mlp.yaml"
SHORT = ["--set", "solver.max_iter=3", "--set", "solver.test_interval=0"]
FOLDER = Path("runs/mlp-sweep")


@pytest.fixture(autouse=True)
def _same_layerkit(monkeypatch):
    """Let child processes import the layerkit under test."""
    monkeypatch.setenv("PYTHONPATH", str(Path(layerkit.__file__).parents[1]))


def varied(**values: str) -> list[str]:
    """Options that vary fields of the solver."""
    return list(itertools.chain.from_iterable(("--set", f"solver.{key}={value}") for key, value in values.items()))


def table() -> list[dict[str, str]]:
    with (FOLDER / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def stamps() -> dict[str, int]:
    """When each event log was last written to."""
    return {path.parent.name: path.stat().st_mtime_ns for path in FOLDER.glob("*/events.jsonl")}


# -- real processes ------------------------------------------------------------------------------------------------


def test_a_sweep_with_a_failure_and_the_same_command_again(command):
    arguments = ("sweep", MLP, *SHORT, *varied(base_lr="0.01,1e30,0.1"), "--jobs", "2")
    answer = command(*arguments)
    assert answer.status == 2
    rows = table()
    assert [row["base_lr"] for row in rows] == ["0.1", "0.01", "1e30"]  # by accuracy, and the one that failed last
    assert [row["state"] for row in rows] == ["finished", "finished", "failed"]
    assert rows[2]["error"].endswith("lower base_lr, or look for extreme values in the data")
    assert float(rows[0]["accuracy"]) > float(rows[1]["accuracy"])
    last = [event for event in events.read(FOLDER / "base_lr=0.1" / "events.jsonl") if event["event"] == "test"][-1]
    assert {name: float(rows[0][name]) for name in last["outputs"]} == last["outputs"]
    lines = answer.out.splitlines()
    assert lines[0].split() == ["base_lr", "loss", "accuracy", "train_loss", "iterations", "seconds", "state"]
    assert [line.split()[0] for line in lines[1:]] == ["0.1", "0.01", "1e30"]
    assert "failed: the loss is " in lines[3]
    assert answer.err.splitlines()[0] == "3 runs in runs/mlp-sweep, 2 at a time, threads of each: 1"
    assert [line[:5] for line in answer.err.splitlines()[1:4]] == ["1/3  ", "2/3  ", "3/3  "]
    assert answer.err.splitlines()[4:] == [
        "1 of 3 runs failed; all that they said is in errors.txt in their folders; the same command tries them again"
    ]
    assert (FOLDER / "base_lr=1e30" / "errors.txt").read_text().startswith("the loss is ")
    assert not (FOLDER / "base_lr=0.1" / "errors.txt").exists()

    before = stamps()
    again = command(*arguments)
    after = stamps()
    assert (again.status, again.out.splitlines()[:3]) == (2, lines[:3])
    assert [name for name in after if after[name] != before[name]] == ["base_lr=1e30"]  # only that ran again
    assert "2 of them are finished already" in again.err

    wider = command(*arguments[:-3], "solver.base_lr=0.01,0.1,0.05", "--quiet", "--by", "loss", "--best", "max")
    assert (wider.status, wider.err) == (0, "")
    assert [row["base_lr"] for row in table()] == ["0.01", "0.05", "0.1"]
    assert {name: stamp for name, stamp in stamps().items() if name != "base_lr=0.05"} == after


def test_interrupted_and_gone_on_with_equals_uninterrupted(folder):
    long = ["--set", "solver.max_iter=2500", *varied(display="10", test_interval="0", random_seed="1,2,3")]
    arguments = ("sweep", MLP, *long, "--jobs", "2", "--threads", "2")
    runs = [folder / FOLDER / f"random_seed={seed}" for seed in (1, 2, 3)]
    with start(folder, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        until(lambda: all((run / "events.jsonl").exists() for run in runs[:2]))
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "Traceback" not in err
    assert "ending all runs, each with a snapshot; once more ends them at once" in err
    assert err.splitlines()[-1] == "3 of 3 runs are not finished; the same command goes on with them"
    assert [line.split()[-1] for line in out.splitlines()[1:]] == ["interrupted", "interrupted", "begun"]
    for run in runs[:2]:
        last = events.read(run / "events.jsonl")[-1]
        assert (last["event"], last["reason"]) == ("stop", "interrupted")
        assert (run / f"iter_{last['iter']}.state.safetensors").exists()
        assert 0 < last["iter"] < 2500
    assert not runs[2].exists()

    with start(folder, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert [read(run).state for run in runs] == ["finished"] * 3
    assert events.read(runs[0] / "events.jsonl")[0]["resumed"] is False
    assert sum(event["event"] == "start" for event in events.read(runs[0] / "events.jsonl")) == 2
    whole = Solver(str(folder / MLP), overrides=[*long[1:-2:2], "solver.random_seed=2"], folder=folder / "whole")
    whole.solve()
    assert same(folder / "whole/iter_2500.safetensors", runs[1] / "iter_2500.safetensors")


def test_a_second_interrupt_ends_all_at_once(folder):
    endless = ["--set", "solver.iter_size=100000000", *SHORT, *varied(base_lr="0.1,0.2")]
    with start(folder, "sweep", MLP, *endless, "--jobs", "2", stderr=subprocess.PIPE) as child:
        until(lambda: len(list(folder.glob("runs/mlp-sweep/*/events.jsonl"))) == 2)
        child.send_signal(signal.SIGTERM)
        wait_for(child.stderr, "once more")
        child.send_signal(signal.SIGINT)
        err = child.communicate(timeout=20)[1]
    assert child.returncode == 143
    assert err.splitlines()[-1] == "2 of 2 runs are not finished; the same command goes on with them"
    assert not list(folder.glob("runs/mlp-sweep/*/iter_*"))
    assert not list(folder.glob("runs/mlp-sweep/*/errors.txt"))


def test_in_a_terminal_a_bar_counts_and_the_table_is_folded(folder):
    status, written = in_terminal(folder, 80, "sweep", MLP, *SHORT, *varied(base_lr="0.1,1e30"))
    assert status == 2
    lines = visible(written)
    assert any(re.match(r"1/2  best accuracy 0\.\d{4} .*━.* 0:\d\d:\d\d$", line) for line in lines)
    assert any(re.match(r"2/2  base_lr=1e30  failed: the loss is nan .* values in the data", line) for line in lines)
    rows = lines[next(i for i, line in enumerate(lines) if line.startswith("base_lr ")) : -2]
    assert max(map(len, rows)) <= 80
    assert " ".join(row[60:].strip() for row in rows[2:]).endswith("look for extreme values in the data")
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")  # the cursor is shown again


def until(ready) -> None:
    end = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


# -- processes that are played -------------------------------------------------------------------------------------


@pytest.fixture
def played(folder, monkeypatch):
    """`played("kill -9 $$")` makes each run a shell that does this; it finds its options in args.txt."""

    def play(script: str) -> None:
        path = folder / "play"
        path.write_text(f'#!/bin/sh\necho "$@" >> args.txt\n{script}\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(children.sys, "executable", str(path))

    return play


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("kill -9 $$", "its process was ended by SIGKILL; is there enough memory?"),
        ("kill -11 $$", "its process was ended by SIGSEGV"),
        ("echo Traceback >&2; echo '  File' >&2; echo 'KeyError: 3' >&2; exit 1", "KeyError: 3"),
        ("exit 5", "its process ended with status 5 and said nothing"),
    ],
)
def test_a_process_that_breaks_down_stands_in_the_table(command, played, script, error):
    played(script)
    answer = command("sweep", MLP, *varied(base_lr="0.1,0.2"))
    assert answer.status == 2
    assert [(row["state"], row["error"]) for row in table()] == [("failed", error)] * 2
    assert answer.out.count(f"failed: {error}") == 2


def test_a_run_that_someone_else_interrupts_is_not_a_failure(command, played):
    played("kill -15 $$")
    answer = command("sweep", MLP, *varied(base_lr="0.1,0.2"))
    assert (answer.status, [row["state"] for row in table()]) == (2, ["not begun"] * 2)
    assert answer.err.splitlines()[-1] == "2 of 2 runs are not finished; the same command goes on with them"


@pytest.mark.parametrize(
    ("options", "each"),
    [
        (["--threads", "5", "--jobs", "2"], 2),
        (["--threads", "1", "--jobs", "3"], 1),
        (["--threads", "9", "--jobs", "50"], 3),  # as there are only three runs
        (["--threads", "4"], 4),
        (["--set", "threads=6", "--jobs", "2"], 3),
        ([], 1),  # OMP_NUM_THREADS says so
    ],
)
def test_threads_are_divided_among_the_jobs(command, played, options, each):
    played("")
    command("sweep", MLP, *varied(base_lr="0.1,0.2,0.3"), *options)
    assert Path("args.txt").read_text().count(f"--threads {each} ") == 3


def test_each_run_is_an_ordinary_command(command, played):
    played("")
    command("sweep", MLP, *SHORT, *varied(base_lr="0.1,0.2"), "--engine", "numpy", "--allow-python")
    assert Path("args.txt").read_text().splitlines()[0] == (
        "-m layerkit train configs/mlp.yaml --set solver.max_iter=3 --set solver.test_interval=0 --set "
        "solver.base_lr=0.1 --folder runs/mlp-sweep/base_lr=0.1 --threads 1 --engine numpy --allow-python "
        "--quiet --force"
    )


# -- what is refused -----------------------------------------------------------------------------------------------


def test_a_run_with_other_settings_is_not_taken_for_this_one(command):
    assert command("sweep", MLP, *SHORT, *varied(base_lr="0.1,0.2")).status == 0
    before = stamps()
    longer = ("sweep", MLP, *SHORT, "--set", "solver.max_iter=4", *varied(base_lr="0.1,0.2"))
    answer = command(*longer)
    assert answer.status == 2
    assert answer.err.splitlines()[-1] == (
        "runs/mlp-sweep/base_lr=0.1 holds a run with other settings (solver.max_iter: 3 -> 4); --force runs all again, "
        "and --set name=NAME makes a sweep with a folder of its own"
    )
    assert stamps() == before
    answer = command(*longer, "--force")
    assert answer.status == 0
    assert [row["iterations"] for row in table()] == ["4", "4"]
    assert not list(FOLDER.glob("*/iter_3*"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([MLP], "nothing varies: give several values, as in --set solver.base_lr=0.1,0.01\n"),
        (["none.yaml", *varied(base_lr="1,2")], "there is no file 'none.yaml'\n"),
        ([MLP, *varied(base_lr="1,2"), "--by", "acc"], "'acc'; did you mean 'accuracy'?\n"),
        (
            [MLP, *varied(base_lr="1,x")],
            "base_lr=x: --set solver.base_lr=x: solver: base_lr must be a number, not 'x'\n",
        ),
    ],
)
def test_what_can_be_mended_is_one_sentence_and_nothing_runs(command, arguments, sentence):
    answer = command("sweep", *arguments)
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert answer.err.endswith(sentence)
    assert not Path("runs").exists()


def test_a_net_that_waits_for_inputs_is_refused_before_anything_runs(command):
    answer = command("sweep", "configs/lecture/branch.yaml", "--set", "solver={max_iter: 1}", *varied(base_lr="1,2"))
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert answer.err.endswith("or give it a Data layer\n")


def test_two_sweeps_never_work_in_one_folder_nor_beside_what_one_left_behind(folder):
    runs = plan(MLP, ["solver.base_lr=1,2"])
    sweep, other = (Sweep(Path(MLP), runs, FOLDER, by="accuracy", best="max") for _ in range(2))
    with sweep._alone() as lock:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock])
        with pytest.raises(UsageError, match=r"^another sweep is at work in runs/mlp-sweep, or runs that it left"):
            other.run(1, 1)
    with pytest.raises(UsageError):  # the run of a sweep that was killed lives on
        other.run(1, 1)
    child.communicate(b"\n")
    with other._alone():
        pass


# -- what became of a run ------------------------------------------------------------------------------------------


def record(folder: Path, *entries: tuple[str, int, float, dict]) -> Path:
    log = events.EventLog(folder / "events.jsonl")
    for event, iteration, at, fields in entries:
        log.emit(event, iteration, **{"time": at, **fields})
    return folder


def test_what_became_of_a_run_is_read_from_its_folder(tmp_path):
    assert read(tmp_path / "none") == Result("not begun")
    begun = [("start", 0, 10.0, {}), ("display", 0, 11.0, {"loss": 2.0}), ("test", 5, 12.0, {"outputs": {"a": 0.5}})]
    run = record(tmp_path / "killed", *begun)
    assert read(run) == Result("interrupted", 5, 2.0, {"train_loss": 2.0, "a": 0.5})
    run = record(tmp_path / "resumed", *begun, ("start", 5, 100.0, {}), ("stop", 9, 103.0, {"reason": "finished"}))
    assert read(run) == Result("finished", 9, 5.0, {"train_loss": 2.0, "a": 0.5}, reason="finished")
    run = record(tmp_path / "stopped", *begun, ("stop", 5, 12.0, {"reason": "interrupted"}))
    assert read(run).state == "interrupted"
    run = record(tmp_path / "early", *begun, ("stop", 5, 12.0, {"reason": "no better for 3 tests"}))
    assert (read(run).state, read(run).reason) == ("finished", "no better for 3 tests")
    run = record(tmp_path / "failed", *begun, ("error", 5, 12.0, {"message": "the loss is nan"}))
    assert (read(run).state, read(run).error) == ("failed", "the loss is nan")
    (run / "errors.txt").write_text("first\nthe end\n\n")
    assert (read(run).state, read(run).error) == ("failed", "the end")
    (run / "events.jsonl").write_text("{}\n")
    (run / "errors.txt").unlink()
    assert read(run).error == f"{run / 'events.jsonl'} is not an event log of layerkit: its first line does not say so"
    run = record(tmp_path / "null", ("start", 0, 1.0, {}), ("test", 0, 1.0, {"outputs": {"a": float("nan")}}))
    assert read(run).outputs == {"a": None}
    os.mkdir(tmp_path / "empty")
    (tmp_path / "empty" / "errors.txt").write_text("")
    assert read(tmp_path / "empty") == Result("not begun")
