"""`layerkit train` interrupted, once and twice, in this process and in one of its own."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from command_tools import start, wait_for
from train_tools import MLP, SHORT, same, sets

from layerkit.solver import Solver


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
