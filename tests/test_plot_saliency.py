"""Saliency: of a linear net its weights, of a deeper net differences."""

from __future__ import annotations

import numpy as np
import pytest
from picture_tools import CONV, LINEAR, PIXELS, feed, image, saved

import layerkit as lk
from layerkit.errors import UnknownNameError, UsageError
from layerkit.net import Net
from layerkit.report.plotting import saliency


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("wanted", [None, "0", "1"])
def test_the_saliency_of_a_linear_net_is_its_weights(wanted: str | None) -> None:
    net = lk.load(saved(*LINEAR))
    weight, bias = (np.array(net.params["fc"][i].data, np.float64) for i in range(2))
    scores = weight @ PIXELS[1].reshape(-1).astype(np.float64) + bias
    chosen = int(scores.argmax()) if wanted is None else int(wanted)
    found = saliency.of(net, feed(image(1)), wanted)
    assert (found.place, found.label) == ("1.png", str(chosen))
    assert found.score == pytest.approx(scores[chosen], rel=1e-4)
    np.testing.assert_array_equal(found.image, PIXELS[1])
    np.testing.assert_allclose(found.gradient, np.abs(weight[chosen]).reshape(3, 4, 5).max(axis=0), rtol=1e-5)


@pytest.mark.usefixtures("here")
def test_the_saliency_of_a_deeper_net_is_that_of_differences() -> None:
    net = lk.load(saved(*CONV), dtype="float64")
    found = saliency.of(net, feed(image(1)), "1")
    base = PIXELS[1:2].astype(np.float64)
    gradient = np.zeros(base.shape[1:])
    for place in np.ndindex(gradient.shape):
        ends = []
        for step in (-1e-5, 1e-5):
            moved = base.copy()
            moved[(0, *place)] += step
            net.forward(data=moved)
            ends.append(float(net.blobs["fc"].data[0, 1]))
        gradient[place] = (ends[1] - ends[0]) / 2e-5
    np.testing.assert_allclose(found.gradient, np.abs(gradient).max(axis=0), rtol=1e-4, atol=1e-8)


@pytest.mark.usefixtures("here")
def test_what_has_no_saliency_is_one_sentence() -> None:
    with pytest.raises(UsageError, match="only of images a saliency can be drawn, and the net takes samples of 8"):
        saliency.of(lk.load(saved(*LINEAR, shape=(8,))), feed("data.npz"))
    net = lk.load(saved(*CONV))
    with pytest.raises(UnknownNameError, match="there is no class '2'; there are: 0, 1"):
        saliency.of(net, feed(image()), "2")
    with pytest.raises(
        UsageError, match="the net must be shown something: name an image, or another sample, by --input"
    ):
        saliency.of(net, feed(None))
    plane = Net("layers: [{name: data, type: Input, shape: [1, 3, 4, 5]}, {name: relu, type: ReLU}]", phase="predict")
    with pytest.raises(UsageError, match="the net has no output that scores classes"):
        saliency.of(plane, feed(image()))
