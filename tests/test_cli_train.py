"""`layerkit train` and `layerkit test`: folders, going on, starting from weights, interrupts, and what is shown."""

import itertools
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import layerkit
from layerkit import arrayfile, events, text
from layerkit.cli.progress import Progress
from layerkit.net import Net
from layerkit.solver import Solver
from layerkit.spec import load_run

MLP = "configs/mlp.yaml"


def sets(**values) -> list[str]:
    """Options that override fields of the solver."""
    return list(itertools.chain.from_iterable(("--set", f"solver.{key}={value}") for key, value in values.items()))


SHORT = sets(max_iter=20, test_interval=10, snapshot=10, display=10)


def weights(path: str) -> dict[str, np.ndarray]:
    return arrayfile.load(path)[0]


def same(a: str, b: str) -> bool:
    """Whether two snapshots hold the same weights, to the last bit."""
    one, other = weights(a), weights(b)
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


# -- a run and its folder ------------------------------------------------------------------------------------------


def test_a_run_leaves_config_events_and_snapshots(command):
    answer = command("train", MLP, *SHORT)
    assert (answer.status, answer.err) == (0, "")
    assert sorted(path.name for path in Path("runs/mlp").iterdir()) == [
        "config.yaml",
        "events.jsonl",
        "iter_10.safetensors",
        "iter_10.state.safetensors",
        "iter_20.safetensors",
        "iter_20.state.safetensors",
    ]
    resolved = load_run("runs/mlp/config.yaml").resolved()
    assert resolved == load_run(MLP, SHORT[1::2]).resolved()
    assert text.parse(Path("runs/mlp/config.yaml").read_text())["solver"]["max_iter"] == 20
    kinds = [event["event"] for event in events.read("runs/mlp/events.jsonl")]
    assert kinds == ["start", "test", "display", "snapshot", "test", "display", "snapshot", "test", "stop"]


def test_a_pipe_gets_plain_lines(command):
    lines = command("train", MLP, *SHORT).out.splitlines()
    assert lines[0] == "mlp: 9,610 weights, 20 iterations, seed 0"
    assert re.fullmatch(r" 0/20  test  loss \d\.\d{4}  accuracy 0\.\d{4}  \(360 samples\)", lines[1])
    displayed = [line for line in lines if "samples/s" in line]
    assert re.fullmatch(r" 0/20  loss 2\.\d+ +lr 0\.1 +[\d,]+ samples/s  eta -", displayed[0])
    assert re.fullmatch(r"10/20  loss \d\.\d+ +lr 0\.1 +[\d,]+ samples/s  eta 0:00:\d\d", displayed[1])
    assert "20/20  snapshot " + str(Path("runs/mlp/iter_20.safetensors")) in lines
    assert re.fullmatch(r"finished after 20 iterations in \d+\.\d s", lines[-1])
    assert not any("\x1b" in line for line in lines)


def test_quiet_prints_nothing(command):
    assert command("train", MLP, *SHORT, "--quiet") == (0, "", "")
    assert command("train", MLP, *SHORT, "--quiet") == (0, "", "")  # not even that runs/mlp was there


def test_later_runs_go_to_folders_of_their_own(command):
    command("train", MLP, *SHORT)
    second = command("train", MLP, *SHORT)
    third = command("train", MLP, *SHORT)
    assert "runs/mlp exists, so this run goes to runs/mlp-2" in second.err.replace("\\", "/")
    assert "runs/mlp-3" in third.err.replace("\\", "/")
    assert same("runs/mlp/iter_20.safetensors", "runs/mlp-3/iter_20.safetensors")


def test_force_replaces_a_run_and_nothing_else(command):
    command("train", MLP, *SHORT)
    Path("runs/mlp/notes.txt").write_text("mine")
    answer = command("train", MLP, *sets(max_iter=5, test_interval=0), "--force")
    assert (answer.status, answer.err) == (0, "")
    assert sorted(path.name for path in Path("runs/mlp").iterdir()) == [
        "config.yaml",
        "events.jsonl",
        "iter_5.safetensors",
        "iter_5.state.safetensors",
        "notes.txt",
    ]
    assert events.read("runs/mlp/events.jsonl")[0]["max_iter"] == 5


def test_force_without_an_older_run_is_an_ordinary_run(command):
    assert command("train", MLP, *SHORT, "--force").status == 0


def test_a_run_that_cannot_begin_leaves_no_folder(command):
    answer = command("train", "configs/lenet.yaml")
    assert answer.status == 2
    assert "cannot be found in the folder 'data/mnist'" in answer.err.replace("\\\\", "/")
    assert not Path("runs").exists()


