"""What the losses refuse, in which words, and their exact values in odd corners."""

import math
import re

import numpy as np
import pytest
from cases.loss import CASES
from pydantic import ValidationError

import layerkit as lk
from layerkit import arrayfile, engines
from layerkit.checks import Case, CheckFailed, check_engine, prepare
from layerkit.errors import DataError, ShapeError
from layerkit.registry import layer_class

MATRIX = (4, 4)
LABELLED = {  # bottoms with labels at bottom 1 (of ContrastiveLoss: 2), for five samples of ten classes
    "SoftmaxWithLoss": [(5, 10)],
    "InfogainLoss": [(5, 10)],
    "HingeLoss": [(5, 10)],
    "MultinomialLogisticLoss": [(5, 10)],
    "ContrastiveLoss": [(5, 10), (5, 10)],
}


def lone(type_, *bottoms, dtype=np.float64, num_tops=1, **params):
    """The prepared lone layer, after its forward pass."""
    prepared = prepare(Case(type_, "lone", bottoms, params, num_tops=num_tops, no_formula="asserted here"), dtype)
    prepared.layer.open()
    prepared.forward()
    return prepared


def loss(type_, *bottoms, **params):
    return lone(type_, *map(np.asarray, bottoms), **params).top[0].data.item()


def gradients(type_, *bottoms, **params):
    """The gradients of the loss itself."""
    prepared = lone(type_, *map(np.asarray, bottoms), **params)
    prepared.top[0].diff[...] = 1
    return list(prepared.backward(prepared.requests).values())


def labelled(type_, labels):
    given = [*LABELLED[type_], labels]
    return [*given, (10, 10)] if type_ == "InfogainLoss" else given


@pytest.mark.parametrize(
    ("type_", "shapes", "params", "field", "sentence"),
    [
        (
            "SoftmaxWithLoss",
            [(5, 4), (5,)],
            {"class_weights": [1, 2, 3]},
            "class_weights",
            "3 class_weights do not fit the 4 classes on axis 1 of 5x4",
        ),
        ("InfogainLoss", [(5, 4), (5,)], {}, "source", "must be either bottom 2 or a file"),
        ("InfogainLoss", [(5, 4), (5,), MATRIX], {"source": "h.npy"}, "source", "must be either bottom 2 or a file"),
        ("InfogainLoss", [(5, 4), (5,), (4, 3)], {}, "bottom", "matrix of 4 classes must be 4x4, not 4x3"),
        ("InfogainLoss", [(5, 4), (4,), MATRIX], {}, "bottom", "need labels of shape 5, not 4"),
        ("InfogainLoss", [(5, 4), (5,), MATRIX], {"axis": 2}, "axis", "axis 2 does not exist"),
        ("HingeLoss", [(5, 4), (4,)], {}, "bottom", "scores of shape 5x4 need .* but the labels are 4"),
        ("HingeLoss", [(5,), (5,)], {}, "bottom", "each with several scores"),
        ("HingeLoss", [(5, 0), (5,)], {}, "bottom", "5x0 have no classes"),
        ("MultinomialLogisticLoss", [(5, 4), (5, 4)], {}, "bottom", "but the labels are 5x4"),
        ("ContrastiveLoss", [(5, 4), (5, 3), (5,)], {}, "bottom", "they are 5x4, 5x3 and 5"),
        ("ContrastiveLoss", [(5, 4), (5, 4), (4,)], {}, "bottom", "they are 5x4, 5x4 and 4"),
        ("ContrastiveLoss", [(), (), ()], {}, "bottom", "they are scalar, scalar and scalar"),
        ("Huber", [(5, 4), (5, 3)], {}, "bottom", "they are 5x4 and 5x3"),
        ("KLDivergence", [(5, 4), (5, 3)], {}, "bottom", "one shape, but bottom 0 is 5x4 and bottom 1 is 5x3"),
        ("KLDivergence", [(5, 4), (5, 4)], {"axis": 2}, "axis", "axis 2 does not exist"),
    ],
)
def test_shapes_that_do_not_fit(type_, shapes, params, field, sentence):
    cls = layer_class(type_)
    with pytest.raises(ShapeError, match=sentence) as caught:
        cls(cls.Params.model_validate(params)).plan(*shapes)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("type_", "params"),
    [
        ("SoftmaxWithLoss", {"class_weights": [1, -1]}),
        ("SoftmaxWithLoss", {"class_weights": [math.nan]}),
        ("SoftmaxWithLoss", {"label_smoothing": -0.1}),
        ("SoftmaxWithLoss", {"label_smoothing": 1.1}),
        ("ContrastiveLoss", {"margin": -1}),
        ("HingeLoss", {"norm": "L3"}),
        ("Huber", {"delta": 0}),
        ("Huber", {"normalization": "VALID"}),
        ("KLDivergence", {"prediction": "LOGITS"}),
    ],
)
def test_values_that_cannot_be(type_, params):
    with pytest.raises(ValidationError, match=next(iter(params))):
        layer_class(type_).Params.model_validate(params)


