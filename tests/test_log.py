"""`layerkit plot --table` and `train --tensorboard`: the record as tables, as CSV, and for TensorBoard."""

from __future__ import annotations

import csv
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto.event_pb2 import Event as Message

import layerkit as lk
from layerkit import events
from layerkit.events import EventLog
from layerkit.report import tensorboard
from layerkit.report.log import Table, how_it_ended, tables, to_csv
from layerkit.report.tensorboard import Board, scalars

SHORT = ["--set", "solver.max_iter=20", "--set", "solver.test_interval=10", "--set", "solver.display=10", "--quiet"]


def record(path: Path, *entries: tuple[str, int, float, dict[str, Any]]) -> list[dict[str, Any]]:
    """A record with these events at these times, written and read again."""
    log = EventLog(path)
    for kind, iteration, at, fields in entries:
        log.emit(kind, iteration, **{"time": at, **fields})
    return events.read(path)


RUN = [
    ("start", 0, 100.0, {}),
    ("test", 0, 101.0, {"outputs": {"loss": 2.5, "accuracy": 0.1}, "samples": 360, "samples_per_s": 360.0, "lr": 0.1}),
    ("display", 0, 102.0, {"loss": 2.25, "lr": 0.1, "samples_per_s": 64.0, "grad_norm": 1.5, "weight_norm": 3.0,
                           "outputs": {"loss": 2.0}}),
    ("snapshot", 5, 103.0, {"weights": "a", "state": "b"}),
    ("start", 5, 500.0, {}),
    ("display", 10, 501.5, {"loss": float("nan"), "lr": 0.05, "samples_per_s": 64.5, "grad_norm": float("inf"),
                            "weight_norm": 4.0, "outputs": {"loss": 1.0, "late": 7.0}}),
]  # fmt: skip
"""A run that was killed after iteration 5 and resumed."""

TRAIN_TITLES = ["NumIters", "Seconds", "LearningRate", "loss", "late", "SmoothedLoss", "SamplesPerSecond", "GradNorm",
                "WeightNorm"]  # fmt: skip


# -- tables --------------------------------------------------------------------------------------------------------


def test_tables_begin_as_caffes_and_leave_out_the_time_between_processes(tmp_path: Path) -> None:
    found = tables(record(tmp_path / "log", *RUN))
    assert found["train"] == Table(
        TRAIN_TITLES,
        [[0, 2.0, 0.1, 2.0, None, 2.25, 64.0, 1.5, 3.0], [10, 4.5, 0.05, 1.0, 7.0, None, 64.5, None, 4.0]],
    )
    assert found["test"] == Table(
        ["NumIters", "Seconds", "LearningRate", "loss", "accuracy", "Samples", "SamplesPerSecond"],
        [[0, 1.0, 0.1, 2.5, 0.1, 360, 360.0]],
    )


def test_a_clock_that_was_set_back_takes_no_time_away(tmp_path: Path) -> None:
    early = record(tmp_path / "log", ("start", 0, 100.0, {}), ("display", 0, 50.0, {}), ("display", 1, 51.0, {}))
    assert [row[1] for row in tables(early)["train"].rows] == [0.0, 1.0]


def test_an_empty_record_has_empty_tables() -> None:
    assert [each.rows for each in tables([]).values()] == [[], []]
    assert how_it_ended([]) == "nothing has been recorded yet"


def test_csv_has_every_digit_and_nothing_for_what_is_not_finite(tmp_path: Path) -> None:
    text = to_csv(tables(record(tmp_path / "log", *RUN))["train"])
    assert text.splitlines() == [
        ",".join(TRAIN_TITLES), "0,2.0,0.1,2.0,,2.25,64.0,1.5,3.0", "10,4.5,0.05,1.0,7.0,,64.5,,4.0",
    ]  # fmt: skip
    assert to_csv(Table(["a,b"], [[1 / 3]])) == '"a,b"\n0.3333333333333333\n'


