"""Kernels made of products and sums, as large layers have them without AVX-512: here forced on all cases."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from cases import CASES

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
