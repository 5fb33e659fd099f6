"""Cases of Expression: each formula is computed once more by numpy, or element by element."""

import math

import numpy as np

from layerkit.checks import Case

X, ROW, COLUMN = (3, 4), (4,), (3, 1)


def of(function):
    """A formula from a function of the bottoms and then the weights."""

    def formula(bottoms, weights, p):
        result = function(*bottoms, *weights)
        return list(result) if isinstance(result, tuple) else [result]

    return formula


def one(name, expr, bottoms, function, **options):
    """A row whose bottoms are called x, y and z."""
    params = {"expr": expr, "names": list("xyz"[: len(bottoms)]), **options.pop("params", {})}
    return Case("Expression", name, bottoms, params, formula=of(function), **options)


def several(name, results, bottoms, function, tops, **options):
    params = {"results": results, "names": list("xyz"[: len(bottoms)]), **options.pop("params", {})}
    return Case("Expression", name, bottoms, params, num_tops=tops, formula=of(function), **options)


def each(name, function, **options):
    """A function of one argument, computed number by number."""
    return one(f"{name}", f"{name}(x)", [(3, 4)], np.vectorize(function, otypes=[float]), **options)


def softmax(x, axis):
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


POSITIVE = {"span": (0.5, 2.0)}
STAYS = "the other bottom has no axis 0 that could be empty with it"
FIXED = "the columns of one bottom are the rows of the other"