@pytest.mark.parametrize(
    ("kind", "fields", "sentence"),
    [
        ("stop", {"reason": "finished"}, "finished at iteration 7"),
        ("error", {"message": "the loss is nan"}, "failed at iteration 7: the loss is nan"),
        ("test", {}, "the record ends at iteration 7 with 'test': it goes on, or was cut off"),
    ],
)
def test_how_a_run_ended_is_one_line(tmp_path: Path, kind: str, fields: dict[str, Any], sentence: str) -> None:
    assert how_it_ended(record(tmp_path / "log", (kind, 7, 1.0, fields))) == sentence


# -- the verb ------------------------------------------------------------------------------------------------------


def test_it_prints_both_tables(command) -> None:
    assert command("train", "configs/mlp.yaml", *SHORT).status == 0
    answer = command("plot", "mlp", "--table")
    assert (answer.status, answer.err) == (0, "")
    train, test = answer.out.split("\ntest:\n")
    titles = "iteration seconds lr loss mean loss samples/s gradient norm weight norm"
    assert train.startswith("train:\n")
    assert train.splitlines()[1].split() == titles.split()
    assert [line.split()[0] for line in train.splitlines()[2:] if line] == ["0", "10"]
    lines = test.splitlines()
    assert lines[0].split() == ["iteration", "seconds", "lr", "loss", "accuracy", "samples", "samples/s"]
    assert [line.split()[0] for line in lines[1:4]] == ["0", "10", "20"]
    assert lines[-1] == "finished at iteration 20"
    for way in ("runs/mlp", "runs/mlp/events.jsonl"):
        assert command("plot", way, "--table") == answer


def test_it_writes_csv_files(command) -> None:
    command("train", "configs/mlp.yaml", *SHORT)
    answer = command("plot", "mlp", "--csv", "out.csv")
    assert (answer.status, answer.out) == (0, "")
    assert answer.err == "out.train.csv: 2 rows\nout.test.csv: 3 rows\nfinished at iteration 20\n"
    log = events.read("runs/mlp/events.jsonl")
    for name, kind in (("train", "display"), ("test", "test")):
        rows = list(csv.DictReader(Path(f"out.{name}.csv").read_text().splitlines()))
        chosen = [event for event in log if event["event"] == kind]
        assert [float(row["loss"]) for row in rows] == [event["outputs"]["loss"] for event in chosen]
        assert [int(row["NumIters"]) for row in rows] == [event["iter"] for event in chosen]


def test_a_run_without_tests_has_one_table(command, folder: Path) -> None:
    record(folder / "runs" / "short" / "events.jsonl", *(entry for entry in RUN if entry[0] != "test"))
    assert "test:" not in command("plot", "short", "--table").out
    command("plot", "short", "--csv", "short")
    assert [path.name for path in folder.glob("short.*")] == ["short.train.csv"]


def test_what_is_no_run_is_one_sentence(command) -> None:
    answer = command("plot", "nothing", "--table")
    tried = f"neither {Path('nothing/events.jsonl')} nor {Path('runs/nothing/events.jsonl')} exists"
    assert answer == (2, "", f"there is no record of a run: {tried}\n")
    answer = command("plot", "configs/mlp.yaml", "--table")
    assert answer.status == 2
    assert answer.err == "configs/mlp.yaml is not an event log of layerkit: its first line does not say so\n"


def test_debug_info_is_printed_and_every_blob_stays(command) -> None:
    answer = command("train", "configs/mlp.yaml", *SHORT[:-1], "--set", "solver.debug_info=true")
    assert answer.status == 0
    assert answer.err.startswith("note: debug_info reads every blob, so that memory is not planned; ")
    lines = answer.out.splitlines()
    for start in ("[Forward] Layer digits, top blob data data: ", "[Backward] Layer loss, bottom blob fc2 diff: ",
                  "[Update] Layer fc2, param bias data: "):  # fmt: skip
        assert sum(line.startswith(f"    {start}") for line in lines) == 2
    assert command("train", "configs/mlp.yaml", "--find-lr", "--set", "solver.debug_info=true").status == 0


# -- TensorBoard ---------------------------------------------------------------------------------------------------


