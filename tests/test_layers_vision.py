"""What the layers that make images larger or cut regions from them say to wrong input, and their odd corners."""

import numpy as np
import pytest
from pydantic import ValidationError

import layerkit as lk
from layerkit.checks import Case, prepare
from layerkit.errors import DataError, ShapeError
from layerkit.registry import layer_class

IMAGES = (2, 4, 5, 7)
DECONV = {"num_output": 6, "kernel_size": 3}
UNPOOL = {"kernel_size": 2, "stride": 2}
ROI = {"pooled_h": 2, "pooled_w": 3}
PSROI = {"output_dim": 3, "group_size": 2, "spatial_scale": 1}


@pytest.mark.parametrize(
    ("name", "bottoms", "params", "field", "sentence"),
    [
        ("Deconvolution", [IMAGES], {"num_output": 6}, "kernel_size", "kernel_size is missing"),
        ("Deconvolution", [IMAGES], DECONV | {"pad": 4}, "pad", "pad 4x4 leaves nothing of the top .* be -1, 1"),
        ("Deconvolution", [(2, 4, 0, 7)], DECONV, "bottom", "nothing of the top of a bottom 2x4x0x7"),
        ("Deconvolution", [IMAGES], DECONV | {"group": 3}, "group", "group 3 does not divide the 4 channels"),
        ("Deconvolution", [IMAGES], DECONV | {"group": 4}, "group", "group 4 does not divide num_output 6"),
        ("Deconvolution", [IMAGES], DECONV | {"axis": 4}, "axis", "axis 4 does not exist in a bottom of shape 2x4x5x7"),
        ("Deconvolution", [IMAGES, (2, 4, 7, 5)], DECONV, "bottom", "bottom 0 is 2x4x5x7 and bottom 1 is 2x4x7x5"),
        ("Deconvolution", [IMAGES], DECONV | {"dilation": [1, 2, 3]}, "dilation", "3 values for 2 spatial axes"),
        ("Deconvolution", [(2, 4, 9)], DECONV | {"pad_h": 1}, "pad_h", "for two spatial axes, not for 1"),
        ("DepthwiseConvolution", [IMAGES], DECONV, "num_output", "num_output is 6, but must be .* 4 in a .* 2x4x5x7"),
        (
            "DepthwiseConvolution",
            [IMAGES],
            {"num_output": 4, "kernel_size": 3, "group": 2},
            "group",
            "group is 2, but must be the number of channels: 4",
        ),
        ("Im2col", [IMAGES], {}, "kernel_size", "kernel_size is missing"),
        ("Im2col", [IMAGES], {"kernel_size": 8}, "kernel_size", "covers 8x8 is larger than the padded input 5x7"),
        ("Im2col", [IMAGES], {"kernel_size": 1, "axis": 3}, "axis", "axis 3 leaves no spatial axes of 2x4x5x7"),
        ("SPP", [(2, 4)], {"pyramid_height": 1}, "bottom", "needs a bottom .* not 2x4"),
        ("SPP", [(2, 4, 0, 7)], {"pyramid_height": 1}, "bottom", "not 2x4x0x7"),
        (
            "SPP",
            [IMAGES],
            {"pyramid_height": 4},
            "pyramid_height",
            "level 2 of the pyramid, of 4 windows on an axis, does not fit 2x4x5x7: pad 2x1 must be smaller",
        ),
        (
            "SPP",
            [IMAGES],
            {"pyramid_height": 2, "pool": "STOCHASTIC"},
            "pyramid_height",
            "level 1 .* STOCHASTIC pooling has no padding",
        ),
        ("Interp", [(2, 4)], {"zoom_factor": 2}, "bottom", "needs a bottom .* not 2x4"),
        ("Interp", [IMAGES], {}, "height", "the size of the top is given in one way"),
        ("Interp", [IMAGES], {"height": 3, "width": 2, "zoom_factor": 2}, "height", "is given in one way"),
        ("Interp", [IMAGES, IMAGES], {"shrink_factor": 2}, "bottom", "is given in one way"),
        ("Interp", [IMAGES], {"height": 3}, "height", "height and width are given together"),
        ("Interp", [(2, 4, 5)], {"height": 3, "width": 2}, "height", "for two spatial axes, not 1"),
        ("Interp", [IMAGES], {"zoom_factor": 2, "pad_beg": -2, "pad_end": -3}, "pad_beg", "leaves nothing of 2x4x5x7"),
        ("Interp", [IMAGES, (2, 4, 5)], {}, "bottom", "2x4x5x7 cannot be brought to the size of 2x4x5"),
        ("Interp", [IMAGES, (2, 4, 0, 7)], {}, "bottom", "cannot be brought to the size of 2x4x0x7"),
        ("Upsample", [(2, 4)], {}, "bottom", "needs a bottom .* not 2x4"),
        ("Upsample", [IMAGES, (2, 4, 5, 6)], {}, "bottom", "bottom 0 is 2x4x5x7 and bottom 1 is 2x4x5x6"),
        ("Upsample", [IMAGES], {"upsample_h": 9, "upsample_w": 9}, "upsample_h", "upsample_h is for two bottoms"),
        ("Upsample", [IMAGES], {"pad_out_w": True}, "pad_out_w", "pad_out_w is for two bottoms"),
        ("Upsample", [IMAGES] * 2, {"upsample_w": 9}, "upsample_h", "must be given together"),
        ("Upsample", [(2, 4, 5)] * 2, {"upsample_h": 9, "upsample_w": 9}, "upsample_h", "two spatial axes, not for 1"),
        ("Upsample", [IMAGES] * 2, {"scale": 3, "pad_out_h": True}, "pad_out_h", "axes with a scale of 2"),
        ("Upsample", [(2, 4, 5)] * 2, {"pad_out_h": True}, "pad_out_h", "for two spatial axes"),
        ("Upsample", [IMAGES], {"scale": 3, "scale_h": 2, "scale_w": 2}, "scale", "either scale or scale_h and"),
        ("Upsample", [IMAGES], {"scale_h": 2}, "scale_h", "must be given together"),
        ("Unpooling", [(2, 4)], UNPOOL, "bottom", "needs a bottom .* not 2x4"),
        ("Unpooling", [(2, 4, 0, 7)], UNPOOL, "bottom", "nothing is left of the top of a bottom 2x4x0x7"),
        ("Unpooling", [IMAGES], {}, "kernel_size", "kernel_size is missing"),
        ("Unpooling", [IMAGES] * 2, UNPOOL | {"unpool": "AVE"}, "unpool", "only MAX unpooling has a mask"),
        ("Unpooling", [IMAGES], UNPOOL | {"pad": 1}, "pad", "MAX unpooling without a mask has no padding"),
        ("Unpooling", [IMAGES], UNPOOL | {"pad": 2}, "pad", "pad 2x2 must be smaller than the kernel 2x2"),
        ("Unpooling", [IMAGES], UNPOOL | {"unpool_size": 8}, "unpool_size", "last window begins .* a top 8x8"),
        ("Unpooling", [IMAGES], UNPOOL | {"unpool_h": 8}, "unpool_h", "must be given together"),
        ("ROIPooling", [(2, 4, 5), (3, 5)], ROI, "bottom", "needs features .* not 2x4x5"),
        ("ROIPooling", [IMAGES, (3, 4)], ROI, "bottom", r"regions of shape \(R, 5\), not 3x4"),
        ("ROIPooling", [IMAGES, ()], ROI, "bottom", "not scalar"),
        ("PSROIPooling", [(2, 4, 5), (3, 5)], PSROI, "bottom", "PSROIPooling needs features .* not 2x4x5"),
        ("PSROIPooling", [IMAGES, (3, 5)], PSROI, "output_dim", "output_dim 3 in 2 x 2 bins needs 12 channels, not 4"),
    ],
)
def test_shapes_that_do_not_fit(name, bottoms, params, field, sentence):
    cls = layer_class(name)
    layer = cls(cls.Params.model_validate(params), num_tops=len(bottoms) if cls.same_number else 1)
    with pytest.raises(ShapeError, match=sentence) as caught:
        layer.plan(*bottoms)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("Deconvolution", {"kernel_size": 3}, "required"),
        ("DepthwiseConvolution", {"num_output": 4, "kernel_size": 3, "group": 0}, "greater than 0"),
        ("Im2col", {"kernel_size": 0}, "greater than 0"),
        ("SPP", {}, "required"),
        ("SPP", {"pyramid_height": 0}, "greater than 0"),
        ("Interp", {"height": 0, "width": 3}, "greater than 0"),
        ("Interp", {"zoom_factor": 2, "pad_beg": 1}, "less than or equal to 0"),
        ("Upsample", {"scale": 0}, "greater than 0"),
        ("Unpooling", {"unpool": "STOCHASTIC", "kernel_size": 2}, "'MAX', 'AVE' or 'TILE'"),
        ("ROIPooling", {"pooled_h": 7}, "required"),
        ("PSROIPooling", {"output_dim": 3, "group_size": 2}, "required"),
        ("ROIPooling", {"pooled_h": 7, "pooled_w": 7, "spatial_scale": 0}, "greater than 0"),
    ],
)
def test_parameters_refuse(name, params, message):
    with pytest.raises(ValidationError, match=message):
        layer_class(name).Params.model_validate(params)