@pytest.mark.parametrize("type_", LABELLED)
@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (12, r"label 12 at position \(3,\) is outside 0\.\.[19]"),
        (-1, r"label -1 at position \(3,\) is outside 0\.\.[19]"),
        (0.5, r"label 0\.5 at position \(3,\) is not a whole number"),
        (math.nan, r"label nan at position \(3,\) is not a whole number"),
    ],
)
def test_labels_that_are_no_class(type_, value, sentence):
    with pytest.raises(CheckFailed) as caught:
        lone(type_, *labelled(type_, np.array([1, 0, 1, value, 99])))
    error = caught.value.__cause__
    assert isinstance(error, DataError)
    assert re.fullmatch(sentence, str(error))


@pytest.mark.parametrize("type_", LABELLED)
def test_a_wrong_label_stops_before_anything_is_written(type_):
    prepared = lone(type_, *labelled(type_, np.zeros(5)))
    prepared.bottom[len(LABELLED[type_])].data[2] = 10
    prepared.top[0].data[...] = 7
    with pytest.raises(DataError, match=r"label 10 at position \(2,\) is outside"):
        prepared.layer.forward(prepared.bottom, prepared.top)
    assert prepared.top[0].data == 7


@pytest.mark.parametrize("type_", [*LABELLED, "EuclideanLoss", "Huber", "KLDivergence", "SigmoidCrossEntropyLoss"])
def test_the_loss_of_nan_is_nan(type_):
    broken = np.full((5, 10), 0.1)
    broken[2, 1] = math.nan
    rest = labelled(type_, np.ones(5))[1:] if type_ in LABELLED else [np.full((5, 10), 0.1)]
    assert math.isnan(lone(type_, broken, *rest).top[0].data.item())


class TestSoftmaxWithLoss:
    X, LABELS = np.array([[0.0, 1.0, 3.0], [2.0, -1.0, 0.5]]), np.array([2, 1])

    def log_p(self):
        return self.X - np.log(np.exp(self.X).sum(1, keepdims=True))

    def test_valid_is_a_weighted_mean(self):
        log_p = self.log_p()
        want = -(0.25 * log_p[0, 2] + 0.5 * log_p[1, 1]) / 0.75
        assert loss("SoftmaxWithLoss", self.X, self.LABELS, class_weights=[9, 0.5, 0.25]) == pytest.approx(want)

    def test_smoothing_alone_asks_for_every_class_alike(self):
        want = -self.log_p().mean(1).mean()
        assert loss("SoftmaxWithLoss", self.X, self.LABELS, label_smoothing=1.0) == pytest.approx(want)

    def test_equal_weights_and_no_smoothing_change_nothing(self):
        plain = loss("SoftmaxWithLoss", self.X, self.LABELS)
        for weights in ([1.0] * 3, [0.3] * 3):
            assert loss("SoftmaxWithLoss", self.X, self.LABELS, class_weights=weights) == pytest.approx(plain)

    def test_labels_without_weight_cost_nothing(self):
        assert loss("SoftmaxWithLoss", self.X, self.LABELS, class_weights=[1, 0, 0]) == 0
        (gradient,) = gradients("SoftmaxWithLoss", self.X, self.LABELS, class_weights=[1, 0, 0])
        assert not gradient.any()

    def test_an_ignored_place_does_not_see_what_is_broken_there(self):
        x = self.X.copy()
        x[1] = math.nan
        params = {"ignore_label": 1, "label_smoothing": 0.1, "class_weights": [1, 1, 2]}
        assert math.isfinite(loss("SoftmaxWithLoss", x, self.LABELS, **params))
        (gradient,) = gradients("SoftmaxWithLoss", x, self.LABELS, **params)
        assert np.isfinite(gradient[0]).all()
        assert not gradient[1].any()

    def test_smoothing_does_not_overflow(self):
        assert math.isfinite(loss("SoftmaxWithLoss", [[-3e4, 3e4]], [0], dtype=np.float32, label_smoothing=0.1))

    @pytest.mark.skipif(engines.missing("onednn") is not None, reason="oneDNN cannot run here")
    def test_the_engine_leaves_gains_to_the_layer(self):
        rows = {case.name: case for case in CASES if case.type == "SoftmaxWithLoss"}
        engine = engines.choose("onednn")
        assert check_engine(rows["plain"], engine) is not None
        assert check_engine(rows["weights"], engine) is None
        assert check_engine(rows["smoothing"], engine) is None