def test_the_seed_decides(command):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        command("train", MLP, *SHORT, "--seed", str(seed), "--set", f"name={name}")
    assert same("runs/a/iter_20.safetensors", "runs/b/iter_20.safetensors")
    assert not same("runs/a/iter_20.safetensors", "runs/c/iter_20.safetensors")
    assert text.parse(Path("runs/c/config.yaml").read_text())["solver"]["random_seed"] == 2


@pytest.mark.parametrize("name", ["a/b", "..", "../up"])
def test_a_name_that_leads_elsewhere_is_refused(command, name):
    answer = command("train", MLP, "--set", f"name='{name}'")
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert not Path("runs").exists()


def test_runs_is_a_file(command):
    Path("runs").write_text("")
    answer = command("train", MLP, *SHORT)
    assert answer.status == 2
    assert answer.err.startswith("cannot make the folder ")
    assert answer.err.count("\n") == 1


def test_the_runs_folder_is_a_file(command):
    Path("runs").mkdir()
    Path("runs/mlp").write_text("")
    answer = command("train", MLP, *SHORT, "--force")
    assert (answer.status, answer.err) == (2, f"{str(Path('runs/mlp'))!r} is no folder\n")


def test_two_runs_never_share_a_folder(command, monkeypatch):
    real = Solver.open

    def meanwhile(self):
        Path("runs/mlp").mkdir(parents=True)
        real(self)

    monkeypatch.setattr(Solver, "open", meanwhile)
    answer = command("train", MLP, *SHORT)
    assert answer.status == 2
    assert "made by another run" in answer.err


def test_a_full_disk_is_one_sentence(command, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", full)
        answer = command("train", MLP, *SHORT)
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert answer.err.endswith("No space left on device\n")
    monkeypatch.setattr("os.fsync", full)
    answer = command("train", MLP, *SHORT, "--force")
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert "the disk is full" in answer.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["configs/lecture/branch.yaml"], "the run 'branch' has no 'solver', so there is nothing to train by\n"),
        (["configs/lecture/linear_classifier.yaml"], "has no 'solver', so there is nothing to train by\n"),
        (["configs/lecture/branch.yaml", "--set", "solver={base_lr: 1, max_iter: 1}"], "or give it a Data layer\n"),
        ([MLP, "--resume", "--weights", "w"], "give one of --resume, --snapshot and --weights\n"),
        ([MLP, "--resume", "--force"], "and --force replaces it; give one\n"),
        ([MLP, "--resume"], "holds a snapshot of this run\n"),
        ([MLP, "--snapshot", "none.state.safetensors"], "there is no file 'none.state.safetensors'\n"),
        ([MLP, "--weights", "none.safetensors"], "there is no file 'none.safetensors'\n"),
        ([MLP, "--weights", "other.npz"], "fc1.weight, fc1.bias, fc2.weight, fc2.bias\n"),
        (
            [MLP, "--weights", "wrong.npz"],
            "but the net's is 128x64; to train layer 'fc1' afresh, give it another name\n",
        ),
        ([MLP, "--strict"], "--strict says what --weights may differ in; give that too, or leave --strict out\n"),
        ([MLP, *sets(base_lr="1e30")], "lower base_lr, or look for extreme values in the data\n"),
    ],
)
def test_what_can_be_mended_is_one_sentence_and_status_2(command, arguments, sentence):
    np.savez("other.npz", **{"ip1.weight": np.zeros((3, 4), np.float32)})
    np.savez("wrong.npz", **{"fc1.weight": np.zeros((3, 4), np.float32)})
    answer = command("train", *arguments)
    assert answer.status == 2
    assert answer.err.endswith(sentence)
    assert answer.err.count("\n") == 1


# -- going on ------------------------------------------------------------------------------------------------------


def test_resumed_equals_uninterrupted(command):
    command("train", MLP, *SHORT, "--set", "name=whole")
    command("train", MLP, *SHORT, "--set", "name=parts", *sets(max_iter=10))
    answer = command("train", MLP, *SHORT, "--set", "name=parts", "--resume")
    assert answer.status == 0
    assert answer.err.replace("\\", "/").splitlines() == [
        "going on from runs/parts/iter_10.state.safetensors at iteration 10",
        "  changed since then: solver.max_iter: 10 -> 20",
    ]
    assert "finished after 10 iterations" in answer.out
    assert same("runs/whole/iter_20.safetensors", "runs/parts/iter_20.safetensors")
    assert not Path("runs/parts-2").exists()


