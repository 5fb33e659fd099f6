"""The layers of detectors: the numbers of other tests, some by hand, and what the layers refuse."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from layerkit.checks import Case, Prepared, prepare
from layerkit.errors import DataError, ShapeError
from layerkit.registry import layer_class

EXACT = {"rtol": 0, "atol": 1e-6}


def lone(name: str, bottoms: Any, params: dict[str, Any], num_tops: int = 1) -> Prepared:
    arrays = [np.asarray(each, float) for each in bottoms]
    return prepare(Case(name, "values", arrays, params, num_tops=num_tops, no_formula="compared with values"))


# -- PriorBox: the numbers of SSD's own test (test_prior_box_layer.cpp) ----------------------------------------------

MAP, IMAGE = np.zeros((10, 10, 10, 10)), np.zeros((10, 3, 100, 100))
SMALL, LARGE = [0.03, 0.03, 0.07, 0.07], [0.02, 0.02, 0.08, 0.08]
LOW, HIGH = 0.01 * math.sqrt(2), 0.02 * math.sqrt(2)
WIDE = [0.05 - HIGH, 0.05 - LOW, 0.05 + HIGH, 0.05 + LOW]
TALL = [0.05 - LOW, 0.05 - HIGH, 0.05 + LOW, 0.05 + HIGH]


def priors(bottoms: Any = (MAP, IMAGE), **params: Any) -> tuple[Any, Any]:
    """Boxes (H, W, P, 4) and variances alike."""
    layer = lone("PriorBox", bottoms, params)
    return tuple(layer.forward()["top 0"].reshape(2, *bottoms[0].shape[2:], -1, 4))


@pytest.mark.parametrize(
    ("params", "first"),
    [
        ({"min_size": 4}, [SMALL]),
        ({"min_size": 4, "max_size": 9}, [SMALL, LARGE]),
        ({"min_size": 4, "max_size": 9, "aspect_ratio": 2, "flip": False}, [SMALL, LARGE, WIDE]),
        ({"min_size": 4, "max_size": 9, "aspect_ratio": 2}, [SMALL, LARGE, WIDE, TALL]),
        ({"min_size": [4, 8], "max_size": [9, 18], "aspect_ratio": 2, "clip": True},
         [SMALL, LARGE, WIDE, TALL, [0.01, 0.01, 0.09, 0.09], [0, 0, 0.11, 0.11],
          [0, 0.05 - 0.04 / math.sqrt(2), 0.05 + 0.04 * math.sqrt(2), 0.05 + 0.04 / math.sqrt(2)],
          [0.05 - 0.04 / math.sqrt(2), 0, 0.05 + 0.04 / math.sqrt(2), 0.05 + 0.04 * math.sqrt(2)]]),
    ],
)  # fmt: skip
def test_priors_are_ssds(params, first):
    boxes, variances = priors(**params)
    np.testing.assert_allclose(boxes[0, 0], first, **EXACT)
    np.testing.assert_allclose(boxes[4, 4, 0], [0.43, 0.43, 0.47, 0.47], **EXACT)
    np.testing.assert_allclose(variances, 0.1, **EXACT)


def test_a_variance_is_for_all_or_for_each_coordinate():
    assert (priors(min_size=4, variance=1.0)[1] == 1).all()
    np.testing.assert_allclose(priors(min_size=4, variance=[0.1, 0.2, 0.3, 0.4])[1][3, 2, 0], [0.1, 0.2, 0.3, 0.4])


def test_a_given_step_moves_the_centers():
    boxes, _ = priors((np.zeros((1, 1, 20, 10)), np.zeros((1, 3, 200, 100))), min_size=4, img_size=100, step=10)
    np.testing.assert_allclose(boxes[0, 0, 0], SMALL, **EXACT)
    np.testing.assert_allclose(boxes[19, 0, 0], [0.03, 1.93, 0.07, 1.97], **EXACT)


# -- DetectionOutput: the numbers of SSD's own test (test_detection_output_layer.cpp) --------------------------------


def four_priors() -> Any:
    """Squares of side 0.3 in the four quarters of the image, with variances of 0.1."""
    middles = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)]
    return [[np.ravel([[x - 0.15, y - 0.15, x + 0.15, y + 0.15] for x, y in middles]), np.full(16, 0.1)]]


def quarters(classes: int) -> Any:
    """Offsets towards the image's middle, by half a unit, by one more in image 1, and by another half in class 1."""
    loc = np.zeros((2, 2, 2, classes, 4))
    for i, h, w, c in product(range(2), range(2), range(2), range(classes)):
        size = i + c / 2 + 0.5
        loc[i, h, w, c] = np.array([1 - 2 * w, 1 - 2 * h] * 2) * size
    return loc.reshape(2, -1)