class TestInfogainLoss:
    X, LABELS = np.array([[0.0, 1.0, 3.0], [2.0, -1.0, 0.5]]), np.array([2, 1])
    H = np.array([[1.0, 0.5, 0.0], [0.25, 2.0, -0.5], [0.0, 0.125, 1.0]])

    def test_the_identity_is_softmax_with_loss(self):
        plain = loss("SoftmaxWithLoss", self.X, self.LABELS)
        assert loss("InfogainLoss", self.X, self.LABELS, np.eye(3)) == pytest.approx(plain, rel=1e-14)

    @pytest.mark.parametrize("name", ["h.npy", "h.npz", "h.safetensors"])
    @pytest.mark.parametrize("shape", [(3, 3), (1, 1, 3, 3)])
    def test_a_file_gives_what_the_bottom_does(self, tmp_path, name, shape):
        path, matrix = tmp_path / name, self.H.reshape(shape)
        if path.suffix == ".npy":
            np.save(path, matrix)
        elif path.suffix == ".npz":
            np.savez(path, infogain=matrix)
        else:
            arrayfile.save(path, {"infogain": matrix})
        want = loss("InfogainLoss", self.X, self.LABELS, self.H)
        assert loss("InfogainLoss", self.X, self.LABELS, source=str(path)) == want

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (None, "there is no file '.*h.npy'"),
            (np.eye(4), "matrix of 3 classes must be 3x3, but '.*h.npy' holds 4x4"),
            (np.full((3, 3), math.nan), "'.*h.npy' holds no infogain matrix: its values are not finite numbers"),
            (np.full((3, 3), "x"), "holds no infogain matrix"),
            (np.full((3, 3), None), "holds pickled objects in 'h.npy'"),
        ],
    )
    def test_a_file_that_holds_no_matrix(self, tmp_path, content, sentence):
        path = tmp_path / "h.npy"
        if content is not None:
            np.save(path, content)
        layers = [
            {"name": "x", "type": "Input", "top": ["x", "label"], "shape": [[2, 3], [2]]},
            {"name": "loss", "type": "InfogainLoss", "bottom": ["x", "label"], "source": str(path)},
        ]
        net = lk.Net({"layers": layers})
        with pytest.raises(DataError, match=rf"^layer 'loss' \(InfogainLoss\): .*{sentence}"):
            net.forward(x=self.X, label=self.LABELS)

    def test_the_file_is_read_once(self, tmp_path):
        path = tmp_path / "h.npy"
        np.save(path, self.H)
        prepared = lone("InfogainLoss", self.X, self.LABELS, source=str(path))
        first = prepared.top[0].data.item()
        path.unlink()
        prepared.forward()
        assert prepared.top[0].data == first
        prepared.layer.close()
        with pytest.raises(DataError, match="there is no file"):
            prepared.layer.open()

    def test_the_logarithm_is_clamped(self):
        assert loss("InfogainLoss", [[-3e4, 3e4]], [0], np.eye(2)) == pytest.approx(-math.log(1e-20))


class TestMultinomialLogisticLoss:
    def test_a_probability_counts_as_1e_20_at_least(self):
        p, labels = [[0.0, 1.0], [0.5, 0.5]], [0, 1]
        assert loss("MultinomialLogisticLoss", p, labels) == pytest.approx((math.log(1e20) + math.log(2)) / 2)
        (gradient,) = gradients("MultinomialLogisticLoss", p, labels)
        np.testing.assert_allclose(gradient, [[-0.5e20, 0], [0, -1]])

    def test_a_perfect_sample_costs_0_and_not_minus_0(self):
        assert str(loss("MultinomialLogisticLoss", [[1.0, 0.0]], [0])) == "0.0"


class TestHingeLoss:
    @pytest.mark.parametrize("norm", ["L1", "L2"])
    def test_beyond_the_margin_nothing_costs(self, norm):
        assert loss("HingeLoss", [[1.0, -1.0, -5.0]], [0], norm=norm) == 0
        (gradient,) = gradients("HingeLoss", [[1.0, -1.0, -5.0]], [0], norm=norm)
        assert not gradient.any()

    @pytest.mark.parametrize(("norm", "wanted", "slopes"), [("L1", 5.5, [-1, 1, 1]), ("L2", 13.25, [-1, 6, 4])])
    def test_within_it_does(self, norm, wanted, slopes):
        x = [[0.5, 2.0, 1.0]]  # h = 0.5, 3, 2
        (gradient,) = gradients("HingeLoss", x, [0], norm=norm)
        np.testing.assert_allclose(gradient, [slopes])
        assert loss("HingeLoss", x, [0], norm=norm) == wanted
        assert loss("HingeLoss", [*x, [9.0, -9, -9]], [0, 0], norm=norm) == wanted / 2


