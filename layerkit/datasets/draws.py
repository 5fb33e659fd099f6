"""Random numbers that are a function of (key, epoch, index): the same sample in the same epoch gets the same ones.

No generator has a state here. A sample's numbers are hashes of where it stands in the stream, so they are the same
whatever batch it falls into, whichever process asks, and after a resume; and those of a whole batch are made at once.

Source: G. Steele et al., "Fast splittable pseudorandom number generators", 2014, for the sequence; the mixing constants
are D. Stafford's thirteenth variant.
"""

from __future__ import annotations

import numpy as np

from layerkit.blob import Array

_GAMMA = 0x9E3779B97F4A7C15  # the golden ratio's fraction in 64 bits, odd: its multiples visit every number
_MASK = (1 << 64) - 1
_TRIES = 8  # of a sampler that accepts more than 95 of 100: it has failed every time in less than 1 of 10^10 samples


class Draws:
    """The numbers of one stream of samples; `key` is what the stream is told apart by, a seed for example."""

    def __init__(self, *key: int):
        self.key = key
        mixed = np.zeros(1, np.uint64)
        for part in (len(key), *key):
            mixed = _absorb(mixed, part)
        self._start: Array = mixed

    def __repr__(self) -> str:
        return f"Draws({', '.join(map(str, self.key))})"

    def uniform(self, epochs: Array, indices: Array, count: int, salt: int = 0) -> Array:
        """`count` numbers for each sample, (k, count), float64 in [0, 1), even to the last of 53 bits.

        `epochs` and `indices` are (k,), whole numbers of any sign. Another `salt` gives other numbers, of which
        neither tells anything about the other.
        """
        state = _absorb(self._start, salt)
        state = _absorb(state, np.asarray(epochs, np.int64).astype(np.uint64))
        state = _absorb(state, np.asarray(indices, np.int64).astype(np.uint64))
        steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GAMMA)
        bits = _mix(state[:, np.newaxis] + steps)
        numbers: Array = (bits >> np.uint64(11)) * 2.0**-53
        return numbers

    def normal(self, epochs: Array, indices: Array, count: int, salt: int = 0) -> Array:
        """As `uniform`, but normal with mean 0 and standard deviation 1."""
        return _normal(self.uniform(epochs, indices, 2 * count, salt))

    def beta(self, epochs: Array, indices: Array, alpha: float, salt: int = 0) -> Array:
        """One number of Beta(alpha, alpha) for each sample, (k,), in [0, 1]; `alpha` is greater than 0."""
        each = 3 * _TRIES + 1
        u = self.uniform(epochs, indices, 2 * each, salt).reshape(len(indices), 2, each)
        logs = _log_gamma_variates(u, alpha)
        odds = np.clip(logs[:, 1] - logs[:, 0], -700, 700)  # beyond this exp would overflow, and the number is 0 or 1
        number: Array = 1 / (1 + np.exp(odds))
        return number


def _absorb(state: Array, part: int | Array) -> Array:
    """Mix one more number into a state."""
    if isinstance(part, int):
        part = np.array([part & _MASK], np.uint64)
    return _mix((state ^ part) + np.uint64(_GAMMA))


def _mix(bits: Array) -> Array:
    """A permutation of the 64-bit numbers in which every bit of the result hangs on every bit given."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Array = bits ^ (bits >> np.uint64(31))
    return mixed


def _normal(u: Array) -> Array:
    """Half as many normal numbers as uniform ones along the last axis (Box and Muller)."""
    radius, angle = u[..., 0::2], u[..., 1::2]
    numbers: Array = np.sqrt(-2 * np.log1p(-radius)) * np.cos(2 * np.pi * angle)
    return numbers


def _log_gamma_variates(u: Array, alpha: float) -> Array:
    """Logarithms of numbers that have the gamma distribution of shape `alpha`, from 3 _TRIES + 1 uniform ones each.

    Source: G. Marsaglia and W. Tsang, "A simple method for generating gamma variables", 2000: for alpha + 1, the first
    try that is accepted; then down to alpha, in logarithms since a small alpha makes numbers that float64 cannot hold.
    """
    d = alpha + 1 - 1 / 3
    x = _normal(u[..., : 2 * _TRIES])
    v = np.maximum(1 + x / np.sqrt(9 * d), 1e-12) ** 3  # what is not above 0 is never accepted
    accepted = np.log1p(-u[..., 2 * _TRIES : 3 * _TRIES]) < x * x / 2 + d * (1 - v + np.log(v))
    first = accepted.argmax(axis=-1)[..., np.newaxis]
    larger: Array = np.log(d * np.take_along_axis(v, first, axis=-1)[..., 0])
    return larger + np.log1p(-u[..., -1]) / alpha
