"""Kernels made of products and sums, as large layers have them without AVX-512: here forced on all cases."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from cases import CASES

import layerkit as lk
from layerkit import engines
from layerkit.checks import Case, check_engine
from layerkit.engines.onednn import OneDnnEngine
from layerkit.engines.onednn.kernels.lrn import SIZES, WindowedLRN
from layerkit.engines.onednn.kernels.winograd import TileProduct

pytestmark = pytest.mark.skipif(
    engines.missing("onednn") is not None, reason=f"oneDNN cannot run here: {engines.missing('onednn')}"
)


def in_kernels(name):
    """A module of the engine's kernels; some have the name of the function in them."""
    return importlib.import_module(f"layerkit.engines.onednn.kernels.{name}")


class WithWindowedLRN(OneDnnEngine):
    """The engine as it is without AVX-512."""

    def kernel(self, work):
        return WindowedLRN(self.context, work)


@pytest.mark.parametrize("beta", [0.75, 0.6])
@pytest.mark.parametrize("size", [SIZES[0], 5, 9, SIZES[-1]])
def test_lrn_as_sums_of_shifted_rows(monkeypatch, size, beta):
    monkeypatch.setattr(in_kernels("lrn"), "CHUNK", 80)
    x = np.random.default_rng(5).normal(size=(2, 11, 3, 5))
    case = Case(
        "LRN", f"{size} channels", [x], {"local_size": size, "alpha": 2, "beta": beta, "k": 1.5}, no_formula="compared"
    )
    kernel = check_engine(case, WithWindowedLRN())
    assert sorted(kernel._primitives) == [2, 7]  # 30 pixels, 7 at a time


PRODUCTS = [
    case
    for case in CASES
    if case.type in ("Convolution", "Deconvolution", "DepthwiseConvolution") and len(case.bottoms[0]) > 3
]


@pytest.mark.parametrize("tiled", [False, True], ids=["patches", "tiles"])
@pytest.mark.parametrize("room", [1, 1 << 28], ids=["one sample at a time", "all samples at once"])
@pytest.mark.parametrize("case", PRODUCTS, ids=str)
def test_a_convolutions_gradients_as_products(monkeypatch, case, room, tiled):
    """As they are without AVX-512 where there are many channels."""
    monkeypatch.setattr(in_kernels("sliding"), "MANY", 1)
    monkeypatch.setattr(in_kernels("sliding"), "is_narrow", lambda primitive: True)
    monkeypatch.setattr(in_kernels("products"), "ROOM", room)
    monkeypatch.setattr(in_kernels("winograd"), "WORTHWHILE", 100 if tiled else 0)
    kernel = check_engine(case, engines.choose("onednn"))
    if kernel is not None and np.prod(kernel.layout.kernel) > 1:
        windows = (kernel.layout.kernel, kernel.layout.stride, kernel.layout.dilation)
        assert isinstance(kernel.products, TileProduct) == (tiled and windows == ((3, 3), (1, 1), (1, 1)))
        assert kernel.products.at_once == (1 if room == 1 else case.bottoms[0][0])


@pytest.mark.parametrize("tiled", [False, True], ids=["patches", "tiles"])
@pytest.mark.parametrize("size", [(6, 7), (3, 4), (5, 9)], ids=str)
@pytest.mark.parametrize("pad", [0, 1, 2])
def test_some_samples_at_a_time_and_the_rest(monkeypatch, size, pad, tiled):
    monkeypatch.setattr(in_kernels("sliding"), "MANY", 1)
    monkeypatch.setattr(in_kernels("sliding"), "is_narrow", lambda primitive: True)
    monkeypatch.setattr(in_kernels("winograd"), "WORTHWHILE", 100 if tiled else 0)
    x = np.random.default_rng(6).normal(size=(5, 6, *size))
    params = {"num_output": 4, "kernel_size": 3, "pad": pad, "group": 2}
    case = Case("Convolution", "five samples", [x], params, no_formula="compared")
    products = check_engine(case, engines.choose("onednn")).products
    assert sorted(products._batches) == [5]
    monkeypatch.setattr(in_kernels("products"), "ROOM", 2 * 4 * products.numbers)
    products = check_engine(case, engines.choose("onednn")).products
    assert sorted(products._batches) == [1, 2]


@pytest.mark.parametrize("case", [case for case in CASES if case.type == "InnerProduct"], ids=str)
def test_an_inner_product_whose_weights_are_many(monkeypatch, case):
    monkeypatch.setattr(in_kernels("inner_product"), "PACKED", 1)
    monkeypatch.setattr(in_kernels("inner_product"), "PART", 2)
    kernel = check_engine(case, engines.choose("onednn"))
    assert kernel is None or kernel.turned != (kernel.layer.params.transpose or kernel.rows[0] == 1)