def confidences() -> Any:
    rising = np.arange(4) * 0.2
    return np.stack([np.stack([rising, 1 - rising], -1), np.stack([1 - rising, rising], -1)]).reshape(2, -1)


SHARED = [
    [0, 1, 1.0, 0.15, 0.15, 0.45, 0.45],
    [0, 1, 0.8, 0.55, 0.15, 0.85, 0.45],
    [0, 1, 0.6, 0.15, 0.55, 0.45, 0.85],
    [0, 1, 0.4, 0.55, 0.55, 0.85, 0.85],
    [1, 1, 0.6, 0.45, 0.45, 0.75, 0.75],
    [1, 1, 0.0, 0.25, 0.25, 0.55, 0.55],
]
OWN = [
    [0, 0, 0.6, 0.55, 0.55, 0.85, 0.85],
    [0, 0, 0.4, 0.15, 0.55, 0.45, 0.85],
    [0, 0, 0.2, 0.55, 0.15, 0.85, 0.45],
    [0, 0, 0.0, 0.15, 0.15, 0.45, 0.45],
    [0, 1, 1.0, 0.20, 0.20, 0.50, 0.50],
    [0, 1, 0.8, 0.50, 0.20, 0.80, 0.50],
    [0, 1, 0.6, 0.20, 0.50, 0.50, 0.80],
    [0, 1, 0.4, 0.50, 0.50, 0.80, 0.80],
    [1, 0, 1.0, 0.25, 0.25, 0.55, 0.55],
    [1, 0, 0.4, 0.45, 0.45, 0.75, 0.75],
    [1, 1, 0.6, 0.40, 0.40, 0.70, 0.70],
]


@pytest.mark.parametrize(
    ("share", "background", "top_k", "wanted"),
    [
        (True, 0, -1, SHARED),
        (True, 0, 2, [SHARED[i] for i in (0, 1, 4)]),
        (False, -1, -1, OWN),
        (False, -1, 2, [OWN[i] for i in (0, 1, 4, 5, 8, 10)]),
        (False, 0, -1, [OWN[i] for i in (4, 5, 6, 7, 10)]),
        (False, 0, 2, [OWN[i] for i in (4, 5, 10)]),
    ],
)
def test_detections_are_ssds(share, background, top_k, wanted):
    params = {
        "num_classes": 2,
        "share_location": share,
        "background_label_id": background,
        "nms_param": {"nms_threshold": 0.1, "top_k": top_k},
    }
    bottoms = [quarters(1 if share else 2), confidences(), four_priors()]
    np.testing.assert_allclose(lone("DetectionOutput", bottoms, params).forward()["top 0"], [[wanted]], **EXACT)


def found(confidence: Any, **params: Any) -> Any:
    bottoms = [np.zeros((2, 16)), confidence, four_priors()]
    return lone("DetectionOutput", bottoms, {"num_classes": 2, **params}).forward()["top 0"][0, 0]


def test_nothing_found_is_one_row_an_image_as_in_ssd():
    np.testing.assert_array_equal(found(confidences(), confidence_threshold=1.5), [[0] + [-1] * 6, [1] + [-1] * 6])


def test_an_image_without_objects_has_no_row_where_another_has_some():
    assert found(confidences(), confidence_threshold=0.65)[:, 0].tolist() == [0, 0]
    assert found(np.ones((2, 8)), confidence_threshold=1.0)[:, 1].tolist() == [-1, -1]  # just as much is not enough


def test_a_confidence_that_is_nan_is_none():
    scores = confidences()
    scores[0, 1::2] = np.nan
    assert found(scores, confidence_threshold=-5.0)[:, 0].tolist() == [1] * 4
    assert found(scores)[:, 0].tolist() == [1] * 4


