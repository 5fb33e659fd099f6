"""Nets in planned memory, and on an engine, in the corners: reshapes, blobs read twice, kept diffs, NaN, memory."""

from __future__ import annotations

import gc
import itertools
import weakref

import numpy as np
import pytest
from net_tools import MLP, fill, make

import layerkit as lk
from layerkit import engines

HERE = [name for name in engines.names() if engines.missing(name) is None]
WAYS = [(engine, keep) for engine in HERE for keep in ("all", ())]
DATA = "- {name: data, type: Input, top: [data, label], shape: [[6, 3, 5, 7], [6]]}"
CONV = "type: Convolution, num_output: 3, kernel_size: 3, pad: 1, weight_filler: xavier"
END = """
- {name: fc, type: InnerProduct, num_output: 4, weight_filler: xavier}
- {name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}
"""


def gradients(layers: str, engine: str, keep: object, dtype: str = "float32", **given: np.ndarray) -> list[np.ndarray]:
    net = lk.Net(f"layers:\n{layers}", engine=engine, keep=keep, dtype=dtype)
    rng = np.random.default_rng(0)
    weights = {key: rng.normal(size=array.shape) * 0.3 for key, array in sorted(net.flat.arrays().items())}
    statistics = {key: 1 + np.abs(each) for key, each in weights.items() if key.endswith(("variance", "_factor"))}
    net.load_weights({**weights, **statistics})
    net.forward(**(given or {"data": rng.normal(size=(6, 3, 5, 7)), "label": rng.integers(0, 4, 6)}))
    net.backward()
    return [np.array(net.loss), *(slot.blob.diff.copy() for slot in net.flat.trained)]


def agree(got: list[np.ndarray], want: list[np.ndarray]) -> None:
    for a, b in zip(got, want, strict=True):
        assert np.abs(a - b).max() <= 1e-4 * max(0.1, np.abs(b).max())


@pytest.mark.parametrize("operation", ["SUM", "PROD", "MAX", "SUM, coeff: [1, 2, 3]"])
@pytest.mark.parametrize("bottom", sorted(set(itertools.product("ab", repeat=3))), ids="".join)
@pytest.mark.parametrize(("engine", "keep"), WAYS)
def test_a_blob_that_a_sum_reads_twice(engine, keep, bottom, operation):
    layers = f"""{DATA}
- {{name: a, {CONV}, bottom: data}}
- {{name: b, {CONV}, bottom: data}}
- {{name: sum, type: Eltwise, bottom: [{", ".join(bottom)}], operation: {operation}}}
- {{name: also, type: TanH, bottom: b}}
- {{name: all, type: Concat, bottom: [sum, also]}}{END}"""
    agree(gradients(layers, engine, keep), gradients(layers, "numpy", "all", "float64"))


@pytest.mark.parametrize(("engine", "keep"), WAYS)
def test_a_loss_weight_inside_the_net(engine, keep):
    layers = f"""{DATA}
- {{name: a, {CONV}, bottom: data}}
- {{name: b, {CONV}, bottom: data, loss_weight: 0.5}}
- {{name: sum, type: Eltwise, bottom: [a, b]}}{END}"""
    agree(gradients(layers, engine, keep), gradients(layers, "numpy", "all", "float64"))


@pytest.mark.parametrize("bias", ["", ", bias_term: true"])
@pytest.mark.parametrize(("engine", "keep"), WAYS)
def test_a_frozen_scale_behind_a_normalisation(engine, keep, bias):
    layers = f"""{DATA}
- {{name: a, {CONV}, bottom: data}}
- {{name: n, type: BatchNorm, use_global_stats: true}}
- {{name: s, type: Scale{bias}, param: [{{lr_mult: 0}}{", {lr_mult: 0}" * bool(bias)}]}}
- {{name: r, type: ReLU}}{END}"""
    agree(gradients(layers, engine, keep), gradients(layers, "numpy", "all", "float64"))


@pytest.mark.parametrize("engine", HERE)
def test_work_arrays_that_a_smaller_batch_wants_larger(engine):
    layers = """- {name: data, type: Input, shape: [100, 16, 10, 10]}
- {name: a, type: Convolution, num_output: 16, kernel_size: 3, weight_filler: xavier}
- {name: b, type: TanH}
- {name: c, type: Convolution, num_output: 16, kernel_size: 3, weight_filler: xavier}
- {name: p, type: Pooling, pool: AVE, global_pooling: true}
- {name: z, type: Power, scale: 0}
- {name: loss, type: EuclideanLoss, bottom: [p, z]}"""
    x = np.random.default_rng(1).normal(size=(1, 16, 100, 100))
    agree(gradients(layers, engine, (), data=x), gradients(layers, "numpy", "all", "float64", data=x))


