"""The metrics: exact over unequal batches, what they refuse, and their values in odd corners."""

import math
import re

import numpy as np
import pytest

import layerkit as lk
from layerkit.checks import Case, CheckFailed, prepare
from layerkit.errors import DataError, LayerkitError, ShapeError
from layerkit.evaluation import evaluate
from layerkit.registry import layer_class

RNG = np.random.default_rng(3)
SCORES = RNG.normal(size=(23, 4, 3, 2))
LABELS = RNG.choice([0, 1, 3, 255], size=(23, 3, 2), p=[0.5, 0.2, 0.2, 0.1])  # class 2 does not occur
LABELS[:7] = 255  # so that batches differ in how many places count
TARGETS = RNG.normal(size=(23, 4, 3, 2))
CLASSED = ["Accuracy", "ConfusionMatrix", "PrecisionRecall", "MeanIoU"]
PAIRED = ["MeanAbsoluteError", "MeanSquaredError"]

METRICS = [
    {"name": "right", "type": "Accuracy", "top": ["right", "right_by_class"], "ignore_label": 255},
    {"name": "top2", "type": "Accuracy", "top": ["top2", "top2_by_class"], "ignore_label": 255, "top_k": 2},
    {"name": "confusion", "type": "ConfusionMatrix", "ignore_label": 255},
    {"name": "rows", "type": "ConfusionMatrix", "ignore_label": 255, "normalize": True},
    {"name": "macro", "type": "PrecisionRecall", "top": ["p", "r", "f"], "ignore_label": 255},
    {"name": "micro", "type": "PrecisionRecall", "top": ["pm", "rm", "fm"], "ignore_label": 255, "average": "MICRO"},
    {"name": "each", "type": "PrecisionRecall", "top": ["pc", "rc", "fc"], "ignore_label": 255, "average": "NONE"},
    {"name": "iou", "type": "MeanIoU", "top": ["iou", "iou_by_class"], "ignore_label": 255},
    {"name": "mae", "type": "MeanAbsoluteError", "bottom": ["data", "target"]},
    {"name": "mse", "type": "MeanSquaredError", "bottom": ["data", "target"]},
    {"name": "rmse", "type": "MeanSquaredError", "bottom": ["data", "target"], "root": True},
]


@pytest.fixture(autouse=True)
def dataset():
    lk.add_dataset("maps", train={"data": SCORES, "label": LABELS, "target": TARGETS})


def run(batch_size):
    """All metrics of scores that come straight from the data; a net that trains on one more number."""
    data = {"dataset": "maps", "part": "train", "batch_size": batch_size, "shuffle": False}
    layers = [
        {"name": "data", "type": "Data", "top": ["data", "label", "target"], **data},
        *({"bottom": ["data", "label"], **metric, "include": "test"} for metric in METRICS),
        {"name": "ip", "type": "InnerProduct", "bottom": "data", "num_output": 24, "weight_filler": "xavier"},
        {"name": "loss", "type": "Huber", "bottom": ["ip", "target"]},
    ]
    solver = {"base_lr": 0.01, "max_iter": 1, "display": 0, "test_interval": 1}
    return {"name": "maps", "net": {"layers": layers}, "solver": solver}


def by_hand():
    """The value of every top over all samples at once, from the matrix of counts."""
    places = np.moveaxis(SCORES.astype(np.float32), 1, -1).reshape(-1, 4)
    labels = LABELS.ravel()
    kept = [(row, label) for row, label in zip(places, labels, strict=True) if label != 255]
    matrix, second = np.zeros((4, 4)), np.zeros(4)
    for row, label in kept:
        matrix[label, row.argmax()] += 1
        second[label] += (row > row[label]).sum() < 2
    both, labelled, predicted = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    assert labelled[2] == 0
    assert (predicted > 0).all()  # so every class is in the means
    some = np.maximum(labelled, 1)
    found = {
        "right": both.sum() / len(kept),
        "right_by_class": both / some,
        "top2": second.sum() / len(kept),
        "top2_by_class": second / some,
        "confusion": matrix,
        "rows": matrix / some[:, None],
        "pc": both / predicted,
        "rc": both / some,
        "fc": 2 * both / (predicted + labelled),
        "iou_by_class": both / (predicted + labelled - both),
    }
    found |= {"p": found["pc"].mean(), "r": found["rc"].mean(), "f": found["fc"].mean()}
    found |= {"pm": found["right"], "rm": found["right"], "fm": found["right"], "iou": found["iou_by_class"].mean()}
    return found


