"""Cases of layers with bodies. The formulas go through one sequence at a time."""

import numpy as np

from layerkit.checks import Case

UNITS = 4
FILLED = {"weight_filler": {"type": "uniform", "min": -1, "max": 1}, "bias_filler": {"value": 0.3}}
CELL = [
    {"name": "i2h", "type": "InnerProduct", "bottom": "x0", "num_output": UNITS, **FILLED},
    {"name": "h2h", "type": "InnerProduct", "bottom": "h", "num_output": UNITS, "bias_term": False},
    {"name": "sum", "type": "Eltwise", "bottom": ["i2h", "h2h"]},
    {"name": "h_new", "type": "TanH"},
]
STEADY = [
    {"name": "i2h", "type": "InnerProduct", "bottom": "x0", "num_output": UNITS, **FILLED},
    {"name": "h2h", "type": "InnerProduct", "bottom": "h", "num_output": UNITS, "bias_term": False},
    {"name": "s2h", "type": "InnerProduct", "bottom": "s", "num_output": UNITS, "bias_term": False},
    {"name": "sum", "type": "Eltwise", "bottom": ["i2h", "h2h", "s2h"]},
    {"name": "h_new", "type": "TanH"},
]


def walk(x, start, anew, weights, static=None, steps=None, cont=None, back=False):
    """The states of one sequence (T, K) after each step; those behind its end are 0."""
    w, b, u, *v = weights
    h, y = start, np.zeros((len(x), len(b)))
    steps = len(x) if steps is None else int(steps)
    for t in reversed(range(steps)) if back else range(steps):
        goes_on = 1 if cont is None else cont[t + 1] if back and t + 1 < steps else 1 if back else cont[t]
        h = goes_on * (h - anew) + anew
        s = w @ x[t].ravel() + b + u @ h
        h = y[t] = np.tanh(s if static is None else s + v[0] @ static)
    return y


def formula(bottoms, weights, params):
    names = params.inputs or [f"x{i}" for i in range(len(bottoms))]
    given = dict(zip(names, bottoms, strict=True))
    ways = 2 if params.bidirectional else 1
    learned = [weights.pop(0) for _ in range(ways)] if params.states["h"].start == "learned" else []
    each = len(weights) // ways
    x = given["x0"]
    results = []
    for way in range(ways):
        own, y = weights[way * each : (way + 1) * each], np.zeros((*x.shape[:2], UNITS))
        for n in range(x.shape[1]):
            anew = learned[way] if learned else np.zeros(UNITS)
            start = given[params.states["h"].start][n] if params.states["h"].start in given else anew
            y[:, n] = walk(
                x[:, n],
                start,
                anew,
                own,
                given["s"][n] if "s" in given else None,
                given[params.lengths][n] if params.lengths else None,
                given[params.cont][:, n] if params.cont else None,
                back=params.reverse or way == 1,
            )
        last = (
            y[0] if params.reverse or way else np.array([y[_end(given, params, n) - 1, n] for n in range(x.shape[1])])
        )
        results.append([y if output.take == "all" else last for output in params.outputs])
    return [np.concatenate(both, -1) for both in zip(*results, strict=True)]


def _end(given, params, n):
    return int(given[params.lengths][n]) if params.lengths else len(given["x0"])


def recurrent(name, bottoms, no_zero_rows="axis 0 is time in x and sequences elsewhere", **params):
    names = [f"x{i}" for i in range(len(bottoms))]
    fields = {"body": CELL, "states": {"h": {"next": "h_new"}}, "outputs": ["h_new"], "inputs": names, **params}
    no_gradient = "the gradient is cut off on purpose" if "truncate" in params else ""
    tops = len(fields["outputs"])
    return Case(
        "Recurrent",
        name,
        bottoms,
        fields,
        num_tops=tops,
        formula=formula,
        no_gradient=no_gradient,
        no_zero_rows=no_zero_rows,
    )


LEARNED = {"h": {"next": "h_new", "start": "learned"}}
CONT = np.array([[0, 0], [1, 1], [1, 0], [0, 1], [1, 1]])  # (T, N)
LENGTHS = np.array([3, 5])
LAST = [{"blob": "h_new", "take": "last"}]
CASES = [
    recurrent("plain", [(5, 2, 3)], ""),
    recurrent("rows of maps", [(5, 2, 3, 4)], ""),
    recurrent("maps", [(5, 2, 3, 4, 2)], ""),
    recurrent("shape given", [(5, 2, 3)], "", states={"h": {"next": "h_new", "shape": [UNITS]}}),
    recurrent("cont", [(5, 2, 3), CONT], "", cont="x1", carry=True),
    recurrent("learned, reverse", [(5, 2, 3), CONT], "", cont="x1", states=LEARNED, reverse=True),
    recurrent("from a bottom", [(5, 2, 3), (2, UNITS)], states={"h": {"next": "h_new", "start": "x1"}}),
    recurrent("lengths", [(5, 2, 3), LENGTHS], lengths="x1", outputs=["h_new", *LAST]),
    recurrent("last", [(5, 2, 3)], outputs=LAST, reverse=True),
    recurrent("static", [(5, 2, 3), (2, 6)], body=STEADY, static=["s"], inputs=["x0", "s"]),
    recurrent("both ways", [(5, 2, 3), LENGTHS], lengths="x1", bidirectional=True, states=LEARNED),
    recurrent("truncated", [(5, 2, 3)], "", truncate=2),
    recurrent("recomputed", [(5, 2, 3), LENGTHS], lengths="x1", recompute=True),
    recurrent(
        "blocks",
        [(5, 2, 3)],
        "",
        blocks={"cell": {"layers": CELL}},
        body=[{"block": "cell", "name": "own", "bottom": "x0"}],
        states={"h": {"next": "own/h_new"}},
        outputs=["own/h_new"],
    ),
]


