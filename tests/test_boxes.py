"""Box geometry by hand: overlaps, codes, suppression, and which box is matched with which object."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from layerkit.layers.detection.boxes import areas, best_first, decode, encode, overlaps, suppress
from layerkit.layers.detection.matching import IGNORED, UNMATCHED, match
from layerkit.layers.detection.mining import mine
from layerkit.registry import layer_class


def test_overlaps_by_hand():
    a, b = np.array([0.0, 0, 2, 2]), np.array([[1.0, 1, 3, 3], [2, 0, 4, 2], [3, 3, 4, 4], [2, 2, 0, 0], [0, 0, 2, 2]])
    np.testing.assert_allclose(overlaps(a, b), [1 / 7, 0, 0, 0, 1])
    np.testing.assert_allclose(overlaps(a, b, pixel=1), [4 / 14, 3 / 15, 0, 0, 1])
    assert areas(b).tolist() == [4, 4, 1, 0, 4]
    assert areas(b, pixel=1).tolist() == [9, 9, 4, 0, 9]
    assert overlaps(a, np.array([2.5, 0, 4, 2]), pixel=1) == 0  # half a pixel apart: SSD and Faster R-CNN say 0


@pytest.mark.parametrize("code", ["CORNER", "CORNER_SIZE", "CENTER_SIZE"])
def test_decode_undoes_encode(code):
    rng = np.random.default_rng(3)
    first, second = rng.uniform(0, 1, (2, 5, 2))
    prior, box = np.concatenate([first, first + 0.3], -1), np.concatenate([second, np.add(second, [0.2, 0.5])], -1)
    variances = rng.uniform(0.1, 0.4, (5, 4))
    np.testing.assert_allclose(decode(code, prior, encode(code, prior, box, variances), variances), box)


def test_codes_by_hand():
    prior, box = np.array([0.0, 0, 2, 4]), np.array([1.0, 1, 5, 2])
    for code, wanted in (
        ("CORNER", [1, 1, 3, -2]),
        ("CORNER_SIZE", [0.5, 0.25, 1.5, -0.5]),
        ("CENTER_SIZE", [1, -0.125, math.log(2), math.log(0.25)]),
    ):
        np.testing.assert_allclose(encode(code, prior, box, 1.0), wanted)
        np.testing.assert_allclose(
            encode(code, prior, box, np.array([0.5, 1, 1, 2])), np.array(wanted) / [0.5, 1, 1, 2]
        )


def row(*starts: float) -> Any:
    """Boxes of width 1 and height 1 side by side: two d apart overlap by (1 - d) / (1 + d)."""
    return np.array([[x, 0.0, x + 1, 1] for x in starts])


def test_suppression_keeps_the_better_of_two_and_the_third_that_only_the_lost_one_overlaps():
    assert suppress(row(0, 0.3, 0.6), 0.5).tolist() == [0, 2]
    assert suppress(row(0, 0.3, 0.6), 0.25).tolist() == [0, 2]
    assert suppress(row(0, 0.3, 0.6), 0.2).tolist() == [0]
    assert suppress(row(0, 2, 4), 0.5, limit=2).tolist() == [0, 1]
    assert suppress(row(0, 2), 0.5, limit=0).tolist() == []
    assert suppress(row(), 0.5).tolist() == []
    assert suppress(row(0, 1), 0.0).tolist() == [0, 1]


def test_adaptive_suppression_lowers_the_threshold_while_it_is_above_a_half():
    boxes = row(0, 0.2, 5, 5.4)  # overlaps of 2/3 and of 3/7
    assert suppress(boxes, 0.7).tolist() == [0, 1, 2, 3]
    assert suppress(boxes, 0.7, eta=0.9).tolist() == [0, 2, 3]  # 0.63 when box 1 comes
    assert suppress(boxes, 0.7, eta=0.6).tolist() == [0, 2]  # 0.42, and not lowered again
    assert suppress(boxes, 0.45, eta=0.5).tolist() == [0, 2, 3]  # not above a half from the start


def test_best_first_is_stable_and_puts_nan_last():
    assert best_first(np.array([1, np.nan, 3, 1, 3])).tolist() == [2, 4, 0, 3, 1]


def matches(boxes: Any, objects: Any, kind: str = "BIPARTITE", threshold: float = 0.5, ignore: bool = False) -> Any:
    return match(boxes, objects, kind, threshold, ignore)[0].tolist()


def test_the_pair_that_overlaps_most_is_matched_first():
    # Object 0 would like box 0 (overlap 0.6), but object 1 fits it better (0.82): object 0 gets box 1 (0.05).
    boxes, objects = row(0, 1.15), row(0.25, -0.1)
    assert matches(boxes, objects) == [1, 0]
    assert matches(boxes, objects[:1]) == [0, UNMATCHED]


def test_of_equal_overlaps_the_first_box_and_then_the_first_object_win():
    assert matches(row(0, 0), row(0)) == [0, UNMATCHED]
    assert matches(row(0), row(0.25, -0.25)) == [0]


def test_per_prediction_matches_what_is_left_with_what_it_overlaps_enough():
    boxes, objects = row(0, 0.1, 0.5, 2.0), row(0, 0.4)
    assert matches(boxes, objects) == [0, UNMATCHED, 1, UNMATCHED]
    assert matches(boxes, objects, "PER_PREDICTION", 0.8) == [0, 0, 1, UNMATCHED]
    assert matches(boxes, objects, "PER_PREDICTION", 0.9) == [0, UNMATCHED, 1, UNMATCHED]
    assert matches(row(0, 3), row(0), "PER_PREDICTION", 0.0) == [0, UNMATCHED]  # no overlap at all is never enough
    half = np.array([[0.0, 0, 1, 1], [0, 0, 2, 1]])
    assert matches(half, row(0), "PER_PREDICTION", 0.5) == [0, 0]


def test_boxes_that_reach_out_of_the_image_are_ignored_when_asked():
    boxes = np.array([[-0.1, 0, 0.5, 0.5], [0.2, 0, 0.7, 0.5], [0.8, 0.8, 1, 1]])
    thing = np.array([[0, 0, 0.5, 0.5]])
    assert matches(boxes, thing) == [0, UNMATCHED, UNMATCHED]
    assert matches(boxes, thing, ignore=True) == [IGNORED, 0, UNMATCHED]
    assert matches(boxes, thing[:0], ignore=True) == [UNMATCHED] * 3  # as in SSD: nothing is looked at


def mined(numbers: Any, losses: Any, boxes: Any = None, overlap: float = 0.0, **params: Any) -> Any:
    """The priors that are examples of the background, and the matches that are left."""
    model = layer_class("MultiBoxLoss").Params.model_validate({"num_classes": 2, **params})
    numbers = np.array(numbers)
    chosen = mine(model, numbers, np.full(len(numbers), overlap), np.array(losses, float), boxes)
    return np.nonzero(chosen)[0].tolist(), numbers.tolist()


def test_the_hardest_negatives_are_chosen_by_ratio():
    numbers = [0, UNMATCHED, IGNORED, UNMATCHED, UNMATCHED]
    assert mined(numbers, [9, 1, 8, 3, 2], neg_pos_ratio=2) == ([3, 4], numbers)
    assert mined(numbers, [9, 1, 8, 1, 1], neg_pos_ratio=2) == ([1, 3], numbers)  # the first of equal ones
    assert mined(numbers, [9, 1, 8, 3, 2], overlap=0.5) == ([], numbers)
    assert mined(numbers, [9, 1, 8, 3, 2], overlap=0.49) == ([1, 3, 4], numbers)


def test_the_number_of_negatives_is_cut_off_in_single_precision():
    chosen, _ = mined([0] * 100 + [UNMATCHED] * 50, np.arange(150), neg_pos_ratio=0.29)
    assert len(chosen) == 29  # 0.29 * 100 is 28.999999999999996 in double precision


def test_hard_examples_undo_the_matches_of_easy_ones():
    hard = {"mining_type": "HARD_EXAMPLE", "sample_size": 3}
    numbers = [0, UNMATCHED, IGNORED, 1, UNMATCHED]
    # The ignored prior takes one of the three places, but is no example.
    assert mined(numbers, [1, 2, 8, 9, 3], **hard) == ([4], [UNMATCHED, UNMATCHED, IGNORED, 1, UNMATCHED])


def test_negatives_are_thinned_out_by_loss_and_none_is_tiny():
    boxes = np.concatenate([row(5, 0, 0.2, 2), [[3, 0, 3.001, 0.009]]])
    numbers, losses = [0, *[UNMATCHED] * 4], [0, 3, 4, 2, 9]
    thin = {"nms_threshold": 0.5}
    assert mined(numbers, losses, boxes, nms_param=thin) == ([2, 3], numbers)
    assert mined(numbers, losses, boxes, nms_param={**thin, "top_k": 2}) == ([2], numbers)
    assert mined(numbers, losses, boxes, nms_param={"nms_threshold": 0.0}) == ([1, 2, 4], numbers)
