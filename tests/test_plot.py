"""`layerkit plot RUN`: which curves there are, over what, and what is in the files that show them."""

from __future__ import annotations

import math
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from plot_tools import SWEEP, Picture, record

from layerkit import events
from layerkit.errors import DataError, UnknownNameError
from layerkit.events import EventLog
from layerkit.report.drawing.palette import CURVES
from layerkit.report.plotting import panels, series, style

DISPLAYS = [(0, 2.0), (10, 1.5), (20, 1.0), (30, 0.5)]
TESTS = [(0, 2.5, 0.1), (20, 1.25, 0.6)]


def read(folder: Path, across: series.Across = "iteration") -> dict[tuple[str, str], series.Curve]:
    found = series.read(folder.name, events.read(folder / "events.jsonl"), across)
    return {(curve.metric, curve.source): curve for curve in found}


# -- curves --------------------------------------------------------------------------------------------------------


def test_a_record_becomes_curves(tmp_path: Path) -> None:
    found = read(record(tmp_path / "a", DISPLAYS, tests=TESTS))
    assert set(found) == {("loss", "train"), ("loss", "test"), ("accuracy", "test"), ("lr", "train"),
                          ("grad_norm", "train")}  # fmt: skip
    assert found["loss", "train"][3:] == ([0, 10, 20, 30], [2.0, 1.5, 1.0, 0.5])
    assert found["accuracy", "test"][3:] == ([0, 20], [0.1, 0.6])


def test_a_loss_of_another_name_stands_beside_trainings(tmp_path: Path) -> None:
    found = read(record(tmp_path / "a", DISPLAYS, tests=TESTS, loss="xent"))
    assert found["loss", "test"].y == [2.5, 1.25]
    assert not any(metric == "xent" for metric, _ in found)


def test_of_several_losses_each_has_its_own_name(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "a" / "events.jsonl")
    log.emit("display", 0, loss=1.3, outputs={"near": 1.0, "far": 1.0})
    log.emit("test", 0, outputs={"near": 2.0, "far": 3.0})
    assert {key: curve.y for key, curve in read(tmp_path / "a").items()} == {
        ("loss", "train"): [1.3], ("near", "train"): [1.0], ("far", "train"): [1.0],
        ("near", "test"): [2.0], ("far", "test"): [3.0],
    }  # fmt: skip


def test_several_test_nets_go_by_their_names(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "a" / "events.jsonl")
    log.emit("test", 5, outputs={"easy.loss": 1.0, "hard.loss": 2.0, "hard.top.5": 0.5})
    assert set(read(tmp_path / "a")) == {("loss", "easy"), ("loss", "hard"), ("top.5", "hard")}


def test_over_epochs_and_over_time(tmp_path: Path) -> None:
    folder = record(tmp_path / "a", DISPLAYS, epoch=20.0)
    EventLog(folder / "events.jsonl").emit("start", 30, time=9000.0, epoch=20.0)  # resumed long after
    EventLog(folder / "events.jsonl").emit("display", 40, time=9001.0, loss=0.25)
    assert read(folder, "epoch")["loss", "train"].x == [0, 0.5, 1, 1.5, 2]
    assert read(folder, "time")["loss", "train"].x == [0, 20, 40, 60, 61]
    arranged = panels.arrange(list(read(folder, "time").values()), "time")
    assert (arranged.across, arranged.panels[0].curves[0].x[3]) == ("seconds", 60)
    hours = [curve._replace(x=[x * 360 for x in curve.x]) for curve in read(folder, "time").values()]
    assert panels.arrange(hours, "time").panels[0].curves[0].x[3] == 6
    assert panels.arrange(hours, "time").across == "hours"


def test_an_epoch_of_unknown_length_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the record of a does not say how long an epoch is; plot it over iterations"):
        read(record(tmp_path / "a", DISPLAYS, epoch=None), "epoch")


def test_smoothing_is_a_mean_of_neighbours_and_keeps_holes() -> None:
    curve = series.Curve("a", "loss", "train", [0, 1, 2, 3, 4], [1.0, 2.0, math.nan, 6.0, 1.0])
    smooth = curve.smoothed(3)
    assert smooth.y[:2] == [1.5, 1.5]
    assert math.isnan(smooth.y[2])
    assert smooth.y[3:] == [3.5, 3.5]
    assert (curve.lost, smooth.lost) == ([2], [2])


# -- panels --------------------------------------------------------------------------------------------------------


def test_panels_come_in_a_fixed_order_and_axes_are_logarithmic_where_numbers_span_decades(tmp_path: Path) -> None:
    curves = list(read(record(tmp_path / "a", [*DISPLAYS, (1000, 0.004)], tests=TESTS)).values())
    arranged = panels.arrange(curves)
    assert [(panel.title, panel.log) for panel in arranged.panels] == [
        ("loss", True), ("accuracy", False), ("learning rate", True), ("gradient norm", True),
    ]  # fmt: skip
    assert not any(panel.log for panel in panels.arrange(curves, log=False).panels)
    assert all(panel.log for panel in panels.arrange(curves, log=True).panels)
    assert [panel.metric for panel in panels.arrange(curves, metrics=["lr", "loss"]).panels] == ["lr", "loss"]
    zero = [curve._replace(y=[0.0, *curve.y[1:]]) for curve in curves]
    assert not any(panel.log for panel in panels.arrange(zero, log=True).panels)


