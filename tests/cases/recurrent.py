"""Cases of the recurrent layers. The formulas go through one sequence at a time, as the papers' equations do."""

import math

import numpy as np

from layerkit.checks import Case


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def recurrence(width, names, step, more=0, finish=None):
    """A formula: `step(a, p, carried, more)` gives the states after one step of one sequence, lists of numbers.

    `a` is what comes from outside, `p` the product with the state; `width` is how many of these there are for each
    number of the state, `names` the number of states, and `more` the number of weights that only `step` or `finish`
    uses.
    """

    def formula(bottoms, weights, params):
        x, cont, d = bottoms[0], bottoms[1], params.num_output
        exposed = names if params.expose_hidden else 0
        static = bottoms[2] if len(bottoms) > 2 + exposed else None
        weights = list(weights)
        extra = [weights.pop() for _ in range(more)][::-1]
        w_x, b, w_static, w_h = weights if static is not None else (weights[0], weights[1], None, weights[2])
        steps, streams = x.shape[:2]
        y, last = np.zeros((steps, streams, d)), np.zeros((names, 1, streams, d))
        for n in range(streams):
            states = [bottoms[len(bottoms) - names + k][0, n] if exposed else np.zeros(d) for k in range(names)]
            for t in range(steps):
                carried = [[cont[t, n] * value for value in state] for state in states]
                a = [sum(w_x[g] * x[t, n].ravel()) + b[g] for g in range(width * d)]
                if static is not None:
                    a = [a[g] + sum(w_static[g] * static[n].ravel()) for g in range(width * d)]
                p = [sum(w_h[g][k] * carried[0][k] for k in range(d)) for g in range(width * d)]
                states = step(a, p, carried, extra)
                y[t, n] = finish(states[0], extra) if finish else states[0]
            last[:, 0, n] = states
        return [y, *last[:exposed]]

    return formula


def rnn_step(a, p, carried, more):
    return [[math.tanh(u + v) for u, v in zip(a, p, strict=True)]]


def rnn_output(h, more):
    w, b = more
    return [math.tanh(sum(w[k] * h) + b[k]) for k in range(len(b))]


def lstm_step(a, p, carried, more):
    d = len(carried[0])
    s = [u + v for u, v in zip(a, p, strict=True)]
    c = [sigmoid(s[d + k]) * carried[1][k] + sigmoid(s[k]) * math.tanh(s[3 * d + k]) for k in range(d)]
    return [[sigmoid(s[2 * d + k]) * math.tanh(c[k]) for k in range(d)], c]


def gru_step(a, p, carried, more):
    d, (b_hn,) = len(carried[0]), more
    h = []
    for k in range(d):
        r, z = sigmoid(a[k] + p[k]), sigmoid(a[d + k] + p[d + k])
        n = math.tanh(a[2 * d + k] + r * (p[2 * d + k] + b_hn[k]))
        h.append((1 - z) * n + z * carried[0][k])
    return [h]


FORMULAS = {
    "RNN": recurrence(1, 1, rnn_step, 2, rnn_output),
    "LSTM": recurrence(4, 2, lstm_step),
    "GRU": recurrence(3, 1, gru_step, 1),
}
STATES = {"RNN": 1, "LSTM": 2, "GRU": 1}
TIME = "axis 0 is time in x and sequences in the static input"
EXPOSED = "axis 0 of a first state has length 1"
CONT = np.array([[0, 0], [1, 1], [1, 0], [0, 1], [1, 1]])  # (T, N)
BEGUN = np.array([[1, 0], [1, 1], [0, 1], [1, 1], [1, 0]])  # one sequence goes on from before
FILLED = {"weight_filler": {"type": "uniform", "min": -1, "max": 1}, "bias_filler": {"value": 0.3}}


def rows(kind):
    formula, first = FORMULAS[kind], [(1, 2, 4)] * STATES[kind]
    exposed = {"num_output": 4, "expose_hidden": True, **FILLED}
    tops = 1 + STATES[kind]
    return [
        Case(kind, "plain", [(5, 2, 3), CONT], {"num_output": 4, **FILLED}, formula=formula),
        Case(kind, "goes on", [(5, 2, 3), BEGUN], {"num_output": 4}, phase="test", formula=formula),
        Case(kind, "a part of the state", [(5, 2, 3), BEGUN * 0.7], {"num_output": 4}, formula=formula),
        Case(kind, "numbers", [(5, 2), CONT], {"num_output": 3}, formula=formula),
        Case(kind, "maps", [(5, 2, 3, 4, 2), CONT], {"num_output": 4}, formula=formula),
        Case(kind, "rows of maps", [(5, 2, 3, 4), CONT], {"num_output": 6}, formula=formula),
        Case(kind, "one step", [(1, 3, 4), np.ones((1, 3))], {"num_output": 2}, formula=formula),
        Case(kind, "static", [(5, 2, 3), CONT, (2, 6)], {"num_output": 4}, formula=formula, no_zero_rows=TIME),
        Case(kind, "static map", [(5, 2, 3), CONT, (2, 3, 4)], {"num_output": 4}, formula=formula, no_zero_rows=TIME),
        Case(
            kind,
            "exposed",
            [(5, 2, 3), BEGUN, *first],
            exposed,
            num_tops=tops,
            formula=formula,
            no_zero_rows=EXPOSED,
        ),
        Case(
            kind,
            "exposed, static",
            [(5, 2, 3), BEGUN, (2, 6), *first],
            exposed,
            num_tops=tops,
            formula=formula,
            no_zero_rows=EXPOSED,
        ),
    ]


def lstm_unit(bottoms, weights, params):
    before, gates, cont = bottoms
    d = before.shape[-1]
    c, h = np.zeros(before.shape), np.zeros(before.shape)
    for place in np.ndindex(before.shape[:-1]):
        carried = [0] * d, [cont[place] * value for value in before[place]]
        h[place], c[place] = lstm_step(gates[place], [0] * (4 * d), carried, ())
    return [c, h]


CASES = [
    *rows("RNN"),
    *rows("LSTM"),
    *rows("GRU"),
    Case("LSTMUnit", "Caffe's", [(1, 3, 2), (1, 3, 8), np.array([[1, 0, 1]])], num_tops=2, formula=lstm_unit),
    Case("LSTMUnit", "rows", [(3, 5), (3, 20), np.array([1, 0, 0.5])], num_tops=2, formula=lstm_unit),
    Case("LSTMUnit", "one", [(5,), (20,), np.array(1)], num_tops=2, formula=lstm_unit),
    Case(
        "LSTMUnit",
        "four axes",
        [(2, 3, 4, 5), (2, 3, 4, 20), np.arange(24).reshape(2, 3, 4) % 3 > 0],
        num_tops=2,
        formula=lstm_unit,
    ),
]
