"""Cases of attention. The formulas take one query at a time, as the definition does."""

import math

import numpy as np

from layerkit.checks import Case


def attention(bottoms, weights, p):
    mask = bottoms[-1] if len(bottoms) > 1 and bottoms[-1].ndim == 2 else None
    x, *others = bottoms[:-1] if mask is not None else bottoms
    keys = others[0] if others else x
    values = others[-1] if others else x
    (count, places, channels), seen = x.shape, keys.shape[1]
    weights = list(weights)
    ws = [weights.pop(0) for _ in range(1 if weights[0].shape[0] == 3 * channels else 3)]
    w_q, w_k, w_v = np.concatenate(ws)[: 3 * channels].reshape(3, channels, -1) if len(ws) == 1 else ws
    b_q, b_k, b_v = weights.pop(0).reshape(3, channels) if p.bias_term else np.zeros((3, channels))
    w_o, b_o = weights if p.bias_term else (weights[0], np.zeros(channels))
    size = channels // p.num_heads
    y = np.zeros(x.shape)
    for n in range(count):
        k = [w_k @ keys[n, s] + b_k for s in range(seen)]
        v = [w_v @ values[n, s] + b_v for s in range(seen)]
        for t in range(places):
            q = w_q @ x[n, t] + b_q
            visible = [s for s in range(seen) if (s <= t or not p.causal) and (mask is None or mask[n, s] == 0)]
            context = np.zeros(channels)
            for head in range(p.num_heads):
                own = slice(head * size, (head + 1) * size)
                powers = [math.exp(sum(q[own] * k[s][own]) / math.sqrt(size)) for s in visible]
                for s, power in zip(visible, powers, strict=True):
                    context[own] += power / sum(powers) * v[s][own]
            y[n, t] = w_o @ context + b_o
    return [y]


def learned(bottoms, weights, p):
    y = bottoms[0].copy()
    for place in np.ndindex(y.shape):
        y[place] += weights[0][place[-2:]]
    return [y]


def waves(bottoms, weights, p):
    y = bottoms[0].copy()
    for place in np.ndindex(y.shape):
        t, c = place[-2:]
        angle = t / 10000 ** ((c - c % 2) / y.shape[-1])
        y[place] += math.cos(angle) if c % 2 else math.sin(angle)
    return [y]


def attend(name, *bottoms, formula=attention, **params):
    return Case("MultiHeadAttention", name, bottoms, {"num_heads": 2, **params}, formula=formula)


def places(name, bottom, formula, **params):
    return Case("PositionalEmbedding", name, [bottom], params, formula=formula)


MASK = np.array([[0, 0, 1, 0, 1], [1, 0, 0, 0, 1]])  # (N, S) for two sequences of five
ALL_HIDDEN = np.array([[0, 0, 1, 0, 1], [1, 1, 1, 1, 1]])
FILLED = {"weight_filler": {"type": "gaussian"}, "bias_filler": {"value": 0.5}}

CASES = [
    attend("plain", (2, 5, 6), **FILLED),
    attend("one head", (2, 5, 3), num_heads=1),
    attend("heads of one", (2, 5, 3), num_heads=3),
    attend("causal", (2, 5, 6), num_heads=3, causal=True),
    attend("no bias", (2, 5, 6), bias_term=False),
    attend("padding", (2, 5, 6), MASK),
    attend("causal, padding", (2, 5, 6), MASK, causal=True),
    attend("nothing seen", (2, 5, 6), ALL_HIDDEN),
    attend("one place", (2, 1, 6), causal=True),
    attend("memory", (2, 3, 6), (2, 5, 6)),
    attend("memory, padding", (2, 3, 6), (2, 5, 6), MASK),
    attend("memory of other channels", (2, 3, 6), (2, 5, 4)),
    attend("keys and values", (2, 3, 6), (2, 5, 6), (2, 5, 6)),
    attend("keys and values of other channels, no bias", (2, 3, 6), (2, 5, 4), (2, 5, 7), bias_term=False),
    attend("keys and values, causal, padding", (2, 5, 6), (2, 5, 4), (2, 5, 7), MASK, causal=True),
    Case(
        "MultiHeadAttention",
        "dropout outside training",
        [(2, 5, 6)],
        {"num_heads": 2, "dropout_ratio": 0.5},
        phase="test",
        formula=attention,
    ),
    Case(
        "MultiHeadAttention",
        "dropout",
        [(2, 5, 6), MASK],
        {"num_heads": 2, "dropout_ratio": 0.5},
        no_formula="draws at random; its mean is tested in tests/test_layers_attention.py",
    ),
    places("learned", (2, 5, 6), learned, max_length=7, weight_filler="gaussian"),
    places("learned, all rows", (2, 5, 6), learned, max_length=5),
    places("learned, one sequence", (5, 6), learned, max_length=7),
    places("learned, four axes", (2, 3, 5, 6), learned, max_length=7),
    places("learned, five axes", (2, 3, 4, 5, 6), learned, max_length=7),
    places("sinusoidal", (2, 5, 6), waves, kind="SINUSOIDAL"),
    places("sinusoidal, odd", (2, 5, 3), waves, kind="sinusoidal"),
    places("sinusoidal, four axes", (2, 3, 5, 6), waves, kind="SINUSOIDAL", max_length=9),
]