def checksum(data: bytes) -> int:
    """The masked CRC-32C that TensorFlow's records carry, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def messages(folder: Path) -> list[Any]:
    """What the event files in a folder hold, in the order in which TensorBoard reads them."""
    found = []
    for path in sorted(folder.iterdir()):
        assert "tfevents" in path.name
        data = path.read_bytes()
        while data:
            size, check = struct.unpack("<QI", data[:12])
            body, end = data[12 : 12 + size], data[12 + size : 16 + size]
            assert (checksum(data[:8]), checksum(body)) == (check, struct.unpack("<I", end)[0])
            found.append(Message.FromString(body))
            data = data[16 + size :]
    return found


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Curves as TensorBoard shows them: a start takes back what came before from its step on."""
    found: dict[str, list[tuple[int, float]]] = {}
    for message in messages(folder):
        if message.HasField("session_log"):
            found = {tag: [point for point in each if point[0] < message.step] for tag, each in found.items()}
        for value in message.summary.value:
            found.setdefault(value.tag, []).append((message.step, value.simple_value))
    return found


def test_a_record_becomes_curves(tmp_path: Path) -> None:
    board = Board(tmp_path / "new" / "board")
    for event in record(tmp_path / "log", *RUN):
        board.take(event)
    board.close()
    assert curves(board.folder) == {
        "test/loss": [(0, 2.5)], "test/accuracy": [(0, pytest.approx(0.1))],
        "train/loss": [(0, 2.0), (10, 1.0)], "train/late": [(10, 7.0)],
        "solver/loss": [(0, 2.25)], "solver/lr": [(0, pytest.approx(0.1)), (10, pytest.approx(0.05))],
        "solver/samples_per_s": [(0, 64.0), (10, 64.5)], "solver/grad_norm": [(0, 1.5)],
        "solver/weight_norm": [(0, 3.0), (10, 4.0)],
    }  # fmt: skip
    first = messages(board.folder)[0]
    assert (first.file_version, first.wall_time) == ("brain.Event:2", 101.0)


def test_debug_info_becomes_curves_too() -> None:
    event = {
        "event": "debug_info", "iter": 3, "time": 1.0, "norms": {},
        "forward": [{"layer": "fc", "top": "y", "data": 1.0}, {"layer": "fc", "weight": "bias", "data": 2.0}],
        "backward": [{"layer": "fc", "bottom": "x", "diff": 3.0}, {"layer": "fc", "weight": "bias", "diff": None}],
        "update": [{"layer": "fc", "weight": "bias", "data": 5.0, "diff": float("inf")}],
    }  # fmt: skip
    assert dict(scalars(event)) == {
        "debug_info/forward_data/fc/y": 1.0, "debug_info/forward_data/fc/bias": 2.0,
        "debug_info/backward_diff/fc/x": 3.0, "debug_info/update_data/fc/bias": 5.0,
    }  # fmt: skip


def test_written_while_training_and_afterwards_it_is_the_same(command, folder: Path) -> None:
    assert command("train", "configs/mlp.yaml", *SHORT, "--tensorboard", "live") == (0, "", "")
    answer = command("plot", "mlp", "--tensorboard", "later")
    assert answer == (0, "", "to look at it: tensorboard --logdir later\nfinished at iteration 20\n")
    assert curves(folder / "live") == curves(folder / "later")
    assert [step for step, _ in curves(folder / "live")["test/accuracy"]] == [0, 10, 20]