def lone(name, bottoms, params, dtype=np.float32):
    return prepare(Case(name, "lone", bottoms, params, no_formula="asserted here"), dtype)


@pytest.mark.parametrize("name", ["Upsample", "Unpooling"])
@pytest.mark.parametrize("place", [-1.0, 8.0, 1.5, np.nan])
def test_a_mask_that_points_elsewhere_is_told_before_anything_is_written(name, place):
    mask = np.array([[[[0.0, 3], [4, place]]]])
    params = {"Upsample": {"upsample_h": 2, "upsample_w": 4}, "Unpooling": UNPOOL | {"unpool_h": 2, "unpool_w": 4}}
    prepared = lone(name, [(1, 1, 2, 2), mask], params[name])
    before = prepared.top[0].data.copy()
    with pytest.raises(DataError, match=rf"{place:g} at position \(0, 0, 1, 1\) is no place in a plane of 2x4"):
        prepared.layer.forward(prepared.bottom, prepared.top)
    assert (prepared.top[0].data == before).all()


def test_of_several_elements_with_one_place_the_last_remains_and_has_the_gradient():
    mask = np.array([[[[1.0, 1], [0, 1]]]])
    prepared = lone("Upsample", [np.array([[[[5.0, 6], [7, 8]]]]), mask], {"upsample_h": 1, "upsample_w": 3})
    assert prepared.forward()["top 0"].tolist() == [[[[7, 8, 0]]]]
    prepared.top[0].diff[...] = [2, 3, 4]
    assert prepared.backward([0])["the diff of bottom 0"].tolist() == [[[[0, 0], [2, 3]]]]


