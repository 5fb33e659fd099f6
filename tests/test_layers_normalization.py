"""What the normalization layers refuse, and what they give of constants, zeros, far-off values and nothing at all."""

import numpy as np
import pytest
from pydantic import ValidationError

import layerkit as lk
from layerkit.checks import Case, prepare
from layerkit.errors import ShapeError
from layerkit.registry import layer_class

FLAT = np.full((2, 4, 3, 5), 7.25)
EVERY = {
    "BatchNorm": {"scale_bias": True},
    "GroupNorm": {"num_groups": 2},
    "LayerNorm": {"axis": 1},
    "MVN": {},
    "Normalize": {},
    "RMSNorm": {"axis": 1},
}


def lone(type_, bottom, dtype=np.float64, phase="train", weights=None, **params):
    """The prepared lone layer, after its forward pass."""
    case = Case(type_, "lone", [bottom], params, phase, weights=weights or {}, no_formula="asserted here")
    prepared = prepare(case, dtype)
    prepared.forward()
    return prepared


@pytest.mark.parametrize(
    ("type_", "shape", "params", "field", "sentence"),
    [
        ("MVN", (5,), {}, "bottom", r"MVN needs a bottom \(N, C, \.\.\.\), not 5"),
        ("Normalize", (5,), {}, "bottom", r"Normalize needs a bottom \(N, C, \.\.\.\), not 5"),
        ("GroupNorm", (5,), {"num_groups": 1}, "bottom", r"GroupNorm needs a bottom \(N, C, \.\.\.\), not 5"),
        (
            "GroupNorm",
            (2, 6, 5),
            {"num_groups": 4},
            "num_groups",
            "num_groups 4 does not divide the 6 channels of 2x6x5",
        ),
        ("LayerNorm", (2, 6), {"axis": 2}, "axis", "axis 2 does not exist in a bottom of shape 2x6"),
        ("LayerNorm", (), {}, "axis", "axis -1 does not exist"),
        ("RMSNorm", (2, 6), {"axis": -3}, "axis", "axis -3 does not exist in a bottom of shape 2x6"),
        ("BatchNorm", (), {"scale_bias": True}, "bottom", "BatchNorm needs a bottom with at least one axis"),
    ],
)
def test_bottoms_that_are_refused(type_, shape, params, field, sentence):
    layer = layer_class(type_)
    with pytest.raises(ShapeError, match=sentence) as raised:
        layer(layer.Params.model_validate(params)).plan(shape)
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("type_", "params", "sentence"),
    [
        ("GroupNorm", {}, "Field required"),
        ("GroupNorm", {"num_groups": 0}, "greater than 0"),
        ("LayerNorm", {"eps": -1}, "greater than or equal to 0"),
        ("MVN", {"eps": -1e-9}, "greater than or equal to 0"),
    ],
)
def test_parameters_that_are_refused(type_, params, sentence):
    with pytest.raises(ValidationError, match=sentence):
        layer_class(type_).Params.model_validate(params)


# -- constants, zeros, nothing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("type_", ["BatchNorm", "GroupNorm", "LayerNorm", "MVN"])
def test_a_constant_becomes_0_and_has_a_finite_gradient(type_, dtype):
    params = EVERY[type_] | ({"scale_bias": False} if type_ == "BatchNorm" else {})
    params |= {"affine": False} if type_ in ("GroupNorm", "LayerNorm") else {}
    layer = lone(type_, FLAT, dtype, **params)
    assert not layer.top[0].data.any()
    assert np.isfinite(layer.backward([0])["the diff of bottom 0"]).all()


@pytest.mark.parametrize("type_", ["Normalize", "RMSNorm"])
def test_zeros_stay_zeros_with_a_finite_gradient(type_):
    layer = lone(type_, np.zeros((2, 4, 3, 5)), **EVERY[type_])
    assert not layer.top[0].data.any()
    assert np.isfinite(layer.backward([0])["the diff of bottom 0"]).all()


def test_one_number_is_its_own_mean():
    """(N, C) channel by channel: as in Caffe each number is normalized alone, and comes to nothing."""
    layer = lone("MVN", (4, 3))
    assert not layer.top[0].data.any()
    assert not layer.backward([0])["the diff of bottom 0"].any()


@pytest.mark.parametrize("type_", EVERY)
def test_of_an_image_without_places_nothing_is_computed(type_):
    layer = lone(type_, (2, 4, 0, 5), **EVERY[type_])
    got = layer.backward(layer.requests)
    assert all(not diff.any() for diff in got.values())


@pytest.mark.parametrize("type_", ["BatchNorm", "GroupNorm", "LayerNorm", "MVN"])
def test_an_offset_of_many_times_the_spread_costs_few_digits(type_):
    spread = np.random.default_rng(0).normal(size=(3, 4, 10, 9))
    offset = np.float32(4096 + spread).astype(np.float64)
    near, far = (
        lone(type_, each, dtype, **EVERY[type_]) for each, dtype in ((offset - 4096, np.float64), (offset, np.float32))
    )
    np.testing.assert_allclose(far.top[0].data, near.top[0].data, atol=5e-4)


# -- against one another -------------------------------------------------------------------------------------------


def test_one_group_is_a_layer_norm_and_a_group_a_channel_an_mvn():
    x = np.random.default_rng(1).normal(size=(2, 4, 3, 5))
    groups = lone("GroupNorm", x, num_groups=1, affine=False).top[0].data
    np.testing.assert_allclose(groups, lone("LayerNorm", x, axis=1, affine=False).top[0].data)
    each = lone("GroupNorm", x, num_groups=4, affine=False, eps=0).top[0].data
    np.testing.assert_allclose(each, lone("MVN", x, eps=0).top[0].data)


@pytest.mark.parametrize("phase", ["train", "test"])
def test_scale_and_bias_inside_are_those_of_a_scale_behind(phase):
    layers = """
- {{name: data, type: Input, top: data, shape: [4, 3, 2, 5]}}
- {{name: bn, type: BatchNorm, {inside}}}
{behind}
force_backward: true
"""
    behind = "- {name: sc, type: Scale, bias_term: true}"
    one = lk.Net("layers:" + layers.format(inside="scale_bias: true", behind=""), phase, dtype="float64")
    two = lk.Net("layers:" + layers.format(inside="eps: 0.00001", behind=behind), phase, dtype="float64")
    rng = np.random.default_rng(2)
    given = {"bn.mean": rng.normal(size=3), "bn.variance": rng.uniform(1, 2, 3), "bn.scale_factor": [1.5]}
    scale, bias = rng.normal(size=(2, 3))
    one.load_weights({**given, "bn.scale": scale, "bn.bias": bias})
    two.load_weights({**given, "sc.scale": scale, "sc.bias": bias})
    x, dy = rng.normal(size=(2, 4, 3, 2, 5))
    found = []
    for net, last in ((one, "bn"), (two, "sc")):
        y = net.forward(data=x)[last].copy()
        net.backward(**{last: dy})
        affine = [net.params[last].scale, net.params[last].bias]
        statistics = [net.params["bn"][name].data for name in ("mean", "variance", "scale_factor")]
        found.append([y, net.blobs["data"].diff, *statistics, *(weight.diff for weight in affine)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_weights_in_caffes_order():
    names = [weight.name for weight in lone("BatchNorm", (4, 3), scale_bias=True).plan.weights]
    assert names == ["mean", "variance", "scale_factor", "scale", "bias"]
    assert lone("Normalize", (4, 3)).plan.weights[0].shape == ()
    assert lone("Normalize", (4, 3), channel_shared=False).plan.weights[0].shape == (3,)