CASES = [
    one("lecture", "x * y + sin(y)", [X, X], lambda x, y: x * y + np.sin(y)),
    one("stretched", "x * y - z / 2", [X, ROW, COLUMN], lambda x, y, z: x * y - z / 2, no_zero_rows=STAYS),
    one("divided", "x / y", [X, COLUMN], lambda x, y: x / y, **POSITIVE),
    one("powers", "x ** 3 + x ** 2 + 2 ** x + x ** 0.5 + x ** -1 + x ** 1", [(5,)],
        lambda x: x**3 + x**2 + np.exp2(x) + np.sqrt(x) + 1 / x + x, **POSITIVE),
    one("power-of-two-bottoms", "x ** y", [X, ROW], lambda x, y: np.exp(y * np.log(x)), no_zero_rows=STAYS, **POSITIVE),
    one("signs", "-x + +x * 2 - (-3)", [(2, 3, 4)], lambda x: x + 3),
    one("nothing-but-a-bottom", "x", [(2, 3, 4, 5)], lambda x: x),
    one("number-in-another-shape", "x + reshape(2, (1, 1)) * transpose(3) + max(4) + sum(softmax(reshape(5, 1)))", [X],
        lambda x: x + 11),
    one("nothing-but-a-number", "2 * pi", [(2,)], lambda x: np.array(2 * math.pi)),
    one("scalars", "x * y", [(), ()], lambda x, y: x * y, no_zero_rows="scalars have no rows"),
    one("five-axes", "tanh(x) * x", [(2, 3, 4, 5, 6)], lambda x: np.tanh(x) * x),
    one("constants", "a * x + e", [(2, 3)], lambda x: 0.25 * x + math.e, params={"constants": {"a": 0.25}}),
    each("sin", math.sin),
    each("cos", math.cos),
    each("tan", math.tan, span=(-1.3, 1.3)),
    each("exp", math.exp),
    each("log", math.log, **POSITIVE),
    each("sqrt", math.sqrt, **POSITIVE),
    each("square", lambda x: x * x),
    each("abs", abs),
    each("sign", lambda x: math.copysign(1, x)),
    each("tanh", math.tanh),
    each("sigmoid", lambda x: 1 / (1 + math.exp(-x))),
    each("relu", lambda x: x if x > 0 else 0),
    one("max-of-three", "max(x, y, z)", [X, ROW, COLUMN], lambda x, y, z: np.fmax(np.fmax(x, y), z),
        no_zero_rows=STAYS),
    one("min-of-two", "min(x, y) + max(x, 1)", [X, X], lambda x, y: np.fmin(x, y) + np.fmax(x, 1), kinks=(0.0, 1.0)),
    one("where", "where(x > y, x * 2, exp(y))", [X, ROW], lambda x, y: np.where(x > y, x * 2, np.exp(y)),
        no_zero_rows=STAYS),
    one("where-of-conditions", "where(0 < x <= 1 or not y != 2 and x, y, x < y)", [X, X],
        lambda x, y: np.where((x > 0) & (x <= 1) | (y == 2) & (x != 0), y, x < y), kinks=(0.0, 1.0)),
    one("comparisons", "x * (x >= y) + (x == y) - (x < 0.5) * (y > 0)", [X, X],
        lambda x, y: x * (x >= y) + (x == y) - ((x < 0.5) & (y > 0)), kinks=(0.0, 0.5)),
    one("sum", "sum(x)", [(2, 3, 4)], lambda x: x.sum()),
    one("sum-axis", "sum(x * y, axis=-1)", [(2, 3, 4), ROW], lambda x, y: (x * y).sum(2), no_zero_rows=STAYS),
    one("sum-axes-kept", "x / sum(x, axis=(1, 2), keepdims=True)", [(2, 3, 4)],
        lambda x: x / x.sum((1, 2))[:, None, None], **POSITIVE),
    one("mean", "x - mean(x, [0, 2], True)", [(2, 3, 4)], lambda x: x - x.mean((0, 2))[None, :, None]),
    one("max-axis", "max(x, axis=1)", [(2, 3, 4)], lambda x: np.sort(x, axis=1)[:, -1]),
    one("max-all", "max(x) * x", [(3, 4)], lambda x: np.sort(x.ravel())[-1] * x, no_zero_rows="has no largest"),
    one("min-axes", "min(x, axis=(0, -1), keepdims=True)", [(2, 3, 4)],
        lambda x: np.sort(np.moveaxis(x, 1, 0).reshape(3, -1))[:, 0].reshape(1, 3, 1), no_zero_rows="has no least"),
    one("softmax", "softmax(x) * softmax(x, axis=0)", [(3, 4)], lambda x: softmax(x, 1) * softmax(x, 0)),
    one("dot", "dot(x, y)", [(5,), (5,)], lambda x, y: sum(x * y)),
    one("matrix-by-vector", "x @ y", [(3, 4), (4,)], lambda x, y: np.einsum("ij,j", x, y), no_zero_rows=STAYS),
    one("vector-by-matrix", "dot(x, y)", [(3,), (3, 4)], lambda x, y: np.einsum("i,ij", x, y)),
    one("matmul", "matmul(x, y)", [(2, 1, 3, 4), (5, 4, 6)], lambda x, y: np.einsum("aibc,jcd->ajbd", x, y),
        no_zero_rows=STAYS),
    one("transpose", "x @ transpose(x) + transpose(y, (1, 0))", [(3, 4), (3, 3)],
        lambda x, y: np.einsum("ij,kj", x, x) + y.T, no_zero_rows=FIXED),
    one("transposed-bottom", "transpose(x, axes=(2, 0, 1))", [(2, 3, 4)], lambda x: np.moveaxis(x, 2, 0)),
    one("reshape", "reshape(x * 2, (0, -1))", [(2, 3, 4)], lambda x: 2 * x.reshape(len(x), 12)),
    one("reshape-to-images", "reshape(x, (0, 3, 2, 4))", [(5, 24)], lambda x: x.reshape(-1, 3, 2, 4)),
    one("reshape-of-images", "sin(reshape(transpose(x, (0, 2, 3, 1)), [-1, 3]))", [(2, 3, 4, 5)],
        lambda x: np.sin(np.moveaxis(x, 1, -1).reshape(-1, 3))),
    one("linear", "x @ w + b", [(3, 4)], lambda x, w, b: np.einsum("ij,jk", x, w) + b,
        params={"weights": {"w": {"shape": [4, 5], "filler": "xavier"}, "b": {"shape": 5}}}),
    one("learned-scalar", "relu(x) - a * relu(-x)", [X], lambda x, a: np.where(x > 0, x, a * x),
        params={"weights": {"a": {"filler": {"value": 0.25}}}}),
    one("shared-parts", "exp(x * y) / (1 + exp(y * x)) + exp(x * y)", [X, X],
        lambda x, y: np.exp(x * y) / (1 + np.exp(x * y)) + np.exp(x * y)),
    one("one-bottom-unread", "x * 2", [X, ROW], lambda x, y: x * 2, no_zero_rows=STAYS),
    several("two-results", {"q": "x + y", "f": "q * z"}, [X, X, ROW], lambda x, y, z: (x + y, (x + y) * z), 2,
            no_zero_rows=STAYS),
    several("last-result", {"q": "x + y", "f": "q * q"}, [X, X], lambda x, y: (x + y) ** 2, 1),
    several("one-result-twice", {"q": "exp(x)", "f": "q", "g": "x"}, [X], lambda x: (np.exp(x), np.exp(x), x), 3),
    several("cosine", {"up": "sum(x * y, axis=1)", "f": "up / sqrt(sum(x ** 2, axis=1) * sum(y ** 2, axis=1))"}, [X, X],
            lambda x, y: np.einsum("ij,ij->i", x, y) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1), 1),
]  # fmt: skip