def errors_by_hand():
    error = SCORES.astype(np.float32) - TARGETS.astype(np.float32)
    squares = np.mean(np.square(error, dtype=np.float64))
    return {"mae": np.mean(np.abs(error, dtype=np.float64)), "mse": squares, "rmse": math.sqrt(squares)}


@pytest.mark.parametrize("batch_size", [23, 5, 22, 1])
def test_they_are_exact_over_unequal_batches(batch_size):
    found = evaluate(lk.Net(run(batch_size), "test"))
    assert found.samples == 23
    got = found.outputs | found.tables
    for name, want in by_hand().items():
        np.testing.assert_array_equal(got[name], want, err_msg=name)
    for name, want in errors_by_hand().items():
        assert got[name] == pytest.approx(want, rel=1e-6), name


def test_a_solvers_test_gives_the_same():
    whole, parts = (lk.Solver(run(batch_size)).test() for batch_size in (23, 5))
    assert set(whole) >= {"right", "top2", "p", "r", "f", "pm", "rm", "fm", "iou", "mae", "mse", "rmse"}
    for name in whole:
        assert parts[name] == pytest.approx(whole[name], rel=1e-6 if name in {"loss", "mae", "mse", "rmse"} else 1e-15)


def test_means_of_batches_would_be_something_else():
    net = lk.Net(run(5), "test")
    values = [{name: value.item() for name, value in net.forward().items() if value.size == 1} for _ in range(5)]
    exact = evaluate(net).outputs
    for name in ("right", "top2", "p", "r", "f", "iou", "rmse"):
        assert np.mean([value[name] for value in values]) != pytest.approx(exact[name], rel=1e-3), name


def lone(type_, *bottoms, num_tops=1, **params):
    """The prepared lone layer, after its forward pass."""
    case = Case(type_, "lone", bottoms, params, "test", num_tops, no_formula="asserted here")
    prepared = prepare(case, np.float32)
    prepared.forward()
    return prepared


def tops(type_, *bottoms, **params):
    return [blob.data.tolist() for blob in lone(type_, *map(np.asarray, bottoms), **params).top]


@pytest.mark.parametrize(
    ("type_", "shapes", "params", "field", "sentence"),
    [
        *((type_, [(5, 4), (4,)], {}, "bottom", "need labels of shape 5, not 4") for type_ in CLASSED),
        *((type_, [(5, 4), (5,)], {"axis": 2}, "axis", "axis 2 does not exist in a bottom") for type_ in CLASSED),
        *((type_, [(5, 0), (5,)], {}, "axis", "5x0 have no classes") for type_ in CLASSED),
        *((type_, [(5, 4), (5, 3)], {}, "bottom", "they are 5x4 and 5x3") for type_ in PAIRED),
        ("PrecisionRecall", [(5, 4), (5,)], {"threshold": 0.5}, "bottom", "they are 5x4 and 5"),
        ("PrecisionRecall", [(5,), (5,)], {"threshold": 0.5}, "axis", "axis 1 does not exist"),
    ],
)
def test_shapes_that_do_not_fit(type_, shapes, params, field, sentence):
    cls = layer_class(type_)
    with pytest.raises(ShapeError, match=sentence) as caught:
        cls(cls.Params.model_validate(params)).plan(*shapes)
    assert caught.value.field == field


@pytest.mark.parametrize("type_", CLASSED)
@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (10, r"label 10 at position \(3,\) is outside 0\.\.9"),
        (-1, r"label -1 at position \(3,\) is outside 0\.\.9"),
        (2.5, r"label 2\.5 at position \(3,\) is not a whole number"),
    ],
)
def test_labels_that_are_no_class(type_, value, sentence):
    with pytest.raises(CheckFailed) as caught:
        lone(type_, (5, 10), np.array([1, 9, 5, value, 99]), ignore_label=5)
    assert isinstance(caught.value.__cause__, DataError)
    assert re.fullmatch(sentence, str(caught.value.__cause__))


def test_independent_answers_are_yes_or_no():
    with pytest.raises(CheckFailed, match=r"label 2 at position \(1, 0\) is outside 0\.\.1"):
        lone("PrecisionRecall", (3, 2), np.array([[0, 1], [2, 0], [0, 0]]), threshold=0.5)


