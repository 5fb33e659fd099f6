"""Variable: what a call returns, an array with a gradient that knows which call made it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import UsageError

if TYPE_CHECKING:
    from layerkit.eager.tape import Tape

Operand: TypeAlias = "Variable | npt.ArrayLike"


class Variable:
    """A blob of a run: `data`, and `diff` (or `grad`), which backward passes add to; both of shape `shape`.

    Variables are combined by + - * / ** and @, with numpy's broadcasting; a formula of them is one call of
    `expression`. What Python is to decide by goes through numbers: `if float(x) > 0`, `while (x.data > 1).any()`.
    """

    __slots__ = ("_diff", "data", "loss_weight", "name", "run", "tape")
    __array_ufunc__ = None  # so that numpy leaves `array * variable` to the variable

    def __init__(self, tape: Tape, run: int, name: str, data: Array, loss_weight: float = 0.0):
        self.tape = tape
        self.run = run
        """The number of the run that it belongs to."""
        self.name = name
        """The blob's name in the net that is recorded."""
        self.data = data
        self.loss_weight = loss_weight
        """Its weight in the loss; 0 of what is no loss."""
        self._diff: Array | None = None

    @property
    def shape(self) -> Shape:
        """The shape of `data` and `diff`."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type of `data` and `diff`."""
        return self.data.dtype

    @property
    def diff(self) -> Array:
        """The gradient: the sum of what backward passes gave; zeros where none did."""
        if self._diff is None:
            self._diff = np.zeros_like(self.data)
        return self._diff

    @property
    def grad(self) -> Array:
        """The same as `diff`."""
        return self.diff

    def backward(self, diff: npt.ArrayLike | None = None) -> None:
        """Add the gradients of this variable to the `diff` of all that it was computed from, weights included.

        Its own gradient is `diff`; left out, its weight in the loss, or 1 of what is no loss. Raises UsageError where
        that is left out and there is more than one number, ShapeError for another shape.
        """
        if diff is None:
            if math.prod(self.shape) != 1:
                what = f"{self.name!r} is {shape_text(self.shape)}, not one number"
                raise UsageError(f"{what}; give its gradient: backward(diff)")
            diff = np.full(self.shape, self.loss_weight or 1.0, self.dtype)
        self.tape.backward({self: diff})

    def __float__(self) -> float:
        return float(self.data.item())

    def __bool__(self) -> bool:
        if math.prod(self.shape) != 1:
            what = f"{self.name!r} is {shape_text(self.shape)}, not one number"
            raise UsageError(f"{what}, so it is neither true nor false; say which elements, as in x.data.any()")
        return bool(self.data.item())

    def __len__(self) -> int:
        return len(self.data)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self.data, dtype, copy=copy)

    def __repr__(self) -> str:
        return f"<Variable {self.name!r} {shape_text(self.shape)}: {np.array2string(self.data, threshold=20)}>"

    # -- arithmetic --------------------------------------------------------------------------------------------------

    def __add__(self, other: Operand) -> Variable:
        return self._combine("add", "+", other)

    def __radd__(self, other: Operand) -> Variable:
        return self._combine("add", "+", other, swapped=True)

    def __sub__(self, other: Operand) -> Variable:
        return self._combine("sub", "-", other)

    def __rsub__(self, other: Operand) -> Variable:
        return self._combine("sub", "-", other, swapped=True)

    def __mul__(self, other: Operand) -> Variable:
        return self._combine("mul", "*", other)

    def __rmul__(self, other: Operand) -> Variable:
        return self._combine("mul", "*", other, swapped=True)

    def __truediv__(self, other: Operand) -> Variable:
        return self._combine("div", "/", other)

    def __rtruediv__(self, other: Operand) -> Variable:
        return self._combine("div", "/", other, swapped=True)

    def __pow__(self, other: Operand) -> Variable:
        return self._combine("pow", "**", other)

    def __rpow__(self, other: Operand) -> Variable:
        return self._combine("pow", "**", other, swapped=True)

    def __matmul__(self, other: Operand) -> Variable:
        return self._combine("matmul", "@", other)

    def __rmatmul__(self, other: Operand) -> Variable:
        return self._combine("matmul", "@", other, swapped=True)

    def __neg__(self) -> Variable:
        return self._formula("neg", "-a", {"a": self})

    def _combine(self, stem: str, sign: str, other: Operand, swapped: bool = False) -> Variable:
        """One operator as a formula; a plain number is a constant in it."""
        if self is other:
            return self._formula(stem, f"a {sign} a", {"a": self})
        left, right = (other, self) if swapped else (self, other)
        if isinstance(other, (int, float)):
            expr = f"c {sign} a" if swapped else f"a {sign} c"
            return self._formula(stem, expr, {"a": self}, constants={"c": other})
        return self._formula(stem, f"a {sign} b", {"a": left, "b": right})

    def _formula(self, stem: str, expr: str, operands: dict[str, Any], **more: Any) -> Variable:
        made = self.tape.call(
            "Expression", list(operands.values()), {"expr": expr, "names": list(operands), **more}, stem=stem
        )
        assert isinstance(made, Variable)  # an expression of one formula has one top
        return made
