"""Whether an engine's kernels compute what the layers' own code does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerkit.blob import Array
from layerkit.checks.case import Case, Prepared, Request, poison, prepare
from layerkit.checks.layers import compare_all, subsets
from layerkit.engines import Engine, Kernel, Work

ALLOWED = 4.0
"""A kernel may be so many times further from float64 than the layer's own code in float32 is allowed to be."""


def check_engine(case: Case, engine: Engine) -> Kernel | None:
    """An engine's kernel for a case agrees with the layer's own code in float64, whatever it is asked for.

    Returns the kernel, or None where the engine leaves the layer to its own code. Raises CheckFailed.
    """
    with prepare(case, np.float32, channels_last=engine.channels_last) as lone:
        kernel = engine.kernel(_work(lone))
        if kernel is None:
            return None
        allowed = ALLOWED * case.float32_eps * float(np.finfo(np.float32).eps)
        want = _reference(case)
        lone.restore()
        for top in lone.top:
            poison(top.data)
        seeds = [top.diff.copy() for top in lone.top]
        run = kernel.forward(lone.bottom, lone.top)
        with lone.explained(f"the {engine.name} kernel's forward"), lone.watched("forward", _own(lone)):
            run()
        tops = {f"top {i}": top.data.copy() for i, top in enumerate(lone.top)}
        compare_all(f"{case}: {engine.name}: forward", tops, want, allowed)
        for asked in filter(None, subsets(lone.requests)):
            run()
            got = _backward(kernel, lone, asked, seeds)
            compare_all(f"{case}: {engine.name}: backward, asked for {asked}", got, want, allowed)
    return kernel


def _work(lone: Prepared) -> Work:
    bottoms = tuple(blob.shape for blob in lone.bottom)
    return Work((lone.layer,), bottoms, tuple(map(tuple, lone.plan.tops)), True)


def _reference(case: Case) -> dict[str, Array]:
    with prepare(case) as lone:
        return lone.forward() | (lone.backward(lone.requests) if lone.requests else {})


def _own(lone: Prepared) -> list[str]:
    """What forward may write."""
    own = [f"the data of top {i}" for i in range(len(lone.top))]
    return own + [f"the data of weight {name!r}" for name in lone.statistics]


def _backward(kernel: Kernel, lone: Prepared, asked: Sequence[Request], seeds: Sequence[Array]) -> dict[str, Array]:
    """What is asked for, with the blobs that backward says it does not read hidden, and all diffs poisoned before."""
    for blob in (*lone.bottom, *lone.layer.weights):
        poison(blob.diff)
    hidden = [blob for i, blob in enumerate(lone.bottom) if i not in kernel.reads_bottoms]
    hidden += [blob for i, blob in enumerate(lone.top) if i not in kernel.reads_tops]
    kept = [blob.data.copy() for blob in hidden]
    for blob in hidden:
        poison(blob.data)
    for top, seed in zip(lone.top, seeds, strict=True):
        top.diff[...] = seed
    down = [i in asked for i in range(len(lone.bottom))]
    names = [name for name in asked if isinstance(name, str)]
    own = [f"the diff of {f'bottom {each}' if isinstance(each, int) else f'weight {each!r}'}" for each in asked]
    own += [f"the diff of top {i}" for i in range(len(lone.top))]
    run = kernel.backward(lone.top, down, lone.bottom, [frozenset(names)])
    with lone.watched(f"backward, asked for {asked},", own):
        run()
    for blob, values in zip(hidden, kept, strict=True):
        blob.data[...] = values
    return {label: lone.blob(each).diff.copy() for label, each in zip(own, asked, strict=False)}