def test_equal_confidences_come_in_the_order_of_the_priors():
    rows = found(np.ones((2, 8)), keep_top_k=3)
    np.testing.assert_allclose(rows[:, 3:5], [[0.1, 0.1], [0.6, 0.1], [0.1, 0.6]] * 2, **EXACT)


def test_an_absurd_offset_is_no_error():
    bottoms = [np.tile([1e4, 1e4, 1e4, 1e4], (2, 4)), confidences(), four_priors()]
    layer = lone("DetectionOutput", bottoms, {"num_classes": 2, "code_type": "CENTER_SIZE"})
    assert np.isinf(layer.forward()["top 0"]).any()


# -- Proposal -------------------------------------------------------------------------------------------------------

# What generate_anchors.py of py-faster-rcnn gives for a base of 16, ratios of 0.5, 1 and 2, and scales of 8, 16 and 32.
ANCHORS = [
    [-84, -40, 99, 55], [-176, -88, 191, 103], [-360, -184, 375, 199],
    [-56, -56, 71, 71], [-120, -120, 135, 135], [-248, -248, 263, 263],
    [-36, -80, 51, 95], [-80, -168, 95, 183], [-168, -344, 183, 359],
]  # fmt: skip


def regions(scores: Any, info: Any, offsets: Any = 0.0, num_tops: int = 2, **params: Any) -> list[Any]:
    """All that is proposed: scores (A, H, W) of one image."""
    scores = np.concatenate([np.full_like(scores, 9), scores])[None]  # those of the background do not count
    deltas = np.broadcast_to(np.asarray(offsets, float), (1, 2 * scores.shape[1], *scores.shape[2:]))
    layer = lone("Proposal", [scores, deltas, [info]], {"nms_thresh": 1.0, **params}, num_tops)
    return list(layer.forward().values())


def test_anchors_are_those_of_faster_rcnn_one_pixel_larger_and_clipped():
    params = {"ratio": [0.5, 1, 2], "scale": [8, 16, 32], "feat_stride": 200, "min_size": 0}
    scores = np.arange(18, 0, -1.0).reshape(2, 9).T.reshape(9, 1, 2)
    rois, best = regions(scores, [400, 500, 1], **params)
    moved = np.concatenate([ANCHORS, np.add(ANCHORS, [200, 0, 200, 0])])
    moved[:, 2:] += 1
    np.testing.assert_allclose(rois[:, 1:], np.clip(moved, 0, [499, 399, 499, 399]))
    assert (rois[:, 0] == 0).all()
    assert best.tolist() == list(range(18, 0, -1))


def test_small_boxes_come_last_with_a_score_of_0_but_are_not_taken_away():
    # Anchors of side 4 and 8 at the left edge; with min_size 3 and scale 2 boxes of less than 6 pixels are small.
    rois, best = regions(np.array([[[0.9]], [[0.5]]]), [50, 60, 2], ratio=[1], scale=[0.5, 1], base_size=8, min_size=3)
    assert best.tolist() == [0.5, 0]
    assert rois[:, 1:].tolist() == [[0, 0, 8, 8], [2, 2, 6, 6]]


def test_height_and_width_may_have_scales_of_their_own():
    # The box is 5 pixels wide and, cut off at the top, 13 high.
    for scales, kept in (([4, 1], 0.75), ([1, 4], 0), ([4], 0), ([1], 0.75)):
        info = [50, 60, *scales]
        _, best = regions(np.array([[[0.75]]]), info, ratio=[4], scale=[1], base_size=8, min_size=3)
        assert best.tolist() == [kept]


def test_regions_are_told_apart_by_overlap_in_whole_pixels():
    scores, params = np.array([[[0.9, 0.8]]]), {"ratio": [1], "scale": [1], "base_size": 8, "min_size": 0}
    # Boxes 0..8 and 4..12 wide, 0..8 high, that is 9 pixels: the overlap is 5 of 13 columns.
    for threshold, number in ((0.38, 1), (0.39, 2)):
        assert len(regions(scores, [50, 60, 1], feat_stride=4, nms_thresh=threshold, **params)[0]) == number


