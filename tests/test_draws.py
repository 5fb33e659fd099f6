"""Draws: random numbers as functions of key, epoch, index and column."""

import math

import numpy as np
import pytest
from draw_tools import drawn

from layerkit.datasets.draws import Draws

COUNT = 40_000
EPOCHS, INDICES = np.zeros(COUNT, np.int64), np.arange(COUNT)


def test_every_number_is_the_one_that_plain_whole_numbers_give():
    epochs, indices = np.array([0, 3, -1, 2**40]), np.array([5, 0, 7, -(2**62)])
    for key, salt in (((), 0), ((0,), 1), ((2**63 - 1, -5), 300)):
        found = Draws(*key).uniform(epochs, indices, 4, salt)
        wanted = [[drawn(key, int(e), int(i), c, salt) for c in range(4)] for e, i in zip(epochs, indices, strict=True)]
        assert found.tolist() == wanted


def test_the_numbers_never_change():
    found = Draws(1, 2).uniform(np.array([0, 1, 5]), np.array([0, 0, -3]), 2, salt=9)
    golden = [
        [0.20790749377443563, 0.8643154122616508],
        [0.405644059831195, 0.5784582687101298],
        [0.30286172522638954, 0.8611496060927921],
    ]
    assert found.tolist() == golden


def test_what_is_drawn_for_a_sample_knows_nothing_of_its_neighbours_in_the_batch():
    draws = Draws(4)
    order = np.random.default_rng(0).permutation(50)
    for draw in (
        lambda rows: draws.uniform(rows // 7, rows, 3),
        lambda rows: draws.normal(rows // 7, rows, 3),
        lambda rows: draws.beta(rows // 7, rows, 0.4),
    ):
        whole = draw(np.arange(50))
        assert np.array_equal(draw(order), whole[order])
        assert np.array_equal(draw(order[:1]), whole[order[:1]])
    assert np.array_equal(draws.uniform(EPOCHS[:5], INDICES[:5], 2), draws.uniform(EPOCHS[:5], INDICES[:5], 6)[:, :2])


def test_no_batch_is_no_numbers():
    none = np.zeros(0, np.int64)
    assert Draws(1).uniform(none, none, 3).shape == (0, 3)
    assert Draws(1).beta(none, none, 2.0).shape == (0,)


@pytest.mark.parametrize("salt", [0, 1, 256])
@pytest.mark.parametrize(
    ("epochs", "indices"),
    [(EPOCHS, INDICES), (INDICES, EPOCHS), (INDICES % 200, INDICES // 200)],
    ids=["indices", "epochs", "both"],
)
def test_numbers_are_even_and_independent(salt, epochs, indices):
    u = Draws(11).uniform(epochs, indices, 4, salt)
    assert u.min() >= 0
    assert u.max() < 1
    counts = np.apply_along_axis(np.bincount, 0, (u * 64).astype(int), minlength=64)
    chi = ((counts - COUNT / 64) ** 2 / (COUNT / 64)).sum(axis=0)  # 63 degrees of freedom: 63 +- 11
    assert chi.max() < 63 + 5 * math.sqrt(2 * 63)
    bound = 5 / math.sqrt(COUNT)
    columns = np.corrcoef(u.T) - np.eye(4)
    assert abs(columns).max() < bound
    for lag in (1, 2, 200):
        assert abs(np.corrcoef(u[:-lag, 0], u[lag:, 0])[0, 1]) < bound
    pairs = np.bincount((u[:-1, 0] * 8).astype(int) * 8 + (u[1:, 0] * 8).astype(int), minlength=64)
    assert ((pairs - COUNT / 64) ** 2 / (COUNT / 64)).sum() < 63 + 5 * math.sqrt(2 * 63)


def test_another_key_salt_epoch_or_index_draws_other_numbers():
    base = Draws(1, 2).uniform(EPOCHS, INDICES, 1)[:, 0]
    others = [
        Draws(2, 1).uniform(EPOCHS, INDICES, 1)[:, 0],
        Draws(1).uniform(EPOCHS, INDICES, 1)[:, 0],
        Draws(1, 2, 0).uniform(EPOCHS, INDICES, 1)[:, 0],
        Draws(1, 2).uniform(EPOCHS, INDICES, 1, salt=1)[:, 0],
        Draws(1, 2).uniform(EPOCHS + 1, INDICES, 1)[:, 0],
        Draws(1, 2).uniform(INDICES, EPOCHS, 1)[1:, 0],
    ]
    for other in others:
        same = base[-len(other) :]
        assert not np.isin(other, same).any()
        assert abs(np.corrcoef(same, other)[0, 1]) < 5 / math.sqrt(COUNT)


def test_every_bit_hangs_on_every_bit_of_the_index():
    indices = np.arange(4000)
    base = (Draws(3).uniform(EPOCHS[:4000], indices, 1)[:, 0] * 2**53).astype(np.int64)
    for bit in (0, 1, 13, 40, 61):
        other = (Draws(3).uniform(EPOCHS[:4000], indices ^ (1 << bit), 1)[:, 0] * 2**53).astype(np.int64)
        share = (((base ^ other)[:, np.newaxis] >> np.arange(53)) & 1).mean(axis=0)
        assert abs(share - 0.5).max() < 5 * 0.5 / math.sqrt(4000)


def test_normal_numbers_have_the_normal_distribution():
    found = np.sort(Draws(8).normal(EPOCHS, INDICES, 1)[:, 0])
    wanted = [(1 + math.erf(x / math.sqrt(2))) / 2 for x in found.tolist()]
    assert np.abs(np.array(wanted) - (INDICES + 0.5) / COUNT).max() < 2 / math.sqrt(COUNT)  # Kolmogorov and Smirnov


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 3.0])
def test_beta_numbers_have_the_beta_distribution(alpha):
    found = Draws(9).beta(EPOCHS, INDICES, alpha)
    assert found.min() >= 0
    assert found.max() <= 1
    assert abs((found < 0.5).mean() - 0.5) < 2.5 / math.sqrt(COUNT)
    # the lower half of the distribution by quadrature, over s = x^alpha, which takes the pole at 0 away
    s = (np.arange(200_000) + 0.5) * (0.5**alpha / 200_000)
    steps = (1 - s ** (1 / alpha)) ** (alpha - 1)
    low = np.sort(found[found < 0.5])
    wanted = np.concatenate([[0], steps.cumsum()])[np.searchsorted(s, low**alpha)] / steps.sum()
    assert np.abs(wanted - (np.arange(len(low)) + 0.5) / len(low)).max() < 2 / math.sqrt(len(low))


@pytest.mark.parametrize("alpha", [1e-4, 1e3])
def test_an_extreme_alpha_gives_numbers_too(alpha):
    found = Draws(9).beta(EPOCHS, INDICES, alpha)
    assert np.isfinite(found).all()
    assert found.mean() == pytest.approx(0.5, abs=0.01)
    assert found.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


def test_it_is_shown_by_its_key():
    assert repr(Draws(1, 2)) == "Draws(1, 2)"