def test_a_resumed_run_goes_on_in_its_curves(command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pid(number: int) -> None:
        monkeypatch.setattr(tensorboard.os, "getpid", lambda: number)  # as if in a process of its own

    pid(1)
    command("train", "configs/mlp.yaml", *SHORT, "--tensorboard", "board")
    pid(2)
    command("train", "configs/mlp.yaml", *SHORT, "--set", "solver.max_iter=30", "--resume", "--tensorboard", "board")
    assert len(list((folder / "board").iterdir())) == 2
    assert [step for step, _ in curves(folder / "board")["test/accuracy"]] == [0, 10, 20, 30]
    assert [step for step, _ in curves(folder / "board")["solver/loss"]] == [0, 10, 20]


def test_without_the_package_it_is_one_sentence(command, monkeypatch: pytest.MonkeyPatch) -> None:
    command("train", "configs/mlp.yaml", *SHORT)
    for name in [name for name in sys.modules if name.split(".")[0] == "tensorboardX"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    sentence = "files for TensorBoard need the package tensorboardX, which is missing: pip install 'layerkit[plot]'\n"
    assert command("plot", "mlp", "--tensorboard", "board") == (2, "", sentence)
    assert command("train", "configs/mlp.yaml", *SHORT, "--tensorboard", "board") == (2, "", sentence)
    assert not Path("runs/mlp-2").exists()


def test_packages_for_curves_are_imported_only_when_asked_for() -> None:
    modules = "layerkit.report.tensorboard, layerkit.report.plotting.snapshots, layerkit.cli.main"
    code = f"import sys, {modules}; sys.exit(bool({{'tensorboardX', 'matplotlib'}} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_folder_that_cannot_be_used_is_one_sentence(command, folder: Path) -> None:
    command("train", "configs/mlp.yaml", *SHORT)
    (folder / "file").write_text("")
    answer = command("plot", "mlp", "--tensorboard", "file")
    assert answer == (2, "", "cannot write a file for TensorBoard to 'file': File exists\n")


def test_training_goes_on_where_curves_cannot_be_written(
    command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(board: Board, event: dict[str, Any]) -> None:
        raise board._fault(OSError(28, "No space left on device"))

    monkeypatch.setattr(Board, "take", full)
    answer = command("train", "configs/mlp.yaml", *SHORT[:-1], "--tensorboard", "board")
    assert answer.status == 0
    assert answer.err == (
        "note: cannot write a file for TensorBoard to 'board': No space left on device; training goes on without, and "
        "`layerkit plot` can write it later\n"
    )
    assert events.read("runs/mlp/events.jsonl")[-1]["reason"] == "finished"


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    board = Board(tmp_path)

    class Full:
        def write(self, data: bytes) -> None:
            raise OSError(28, "No space left on device")

    board.close()
    board._file = Full()
    event = {"event": "display", "iter": 0, "time": 1.0, "loss": 1.0}
    with pytest.raises(lk.DataError, match=r"cannot write a file for TensorBoard to .*: No space left on device"):
        board.take(event)


def test_a_run_that_cannot_begin_leaves_no_curves(command) -> None:
    command("train", "configs/mlp.yaml", "--weights", "missing.safetensors", "--tensorboard", "board")
    assert not Path("board").exists()
    answer = command("train", "configs/mlp.yaml", "--find-lr", "--tensorboard", "board")
    assert answer.status == 2
    assert "--find-lr starts afresh" in answer.err


HOLES: list[Any] = [None, 0, "text", [], {}, [1], [{}], [{"layer": 1, "top": []}], 10**400, 1e300, True]


@pytest.mark.parametrize("value", HOLES, ids=[str(hole)[:20] for hole in HOLES])
def test_readers_pass_over_what_they_do_not_know(command, folder: Path, value: Any) -> None:
    log = EventLog(folder / "log")
    for kind in ("start", "display", "test", "debug_info", "lr", "stop", "error", "anew"):
        for field in ("lr", "samples_per_s", "samples", "grad_norm", "forward", "update", "norms", "reason", "message"):
            log.emit(kind, 1, **{field: value})
    assert command("plot", "log", "--table").status == 0
    assert command("plot", "log", "--csv", "table").status == 0
    assert command("plot", "log", "--tensorboard", "board").status == 0


def test_numbers_are_of_one_run(command, folder):
    for arguments in (["--table", "-o", "x.png"], ["--csv", "x"]):
        answer = command("plot", "one", "two", *arguments)
        assert (answer.status, answer.out) == (2, "")
        assert answer.err == "--table, --csv and --tensorboard go with one run, and without -o\n"


def test_what_is_for_curves_means_nothing_for_tables(command, folder):
    for option, *value in (["--metrics", "lr"], ["--x", "time"], ["--smooth", "2"], ["--linear"]):
        answer = command("plot", "one", "--table", option, *value)
        named = "--log" if option == "--linear" else option
        said = f"{named} means nothing beside --table, --csv and --tensorboard\n"
        assert (answer.status, answer.out, answer.err) == (2, "", said)


def test_a_table_is_printed_where_it_is_asked_for_beside_a_file(command, folder):
    record(folder / "runs" / "one" / "events.jsonl", *RUN)
    assert "train:" in command("plot", "one", "--table", "--csv", "x").out
    assert not command("plot", "one", "--csv", "x").out
