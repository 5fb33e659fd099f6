"""The layers that arrange, choose and combine, and those that make arrays, inside nets."""

import numpy as np
import pytest
from net_tools import check_gradients, fill, make, rows

import layerkit as lk
from layerkit import engines
from layerkit.graph import as_tree
from layerkit.registry import layer_class

# -- layers that make arrays -------------------------------------------------------------------------------------

NOISE = """
- {name: noise, type: DummyData, top: [a, b, c], shape: [[2000, 3], [2, 5], [4]],
   data_filler: [{type: gaussian, mean: 1, std: 2}, {type: constant, value: 3}, {type: uniform, min: -1, max: 1}]}
- {name: other, type: DummyData, top: d, shape: [2000, 3], data_filler: {type: gaussian, mean: 1, std: 2}}
"""


def test_dummy_data_draws_anew_at_each_pass_what_is_no_constant():
    net = make(NOISE)
    first = {name: array.copy() for name, array in net.forward().items()}
    second = net.forward()
    assert abs(first["a"].mean() - 1) < 0.1
    assert abs(first["a"].std() - 2) < 0.1
    assert (abs(first["c"]) <= 1).all()
    assert (first["b"] == 3).all()
    assert (second["b"] == 3).all()
    for name in ("a", "c", "d"):
        assert (first[name] != second[name]).all()
    assert (first["a"] != first["d"]).all()  # each layer has draws of its own
    again = make(NOISE)
    assert {name: array.tolist() for name, array in again.forward().items()} == {
        n: a.tolist() for n, a in first.items()
    }
    assert not (make(NOISE, seed=1).forward()["a"] == first["a"]).any()


def test_only_noise_counts_as_random():
    def plan(**params):
        cls = layer_class("DummyData")
        return cls(cls.Params.model_validate({"shape": [2], **params}), num_tops=2).plan()

    assert not plan().random
    assert not plan(data_filler={"value": 2.0}).random
    assert plan(data_filler=[{"value": 2.0}, "uniform"]).random


def test_what_is_given_takes_the_place_of_dummy_data():
    net = make(
        "- {name: d, type: DummyData, shape: [2, 3], data_filler: {value: 4.0}}\n- {name: y, type: Power, scale: 2}"
    )
    np.testing.assert_array_equal(net.forward(d=rows(5))["y"], 2 * rows(5))
    np.testing.assert_array_equal(net.forward()["y"], np.full((5, 3), 8))  # in the shape that was given last


RUN = """
net:
  layers:
    - {name: noise, type: DummyData, shape: [4, 3], data_filler: {type: gaussian, std: 1.0}}
    - {name: query, type: Parameter, shape: [5, 3], filler: {type: uniform, min: -1, max: 1}}
    - {name: index, type: DummyData, shape: [4], data_filler: {value: 2.0}}
    - {name: chosen, type: BatchReindex, bottom: [query, index]}
    - {name: loss, type: EuclideanLoss, bottom: [chosen, noise]}
solver: {type: SGD, base_lr: 0.1, max_iter: 20, display: 0}
"""


def test_a_parameter_is_trained_and_a_resumed_run_draws_on(tmp_path):
    solver = lk.Solver(RUN)
    query = solver.net.params["query"].weight.data
    before = query.copy()
    solver.step(3)
    assert (query[2] != before[2]).all()
    np.testing.assert_array_equal(np.delete(query, 2, 0), np.delete(before, 2, 0))
    solver.snapshot(tmp_path / "three")
    solver.step(3)
    resumed = lk.Solver(RUN)
    resumed.restore(tmp_path / "three.state.safetensors")
    resumed.step(3)
    np.testing.assert_array_equal(resumed.net.params["query"].weight.data, query)


# -- inside nets -------------------------------------------------------------------------------------------------

ENGINES = [name for name in engines.names() if engines.missing(name) is None]
KEEP = {"all": "all", "planned": ["loss"]}

BRANCHES = """
- {name: in, type: Input, top: [data, index], shape: [[4, 6], [5]]}
- {name: query, type: Parameter, shape: [6], filler: {type: uniform, min: -1, max: 1}}
- {name: fc, type: InnerProduct, bottom: data, num_output: 6}
- {name: both, type: Split, bottom: fc, top: [left, right]}
- {name: squashed, type: TanH, bottom: left}
- {name: scaled, type: Eltwise, bottom: [squashed, query], operation: PROD, broadcast: true}
- {name: joined, type: Eltwise, bottom: [scaled, right]}
- {name: chosen, type: BatchReindex, bottom: [joined, index]}
- {name: image, type: Reshape, shape: [0, 2, 3, 1]}
- {name: padded, type: Pad, pad: [[1, 2], 1], mode: EDGE}
- {name: shuffled, type: ShuffleChannel, group: 2}
- {name: turned, type: Permute, order: [0, 2, 3, 1]}
- {name: shifted, type: Bias, axis: 3}
- {name: energy, type: Reduction, operation: SUMSQ, axis: 1}
- {name: loss, type: Reduction, operation: MEAN, loss_weight: 1}
"""
INDEX = np.array([3, 0, 0, 2, 3])


def branches(**options):
    net = make(BRANCHES, **options)
    fill(net)
    net.blobs["index"].data[...] = INDEX
    return net


def test_gradients_through_split_reindex_and_a_parameter():
    check_gradients(branches())


