"""Synthetic sets: their shapes by formulas written here again, their noise, and that each part is a draw of its own."""

import math

import numpy as np
import pytest

import layerkit as lk
from layerkit.datasets import select
from layerkit.datasets.kinds import KINDS
from layerkit.datasets.synthetic.base import Synthetic

SETS = sorted(name for name, kind in KINDS.items() if issubclass(kind, Synthetic))


def drawn(name, part="train", **fields):
    source = select(KINDS[name](**fields), None, part).open()
    return source.read(np.arange(len(source)))


def test_every_set_of_the_playground_is_there():
    assert SETS == ["circles", "gaussians", "moons", "regression", "spirals", "xor"]


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_what_it_says_before_it_is_drawn(name):
    for part, count in (("train", 61), ("test", 43)):
        chosen = select(KINDS[name](samples=61, test_samples=43), None, part)
        source = chosen.open()
        data, label = source.read(np.arange(len(source)))
        assert chosen.describe() == source.header
        assert data.shape == (count, 2)
        assert data.dtype == np.float32
        if source.header.class_names:
            assert set(label.tolist()) == set(range(len(source.header.class_names)))
        else:
            assert label.dtype == np.float32
            assert len(set(label.tolist())) > 10


@pytest.mark.parametrize("name", SETS)
def test_parts_and_seeds_are_different_draws_and_the_same_ones_again(name):
    first = drawn(name)
    for same, again in zip(first, drawn(name), strict=True):
        assert same.tobytes() == again.tobytes()
    points = [{point.tobytes() for point in drawn(name, part, seed=seed)[0]} for part, seed in
              (("train", 0), ("test", 0), ("train", 1))]  # fmt: skip
    assert len(set.union(*points)) == 1500


@pytest.mark.parametrize("name", ["spirals", "circles", "moons", "gaussians"])
def test_classes_are_of_one_size_and_mixed(name):
    _, label = drawn(name, samples=301)
    assert sorted(np.bincount(label)) == [150, 151]
    assert 0.3 < label[:100].mean() < 0.7


def test_a_point_of_a_spiral_lies_at_the_angle_of_its_distance():
    for x, y, arm in np.column_stack(drawn("spirals", samples=30)).tolist():
        share = math.hypot(x, y) / 5
        angle = 1.75 * 2 * math.pi * share + arm * math.pi
        assert (x, y) == pytest.approx((5 * share * math.sin(angle), 5 * share * math.cos(angle)), abs=1e-4)


def test_a_spiral_of_three_arms_goes_into_itself_when_turned_by_a_third():
    data, label = drawn("spirals", classes=3, turns=0.5, samples=99)
    radius, angle = np.hypot(*data.T), np.arctan2(*data.T)
    rest = angle - 2 * np.pi * (0.5 * radius / 5 + label / 3)
    np.testing.assert_allclose(np.cos(rest), 1, atol=1e-4)


def test_noise_moves_a_spirals_points_evenly_by_so_much():
    clear, noisy = drawn("spirals")[0], drawn("spirals", noise=0.4)[0]
    moved = noisy - clear
    assert 0.39 < np.abs(moved).max() <= 0.4 + 1e-6
    assert moved.std() == pytest.approx(0.4 / math.sqrt(3), rel=0.05)


def test_circles_lie_apart():
    data, label = drawn("circles")
    radius = np.hypot(*data.T)
    inner, outer = radius[label == 1], radius[label == 0]
    assert (inner.min() < 0.1, inner.max() <= 2.5) == (True, True)
    assert (outer.min() >= 3.5, outer.max() <= 5) == (True, True)
    assert inner.mean() == pytest.approx(1.25, abs=0.15)  # uniform in distance


def test_moons_are_half_circles():
    data, label = drawn("moons", noise=0.0)
    upper, lower = data[label == 0], data[label == 1]
    np.testing.assert_allclose(np.hypot(*upper.T), 1, rtol=1e-5)
    np.testing.assert_allclose(np.hypot(*(lower - [1, 0.5]).T), 1, rtol=1e-5)
    assert upper[:, 1].min() >= 0
    assert lower[:, 1].max() <= 0.5
    noisy, _ = drawn("moons", noise=0.2)
    assert (noisy - data).std() == pytest.approx(0.2, rel=0.05)


def test_xor_is_the_sign_of_the_product():
    data, label = drawn("xor")
    assert (label == (data[:, 0] * data[:, 1] > 0)).all()
    assert 0.3 <= np.abs(data).min() < 0.4
    assert 5.2 < np.abs(data).max() <= 5.3


@pytest.mark.parametrize("name", ["xor", "circles"])
def test_noise_is_in_the_labels_and_near_the_border(name):
    clear, noisy = drawn(name, samples=4000), drawn(name, samples=4000, noise=0.2)
    assert (clear[0] == noisy[0]).all()
    wrong = clear[1] != noisy[1]
    assert 0.01 < wrong.mean() < 0.2
    data = clear[0][wrong]
    border = np.abs(data).min(axis=1) if name == "xor" else np.abs(np.hypot(*data.T) - 2.5)
    assert border.max() < math.hypot(1, 1)  # at most 5 * 0.2 along both axes


