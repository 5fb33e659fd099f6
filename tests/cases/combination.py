"""Cases of the layers that make one value of several."""

from functools import reduce

import numpy as np

from layerkit.checks import Case


def eltwise(bottoms, weights, p):
    if p.operation == "SUM":
        return [sum(c * x for c, x in zip(p.coeff or [1] * len(bottoms), bottoms, strict=True))]
    return [reduce(np.maximum if p.operation == "MAX" else np.multiply, bottoms)]


def stretched(*shape):
    """The formula of an Eltwise with broadcast: each bottom is written out in this shape, element by element."""

    def formula(bottoms, weights, p):
        whole = []
        for x in bottoms:
            y = np.empty(shape)
            for place in np.ndindex(shape):
                behind = place[len(shape) - x.ndim :]
                y[place] = x[tuple(0 if length == 1 else at for at, length in zip(behind, x.shape, strict=True))]
            whole.append(y)
        return eltwise(whole, weights, p)

    return formula


def broadcast(name, bottoms, shape, no_zero_rows="", **params):
    options = {"span": (0.5, 2.0)} if params.get("stable_prod_grad") is False else {}
    params |= {"broadcast": True}
    formula = stretched(*shape)
    return Case("Eltwise", f"broadcast-{name}", bottoms, params, formula=formula, no_zero_rows=no_zero_rows, **options)


def axpy(bottoms, weights, p):
    a, x, y = bottoms
    z = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        z[place] = a.reshape(x.shape[:2])[place[:2]] * x[place] + y[place]
    return [z]


def reduction(bottoms, weights, p):
    """One list of values for each place of the top."""
    x = bottoms[0]
    kept = x.shape[: p.axis % x.ndim]
    y = np.empty(kept)
    for place in np.ndindex(kept):
        values = x[place].ravel().tolist()
        term = {"ASUM": abs, "SUMSQ": lambda value: value**2}.get(p.operation, float)
        y[place] = p.coeff * sum(map(term, values)) / (len(values) if p.operation == "MEAN" else 1)
    return [y]


def bias(bottoms, weights, p):
    """Every element of the top with its own term, looked up by the element's index."""
    x, (term,) = bottoms[0], [*bottoms[1:], *weights]
    first = p.axis % max(1, x.ndim)  # of a scalar nothing is looked up
    if len(bottoms) == 1:
        assert term.shape == (x.shape[first:] if p.num_axes == -1 else x.shape[first : first + p.num_axes])
    y = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        y[place] = x[place] + term[place[first : first + term.ndim]]
    return [y]


def reduced(operation, name, x, **params):
    return Case("Reduction", f"{operation}-{name}", [x], {"operation": operation, **params}, formula=reduction)


NO_SMALL_ROWS = "a bottom without its first rows does not stretch to the other"
NO_BIAS_ROWS = "bottom 1 has the shape of axis 1 on, which has rows"

