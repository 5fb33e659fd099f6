"""The nets of a run: the one that is trained, and the test nets, which share its weights."""

from __future__ import annotations

from collections.abc import Mapping

from layerkit import graph
from layerkit.given import Keep
from layerkit.net import Net
from layerkit.spec import RunSpec


def nets_of(
    run: RunSpec, graphs: Mapping[str, graph.Graph], dtype: str, engine: str, keep: Keep, allow_python: bool
) -> tuple[Net, dict[str, Net]]:
    """The train net of a run, and its test nets by name, if it speaks of tests; graphs that lack are built.

    `dtype`, `engine`, `keep` and `allow_python` as in Net. Raises ConfigError.
    """
    nets: dict[str, Net] = {}
    for phase in [phase for phase in graph.phases_of(run) if phase != "predict"]:
        for key, state in run.states(phase).items():
            built = graphs.get(key) or graph.build(run.net, phase, state.level, state.stages, allow_python=allow_python)
            seed = run.solver.random_seed if run.solver is not None else 0
            share = nets.get("train")
            nets[key] = Net.from_graph(built, seed=seed, dtype=dtype, engine=engine, keep=keep, share=share)
    train = nets.pop("train")
    names = run.solver.tests if run.solver is not None else ["test"]
    return train, dict(zip(names, nets.values(), strict=False))
