"""GRU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerkit.blob import Array
from layerkit.layer import Bottoms, Scratch, Tops, Weight
from layerkit.layers.activation.logistic import logistic
from layerkit.layers.recurrent.recurrence import Recurrence, RecurrenceParams, parts
from layerkit.registry import register


@register
class GRU(Recurrence):
    """Gated recurrent unit: a state of which each step keeps a share z, and replaces the rest.

        ar, az, an = x[t] W_xh^T + b_h + static W_xh_static^T      (D numbers each)
        pr, pz, pn = carried W_hh^T,  carried = cont[t] h[t-1]
        r = sigmoid(ar + pr),  z = sigmoid(az + pz),  n = tanh(an + r (pn + b_hn))
        h[t] = (1 - z) n + z carried

    The gate r acts after the product with W_hh, as in PyTorch and cuDNN, not on h before it as in the first paper: so
    one product a step serves all three. Where cont is 0 a sequence begins, and h before it counts as 0; where it is 1
    the sequence goes on, at t = 0 from the batch before.

    Bottoms: x (T, N, ...), T steps of N sequences, K numbers each; cont (T, N), 0 or 1, without gradient; optionally a
    static input (N, ...), J numbers for each sequence; with expose_hidden, h before the first step, (1, N, D).
    Tops: h (T, N, D), D = num_output; with expose_hidden, h after the last step, (1, N, D).
    Weights: W_xh (3 D, K), b_h (3 D,), with a static input W_xh_static (3 D, J), W_hh (3 D, D), b_hn (D,); rows in
    PyTorch's order r, z, n. PyTorch's two biases add up in b_h, but for n's second one, which is b_hn.
    The gradient goes back to the first step of the batch, and with expose_hidden into h before it.
    Raises ShapeError where the bottoms do not fit together, or where there are too many or too few.

    Example: {name: gru, type: GRU, bottom: [steps, cont], num_output: 32, weight_filler: {type: uniform, min: -0.1,
      max: 0.1}}
    Source: Cho et al. 2014 (arXiv:1406.1078), in the form of torch.nn.GRU; bottoms and tops as in Caffe's LSTM.
    """

    class Params(RecurrenceParams):
        """Parameters of GRU."""

    bottoms = (2, 4)
    tops = (1, 2)
    gates = 3

    def more_weights(self) -> Sequence[Weight]:
        return [Weight("b_hn", (self.params.num_output,), self.params.bias_filler)]

    def more_scratch(self, t: int, n: int) -> Sequence[Scratch]:
        d = self.params.num_output
        return [Scratch("pn", (t, n, d), keep=True), Scratch("dproducts", (t, n, 3 * d))]

    def step(self, t: int, gates: Array, product: Array, states: Sequence[Array]) -> None:
        (h,), carried, part, d = states, self.scratch.carried_h[t], self.scratch.part, self.params.num_output
        pn = np.add(product[:, 2 * d :], self.weights.b_hn.data, out=self.scratch.pn[t])
        gates[:, : 2 * d] += product[:, : 2 * d]
        logistic(gates[:, : 2 * d], out=gates[:, : 2 * d])
        r, z, n = parts(gates, 3)  # (N, D) each
        n += np.multiply(r, pn, out=part)
        np.tanh(n, out=n)
        np.subtract(carried, n, out=h)
        h *= z
        h += n  # (1 - z) n + z carried

    def slopes(self, dgates: Array) -> None:
        dproducts, carried = self.scratch.dproducts, self.scratch.carried_h
        (r, z, n), (dr, dz, dn) = parts(self.scratch.gates, 3), parts(dgates, 3)
        np.square(n, out=dn)
        np.subtract(1, dn, out=dn)
        dn *= np.subtract(1, z, out=dr)
        np.subtract(1, r, out=dr)
        dr *= r
        dr *= self.scratch.pn
        dr *= dn
        np.subtract(1, z, out=dz)
        dz *= z
        dz *= np.subtract(carried, n, out=parts(dproducts, 3)[2])
        np.copyto(dproducts, dgates)
        parts(dproducts, 3)[2][...] *= r  # only this one differs between the gates and the product

    def step_back(self, t: int, dgates: Array, diffs: Sequence[Array]) -> Array:
        (dh,), dproduct = diffs, self.scratch.dproducts[t]
        for each in (*parts(dgates, 3), *parts(dproduct, 3)):
            each *= dh
        dh *= parts(self.scratch.gates[t], 3)[1]
        result: Array = dproduct
        return result

    def step_tangent(self, t: int, gates: Array, product: Array, carried: Sequence[Array]) -> Sequence[Array]:
        (r, z, n), (t_r, t_z, t_n) = parts(self.scratch.gates[t], 3), parts(gates, 3)
        p_r, p_z, p_n = parts(product, 3)
        pn, t_pn = self.scratch.pn[t], p_n + self.weight_tangents.get("b_hn", 0)
        new = (1 - n**2) * (t_n + r * (1 - r) * (t_r + p_r) * pn + r * t_pn)
        return ((1 - z) * new + z * (1 - z) * (t_z + p_z) * (self.scratch.carried_h[t] - n) + z * carried[0],)

    def product_diffs(self) -> Array:
        dproducts: Array = self.scratch.dproducts
        return dproducts

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        super().backward(top, propagate_down, bottom)
        if "b_hn" in self.asked:
            np.sum(parts(self.scratch.dproducts, 3)[2], axis=(0, 1), out=self.weights.b_hn.diff)
