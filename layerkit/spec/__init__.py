"""Models of what a file can say: RunSpec, NetSpec, SolverSpec, and LayerSpec with its type's parameters."""

from layerkit.spec.amounts import Epochs
from layerkit.spec.differences import differences
from layerkit.spec.layer import PHASES, LayerSpec, NetState, ParamSpec, Rule, read_layer
from layerkit.spec.run import Block, NetSpec, Origin, RunSpec, load_run, read_net
from layerkit.spec.solver import AverageSpec, BestSpec, EarlyStoppingSpec, PlateauSpec, SolverSpec, StateSpec

__all__ = [
    "PHASES",
    "AverageSpec",
    "BestSpec",
    "Block",
    "EarlyStoppingSpec",
    "Epochs",
    "LayerSpec",
    "NetSpec",
    "NetState",
    "Origin",
    "ParamSpec",
    "PlateauSpec",
    "Rule",
    "RunSpec",
    "SolverSpec",
    "StateSpec",
    "differences",
    "load_run",
    "read_layer",
    "read_net",
]