@pytest.mark.parametrize("name", ["Upsample", "Unpooling"])
@pytest.mark.parametrize("size", [(6, 8), (7, 9)])
def test_what_was_pooled_goes_back_to_where_it_was(name, size):
    back = {"Upsample": f"upsample_h: {size[0]}, upsample_w: {size[1]}"}.get(
        name, f"kernel_size: 2, stride: 2, unpool_h: {size[0]}, unpool_w: {size[1]}"
    )
    net = lk.Net(
        f"""layers:
        - {{name: data, type: Input, shape: [[2, 3, {size[0]}, {size[1]}]]}}
        - {{name: pool, type: Pooling, top: [pool, mask], kernel_size: 2, stride: 2}}
        - {{name: back, type: {name}, bottom: [pool, mask], {back}}}
        """,
        "train",
    )
    x = np.random.default_rng(0).uniform(1, 2, (2, 3, *size)).astype(np.float32)
    back = net.forward(data=x)["back"]
    assert ((back == 0) | (back == x)).all()
    assert (back != 0).sum() == net.blobs["pool"].count


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ([2, 0, 0, 1, 1], r"region 1 is of image 2, but there are the images 0\.\.1"),
        ([-1, 0, 0, 1, 1], "region 1 is of image -1"),
        ([0.5, 0, 0, 1, 1], "region 1 is of image 0.5"),
        ([np.nan, 0, 0, 1, 1], "region 1 is of image nan"),
        ([0, 0, np.inf, 1, 1], "region 1 has a corner that is not finite: 0, inf, 1, 1"),
    ],
)
@pytest.mark.parametrize(("kind", "params", "channels"), [("ROIPooling", ROI, 4), ("PSROIPooling", PSROI, 12)])
def test_a_region_of_no_image_is_told_before_anything_is_written(kind, params, channels, region, message):
    prepared = lone(kind, [(2, channels, 5, 7), np.array([[0, 0, 0, 1, 1], region])], params)
    before = prepared.top[0].data.copy()
    with pytest.raises(DataError, match=message):
        prepared.layer.forward(prepared.bottom, prepared.top)
    assert (prepared.top[0].data == before).all()