@pytest.mark.parametrize("case", [case for case in CASES if case.type == "InnerProduct"], ids=str)
def test_an_inner_product_whose_rows_are_many(monkeypatch, case):
    monkeypatch.setattr(in_kernels("inner_product"), "FEW", 0)
    check_engine(case, engines.choose("onednn"))


def channels_last(array):
    """The same numbers (N, C, H, W), of which a pixel's channels lie side by side."""
    return np.ascontiguousarray(array.astype(np.float32).transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


@pytest.mark.parametrize(("places", "parts"), [(1, 5), (39, 2), (200, 1)])
@pytest.mark.parametrize("channels", [1, 8, 11])
def test_moments_of_channels(monkeypatch, places, parts, channels):
    moments = in_kernels("moments")
    monkeypatch.setattr(moments, "PLACES", places)
    means = np.linspace(-3, 3, channels).reshape(-1, 1, 1)
    x = channels_last(np.random.default_rng(8).normal(means, 1.5, size=(5, channels, 4, 3)))
    measured = moments.Moments(engines.choose("onednn").context, x.shape)
    mean, variance = np.full((2, channels), np.nan, np.float32)
    measure = measured.write(x, mean, variance)
    assert measure()
    assert len(measured.parts) == parts
    np.testing.assert_allclose(mean, x.mean((0, 2, 3), np.float64), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(variance, x.var((0, 2, 3), np.float64), rtol=1e-5)
    x[:, -1] += 30  # of whose squares too little would be left
    assert not measure()
    x[:, -1] = 0  # as of a channel that is always 0
    assert measure()
    assert mean[-1] == variance[-1] == 0


NORMS = {
    "a scale and bias, relu6": [{"type": "BatchNorm"}, {"type": "Scale", "bias_term": True}, {"type": "ReLU6"}],
    "a scale, relu6": [{"type": "BatchNorm"}, {"type": "Scale"}, {"type": "ReLU6"}],
    "relu6": [{"type": "BatchNorm"}, {"type": "ReLU6"}],
    "a scale and bias inside, leaky relu": [
        {"type": "BatchNorm", "scale_bias": True},
        {"type": "ReLU", "negative_slope": 0.1},
    ],
}


def norm_net(norm, engine, dtype):
    """A convolution and a norm behind it, with weights that are always the same."""
    layers = [
        {"name": "data", "type": "Input", "top": ["data", "target"], "shape": [[5, 3, 4, 3], [5, 9, 4, 3]]},
        {"name": "c", "type": "Convolution", "bottom": "data", "num_output": 9, "kernel_size": 1},
        *({"name": f"n{i}", **layer} for i, layer in enumerate(norm)),
        {"name": "loss", "type": "EuclideanLoss", "bottom": [f"n{len(norm) - 1}", "target"]},
    ]
    net = lk.Net({"layers": layers}, "train", engine=engine, dtype=dtype, keep=())
    rng = np.random.default_rng(9)
    net.load_weights({slot.key: rng.normal(size=slot.shape) for slot in net.flat.trained}, strict=False)
    return net


@pytest.mark.parametrize("farthest", [0, 16], ids=["as if all means were far from 0", "in two passes"])
@pytest.mark.parametrize("name", NORMS)
def test_normalisation_in_two_passes(monkeypatch, name, farthest):
    monkeypatch.setattr(in_kernels("batch_norm"), "MANY", 1)
    monkeypatch.setattr(in_kernels("batch_norm"), "is_narrow", lambda primitive: True)
    monkeypatch.setattr(in_kernels("moments"), "FARTHEST", farthest)
    passes, standardize = [], in_kernels("batch_norm").standardize

    def noted(*arguments):
        run = standardize(*arguments)
        return lambda: passes.append(run())

    monkeypatch.setattr(in_kernels("batch_norm"), "standardize", noted)
    net, plain = norm_net(NORMS[name], "onednn", "float32"), norm_net(NORMS[name], "numpy", "float64")
    assert [len(unit.nodes) for unit in net._store.layout.units if unit.inside] == [len(NORMS[name])]
    rng = np.random.default_rng(10)
    for _ in range(2):
        batch = {"data": rng.normal(size=(5, 3, 4, 3)), "target": rng.normal(size=(5, 9, 4, 3)) * 3}
        for each in (net, plain):
            each.forward(**batch)
            each.backward()
        assert net.loss == pytest.approx(plain.loss, rel=1e-5)
    assert len(passes) == (2 if farthest else 0)
    np.testing.assert_allclose(net.flat.diff, plain.flat.diff, rtol=1e-5, atol=1e-6 * np.abs(plain.flat.diff).max())
    for key, values in plain.flat.arrays().items():
        np.testing.assert_allclose(net.flat.arrays()[key], values, rtol=1e-5, atol=1e-6, err_msg=key)