@pytest.mark.parametrize(("engine", "keep"), WAYS)
def test_batch_sizes_forth_and_back_with_a_blob_of_several_readers(engine, keep):
    layers = """- {name: data, type: Input, shape: [8, 6]}
- {name: a, type: InnerProduct, num_output: 5, weight_filler: xavier}
- {name: p, type: Power, bottom: a, power: 2}
- {name: t, type: TanH, bottom: a}
- {name: s, type: Eltwise, bottom: [p, t, a]}
- {name: z, type: Power, scale: 0}
- {name: loss, type: EuclideanLoss, bottom: [s, z]}"""
    nets = [make(layers, engine=engine, keep=keep, dtype="float32"), make(layers)]
    rng = np.random.default_rng(2)
    nets[1].load_weights(nets[0].flat.arrays())
    for rows in (4, 8, 4, 12, 1, 12, 4):
        x = rng.normal(size=(rows, 6))
        for net in nets:
            net.forward(data=x)
            net.backward()
        agree([nets[0].flat.diff], [nets[1].flat.diff])


@pytest.mark.parametrize(("engine", "keep"), WAYS)
def test_memory_that_grows_while_a_layer_decides_shapes(engine, keep):
    layers = """- {name: a, type: Input, top: [a, mask], shape: [[4, 3], [4]]}
- {name: b, type: Input, shape: [5, 3]}
- {name: kept, type: TestFilter, bottom: [a, mask]}
- {name: x, type: TanH, bottom: kept}
- {name: y, type: TanH, bottom: b}"""
    nets = [make(layers, "test", engine=engine, keep=keep, dtype="float32"), make(layers, "test")]
    rng = np.random.default_rng(3)
    for kept, rows in ((2, 5), (4, 50), (0, 5), (3, 200), (4, 300)):
        given = {"a": rng.normal(size=(4, 3)), "mask": np.arange(4) < kept, "b": rng.normal(size=(rows, 3))}
        got, want = ([array.copy() for array in net.forward(**given).values()] for net in nets)
        for one, other in zip(got, want, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("keep", ["all", ()], ids=["all kept", "planned"])
@pytest.mark.parametrize("engine", HERE)
def test_an_input_that_the_caller_reshaped(engine, keep):
    net = make(
        "- {name: data, type: Input, shape: [10, 4]}\n- {name: t, type: TanH}",
        "test",
        engine=engine,
        keep=keep,
        dtype="float32",
    )
    for rows in (7, 300, 10):
        x = np.random.default_rng(rows).normal(size=(rows, 4))
        net.blobs["data"].resize((rows, 4))
        net.blobs["data"].data[...] = x
        np.testing.assert_allclose(net.forward()["t"], np.tanh(x), rtol=1e-5)


@pytest.mark.parametrize("engine", HERE)
@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (("c", "c", "c", "c"), "c"),
        (("c", "n", "s", "r"), "r"),
        (("c", "n", "s", "r"), "n"),
        (("c", "n", "n", "n"), "n"),
    ],
)
def test_kept_diffs_are_those_of_a_net_that_keeps_all(engine, names, kept):
    c, n, s, r = names
    layers = f"""{DATA}
- {{name: {c}, {CONV}, bottom: data}}
- {{name: norm, type: BatchNorm, bottom: {c}, top: {n}}}
- {{name: scale, type: Scale, bottom: {n}, top: {s}}}
- {{name: rect, type: ReLU, bottom: {s}, top: {r}}}
- {{name: d, {CONV}, bottom: {r}}}{END}"""
    nets = [make(layers, engine=engine, keep=keep, dtype="float32") for keep in ([kept], "all")]
    rng = np.random.default_rng(4)
    x, label = rng.normal(size=(6, 3, 5, 7)), rng.integers(0, 4, 6)
    for net in nets:
        net.forward(data=x, label=label)
        net.backward()
    for one, other in ((net.blobs[kept].data for net in nets), (net.blobs[kept].diff for net in nets)):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_each_backward_pass_wants_a_forward_pass_where_memory_is_shared():
    net = make(MLP, keep=())
    fill(net)
    for _ in range(2):
        with pytest.raises(lk.UsageError, match=r"each backward pass needs a forward pass before it"):
            net.backward()
        net.forward()
        net.backward()