def test_a_region_of_equal_elements_gives_its_gradient_to_the_first():
    prepared = lone(
        "ROIPooling", [np.zeros((1, 1, 3, 4)), np.array([[0.0, 1, 1, 3, 2]])], {"pooled_h": 1, "pooled_w": 1}
    )
    prepared.forward()
    prepared.top[0].diff[...] = 5
    (dx,) = prepared.backward([0]).values()
    assert dx.tolist() == [[[[0, 0, 0, 0], [0, 5, 0, 0], [0, 0, 0, 0]]]]


def test_regions_are_rounded_half_away_from_zero():
    x = np.arange(12.0).reshape(1, 1, 1, 12)
    params = {"pooled_h": 1, "pooled_w": 1, "spatial_scale": 0.5}
    regions = np.array([[0, 0, 0, right, 0] for right in (1, 3, 5, 4.98)])  # 0.5, 1.5, 2.5, 2.49
    assert lone("ROIPooling", [x, regions], params).forward()["top 0"].ravel().tolist() == [1, 2, 3, 2]
    far = np.array([[0.0, -1e30, 0, 1e30, 0]])
    assert lone("ROIPooling", [x, far], params).forward()["top 0"].item() == 11


def test_a_maximum_that_is_no_number_is_seen():
    x = np.array([[[[1.0, np.nan, 3.0]]]])
    y = lone("ROIPooling", [x, np.array([[0.0, 0, 0, 2, 0]])], {"pooled_h": 1, "pooled_w": 1}).forward()["top 0"]
    assert np.isnan(y).all()


def test_interp_leaves_elements_that_it_meets_as_they_are():
    x = np.array([[[[1.0, np.inf, 3.0]]]])
    y = lone("Interp", [x], {"zoom_factor": 2}).forward()["top 0"]
    assert y.tolist() == [[[[1, np.inf, np.inf, np.inf, 3]]]]


@pytest.mark.parametrize("stride", [2, 3])
def test_a_bilinear_deconvolution_keeps_a_constant_inside(stride):
    """A kernel of 2 s - s % 2 with the filler bilinear, of stride s, interpolates: the use that FCN makes of it."""
    kernel = 2 * stride - stride % 2
    params = {
        "num_output": 3,
        "group": 3,
        "kernel_size": kernel,
        "stride": stride,
        "pad": (stride - 1) // 2 + (stride - 1) % 2,
        "bias_term": False,
        "weight_filler": "bilinear",
    }
    prepared = lone("Deconvolution", [np.full((1, 3, 5, 6), 7.0)], params)
    (weight,) = prepared.plan.weights
    weight.filler.fill(prepared.layer.weights.weight.data, np.random.default_rng(0))
    y = prepared.forward()["top 0"]
    np.testing.assert_allclose(y[:, :, stride:-stride, stride:-stride], 7, rtol=1e-6)


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_a_pyramid_has_as_many_features_for_images_of_any_size(pool):
    layer = layer_class("SPP")(layer_class("SPP").Params(pyramid_height=3, pool=pool))
    assert {layer.plan((2, 3, h, w)).tops[0] for h, w in ((8, 8), (16, 12), (23, 31))} == {(2, 3 * (1 + 4 + 16))}