def test_only_trainings_curves_are_smoothed_and_never_the_rate(tmp_path: Path) -> None:
    curves = list(read(record(tmp_path / "a", DISPLAYS, tests=TESTS)).values())
    loss, accuracy, rate, norm = panels.arrange(curves, smooth=3).panels
    assert [curve.source for curve in loss.raw] == ["train"]
    assert {curve.source: curve.y for curve in loss.curves} == {"train": [1.75, 1.5, 1.0, 0.75], "test": [2.5, 1.25]}
    assert not accuracy.raw
    assert not rate.raw
    assert norm.raw[0].y == [2.0, 1.5, 1.0, 0.5]


def test_an_unknown_metric_has_a_nearest_one(tmp_path: Path) -> None:
    curves = list(read(record(tmp_path / "a", DISPLAYS, tests=TESTS)).values())
    with pytest.raises(UnknownNameError, match="there is no metric 'acuracy'; did you mean 'accuracy'"):
        panels.arrange(curves, metrics=["acuracy"])


def test_of_many_curves_each_has_its_colour() -> None:
    assert style.colours(3) == list(CURVES[:3])
    assert len(set(style.colours(30))) == 30


# -- the verb ------------------------------------------------------------------------------------------------------


def test_one_run_as_svg(command, folder: Path) -> None:
    record(folder / "runs/one", DISPLAYS, tests=TESTS)
    assert command("plot", "one", "-o", "a.svg") == (0, "", "wrote a.svg\n")
    picture = Picture("a.svg")
    assert set(picture.curves) == {
        "curve-loss-0",
        "curve-loss-1",
        "curve-accuracy-0",
        "curve-lr-0",
        "curve-grad_norm-0",
    }
    for text in ("one", "loss", "accuracy", "learning rate", "gradient norm", "iteration", "train", "test"):
        assert text in picture.texts
    assert b"'DejaVu Sans', 'Helvetica', 'Arial', sans-serif" in Path("a.svg").read_bytes()
    tests, train = picture.points("curve-loss-0"), picture.points("curve-loss-1")
    assert len(train) in (2, 4)  # a straight line needs no more than its ends
    assert train[0][0] == tests[0][0]
    per_loss = (tests[0][1] - tests[1][1]) / 1.25
    assert tests[0][1] - train[0][1] == pytest.approx(0.5 * per_loss, rel=1e-3)
    assert CURVES[1] in picture.curves["curve-loss-0"].get("style", "")


def test_equal_runs_give_equal_bytes_and_no_date(command, folder: Path) -> None:
    record(folder / "runs/one", DISPLAYS, tests=TESTS)
    for name in ("a.svg", "b.svg"):
        command("plot", "one", "--metrics", "loss", "-o", name)
    files = {".svg": [Path(name).read_bytes() for name in ("a.svg", "b.svg")], ".png": [], ".pdf": []}
    for suffix in (".png", ".pdf", ".png", ".pdf"):
        with style.drawing():
            small = style.figure(1, 1)
            small.text(0, 0.5, "x")
            files[suffix].append(style.to_bytes(small, suffix))
    for first, second in files.values():
        assert first == second
        assert b"date" not in first.lower()
        assert b"matplotlib v" not in first.lower()


def test_a_name_cannot_break_out_of_a_picture(command, folder: Path) -> None:
    names = ["_a$b", "c$\\frac{1}$ & <d>"]
    for name in names:
        record(folder / "runs/odd" / name, [(0, 2.0), (9, 0.001)], tests=TESTS, loss="$x$")
    assert command("plot", "odd", "-o", "a.svg").status == 0
    texts = [text.strip() for text in Picture("a.svg").texts if text]
    assert {*names, "0.001", "0.1"} <= {*texts}


def test_a_sweeps_folder_is_all_its_runs_in_the_order_of_their_numbers(command, folder: Path) -> None:
    for name in SWEEP:
        record(folder / "runs/sweep" / name, DISPLAYS, tests=TESTS)
    assert command("plot", "sweep", "--metrics", "loss,accuracy", "--smooth", "3", "-o", "a.svg").status == 0
    picture = Picture("a.svg")
    names = [text for text in picture.texts if text in SWEEP]
    assert names == ["lr=0.02", "lr=0.1", "lr=1e1"]
    assert len(picture.curves) == 9
    assert {text for text in picture.texts if text in ("train", "test")} == {"train", "test"}