class TestContrastiveLoss:
    A, B = [[3.0, 4.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]  # distances 5 and 0

    def test_similar_pairs_cost_their_squared_distance(self):
        assert loss("ContrastiveLoss", self.A, self.B, [1, 1]) == 25 / 4

    def test_others_cost_what_they_lack_to_the_margin(self):
        assert loss("ContrastiveLoss", self.A, self.B, [0, 0], margin=7) == (2**2 + 7**2) / 4
        assert loss("ContrastiveLoss", self.A, self.B, [0, 0], margin=30, legacy_version=True) == (5 + 30) / 4

    def test_beyond_the_margin_nothing_costs(self):
        for legacy in (False, True):
            a, _ = gradients("ContrastiveLoss", self.A, self.B, [0, 1], margin=4, legacy_version=legacy)
            assert not a.any()

    def test_equal_vectors_have_no_direction(self):
        a, b = gradients("ContrastiveLoss", self.B, self.B, [0, 0])
        assert not a.any()
        assert not b.any()


class TestHuber:
    def test_it_is_squared_up_to_delta_and_linear_beyond(self):
        assert loss("Huber", [[2.0, -1.0, 3.0]], [[1.5, 1.0, 1.0]], delta=2, normalization="NONE") == 0.125 + 2 + 2
        assert loss("Huber", [[-9.0, 1.0]], [[1.0, 1.0]], delta=2) == 2 * (10 - 1) / 2

    def test_no_outlier_pulls_harder_than_delta(self):
        a, b = gradients("Huber", [[1e30, -1e30, 0.5]], [[0.0, 0.0, 0.0]], delta=2, normalization="BATCH_SIZE")
        np.testing.assert_array_equal(a, [[2, -2, 0.5]])
        np.testing.assert_array_equal(b, -a)


class TestKLDivergence:
    T = np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])

    def test_equal_distributions_are_0_apart(self):
        assert loss("KLDivergence", self.T, self.T) == 0

    @pytest.mark.parametrize("prediction", ["PROBABILITIES", "LOG_PROBABILITIES", "SCORES"])
    def test_the_three_predictions_agree(self, prediction):
        q = np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
        given = {"PROBABILITIES": q, "LOG_PROBABILITIES": np.log(q), "SCORES": np.log(q) + 7}[prediction]
        want = (0.5 * math.log(0.5 / 0.2) + 0.5 * math.log(0.5 / 0.3) + math.log(1 / 0.1)) / 2
        assert loss("KLDivergence", given, self.T, prediction=prediction) == pytest.approx(want)

    def test_what_the_target_excludes_may_be_impossible(self):
        log_q = np.array([[math.log(0.5), math.log(0.5), -math.inf], [-math.inf, -math.inf, 0.0]])
        assert loss("KLDivergence", log_q, self.T, prediction="LOG_PROBABILITIES") == pytest.approx(0, abs=1e-8)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_what_the_target_asks_for_costs_much_where_it_is_impossible(self, dtype):
        want = -math.log(np.finfo(dtype).tiny)
        assert loss("KLDivergence", [[0.0, 1.0]], [[1.0, 0.0]], dtype=dtype) == pytest.approx(want)
        assert loss("KLDivergence", [[-3e4, 3e4]], [[1.0, 0.0]], dtype=dtype, prediction="SCORES") == 6e4

    def test_a_probability_below_0_is_refused(self):
        with pytest.raises(CheckFailed) as caught:
            loss("KLDivergence", np.log(self.T + 0.1), self.T)
        sentence = (
            "predicted probability -0.510826 at position (0, 0) is below 0; say in 'prediction' if bottom 0 holds "
        )
        assert str(caught.value.__cause__) == sentence + "logarithms or scores"
        with pytest.raises(CheckFailed) as caught:
            loss("KLDivergence", self.T, [[0.5, 0.5, 0], [0, -1, 2]], prediction="SCORES")
        assert str(caught.value.__cause__) == "target -1 at position (1, 1) is below 0"


def test_losses_beyond_softmax_train_a_net():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(6, 3)), rng.integers(0, 4, 6)
    for loss_ in ({"type": "HingeLoss", "norm": "L2"}, {"type": "SoftmaxWithLoss", "label_smoothing": 0.1}):
        layers = [
            {"name": "in", "type": "Input", "top": ["x", "label"], "shape": [[6, 3], [6]]},
            {"name": "fc", "type": "InnerProduct", "bottom": "x", "num_output": 4, "weight_filler": "xavier"},
            {"name": "loss", "bottom": ["fc", "label"], **loss_},
        ]
        net, losses = lk.Net({"layers": layers}), []
        for _ in range(20):
            losses.append(net.forward(x=x, label=labels)["loss"].item())
            net.backward()
            for weight in net.params["fc"]:
                weight.data[...] -= 0.1 * weight.diff
        assert losses[-1] < 0.9 * losses[0]