def test_without_images_there_are_no_regions():
    bottoms = [np.zeros((0, 2, 3, 4)), np.zeros((0, 4, 3, 4)), np.zeros((0, 3))]
    layer = lone("Proposal", bottoms, {"ratio": [1], "scale": [1]}, 2)
    assert [top.shape for top in layer.forward().values()] == [(0, 5), (0,)]


# -- MultiBoxLoss by hand -------------------------------------------------------------------------------------------

TWO_PRIORS = [[[0.2, 0.2, 0.6, 0.6, 0.7, 0.7, 0.9, 0.9], [0.1] * 8]]
OBJECT = [0, 1, 0, 0.25, 0.2, 0.65, 0.6, 0]


def loss_of(*rows: Any, loc: Any = None, conf: Any = None, priors: Any = TWO_PRIORS, **params: Any) -> Prepared:
    bottoms = [np.zeros((1, 8)) if loc is None else loc, np.zeros((1, 4)) if conf is None else conf, priors, [[rows]]]
    return lone("MultiBoxLoss", bottoms, {"num_classes": 2, **params})


def test_the_loss_by_hand():
    layer = loss_of(OBJECT)  # prior 0 overlaps it by 7/9 and should move by 0.05, half a unit; prior 1 is background
    assert layer.forward()["top 0"] == pytest.approx(2 * 0.5**2 / 2 + 2 * math.log(2), rel=1e-6)
    layer.top[0].diff[...] = 10
    loc, conf = layer.backward([0, 1]).values()
    np.testing.assert_allclose(loc, [[-5, 0, -5, 0, 0, 0, 0, 0]], atol=1e-5)
    np.testing.assert_allclose(conf, [[5, -5, -5, 5]])


def test_no_prior_is_matched_where_there_is_no_object():
    padding = [-1] * 8
    layer = loss_of(padding)
    assert layer.forward()["top 0"] == 0
    assert not np.concatenate([*layer.backward([0, 1]).values()], -1).any()
    assert loss_of(padding, mining_type="NONE").forward()["top 0"] == pytest.approx(2 * math.log(2))


def test_logistic_teaches_background_only_to_mined_priors():
    # Two classes, scores of 0: each yes or no costs log 2, and its gradient is half towards the target.
    for mining, background in (("MAX_NEGATIVE", [-0.5, 0.5]), ("NONE", [0.5, 0.5])):
        layer = loss_of(OBJECT, conf_loss_type="LOGISTIC", mining_type=mining)
        assert layer.forward()["top 0"] == pytest.approx(0.25 + 4 * math.log(2), rel=1e-6)
        layer.top[0].diff[...] = 1
        np.testing.assert_allclose(layer.backward([1])["the diff of bottom 1"], [[0.5, -0.5, *background]])


def test_a_prior_whose_boxes_are_matched_in_two_classes_is_of_the_last_one():
    params = {"num_classes": 3, "share_location": False, "use_prior_for_matching": False, "mining_type": "NONE"}
    bottoms = [np.zeros((1, 12)), [[0, 1, 3]], [[TWO_PRIORS[0][0][:4], [0.1] * 4]], [[[OBJECT, [0, 2, *OBJECT[2:]]]]]]
    layer = lone("MultiBoxLoss", bottoms, params)
    cross_entropy = math.log(1 + math.exp(1) + math.exp(3)) - 3
    assert layer.forward()["top 0"] == pytest.approx((2 * 0.25 + cross_entropy) / 2, rel=1e-6)


def test_extreme_scores_do_not_overflow():
    conf = [[-1e4, 1e4, 1e4, -1e4]]
    for kind in ("SOFTMAX", "LOGISTIC"):
        assert loss_of(OBJECT, conf=conf, conf_loss_type=kind).forward()["top 0"] == pytest.approx(0.25, rel=1e-5)