def test_resume_takes_the_newest_folder_that_has_a_snapshot(command):
    for _ in range(2):
        command("train", MLP, *SHORT)
    for name in ("mlp-10", "mlp-x", "mlpx", "mlp-10-2"):
        Path("runs", name).mkdir()
    Path("runs/mlp-11").write_text("")
    answer = command("train", MLP, *SHORT, "--resume")
    assert "going on from runs/mlp-2/iter_20.state.safetensors" in answer.err.replace("\\", "/")
    assert "--set solver.max_iter=40" in answer.err
    assert "finished after 0 iterations" in answer.out


def test_resume_goes_on_with_its_own_run_alone(command):
    Path("mlp.yaml").write_text(Path(MLP).read_text().replace("name: mlp\n", ""))  # named by its file
    command("train", "mlp.yaml", *SHORT)
    command("train", MLP, *SHORT, "--set", "name=mlp-2")
    answer = command("train", "mlp.yaml", *SHORT, "--resume")
    assert "going on from runs/mlp/iter_20" in answer.err.replace("\\", "/")
    assert "changed since then" not in answer.err
    assert command("train", MLP, *SHORT, "--set", "name=mlp-3", "--resume").status == 2


def test_resume_takes_the_run_that_snapshotted_last(command):
    for _ in range(2):
        command("train", MLP, *SHORT)
    for state in Path("runs/mlp-2").glob("*.state.safetensors"):
        os.utime(state, (1, 1))
    answer = command("train", MLP, *SHORT, "--resume")
    assert "going on from runs/mlp/iter_20" in answer.err.replace("\\", "/")


@pytest.mark.parametrize("given", ["--snapshot", "--weights"])
def test_force_does_not_remove_what_the_run_starts_from(command, given):
    command("train", MLP, *SHORT)
    before = sorted(Path("runs/mlp").iterdir())
    name = "iter_20.state.safetensors" if given == "--snapshot" else "iter_20.safetensors"
    answer = command("train", MLP, *SHORT, "--force", given, f"runs/mlp/{name}")
    wanted = f"--force would remove runs/mlp/{name}; go on in runs/mlp with --resume, or leave --force out\n"
    assert (answer.status, answer.err.replace("\\", "/")) == (2, wanted)
    assert sorted(Path("runs/mlp").iterdir()) == before


def test_a_run_without_a_predict_net_says_so_at_the_start(command):
    layers = """
    - {name: digits, type: Data, top: [data, label], dataset: digits, batch_size: 10, include: train}
    - {name: fc, type: InnerProduct, bottom: data, num_output: 10}
    - {name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}
"""
    Path("a.yaml").write_text(f"net:\n  layers:{layers}solver: {{base_lr: 0.1, max_iter: 1}}\n")
    answer = command("train", "a.yaml")
    assert answer.status == 0
    assert answer.err.startswith("note: snapshots will hold no predict net: layer 'fc' (InnerProduct): bottom 'data'")


def test_a_snapshot_is_gone_on_from_in_a_new_folder(command):
    command("train", MLP, *SHORT)
    answer = command("train", MLP, *SHORT, "--snapshot", "runs/mlp/iter_10.state.safetensors")
    assert answer.status == 0
    assert same("runs/mlp/iter_20.safetensors", "runs/mlp-2/iter_20.safetensors")
    assert not Path("runs/mlp-2/iter_10.safetensors").exists()


def test_weights_to_start_from_come_from_several_files(command):
    command("train", MLP, *SHORT)
    trained = weights("runs/mlp/iter_20.safetensors")
    np.savez("one.npz", **{"fc1.weight": trained["fc1.weight"]})
    np.savez("two.npz", **{"fc2.weight": trained["fc2.weight"], "unknown": np.zeros(3)})
    answer = command(
        "train", MLP, *sets(max_iter=1, base_lr=0, test_interval=0), "--weights", "one.npz,two.npz", "--seed", "7"
    )
    assert answer.status == 0
    assert answer.err.splitlines()[:2] == [
        "1 of 4 weights from one.npz; 3 missing",
        "1 of 4 weights from two.npz; 3 missing, 1 skipped",
    ]
    started = weights("runs/mlp-2/iter_1.safetensors")
    assert np.array_equal(started["fc1.weight"], trained["fc1.weight"])
    assert np.array_equal(started["fc2.weight"], trained["fc2.weight"])
    assert not np.array_equal(started["fc2.bias"], trained["fc2.bias"])