def test_gaussians_have_the_playgrounds_centres_and_variances():
    for noise, variance in ((0.0, 0.5), (0.25, 2.25), (0.5, 4.0)):
        data, label = drawn("gaussians", samples=4000, noise=noise)
        for cloud, centre in enumerate(([2, 2], [-2, -2])):
            points = data[label == cloud]
            np.testing.assert_allclose(points.mean(axis=0), centre, atol=0.2)
            np.testing.assert_allclose(points.var(axis=0), variance, rtol=0.15)


def test_five_gaussians_in_seven_dimensions():
    data, label = drawn("gaussians", samples=5000, classes=5, dimensions=7)
    assert data.shape == (5000, 7)
    centres = np.array([data[label == cloud].mean(axis=0) for cloud in range(5)])
    np.testing.assert_allclose(np.hypot(*centres[:, :2].T), math.sqrt(8), atol=0.15)
    np.testing.assert_allclose(centres[:, 2:], 0, atol=0.15)
    sides = np.linalg.norm(centres - np.roll(centres, 1, axis=0), axis=1)
    np.testing.assert_allclose(sides, 2 * math.sqrt(8) * math.sin(math.pi / 5), atol=0.25)


def test_the_plane_rises_by_a_tenth():
    data, label = drawn("regression")
    np.testing.assert_allclose(label, (data[:, 0] + data[:, 1]) / 10, atol=1e-6)
    assert 5.9 < np.abs(data).max() <= 6


def test_cones_stand_and_hang_in_turn():
    data, label = drawn("regression", surface="gaussians", samples=3000)
    for (x, y), height in zip(data.tolist(), label.tolist(), strict=True):
        expected = 0.0
        for row, cy in enumerate((2.5, -2.5)):
            for column, cx in enumerate((-4, 0, 4)):
                cone = max(0.0, 1 - math.dist((x, y), (cx, cy)) / 2)
                if cone > abs(expected):
                    expected = cone if (row + column) % 2 == 0 else -cone
        assert height == pytest.approx(expected, abs=1e-5)


def test_noise_of_a_surface_is_in_its_heights():
    clear, noisy = drawn("regression", samples=2000), drawn("regression", samples=2000, noise=0.5)
    assert (clear[0] == noisy[0]).all()
    assert 0.5 < np.abs(clear[1] - noisy[1]).max() <= 0.6 + 1e-6  # 6 * 0.5 along both axes, a tenth


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"noise": -0.1}, "noise"),
        ({"samples": 1}, "samples"),
        ({"seed": -1}, "seed"),
        ({"classes": 1}, "classes"),
        ({"arms": 3}, "arms"),
        ({"turns": 0}, "turns"),
    ],
)
def test_fields_that_cannot_be_are_told(fields, match):
    data = {"name": "d", "type": "Data", "dataset": {"type": "spirals", **fields}, "batch_size": 4}
    with pytest.raises(lk.ConfigError, match=match):
        lk.Net({"layers": [data]}, "train")


def test_a_source_is_refused():
    with pytest.raises(lk.DataError, match=r"'xor' is bundled and takes no source, but is given 'a\.csv'"):
        select("xor", "a.csv", "train").open()


def test_two_layers_in_yaml_learn_the_exclusive_or():
    run = """
    net:
      layers:
        - {name: points, type: Data, top: [data, label], dataset: {type: xor, samples: 200}, batch_size: 50, scale: 0.2}
        - {name: fc1, type: InnerProduct, bottom: data, num_output: 8, weight_filler: xavier}
        - {type: TanH}
        - {name: fc2, type: InnerProduct, num_output: 2, weight_filler: xavier}
        - {name: loss, type: SoftmaxWithLoss, bottom: [fc2, label]}
        - {name: accuracy, type: Accuracy, bottom: [fc2, label], include: test}
    solver: {type: Adam, momentum: 0.9, base_lr: 0.05, max_iter: 200, test_iter: all, random_seed: 1}
    """
    solver = lk.Solver(run)
    assert solver.solve()["accuracy"] > 0.97
    solver.close()


def test_the_copy_task_is_to_say_again_what_was_read():
    data, label, cont = drawn("copy_task", bits=5, min_length=2, max_length=6, samples=300)
    assert (data.shape, label.shape, cont.shape) == ((300, 13, 6), (300, 13, 5), (300, 13))
    assert (cont == np.arange(13).astype(bool)).all()
    lengths = data[:, :, 5].argmax(axis=1)
    assert (data[:, :, 5].sum(axis=1) == 1).all()
    assert np.bincount(lengths).tolist()[:2] == [0, 0]
    assert min(np.bincount(lengths, minlength=7)[2:]) > 30
    for inputs, answers, length in zip(data, label, lengths, strict=True):
        assert (inputs[:length, :5] == np.where(answers[length + 1 : 2 * length + 1], 1, -1)).all()
        assert not inputs[length:, :5].any()
        asked = np.zeros(13, bool)
        asked[length + 1 : 2 * length + 1] = True
        assert (answers[~asked] == -1).all()
    assert abs(data[:, :, :5].sum()) < 0.1 * 5 * lengths.sum()
    assert (data != drawn("copy_task", bits=5, min_length=2, max_length=6, samples=300, seed=1)[0]).any()


def test_the_shortest_copy_is_not_longer_than_the_longest():
    with pytest.raises(lk.ConfigError, match="min_length, 9, must not be above max_length, 3"):
        lk.Net({"layers": [{"name": "d", "type": "Data", "top": ["data", "label", "cont"], "batch_size": 2,
                            "dataset": {"type": "copy_task", "min_length": 9, "max_length": 3}}]}, "train")  # fmt: skip
