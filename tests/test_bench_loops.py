"""tools/bench.py loops: its cells compute the same in both forms; a difference, its table, and a wrong use."""

import io
import json
from dataclasses import replace

import bench_tools
import numpy as np
import pytest
from bench_tools import part

from layerkit.engines import missing


@pytest.fixture(scope="module")
def bench():
    with bench_tools.loaded() as script:
        yield script


def obey(tmp_path, side, *orders):
    worker, sides = part("loops.worker"), part("sides")
    lines, answers = io.StringIO("".join(json.dumps(order) + "\n" for order in orders)), io.StringIO()
    part("worker").obey(worker.Worker(sides.EVERY[side], tmp_path, 1), lines, answers)
    return [json.loads(line) for line in answers.getvalue().splitlines()]


@pytest.mark.parametrize("engine", ["numpy", "onednn"])
@pytest.mark.parametrize("name", ["lstm_64", "gru_64", "rnn_64"])
def test_a_body_computes_what_the_layer_does(bench, monkeypatch, tmp_path, name, engine):
    if missing(engine):
        pytest.skip(str(missing(engine)))
    cells = part("loops.cells")
    monkeypatch.setattr(cells, "STEPS", 6)
    monkeypatch.setattr(cells, "BEGINS", 0.2)
    monkeypatch.setitem(cells.ROWS, name, replace(cells.ROWS[name], batch=4, units=3))
    for side in ("loop-reference", f"{engine}-body", f"{engine}-layer"):
        opened, saved, run = obey(
            tmp_path,
            side,
            {"do": "open", "row": name},
            {"do": "outputs", "file": f"{side}.npz"},
            {"do": "run", "work": "both", "seconds": 0},
        )
        assert (opened, saved) == ({}, {})
        assert run["seconds"] > 0
        assert part("loops.session").fault(tmp_path / f"{side}.npz", tmp_path / "loop-reference.npz") is None
    with np.load(tmp_path / f"{engine}-body.npz") as found:
        assert set(found.files) == {"y", "dx", *cells.ROWS[name].cell.weights}
        assert found["y"].shape == (6, 4, 3)
        assert np.any(found["dx"])


def test_what_differs_is_said(bench, tmp_path):
    y = np.random.default_rng(0).normal(size=(2, 3))
    np.savez(tmp_path / "reference.npz", y=y, dx=y)
    np.savez(tmp_path / "found.npz", y=y, dx=1.01 * y)
    found = part("loops.session").fault(tmp_path / "found.npz", tmp_path / "reference.npz")
    assert found == "its dx differs from float64 by 1.0e-02, more than 1e-04"


RESULTS = {
    "machine": {"processor": "Abacus", "cores": 4, "threads": 2, "system": "Linux x86_64", "python": "3", "numpy": "2"},
    "rounds": 3,
    "rows": {
        "lstm_64": {
            "fault": None,
            "turns": {
                "onednn-layer": {"forward": [0.01, 0.01, 0.02], "both": [0.02, 0.03, 0.04]},
                "onednn-body": {"forward": [0.01, 0.015, 0.04], "both": [0.04, 0.03, 0.12]},
                "numpy-layer": {"forward": [1, 1, 1], "both": [2, 2, 2]},
                "numpy-body": {"forward": [1, 1, 1], "both": [5, 5, 5]},
            },
            "foreign": [0.5, 0.25, 1.0],
        },
        "rnn_256": {"fault": "onednn, body: its y is gone"},
    },
}


def test_markdown(bench):
    text = part("loops.table").markdown(RESULTS)
    assert text.startswith("Abacus, 2 threads of 4 cores, Linux x86_64; Python 3, numpy 2; 3 rounds, medians.")
    forward, both = "10.0 | 15.0 | 1.50x (1.00-2.00)", "30.0 | 40.0 | 2.00x (1.00-3.00)"
    assert f"| LSTM | 16 | 64 | onednn | {forward} | {both} | 3x | 0.50, 1.00 |" in text
    assert "| LSTM | 16 | 64 | numpy | 1000 | 1000 | 1.00x (1.00-1.00) | 2000 | 5000 | 2.50x (2.50-2.50) |" in text
    assert "| RNN: onednn, body: its y is gone | 32 | 256 | - |" in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1


def test_rows_are_measured_one_after_the_other_and_a_fault_ends_with_status_1(bench, monkeypatch, tmp_path, capsys):
    def measure(name, count, threads, folder, say):
        return {"lstm_64": RESULTS["rows"]["lstm_64"], "rnn_256": RESULTS["rows"]["rnn_256"]}[name]

    monkeypatch.setattr(part("loops.session"), "measure_row", measure)
    files = ["--json", str(tmp_path / "out.json"), "--markdown", str(tmp_path / "out.md")]
    assert bench.main(["loops", "--rows", "lstm_64", *files]) == 0
    assert capsys.readouterr().out == (tmp_path / "out.md").read_text()
    assert json.loads((tmp_path / "out.json").read_text())["rows"]["lstm_64"] == RESULTS["rows"]["lstm_64"]
    assert bench.main(["loops", "--rows", "rnn_256", "--quick"]) == 1


def test_unknown_names_list_the_known_ones(bench, capsys):
    assert bench.main(["loops", "--rows", "lstm"]) == 2
    known = "lstm_256, lstm_64, gru_256, gru_64, rnn_256, rnn_64"
    assert capsys.readouterr().err == f"bench: there is no row 'lstm'; there are: {known}\n"