@pytest.mark.parametrize("type_", ["ConfusionMatrix", "PrecisionRecall", "MeanIoU"])
def test_a_score_that_is_nan_is_refused_before_anything_is_counted(type_):
    prepared = lone(type_, np.eye(3), np.array([0, 1, 255]), ignore_label=255)
    before, shown = prepared.layer.state.total.copy(), prepared.top[0].data.copy()
    prepared.bottom[0].data[2, 1] = math.nan  # where nothing counts
    prepared.layer.forward(prepared.bottom, prepared.top)
    np.testing.assert_array_equal(prepared.layer.state.total, 2 * before)
    prepared.bottom[0].data[1, 2] = math.nan
    with pytest.raises(DataError, match=r"a score at place \(1, 0\) is nan"):
        prepared.layer.forward(prepared.bottom, prepared.top)
    np.testing.assert_array_equal(prepared.layer.state.total, 2 * before)
    np.testing.assert_array_equal(prepared.top[0].data, shown)


def test_an_independent_score_that_is_nan_is_refused():
    with pytest.raises(CheckFailed, match=r"a score at place \(0, 1\) is nan"):
        lone("PrecisionRecall", np.array([[0.1, math.nan]]), np.zeros((1, 2)), threshold=0.5)


@pytest.mark.parametrize("type_", PAIRED)
def test_an_error_of_nan_is_nan(type_):
    assert math.isnan(tops(type_, [[math.nan, 1]], [[1, 1]])[0])


@pytest.mark.parametrize("type_", [*CLASSED, *PAIRED])
def test_they_have_no_gradient(type_):
    prepared = lone(type_, (5, 4), (5, 4) if type_ in PAIRED else np.zeros(5))
    assert prepared.requests == []
    with pytest.raises(LayerkitError, match=f"{type_} has no backward pass"):
        prepared.layer.backward(prepared.top, [True, False], prepared.bottom)


def test_of_equal_scores_the_first_is_the_answer():
    assert tops("ConfusionMatrix", [[1, 1, 0], [0, 2, 2]], [1, 1]) == [[[0, 0, 0], [1, 1, 0], [0, 0, 0]]]


class TestClassesThatDoNotOccur:
    X, LABELS = np.eye(4)[[0, 0, 1]], [0, 1, 1]  # class 2 and 3 are neither label nor answer

    def test_are_rows_of_zeros(self):
        (rows,) = tops("ConfusionMatrix", self.X, self.LABELS, normalize=True)
        assert rows == [[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]

    def test_are_left_out_of_means_and_are_0_by_themselves(self):
        precision, recall, f1 = tops("PrecisionRecall", self.X, self.LABELS, num_tops=3)
        assert (precision, recall) == (0.75, 0.75)  # of (0.5, 1) and (1, 0.5)
        assert f1 == pytest.approx(2 / 3)
        precision, recall, f1 = tops("PrecisionRecall", self.X, self.LABELS, num_tops=3, average="NONE")
        assert (precision, recall) == ([0.5, 1, 0, 0], [1, 0.5, 0, 0])
        mean, by_class = tops("MeanIoU", self.X, self.LABELS, num_tops=2)
        assert (mean, by_class) == (0.5, [0.5, 0.5, 0, 0])

    def test_an_answer_that_is_never_right_counts_as_0(self):
        x = np.eye(4)[[0, 2]]  # class 2 is an answer, but no label
        assert tops("PrecisionRecall", x, [0, 0], num_tops=2) == [0.5, 0.25]  # of (1, 0) and (0.5, 0)
        assert tops("MeanIoU", x, [0, 0]) == [0.25]

    @pytest.mark.parametrize("type_", CLASSED)
    def test_nothing_at_all_is_0(self, type_):
        assert not np.any(tops(type_, self.X, [9, 9, 9], ignore_label=9))


def test_independent_answers():
    scores = [[0.9, 0.2], [0.5, 0.8], [0.7, 0.6], [0.1, 0.4]]
    truth = [[1, 0], [1, 1], [0, 0], [0, 1]]
    found = tops("PrecisionRecall", scores, truth, threshold=0.5, average="NONE", num_tops=3)
    assert found == [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]  # 0.5 itself is a no
    (precision,) = tops("PrecisionRecall", scores, truth, threshold=0.15, average="MICRO")
    assert precision == pytest.approx(4 / 7)


def test_the_root_is_of_the_mean():
    a, b = [[1.0, 5.0]], [[4.0, 1.0]]
    assert tops("MeanSquaredError", a, b) == [12.5]
    assert tops("MeanSquaredError", a, b, root=True) == pytest.approx([math.sqrt(12.5)])
    assert tops("MeanAbsoluteError", a, b) == [3.5]
