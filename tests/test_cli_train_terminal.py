"""What `layerkit train` shows in a terminal: the bar, its width and its colours."""

import re
from pathlib import Path

from command_tools import in_terminal, visible
from train_tools import MLP, sets

from layerkit.cli.progress import Progress


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
        task = progress._shown.tasks[0]
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
