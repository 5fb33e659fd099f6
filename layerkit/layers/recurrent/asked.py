"""What is asked of a way's backward pass: the same for all that it prepares and runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from layerkit.layers.recurrent.roles import LEARNED

if TYPE_CHECKING:
    from layerkit.layers.recurrent.way import Way


class Asked:
    """What is to get gradients, where bottoms are asked for as `down` says and weights as the layer's `asked`."""

    def __init__(self, way: Way, down: Sequence[bool]):
        self._way, self._down = way, down
        inside, asked = f"{way.name}/", way.layer.asked
        self.weights = {name.removeprefix(inside): name for name in asked if name.startswith(inside)}
        """Those of the body: their names there, and the layer's."""
        learned = [state for state, each in way.states.items() if each.start == LEARNED]
        self.learned = [state for state in learned if way.learned_start(state) in asked]
        """States whose learned start is asked for."""
        self.begins = self.learned if way.roles.cont is not None else []
        """States of which the gradient of what they begin anew with is wanted."""
        parts = (way.roles.sliced, way.roles.static)
        self.inputs = [name for part in parts for name, bottom in part.items() if down[bottom]]
        """What the body reads of the bottoms."""

    def starts(self, piece: int) -> list[str]:
        """The states that a gradient goes to before a piece."""
        within = self._way.truncate is None and piece > 0
        return [state for state in self._way.states if within or (piece == 0 and self._start(state))]

    def _start(self, state: str) -> bool:
        """Whether somebody wants the gradient of what a state starts as."""
        if self._way.carry:
            return False
        start = self._way.roles.starts.get(state)
        return self._down[start] if start is not None else state in self.learned
