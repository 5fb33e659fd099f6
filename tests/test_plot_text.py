"""Curves drawn with characters: where each point stands, what the axes say, and `layerkit plot` without -o."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest
from plot_tools import SWEEP, record

from layerkit.cli.plot import plot
from layerkit.report.text_plot import Line, chart

# -- one chart -----------------------------------------------------------------------------------------------------


def test_a_curve_is_drawn_where_it_is() -> None:
    drawn = chart([Line([1, 10, 100, 1000], [1, 2, 9, 3])], {10: "here"}, top=3, log_x=True, width=10, height=3)
    assert drawn.lines == [
        "3 |   |  ^  *",
        "  |   *",
        "1 |*  |",
        "  ++--------+",
        "   1     1000",
        "      ^ here",
    ]
    assert (drawn.canvas, drawn.margin) == (drawn.lines[:3], 3)


def test_a_mark_at_the_right_edge_has_its_text_to_the_left() -> None:
    assert chart([Line([1, 10], [0, 1])], {10: "end"}, log_x=True, width=8, height=2).lines[-1] == "      end ^"


def test_a_flat_curve_and_a_single_point_are_drawn() -> None:
    assert chart([Line([1, 10], [2, 2])], width=4, height=2).canvas == ["  |", "2 |*  *"]
    assert chart([Line([1], [2])], log_x=True, log_y=True, width=4, height=2).canvas == ["  |", "2 |*"]


def test_a_curve_may_end_before_the_axis_does() -> None:
    drawn = chart([Line([2, 4], [0, 1])], x_range=(0, 8), width=9, height=2)
    assert drawn.lines == ["1 |    *", "0 |  *", "  ++-------+", "   0       8"]


def test_each_column_has_the_mean_of_each_curve_and_what_is_not_finite_is_left_out() -> None:
    nan, inf = float("nan"), float("inf")
    lines = [Line([0, 0.1, 2, 3, 4], [0, 2, nan, inf, 4], "a"), Line([0, 4], [4, 4], "b")]
    drawn = chart(lines, width=5, height=4)
    assert [row.partition("|")[2] for row in drawn.canvas] == ["b   b", "", "a", ""]


@pytest.mark.parametrize(
    ("low", "high", "numbers"),
    [
        (0.0, 1.0, ["0", "0.25", "0.5", "0.75", "1"]),
        (0.14, 0.99, ["0.25", "0.5", "0.75"]),
        (-3.0, 1000.0, ["0", "250", "500", "750", "1000"]),
        (2.0, 2.000004, ["2", "2.000001", "2.000002", "2.000003", "2.000004"]),
        (-7e-9, 7e-9, ["-5e-09", "0", "5e-09"]),
        (0.0, 5e-324, ["0", "4.94066e-324"]),
    ],
)
def test_the_axes_have_round_numbers(low: float, high: float, numbers: list[str]) -> None:
    drawn = chart([Line([low, high], [low, high])], width=70, height=13)
    sides = [row.partition("|")[0].strip() for row in drawn.canvas]
    assert [side for side in reversed(sides) if side] == numbers


def test_a_logarithmic_axis_has_decades() -> None:
    drawn = chart([Line([0, 9], [1e-4, 20.0])], log_y=True, width=70, height=13)
    sides = [row.partition("|")[0].strip() for row in drawn.canvas]
    assert [side for side in sides if side] == ["1", "0.01", "0.0001"]


# -- the verb ------------------------------------------------------------------------------------------------------


def test_one_run_has_stars_and_circles(command, folder: Path) -> None:
    record(folder / "runs/one", [(0, 2.0), (10, 1.0)], tests=[(0, 2.5, 0.1), (10, 1.5, 0.9)])
    answer = command("plot", "one", "--metrics", "loss,accuracy")
    assert (answer.status, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0] == "one   * train   o test"
    assert [lines[i].strip() for i in (2, 18)] == ["loss", "accuracy"]
    assert lines[-1] == f"{'iteration':>80}"
    assert all(len(line) <= 80 and line.isascii() for line in lines)
    loss = "".join(line.partition("|")[2] for line in lines[3:15])
    assert (loss.count("*"), loss.count("o")) == (2, 2)
    assert lines[3].endswith("|o")  # the greatest is the test's at 0
    assert lines[14].endswith(" *")  # and the smallest training's at the end


def test_all_charts_of_a_plot_stand_over_one_axis(command, folder: Path) -> None:
    record(folder / "a", [(5, 2.0), (10, 1.0), (15, 0.5)], tests=[(40, 0.5, 0.9)])
    shown = command("plot", "a", "--metrics", "lr,accuracy").out.splitlines()
    axes = [shown[i : i + 2] for i, line in enumerate(shown) if line.strip().startswith("+")]
    assert len(axes) == 2
    assert axes[0] == axes[1]


def test_several_runs_have_letters(command, folder: Path) -> None:
    for name in SWEEP:
        record(folder / "runs/sweep" / name, [(0, 2.0), (10, 1.0)], tests=[(0, 2.5, 0.1)])
    lines = command("plot", "sweep", "--metrics", "loss").out.splitlines()
    assert lines[:2] == ["a A lr=0.02   b B lr=0.1   c C lr=1e1   (small letters: train, capitals: test)", ""]
    assert command("plot", "sweep", "--metrics", "lr").out.splitlines()[0] == "a lr=0.02   b lr=0.1   c lr=1e1"


def test_what_was_not_finite_is_said(command, folder: Path) -> None:
    record(folder / "runs/one", [(0, 2.0), (10, None), (20, None), (30, 1.0)])
    assert "  not finite: one (train) at 10 and 1 more" in command("plot", "one").out.splitlines()


class Terminal(io.StringIO):
    """What a terminal shows."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("coloured", [True, False])
def test_it_fits_a_terminal_and_has_colours_only_where_they_are_wanted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, coloured: bool
) -> None:
    record(folder / "runs/one", [(0, 2.0), (10, 1.0)], tests=[(0, 2.5, 0.1)])
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not coloured:
        monkeypatch.setenv("NO_COLOR", "1")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Terminal())
        plot(["one"], metrics="loss")
        written = sys.stdout.getvalue()
    plain = re.sub(r"\x1b\[[\d;]*m", "", written).splitlines()
    assert max(map(len, plain)) == 60
    assert ("\x1b[34m*" in written, "\x1b[33mo" in written, "\x1b[3" in written) == (coloured, coloured, coloured)