def repeated(bottoms, weights, params):
    (w, b), s = weights[-2:], bottoms[0]
    x = np.tile(weights[0], (len(s), 1)) if params.states["x"].start == "learned" else bottoms[1]
    times = params.times or min(params.max_times, int(np.ceil(2.5 - bottoms[2].min())))
    for _ in range(times):
        x = np.tanh(x @ w.T + b + s)
    return [x]


AGAIN = [
    {"name": "wx", "type": "InnerProduct", "bottom": "x", "num_output": UNITS, **FILLED},
    {"name": "ws", "type": "Eltwise", "bottom": ["wx", "s"]},
    {"name": "x_new", "type": "TanH"},
]
COUNT = [
    {"name": "k_new", "type": "Power", "bottom": "k", "shift": 1},
    {"name": "done", "type": "Expression", "bottom": "k_new", "expr": "k_new >= 2.5"},
]
FROM_BOTTOM = {"x": {"next": "x_new", "start": "x0"}}
COUNTED = {**FROM_BOTTOM, "k": {"next": "k_new", "start": "k0"}}


def repeat(name, bottoms, params, body=AGAIN, states=FROM_BOTTOM, names=("s", "x0", "k0")):
    fields = {"body": body, "states": states, "outputs": ["x_new"], "inputs": list(names[: len(bottoms)]), **params}
    return Case("Repeat", name, bottoms, fields, formula=repeated)


TWO = [(3, UNITS), (3, UNITS)]
UNTIL = {"until": "done", "max_times": 5}
BUMP = np.array([1.0, 0, 2])[:, np.newaxis]  # the last to be done is so after three times
CASES += [
    repeat("fixed", TWO, {"times": 5}),
    repeat("learned", TWO[:1], {"times": 3}, states={"x": {"next": "x_new", "start": "learned"}}),
    repeat("recomputed", TWO, {"times": 5, "recompute": True}),
    repeat(
        "blocks",
        TWO,
        {"times": 2, "blocks": {"again": {"layers": AGAIN}}, "outputs": ["own/x_new"]},
        [{"block": "again", "name": "own", "bottom": "x"}],
        {"x": {"next": "own/x_new", "start": "x0"}},
    ),
    repeat("until", [*TWO, BUMP], UNTIL, [*AGAIN, *COUNT], COUNTED),
    repeat("until, at most", [*TWO, BUMP - 8], UNTIL, [*AGAIN, *COUNT], COUNTED),
]

THEN = [
    {"name": "wx", "type": "InnerProduct", "bottom": "x", "num_output": 2, **FILLED},
    {"name": "y", "type": "TanH"},
    {"name": "z", "type": "Softmax", "bottom": "x"},
]
USED = [{"block": "fc", "name": "own", "bottom": "x"}, {**THEN[1], "bottom": "own"}, THEN[2]]
OTHERWISE = [
    {"name": "y", "type": "InnerProduct", "bottom": "x", "num_output": 2, "bias_term": False},
    {"name": "z", "type": "Power", "bottom": "x", "power": 2},
]


def chosen(bottoms, weights, params):
    x, c = bottoms if params.condition == "c" and params.inputs == ["x", "c"] else bottoms[::-1]
    w, b, u = weights
    y, z = np.zeros((len(x), 2)), np.zeros(x.shape)
    for i, row in enumerate(x):
        if c.ravel()[i if params.by == "sample" else 0]:
            y[i], z[i] = np.tanh(w @ row.ravel() + b), np.exp(row) / np.exp(row).sum(axis=0)
        else:
            y[i], z[i] = u @ row.ravel(), row**2
    return [y, z]


def cond(name, bottoms, inputs=("x", "c"), no_zero_rows="", **params):
    fields = {"condition": "c", "then": THEN, "otherwise": OTHERWISE, "outputs": ["y", "z"], "inputs": list(inputs)}
    return Case("Cond", name, bottoms, fields | params, num_tops=2, formula=chosen, no_zero_rows=no_zero_rows)


SINGLE = "the condition of a batch is a single number"
CASES += [
    cond("then", [(3, 4), np.array([2.0])], no_zero_rows=SINGLE),
    cond("otherwise", [np.array([0.0]), (3, 4)], ("c", "x"), no_zero_rows=SINGLE),
    cond("blocks", [(3, 4), np.array([1.0])], no_zero_rows=SINGLE, then=USED, blocks={"fc": {"layers": [THEN[0]]}}),
    cond("by sample", [(5, 4), np.array([1, 0, 0, 2, 0])], by="sample"),
    cond("by sample, none", [(3, 4), np.array([0, 0, 0])], by="sample"),
    cond("by sample, maps", [(3, 4, 2), np.array([1, 0, 1])], by="sample"),
    cond("by sample, columns", [(3, 4, 2, 5), np.array([1, 0, 1])], by="sample"),
    cond("by sample, volumes", [(3, 4, 2, 5, 1), np.array([1, 0, 1])], by="sample"),
]