@pytest.mark.parametrize("engine", HERE)
def test_a_pass_cut_behind_a_joined_forward_pass(engine):
    layers = f"""{DATA}
- {{name: a, {CONV}, bottom: data}}
- {{name: n, type: BatchNorm, use_global_stats: true, bottom: a, top: n}}
- {{name: r, type: ReLU, bottom: n, top: n}}{END}"""
    found = []
    for kind, dtype in ((engine, "float32"), ("numpy", "float64")):
        net = make(layers, engine=kind, dtype=dtype)
        net.load_weights({"n.mean": np.ones(3), "n.variance": np.full(3, 2.0), "n.scale_factor": [1]}, strict=False)
        rng = np.random.default_rng(5)
        net.forward(data=rng.normal(size=(6, 3, 5, 7)), label=rng.integers(0, 4, 6))
        net.backward(end="r")
        net.backward(start="n", accumulate=True)
        found.append([net.flat.diff.copy()])
    agree(*found)


@pytest.mark.parametrize("engine", HERE)
def test_a_run_that_diverges_behind_a_rectifier_is_told(engine):
    run = {"net": {"layers": []}, "solver": {"base_lr": 0.1, "max_iter": 10, "display": 5, "type": "SGD"}}
    run["net"]["layers"] = [
        {"name": "data", "type": "Input", "top": ["data", "label"], "shape": [[4, 3], [4]]},
        {"name": "fc1", "type": "InnerProduct", "bottom": "data", "num_output": 5, "weight_filler": "xavier"},
        {"name": "relu", "type": "ReLU"},
        {"name": "fc2", "type": "InnerProduct", "num_output": 2},
        {"name": "loss", "type": "SoftmaxWithLoss", "bottom": ["fc2", "label"]},
    ]
    solver = lk.Solver(run, engine=engine)
    solver.step(2)
    solver.net.params["fc1"].weight.data[0] = np.nan
    with pytest.raises(lk.DataError, match=r"the (loss is nan|weight of layer 'fc1' is not finite) at iteration \d+"):
        solver.step(8)


@pytest.mark.parametrize("keep", ["all", ()], ids=["all kept", "planned"])
@pytest.mark.parametrize("engine", HERE)
def test_a_net_for_which_memory_does_not_suffice_goes_on_as_it_was(engine, keep):
    net = make(
        "- {name: data, type: Input, shape: [4, 50]}\n- {name: t, type: TanH}",
        "test",
        engine=engine,
        keep=keep,
        dtype="float32",
    )
    for rows in (4, 10**14, 4, 5, 3):
        if rows > 10**6:
            with pytest.raises(
                lk.UsageError, match="not enough memory for these shapes; the largest array is the blob"
            ):
                net.reshape(data=(rows, 50))
        else:
            assert net.forward(data=np.ones((rows, 50)))["t"].shape == (rows, 50)


def test_a_shape_that_does_not_fit_changes_no_layer():
    net = make(f"{MLP}- {{name: e, type: Eltwise, bottom: [fc2, x]}}\n- {{name: x, type: Input, shape: [4, 2]}}")
    with pytest.raises(lk.ShapeError):
        net.reshape(x=(4, 9))
    with pytest.raises(lk.DataError, match=r"label 7 .* outside 0\.\.1"):
        net.forward(data=np.ones((4, 3)), label=[0, 1, 7, 0], x=np.ones((4, 2)))


@pytest.mark.parametrize("engine", HERE)
def test_memory_that_was_given_up_is_bound_to_nothing(engine):
    layers = "- {name: data, type: Input, shape: [1, 4000]}\n- {name: t, type: TanH}"
    net = make(layers, "test", engine=engine, keep=(), dtype="float32")
    given_up = []
    for rows in range(1, 9):
        net.forward(data=np.ones((rows, 4000), np.float32))
        given_up.append(weakref.ref(net._store.arena.base))
    gc.collect()
    assert [room() is None for room in given_up] == [True] * 7 + [False]


def test_a_hidden_blob_refuses_what_it_cannot():
    blob = make(MLP, keep=()).blobs["fc1"]
    for call in (lambda: blob.reshape(2, 5), lambda: blob.resize((2, 5)), lambda: blob.data, lambda: blob.diff):
        with pytest.raises(lk.UsageError, match=r"of blob 'fc1' is not kept"):
            call()
    assert blob.arrays == []
    assert not blob.fits((2, 5))


@pytest.mark.parametrize("keep", ["fc1", None, 5])
def test_keep_is_a_list_of_names(keep):
    with pytest.raises(lk.UsageError, match=r"^keep must be 'all' or a list of blobs' names, not "):
        make(MLP, keep=keep)