# -- a folder that is given ----------------------------------------------------------------------------------------


def test_a_given_folder_takes_the_run_and_is_gone_on_in(command):
    command("train", MLP, *SHORT, "--folder", "whole")
    answer = command("train", MLP, *SHORT, *sets(max_iter=10), "--folder", "deep/here")
    assert (answer.status, answer.err) == (0, "")
    assert not Path("runs").exists()
    answer = command("train", MLP, *SHORT, "--folder", "deep/here", "--resume")
    assert answer.err.startswith("going on from deep/here/iter_10.state.safetensors at iteration 10\n")
    assert same("whole/iter_20.safetensors", "deep/here/iter_20.safetensors")


def test_a_given_folder_is_only_replaced_by_force(command):
    assert command("train", MLP, "--folder", "here", "--resume").err == (
        "nothing to resume: the folder here holds no snapshot\n"
    )
    Path("here").mkdir()
    answer = command("train", MLP, *SHORT, "--folder", "here")
    assert (answer.status, answer.err) == (
        2,
        "here exists; go on in it with --resume, or replace what is in it with --force\n",
    )
    assert command("train", MLP, *SHORT, "--folder", "here", "--force").status == 0
    assert Path("here/iter_20.safetensors").exists()


# -- test ----------------------------------------------------------------------------------------------------------


def test_testing_a_snapshot_gives_what_training_saw(command):
    command("train", MLP, *SHORT)
    seen = [event["outputs"] for event in events.read("runs/mlp/events.jsonl") if event["event"] == "test"][-1]
    answer = command("test", MLP, "--weights", "runs/mlp/iter_20.safetensors")
    assert (answer.status, answer.err) == (0, "360 samples\n")
    found = {name: float(value) for name, value in map(str.split, answer.out.splitlines())}
    assert found == pytest.approx(seen, rel=1e-5)


def test_testing_some_batches(command):
    command("train", MLP, *SHORT)
    answer = command("test", MLP, "--weights", "runs/mlp/iter_20.safetensors", "--iterations", "2")
    assert answer.err == "200 samples\n"


def test_testing_draws_by_the_runs_seed(command, monkeypatch):
    seeds = []
    real = Net.load_weights
    monkeypatch.setattr(Net, "load_weights", lambda net, *given: seeds.append(net.seed) or real(net, *given))
    command("train", MLP, *sets(max_iter=0, test_interval=0))
    command("test", MLP, "--weights", "runs/mlp/iter_0.safetensors", *sets(random_seed=7))
    assert seeds == [7]


# -- interrupts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_first_interrupt_snapshots(command, monkeypatch, number, status):
    real = Solver.step

    def step(self, count=1):
        if self.iteration == 7:
            os.kill(os.getpid(), number)
        return real(self, count)

    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(Solver, "step", step)
        answer = command("train", MLP, *SHORT)
    assert answer.status == status
    assert "once more ends at once" in answer.err
    assert answer.out.splitlines()[-1] == "the same command with --resume goes on from there"
    assert Path("runs/mlp/iter_8.state.safetensors").exists()
    assert signal.getsignal(number) is before
    command("train", MLP, *SHORT, "--resume")
    command("train", MLP, *SHORT, "--set", "name=whole")
    assert same("runs/mlp/iter_20.safetensors", "runs/whole/iter_20.safetensors")


def test_an_interrupt_in_the_last_test_is_a_finished_run(command, monkeypatch):
    real = Solver._test

    def test(self):
        if self.finished:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self)

    monkeypatch.setattr(Solver, "_test", test)
    answer = command("train", MLP, *SHORT)
    assert answer.status == 0
    assert answer.out.splitlines()[-1].startswith("finished after 20 iterations")


def test_a_second_interrupt_ends_at_once(command, monkeypatch):
    def step(self, count=1):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the second interrupt was ignored")

    monkeypatch.setattr(Solver, "step", step)
    answer = command("train", MLP, *SHORT)
    assert answer.status == 130
    assert answer.err.splitlines()[-1] == "interrupted"
    assert not list(Path("runs/mlp").glob("iter_*"))


class Child(subprocess.Popen):
    """A process that is killed rather than waited for when it hangs or its test fails."""

    def __enter__(self):
        self._guard = threading.Timer(60, self.kill)
        self._guard.start()
        return super().__enter__()

    def __exit__(self, kind, *rest):
        self._guard.cancel()
        if kind is not None:
            self.kill()
        super().__exit__(kind, *rest)


