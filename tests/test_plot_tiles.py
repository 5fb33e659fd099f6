"""Small images: colours, photos, what is not finite, and mosaics of them."""

from __future__ import annotations

import numpy as np
import pytest
from picture_tools import BLUE, ORANGE, WHITE

from layerkit.report.plotting import tiles


def test_colours_lie_on_a_straight_line_between_their_stops() -> None:
    assert tiles.coloured(np.array([0, 0.25, 1]), ["#000000", "#ffffff"]).tolist() == [[0] * 3, [64] * 3, [255] * 3]
    signed = tiles.signed(np.array([[-2.0, 0.0, 1.0, 2.0]]))[0]
    assert [tuple(each) for each in signed[[0, 1, 3]]] == [BLUE, WHITE, ORANGE]
    assert (tiles.signed(np.zeros((2, 2))) == 255).all()


def test_a_photo_uses_the_whole_range_and_the_order_of_its_channels() -> None:
    pixels = np.array([-1.0, 0.0, 3.0]).reshape(3, 1, 1)
    assert tiles.photo(pixels)[0, 0].tolist() == [0, 64, 255]
    assert tiles.photo(pixels, "BGR")[0, 0].tolist() == [255, 64, 0]
    assert tiles.photo(np.array([[[2.0, 4.0]]])).tolist() == [[[0] * 3, [255] * 3]]
    assert (tiles.photo(np.full((1, 2, 2), 7.0)) == 0).all()


def test_what_is_not_finite_is_red_and_changes_no_other_colour() -> None:
    values = np.array([[np.nan, 1.0], [-2.0, np.inf]])
    assert tiles.extent(values) == (-2.0, 1.0)
    assert tiles.extent(values[:1, :1]) == (0.0, 0.0)
    drawn = tiles.signed(values)
    assert tuple(drawn[1, 0]) == BLUE
    assert tuple(drawn[0, 0]) == tuple(drawn[1, 1]) == (224, 72, 72)
    assert tiles.photo(values[np.newaxis])[1, 1].tolist() == [0, 0, 0]


def test_images_stand_row_by_row_in_frames_on_white() -> None:
    reds = [np.full((2, 3, 3), (k, 0, 0), np.uint8) for k in range(1, 6)]
    whole = tiles.mosaic(reds, 3)
    assert whole.shape == (2 * 50 + 6, 3 * 74 + 2 * 6, 3)  # 24 times as large, a frame of 1, a gap of 6
    for k, (row, column) in enumerate([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)], 1):
        top, left = row * 56 + 1, column * 80 + 1
        assert (whole[top : top + 48, left : left + 72] == (k, 0, 0)).all()
        assert tuple(whole[top - 1, left]) == (226, 232, 240)
    assert (whole[50:56] == 255).all()
    assert (whole[56:, 160:] == 255).all()


@pytest.mark.parametrize(
    ("count", "height", "width", "columns"),
    [(1, 3, 3, 1), (20, 5, 5, 7), (96, 11, 11, 16), (4, 1, 40, 1), (6, 9, 2, 6)],
)
def test_mosaics_are_wider_than_high_as_far_as_they_can(count: int, height: int, width: int, columns: int) -> None:
    assert tiles.columns_for(count, height, width) == columns