CASES = [
    Case("Eltwise", "sum", [(2, 3, 4, 5)] * 3, formula=eltwise),
    Case("Eltwise", "sum-two", [(3, 5)] * 2, {"operation": "sum"}, formula=eltwise),
    Case("Eltwise", "sum-vector", [(7,)] * 2, formula=eltwise),
    Case("Eltwise", "sum-scalar", [()] * 2, formula=eltwise),
    Case("Eltwise", "sum-coeff", [(2, 3, 4, 5)] * 3, {"coeff": [1, -0.5, 2]}, formula=eltwise),
    Case("Eltwise", "sum-coeff-two", [(2, 3, 5)] * 2, {"coeff": [0.3, -1]}, formula=eltwise),
    Case("Eltwise", "prod", [(2, 3, 4, 5)] * 3, {"operation": "PROD"}, formula=eltwise),
    Case("Eltwise", "prod-two", [(3, 5)] * 2, {"operation": "PROD"}, formula=eltwise),
    Case(
        "Eltwise",
        "prod-zero",
        [np.array([[0.0, 1.5, 2.0]]), np.array([[3.0, 0.0, -1.0]]), np.array([[2.0, 0.0, 0.5]])],
        {"operation": "PROD"},
        formula=eltwise,
    ),
    Case(
        "Eltwise",
        "prod-quotient",
        [(2, 3, 4, 5)] * 3,
        {"operation": "PROD", "stable_prod_grad": False},
        formula=eltwise,
        span=(0.5, 2.0),
    ),
    Case("Eltwise", "max", [(2, 3, 4, 5)] * 3, {"operation": "MAX"}, formula=eltwise),
    Case("Eltwise", "max-two", [(3, 5)] * 2, {"operation": "max"}, formula=eltwise),
    Case("Eltwise", "max-volume", [(2, 3, 4, 5, 6)] * 2, {"operation": "MAX"}, formula=eltwise),
    broadcast("sum-channels", [(4, 3, 2, 5), (1, 3, 1, 1)], (4, 3, 2, 5)),
    broadcast("sum-row", [(4, 3), (3,)], (4, 3), NO_SMALL_ROWS),
    broadcast("sum-column", [(4, 1), (1, 3)], (4, 3)),
    broadcast("sum-scalar-first", [(), (4, 3, 2)], (4, 3, 2)),
    broadcast("sum-three", [(3, 1, 2), (4, 1, 1, 2), (1, 3, 5, 2)], (4, 3, 5, 2), NO_SMALL_ROWS),
    broadcast("sum-volume", [(2, 3, 4, 6, 5), (2, 1, 4, 1, 5)], (2, 3, 4, 6, 5)),
    broadcast("sum-coeff", [(1, 3), (4, 1), (4, 3)], (4, 3), coeff=[2, -0.5, 0.25]),
    broadcast("sum-alike", [(4, 3, 2, 5)] * 2, (4, 3, 2, 5)),
    broadcast("prod", [(4, 3, 2, 5), (4, 3, 1, 1)], (4, 3, 2, 5), operation="PROD"),
    broadcast("prod-outer", [(4, 1, 2), (3, 1), (1, 3, 2)], (4, 3, 2), NO_SMALL_ROWS, operation="PROD"),
    broadcast("prod-quotient", [(4, 1), (1, 3)], (4, 3), operation="PROD", stable_prod_grad=False),
    broadcast("max", [(4, 1, 2, 1), (1, 3, 1, 5)], (4, 3, 2, 5), operation="MAX"),
    broadcast("max-three", [(4, 3), (1, 3), (4, 1)], (4, 3), operation="MAX"),
    Case("Axpy", "image", [(2, 3), (2, 3, 4, 5), (2, 3, 4, 5)], formula=axpy),
    Case("Axpy", "axes-of-one", [(2, 3, 1, 1), (2, 3, 4, 5), (2, 3, 4, 5)], formula=axpy),
    Case("Axpy", "line", [(2, 3, 1), (2, 3, 5), (2, 3, 5)], formula=axpy),
    Case("Axpy", "volume", [(2, 3, 1, 1, 1), (2, 3, 4, 6, 5), (2, 3, 4, 6, 5)], formula=axpy),
    Case("Axpy", "rows", [(4, 3), (4, 3), (4, 3)], formula=axpy),
    *(
        each
        for operation in ("SUM", "ASUM", "SUMSQ", "MEAN")
        for each in (
            reduced(operation, "all", (2, 3, 4, 5)),
            reduced(operation, "samples", (2, 3, 4, 5), axis=1, coeff=2.5),
            reduced(operation, "channels", (2, 3, 4, 5, 6), axis=2),
            reduced(operation, "last", (2, 3, 4, 6, 5), axis=-1, coeff=-0.5),
            reduced(operation, "rows", (4, 3), axis=1),
            reduced(operation, "line", (2, 3, 5), axis=-2),
            reduced(operation, "vector", (5,)),
        )
    ),
    Case("Bias", "image", [(4, 3, 2, 5)], formula=bias),
    Case("Bias", "rows", [(4, 3)], {"filler": {"value": 0.5}}, formula=bias),
    Case("Bias", "volume", [(2, 3, 4, 6, 5)], formula=bias),
    Case("Bias", "axis-0", [(4, 3, 2)], {"axis": 0, "num_axes": 2}, formula=bias),
    Case("Bias", "axis-last", [(4, 3, 2, 5)], {"axis": -1}, formula=bias),
    Case("Bias", "two-axes", [(4, 3, 2, 5)], {"num_axes": 2}, formula=bias),
    Case("Bias", "axis-2-on", [(4, 3, 2, 5)], {"axis": -2, "num_axes": -1}, formula=bias),
    Case("Bias", "scalar", [(4, 3, 2, 5)], {"num_axes": 0}, formula=bias),
    Case("Bias", "scalar-no-axis-1", [(4,)], {"num_axes": 0}, formula=bias),
    Case("Bias", "scalar-to-scalar", [()], {"num_axes": 0}, formula=bias),
    Case("Bias", "by-bottom", [(4, 3, 2, 5), (3, 2)], formula=bias, no_zero_rows=NO_BIAS_ROWS),
    Case("Bias", "by-bottom-rows", [(4, 3, 2, 5), (4, 3)], {"axis": 0}, formula=bias),
    Case("Bias", "by-bottom-whole", [(4, 3, 2, 5), (4, 3, 2, 5)], {"axis": 0}, formula=bias),
    Case("Bias", "by-bottom-scalar", [(4, 3, 2), ()], formula=bias),
]