def start(folder: Path, *arguments: str, **options) -> Child:
    """A real child process."""
    environment = {**os.environ, "PYTHONPATH": str(Path(layerkit.__file__).parents[1]), **options.pop("env", {})}
    return Child([sys.executable, "-m", "layerkit", *arguments], cwd=folder, env=environment, text=True, **options)


def wait_for(stream, words: str) -> None:
    for line in stream:
        if words in line:
            return
    pytest.fail(f"the process ended before it said {words!r}")


def test_interrupting_a_real_process(folder):
    endless = sets(max_iter=100_000_000, display=10)
    with start(folder, "train", MLP, *endless, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        wait_for(child.stdout, "20/")
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert "Traceback" not in err
    assert "interrupted after" in out
    assert any(folder.glob("runs/mlp/iter_*.state.safetensors"))
    assert not any(folder.glob("runs/mlp/.*"))


def test_interrupting_a_real_process_twice(folder):
    endless = sets(max_iter=2, iter_size=100_000_000, test_interval=0)
    with start(folder, "train", MLP, *endless, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        wait_for(child.stdout, "2 iterations")
        child.send_signal(signal.SIGINT)
        wait_for(child.stderr, "once more")
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert (out, err) == ("", "interrupted\n")
    assert not any(folder.glob("runs/mlp/iter_*"))


# -- in a terminal -------------------------------------------------------------------------------------------------


def in_terminal(folder: Path, columns: int, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit status and everything that a command writes to a terminal of that width."""
    ours, theirs = pty.openpty()
    pieces: list[bytes] = []

    def read() -> None:
        try:
            while piece := os.read(ours, 4096):
                pieces.append(piece)
        except OSError:  # the other end was closed
            pass

    size = {"COLUMNS": str(columns), "LINES": "24", "TERM": "xterm-256color", **environment}
    with start(folder, *arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=size) as child:
        os.close(theirs)
        reader = threading.Thread(target=read)
        reader.start()
        status = child.wait(timeout=30)
        reader.join(timeout=10)
    os.close(ours)
    return status, b"".join(pieces).decode()


def visible(written: str) -> list[str]:
    """The lines of text between all control sequences, whether or not they were overwritten later."""
    return re.split(r"[\r\n]+|\x1b\[\d*[AK]", re.sub(r"\x1b\[[\d;?]*[a-zA-JL-Z]", "", written))


def test_the_bar_fits_80_columns_and_leaves_the_terminal_as_it_was(folder):
    long = sets(max_iter=3000, display=10, test_interval=1000)
    status, written = in_terminal(folder, 80, "train", MLP, *long)
    assert status == 0
    assert max(map(len, visible(written))) <= 80
    frames = [line for line in visible(written) if "samples/s" in line]
    assert re.search(r"\d+/3000  loss \S+ +lr \S+ +[\d,]+ samples/s .*━.* eta (--|\d+):(--|\d\d)", frames[-1])
    assert "\x1b[?25l" in written
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")  # the cursor is shown again
    assert "finished after 3000 iterations" in written


def test_the_bar_advances_with_every_event(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    with Progress(Path("runs/x")) as progress:
        task = progress._bar.tasks[0]
        progress.show({"event": "start", "iter": 0, "name": "x", "weights": 1, "max_iter": 20, "seed": 0})
        assert (task.description, task.completed, task.total) == (" 0/20", 0, 20)
        progress.show({"event": "test", "iter": 10, "outputs": {}, "samples": 1})
        assert (task.description, task.completed) == ("10/20", 10)
        progress.show({"event": "display", "iter": 15, "loss": 1.0, "lr": 0.1, "samples_per_s": 1.0, "outputs": {}})
        progress.show({"event": "snapshot", "iter": 20, "weights": "w"})
        assert task.description.startswith("20/20  loss 1 ")
        assert task.completed == 20


def test_no_color_is_respected_and_a_dumb_terminal_gets_lines(folder):
    coloured = re.compile(r"\x1b\[[\d;]*3[0-8][\d;]*m")
    long = sets(max_iter=1000, display=10, test_interval=0)
    assert coloured.search(in_terminal(folder, 80, "train", MLP, *long)[1])
    assert not coloured.search(in_terminal(folder, 80, "train", MLP, *long, NO_COLOR="1")[1])
    status, written = in_terminal(folder, 80, "train", MLP, *long, TERM="dumb")
    assert status == 0
    assert "\x1b" not in written
    assert "500/1000  loss" in written
