"""Cases of the linear layers."""

import numpy as np

from layerkit.checks import Case


def inner_product(bottoms, weights, p):
    """One inner product at a time, straight from the definition."""
    x = bottoms[0]
    axis = p.axis % x.ndim
    w = weights[0].T if p.transpose else weights[0]
    y = np.zeros((*x.shape[:axis], p.num_output))
    for place in np.ndindex(x.shape[:axis]):
        for n in range(p.num_output):
            y[(*place, n)] = sum(x[place].ravel() * w[n]) + (weights[1][n] if p.bias_term else 0)
    return [y]


def embed(bottoms, weights, p):
    """Each number as a one-hot vector, times the table."""
    x = bottoms[0]
    y = np.zeros((*x.shape, p.num_output))
    for place in np.ndindex(x.shape):
        hot = [float(k == x[place]) for k in range(p.input_dim)]
        y[place] = sum(h * row for h, row in zip(hot, weights[0], strict=True))
        if p.bias_term:
            y[place] += weights[1]
    return [y]


def mat_mul(bottoms, weights, p):
    """One element at a time; a leading axis that is missing or 1 is always read at 0."""
    a, b = bottoms
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    m, k = a.shape[:-3:-1] if p.transpose_a else a.shape[-2:]
    n = b.shape[-2 if p.transpose_b else -1]

    def matrix(x, place):
        own = x.shape[:-2]
        return x[tuple(0 if length == 1 else i for i, length in zip(place[len(place) - len(own) :], own, strict=True))]

    y = np.zeros((*lead, m, n))
    for place in np.ndindex(lead):
        left, right = matrix(a, place), matrix(b, place)
        for i, j in np.ndindex(m, n):
            y[(*place, i, j)] = sum(
                (left[q, i] if p.transpose_a else left[i, q]) * (right[j, q] if p.transpose_b else right[q, j])
                for q in range(k)
            )
    return [y]


def table(name, x, dim, **params):
    return Case("Embed", name, [np.asarray(x)], {"num_output": 3, "input_dim": dim, **params}, formula=embed)


def product(name, a, b, **params):
    zero = "axis 0 is what is summed over, or is 1 in one of the two" if a[0] != b[0] or len(a) < 3 else ""
    return Case("MatMul", name, [a, b], params, formula=mat_mul, no_zero_rows=zero)


FILLED = {"weight_filler": "xavier", "bias_filler": {"type": "constant", "value": 0.2}}

CASES = [
    Case("InnerProduct", "rows", [(4, 6)], {"num_output": 5, **FILLED}, formula=inner_product),
    Case("InnerProduct", "image", [(5, 4, 3, 2)], {"num_output": 7}, formula=inner_product),
    Case("InnerProduct", "volume", [(5, 4, 3, 2, 6)], {"num_output": 7}, formula=inner_product),
    Case("InnerProduct", "no-bias", [(4, 6)], {"num_output": 5, "bias_term": False}, formula=inner_product),
    Case("InnerProduct", "transpose", [(4, 6)], {"num_output": 5, "transpose": True}, formula=inner_product),
    Case(
        "InnerProduct", "transpose-image", [(5, 4, 3, 2)], {"num_output": 7, "transpose": True}, formula=inner_product
    ),
    Case("InnerProduct", "axis-0", [(2, 3, 4)], {"num_output": 5, "axis": 0}, formula=inner_product),
    Case("InnerProduct", "axis-2", [(2, 3, 4, 5)], {"num_output": 6, "axis": 2}, formula=inner_product),
    Case("InnerProduct", "axis-3", [(2, 3, 4, 5)], {"num_output": 6, "axis": 3}, formula=inner_product),
    Case(
        "InnerProduct",
        "axis-last",
        [(2, 3, 4)],
        {"num_output": 5, "axis": -1, "transpose": True},
        formula=inner_product,
    ),
    Case("InnerProduct", "axis-4", [(2, 3, 4, 5, 6)], {"num_output": 7, "axis": 4}, formula=inner_product),
    Case("InnerProduct", "vector", [(4,)], {"num_output": 5, "axis": 0}, formula=inner_product),
    table("rows", [[1, 5], [0, 2], [5, 5], [1, 1]], 6, **FILLED),
    table("no bias", [3, 0, 3, 8], 9, bias_term=False),
    table("one number", 2, 4),
    table("three axes", np.arange(24).reshape(4, 3, 2) % 7, 7),
    table("map", np.arange(48).reshape(2, 4, 3, 2) % 7, 7),
    table("five axes", np.arange(48).reshape(2, 4, 1, 3, 2) % 5, 7),
    product("matrices", (4, 3), (3, 5)),
    product("batch", (2, 4, 3), (2, 3, 5)),
    product("transpose a", (2, 3, 4), (2, 3, 5), transpose_a=True),
    product("transpose b", (2, 4, 3), (2, 5, 3), transpose_b=True),
    product("transpose both", (2, 3, 4), (2, 5, 3), transpose_a=True, transpose_b=True),
    product("heads", (2, 6, 4, 3), (2, 6, 5, 3), transpose_b=True),
    product("five axes", (2, 3, 6, 4, 5), (2, 3, 6, 5, 7)),
    product("one matrix for all", (2, 6, 4, 3), (3, 5)),
    product("one matrix for all, turned", (4, 3), (2, 6, 5, 4), transpose_a=True, transpose_b=True),
    product("stretched both ways", (2, 1, 4, 3), (6, 3, 5)),
    product("stretched both ways, turned", (6, 3, 4), (2, 1, 5, 3), transpose_a=True, transpose_b=True),
    product("axis of one in front", (6, 4, 3), (1, 6, 3, 5)),
]