def test_runs_of_one_name_are_told_apart(command, folder: Path) -> None:
    for name in ("a/run", "b/run"):
        record(folder / name, DISPLAYS)
    assert command("plot", "a/run", "b/run/events.jsonl", "a/run").out.splitlines()[0] == "a a/run   b b/run"


def test_a_png_has_the_colours_of_its_curves_on_white(command, folder: Path) -> None:
    from PIL import Image

    record(folder / "runs/one", DISPLAYS, tests=TESTS)
    command("plot", "one", "--metrics", "loss", "-o", "a.png")
    assert struct.unpack(">II", Path("a.png").read_bytes()[16:24]) == (1120, 672)
    colours = {colour: count for count, colour in Image.open("a.png").convert("RGB").getcolors(10**6)}
    assert max(colours, key=lambda colour: colours[colour]) == (255, 255, 255)
    for colour in CURVES[:2]:
        assert colours[tuple(bytes.fromhex(colour[1:]))] > 500


def test_holes_are_marked_and_the_rest_is_drawn(command, folder: Path) -> None:
    record(folder / "runs/one", [(0, 2.0), (10, None), (20, 1.0), (30, 0.5)])
    assert command("plot", "one", "--metrics", "loss", "-o", "a.svg").status == 0
    picture = Picture("a.svg")
    assert "not finite" in picture.texts
    assert picture.curves["curve-loss-0"].get("d", "").count("M") >= 1


@pytest.mark.parametrize("entries", [[], [("start", 0, {}), ("snapshot", 5, {})]])
def test_an_empty_record_is_one_sentence(command, folder: Path, entries: list[Any]) -> None:
    log = EventLog(folder / "runs/one/events.jsonl")
    (folder / "runs/one").mkdir(parents=True)
    (folder / "runs/one/events.jsonl").write_bytes(b"")
    for kind, at, fields in entries:
        log.emit(kind, at, **fields)
    path = Path("runs/one/events.jsonl")
    sentence = f"{path}: there is nothing to draw yet, no display and no test has been recorded\n"
    assert command("plot", "one") == (2, "", sentence)


def test_of_several_an_empty_record_is_left_out(command, folder: Path) -> None:
    record(folder / "runs/some/b", DISPLAYS)
    record(folder / "runs/some/a", [])
    answer = command("plot", "some")
    assert answer.out.startswith("b   * train\n")
    path = Path("runs/some/a/events.jsonl")
    assert answer.err == f"note: {path} is left out: no display and no test has been recorded\n"
    record(folder / "runs/nan", [(0, None)])
    assert command("plot", "nan", "--metrics", "loss").err == (
        "there is nothing to draw yet: no display or test has given a number that is finite\n"
    )


def test_what_is_no_run_is_one_sentence(command, folder: Path) -> None:
    record(folder / "runs/mlp", DISPLAYS)
    answer = command("plot", "mlq")
    tried = f"neither {Path('mlq/events.jsonl')} nor {Path('runs/mlq/events.jsonl')} exists"
    assert answer == (2, "", f"there is no record of a run: {tried}; did you mean 'mlp'?\n")
    assert command("plot", "configs/mlp.yaml").err == (
        "configs/mlp.yaml is not an event log of layerkit: its first line does not say so\n"
    )


@pytest.mark.parametrize(("name", "instead"), [("a.gif", ", not in '.gif'"), ("a", "")])
def test_an_unknown_suffix_is_one_sentence(command, name: str, instead: str) -> None:
    assert command("plot", "nothing", "-o", name) == (2, "", f"a plot's file ends in .png, .svg or .pdf{instead}\n")


def test_without_matplotlib_it_is_one_sentence_and_characters_work(
    command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(folder / "runs/one", DISPLAYS)
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert command("plot", "one", "-o", "a.png") == (
        2, "", "plotting needs the package matplotlib, which is not installed: pip install 'layerkit[plot]'\n"
    )  # fmt: skip
    assert not Path("a.png").exists()
    assert command("plot", "one").status == 0


def test_the_users_own_settings_of_matplotlib_change_nothing(command, folder: Path) -> None:
    import matplotlib

    record(folder / "runs/one", DISPLAYS)
    command("plot", "one", "--metrics", "loss", "-o", "a.svg")
    with matplotlib.rc_context({"axes.facecolor": "red", "svg.hashsalt": "x", "font.size": 30}):
        command("plot", "one", "--metrics", "loss", "-o", "b.svg")
        assert matplotlib.rcParams["font.size"] == 30
    assert Path("a.svg").read_bytes() == Path("b.svg").read_bytes()


def test_a_real_run_of_the_shipped_config(command, folder: Path) -> None:
    short = [f"solver.{name}" for name in ("max_iter=20", "display=5", "test_interval=10")]
    assert (
        command("train", "configs/mlp.yaml", "--quiet", *(word for each in short for word in ("--set", each)))[0] == 0
    )
    assert command("plot", "runs/mlp", "--x", "epoch", "-o", "a.svg").status == 0
    assert {"mlp", "epoch", "accuracy"} <= set(Picture("a.svg").texts)
