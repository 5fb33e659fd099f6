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
]