def test_nan_gives_nan():
    for at in ("loc", "conf"):
        values = np.full((1, 8 if at == "loc" else 4), np.nan)
        assert np.isnan(loss_of(OBJECT, **{at: values}).forward()["top 0"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([OBJECT, [1, *OBJECT[1:]]], r"row 1 of the ground truth is of image 1, but the batch has images 0\.\.0"),
        ([[0.5, *OBJECT[1:]]], "row 0 .* is of image 0.5"),
        ([[np.nan, *OBJECT[1:]]], "row 0 .* is of image nan"),
        ([[0, 0, *OBJECT[2:]]], "row 0 of the ground truth has label 0, which is the background's"),
        ([OBJECT, [0, 2, *OBJECT[2:]]], r"row 1 .* has label 2, which is no class, 0\.\.1"),
        ([[0, -3, *OBJECT[2:]]], "has label -3"),
        ([[0, 1.5, *OBJECT[2:]]], "has label 1.5"),
        ([[0, np.nan, *OBJECT[2:]]], "has label nan"),
    ],
)
def test_ground_truth_that_cannot_be_is_refused_before_anything_is_written(rows, message):
    layer = loss_of(*rows)
    layer.top[0].data[...] = 7
    with pytest.raises(DataError, match=message):
        layer.layer.forward(layer.bottom, layer.top)
    assert layer.top[0].data == 7


def test_any_label_will_do_where_all_objects_are_one_class():
    agnostic = loss_of([0, 17, *OBJECT[2:]], map_object_to_agnostic=True)
    assert agnostic.forward() == loss_of(OBJECT).forward()


def test_variances_must_be_above_0():
    bad = [[TWO_PRIORS[0][0], [0.1] * 6 + [0, 0.1]]]
    layer = loss_of(OBJECT, priors=bad)
    with pytest.raises(DataError, match="variance 2 of prior 1 is 0, but must be above 0"):
        layer.layer.forward(layer.bottom, layer.top)


def test_an_object_in_a_padded_row_does_not_count():
    assert loss_of(OBJECT, [-1, *OBJECT[1:]]).forward() == loss_of(OBJECT).forward()