@pytest.mark.parametrize("keep", KEEP.values(), ids=KEEP)
@pytest.mark.parametrize("engine", ENGINES)
def test_split_reindex_and_a_parameter_on_every_engine(engine, keep):
    want, net = branches(engine="numpy"), branches(engine=engine, keep=keep, dtype="float32")
    for _ in range(2):
        for each in (want, net):
            each.forward()
            each.backward()
        np.testing.assert_allclose(net.loss, want.loss, rtol=1e-5)
        assert want.flat.diff.any()
        np.testing.assert_allclose(net.flat.diff, want.flat.diff, rtol=1e-4, atol=1e-5)


FILTERED = """
- {name: in, type: Input, top: [data, label, keep], shape: [[6, 3, 4, 5], [6], [6]]}
- {name: conv, type: Convolution, bottom: data, num_output: 4, kernel_size: 2}
- {name: some, type: Filter, bottom: [conv, label, keep], top: [kept, labels]}
- {name: relu, type: ReLU, bottom: kept, top: kept}
- {name: pool, type: Pooling, bottom: kept, kernel_size: 2, stride: 2}
- {name: double, type: Split, bottom: pool, top: [a, b]}
- {name: joined, type: Concat, bottom: [a, b]}
- {name: fc, type: InnerProduct, num_output: 2}
- {name: loss, type: SoftmaxWithLoss, bottom: [fc, labels]}
"""
KEPT = [[1, 1, 0, 1, 0, 1], [0] * 6, [0, 0, 1, 0, 0, 0], [1] * 6, [0] * 6, [0, 1, 1, 0, 0, 0]]


def filtered(**options):
    net = make(FILTERED, **options)
    fill(net)
    return net


@pytest.mark.parametrize("keep", KEEP.values(), ids=KEEP)
@pytest.mark.parametrize("engine", ENGINES)
def test_rows_vary_from_pass_to_pass(engine, keep):
    """Against a net that is given just the rows that the filter keeps."""
    net = filtered(engine=engine, keep=keep, dtype="float32")
    plain = make(
        FILTERED.replace("- {name: some,", "- {name: some, exclude: train,")
        .replace("labels]}", "label]}")
        .replace("kept", "conv"),
        engine="numpy",
    )
    fill(plain)
    data, label = net.blobs["data"].data.copy(), net.blobs["label"].data.copy()
    for mask in KEPT:
        net.forward(data=data, label=label, keep=mask)
        net.backward()
        if not any(mask):
            assert net.loss == 0
            assert not net.flat.diff.any()
            continue
        chosen = np.array(mask) == 1
        plain.forward(data=data[chosen], label=label[chosen], keep=np.ones(sum(mask)))
        plain.backward()
        np.testing.assert_allclose(net.loss, plain.loss, rtol=1e-4)
        np.testing.assert_allclose(net.flat.diff, plain.flat.diff, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mask", KEPT[:3])
def test_gradients_below_a_filter(mask):
    net = filtered()
    net.blobs["keep"].data[...] = mask
    check_gradients(net)
    assert net.blobs["joined"].shape == (sum(mask), 8, 2, 2)
    assert net.blobs["labels"].shape == (sum(mask),)


# -- the predict phase -------------------------------------------------------------------------------------------

SCORES = """
- {name: digits, type: Data, top: [data, label], dataset: digits, batch_size: 8, scale: 0.0625}
- {name: noise, type: DummyData, shape: [10], data_filler: {type: uniform, min: 0, max: 0.001}}
- {name: shift, type: Parameter, shape: [10]}
- {name: fc, type: InnerProduct, bottom: data, num_output: 10}
- {name: shifted, type: Eltwise, bottom: [fc, shift], broadcast: true}
- {name: jittered, type: Eltwise, bottom: [shifted, noise], broadcast: true}
- {name: best, type: ArgMax, bottom: jittered, axis: 1}
- {name: loss, type: SoftmaxWithLoss, bottom: [jittered, label]}
"""


def test_what_answers_and_what_makes_arrays_stays_in_the_predict_net():
    net = make(SCORES, "predict")
    found = {node.name: as_tree(node.spec)["type"] for node in net.graph.nodes}
    assert found == {
        "digits": "Input",
        "noise": "DummyData",
        "shift": "Parameter",
        "fc": "InnerProduct",
        "shifted": "Eltwise",
        "jittered": "Eltwise",
        "best": "ArgMax",
        "prob": "Softmax",
    }
    answer = net.forward(data=np.zeros((3, 1, 8, 8)))
    assert answer["best"].shape == (3, 1)
    np.testing.assert_array_equal(answer["best"][:, 0], answer["prob"].argmax(1))


def test_a_parameter_is_no_input_of_the_net():
    net = make(
        """
- {name: shift, type: Parameter, shape: [10]}
- {name: digits, type: Data, top: [data, label], dataset: digits, batch_size: 8, scale: 0.0625}
- {name: fc, type: InnerProduct, bottom: data, num_output: 10}
- {name: shifted, type: Eltwise, bottom: [fc, shift], broadcast: true}
- {name: loss, type: SoftmaxWithLoss, bottom: [shifted, label]}
""",
        "predict",
    )
    assert net.inputs == ["data"]
    with pytest.raises(lk.UnknownNameError, match="there is no input 'shift'"):
        net.forward(shift=np.zeros(10))
    net.params["shift"].weight.data[7] = 1
    assert net.predict(np.zeros((2, 1, 8, 8))) == ["7", "7"]
