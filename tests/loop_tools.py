"""What the tests of loops have in common: nets of one loop, and differences of their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

import layerkit as lk

STEPS, ROWS, WIDTH, UNITS = 7, 3, 4, 5
SPREAD = {"type": "gaussian", "std": 0.5}


def product(name: str, bottom: str, outputs: int, **more: Any) -> dict[str, Any]:
    filler = {"weight_filler": SPREAD, "bias_filler": SPREAD}
    return {"name": name, "type": "InnerProduct", "bottom": bottom, "num_output": outputs, **filler, **more}


def cell(units: int = UNITS) -> list[dict[str, Any]]:
    """h_new = tanh(W x + b + U h)."""
    return [
        product("i2h", "x", units),
        product("h2h", "h", units, bias_term=False),
        {"name": "sum", "type": "Eltwise", "bottom": ["i2h", "h2h"]},
        {"name": "h_new", "type": "TanH"},
    ]


def net_of(layer: dict[str, Any], inputs: dict[str, tuple[int, ...]], **settings: Any) -> lk.Net:
    """A net of one layer, called rnn, over inputs."""
    sources = [{"name": name, "type": "Input", "shape": list(shape)} for name, shape in inputs.items()]
    return lk.Net({"layers": [*sources, {"name": "rnn", **layer}]}, **{"dtype": "float64", **settings})


def simple(body: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    """A Recurrent of the cell above, or of another body."""
    fields = {"states": {"h": {"next": "h_new"}}, "outputs": ["h_new"], "bottom": ["x"], **more}
    return {"type": "Recurrent", "body": body or cell(), **fields}


def lent(net: lk.Net, to: lk.Net, names: dict[str, str]) -> None:
    """Copy weights of layer rnn, by name there and name here."""
    for theirs, ours in names.items():
        to.params["rnn"][theirs].data[...] = net.params["rnn"][ours].data


def check_gradients(
    net: lk.Net, given: dict[str, np.ndarray], steady: tuple[str, ...] = (), step: float = 1e-6
) -> None:
    """Every gradient of the net's outputs, weighted at random, against central differences."""
    rng = np.random.default_rng(5)
    outputs = {name: value.copy() for name, value in net.forward(**given).items()}
    seeds = {name: rng.normal(size=value.shape) for name, value in outputs.items()}
    found = {name: diff.copy() for name, diff in net.backward(**seeds).items()}
    arrays = {name: value for name, value in given.items() if name not in steady}
    trained = {key.removeprefix("rnn.") for key, slot in net.flat.slots.items() if slot.trained}
    owned = {name: blob for name, blob in net.params["rnn"].items() if name in trained}
    arrays |= {f"weight {name}": blob.data for name, blob in owned.items()}
    found |= {f"weight {name}": blob.diff.copy() for name, blob in owned.items()}
    for name, array in arrays.items():
        along = rng.normal(size=array.shape)
        kept, ends = array.copy(), []
        for sign in (1, -1):
            array[...] = kept + sign * step * along
            results = net.forward(**given)
            ends.append(sum(float(np.vdot(seeds[key], value)) for key, value in results.items()))
        array[...] = kept
        slope = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(np.vdot(found[name], along), slope, rtol=2e-7, atol=1e-8, err_msg=name)