# -- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "params", "bottoms", "message"),
    [
        ("SmoothL1Loss", {}, [(4, 3), (4, 2)], "bottom 0 is 4x3 and bottom 1 is 4x2"),
        ("SmoothL1Loss", {}, [(4, 3), (4, 3), (4, 1)], "bottom 2 is 4x1"),
        ("SmoothL1Loss", {}, [(), ()], "need samples on axis 0"),
        ("PriorBox", {"min_size": 4}, [(1, 2, 3), (1, 3, 9, 9)], r"bottom 0 must have four axes .*, not 1x2x3"),
        ("PriorBox", {"min_size": 4}, [(1, 2, 3, 3), (1, 3)], "bottom 1 must have four axes"),
        ("DetectionOutput", {"num_classes": 2}, [(2, 8), (2, 4), (1, 8)], "bottom 2 must be priors .* not 1x8"),
        ("DetectionOutput", {"num_classes": 2}, [(2, 8), (2, 4), (1, 2, 6)], "bottom 2 must be priors .* not 1x2x6"),
        ("DetectionOutput", {"num_classes": 2}, [(2, 4), (2, 4), (1, 2, 8)],
         "2 priors need 4 predictions each in bottom 0, 8 an image .* its shape is 2x4"),
        ("DetectionOutput", {"num_classes": 3}, [(2, 8), (2, 4), (1, 2, 8)], "2 priors need 3 .* in bottom 1"),
        ("DetectionOutput", {"num_classes": 2}, [(2, 8), (3, 4), (1, 2, 8)], "bottom 1, .* its shape is 3x4"),
        ("MultiBoxLoss", {"num_classes": 2}, [(2, 8), (2, 4), (1, 2, 8), (5, 8)], "be the ground truth, .* not 5x8"),
        ("MultiBoxLoss", {"num_classes": 2}, [(2, 8), (2, 4), (1, 2, 8), (1, 1, 5, 7)], "ground truth, .* not 1x1x5x7"),
        ("MultiBoxLoss", {"num_classes": 2, "share_location": False, "mining_type": "NONE"},
         [(2, 8), (2, 4), (1, 2, 8), (1, 1, 5, 8)], "2 priors need 8 predictions each in bottom 0"),
        ("Proposal", {"ratio": 1, "scale": [1, 2]}, [(1, 2, 3, 4), (1, 8, 3, 4), (1, 3)],
         "bottom 0 must have 4 channels for 2 anchors, .* bottom 0 is 1x2x3x4"),
        ("Proposal", {"ratio": 1, "scale": 1}, [(1, 2, 3, 4), (1, 4, 4, 3), (1, 3)], "but bottom 1 is 1x4x4x3"),
        ("Proposal", {"ratio": 1, "scale": 1}, [(1, 2, 3, 4), (1, 4, 3, 4), (1, 2)], "must be 1x3 or 1x4, not 1x2"),
    ],
)  # fmt: skip
def test_plan_refuses(name, params, bottoms, message):
    cls = layer_class(name)
    with pytest.raises(ShapeError, match=message) as caught:
        cls(cls.Params.model_validate(params)).plan(*bottoms)
    assert caught.value.field == "bottom"


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("SmoothL1Loss", {"sigma": 0}, "greater than 0"),
        ("PriorBox", {}, "required"),
        ("PriorBox", {"min_size": []}, "at least 1"),
        ("PriorBox", {"min_size": 0.5}, "greater than or equal to 1"),
        ("PriorBox", {"min_size": [4, 5], "max_size": 9}, "2 min_size need as many max_size, not 1"),
        ("PriorBox", {"min_size": 4, "max_size": 4}, "max_size 4 must be greater than its min_size 4"),
        ("PriorBox", {"min_size": 4, "aspect_ratio": 0}, "greater than 0"),
        ("PriorBox", {"min_size": 4, "variance": [0.1, 0.1]}, "one number or four, not 2"),
        ("PriorBox", {"min_size": 4, "variance": 0}, "greater than 0"),
        ("PriorBox", {"min_size": 4, "img_h": 9}, "give img_size, or img_h and img_w, or none of them"),
        ("PriorBox", {"min_size": 4, "img_size": 9, "img_h": 9, "img_w": 9}, "give img_size, or"),
        ("PriorBox", {"min_size": 4, "offset_h": [0.5, 1], "offset_w": 0.5}, "2 offset_h need as many offset_w, not 1"),
        ("PriorBox", {"min_size": 4, "offset": 0, "offset_h": 1, "offset_w": 0.5}, "give offset, or offset_h and"),
        ("PriorBox", {"min_size": 4, "step_w": 9}, "give step, or step_h and step_w, or none of them"),
        ("DetectionOutput", {}, "required"),
        ("DetectionOutput", {"num_classes": 2, "nms_param": {"eta": 0}}, "greater than 0"),
        ("DetectionOutput", {"num_classes": 2, "nms_param": {"eta": 1.5}}, "less than or equal to 1"),
        ("DetectionOutput", {"num_classes": 2, "nms_param": {"nms_threshold": -1}}, "greater than or equal to 0"),
        ("DetectionOutput", {"num_classes": 2, "nms_param": {"topk": 1}}, "not permitted"),
        ("DetectionOutput", {"num_classes": 2, "visualize": True}, "not permitted"),
        ("MultiBoxLoss", {}, "required"),
        ("MultiBoxLoss", {"num_classes": 2, "do_neg_mining": False}, "contradicts mining_type MAX_NEGATIVE"),
        (
            "MultiBoxLoss",
            {"num_classes": 2, "mining_type": "NONE", "do_neg_mining": True},
            "contradicts mining_type NONE",
        ),
        ("MultiBoxLoss", {"num_classes": 2, "share_location": False}, "must be NONE where share_location is false"),
        (
            "MultiBoxLoss",
            {"num_classes": 2, "background_label_id": 2},
            "background_label_id 2 is none of 2 num_classes",
        ),
        ("MultiBoxLoss", {"num_classes": 2, "background_label_id": -1}, "SOFTMAX needs a background_label_id"),
        ("MultiBoxLoss", {"num_classes": 3, "map_object_to_agnostic": True}, "needs num_classes 2"),
        ("Proposal", {}, "required"),
        ("Proposal", {"ratio": [], "scale": 1}, "at least 1"),
        ("Proposal", {"ratio": 0, "scale": 1}, "greater than 0"),
    ],
)
def test_parameters_refuse(name, params, message):
    with pytest.raises(ValidationError, match=message):
        layer_class(name).Params.model_validate(params)
