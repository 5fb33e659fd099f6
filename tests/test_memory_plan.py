"""The memory plan: nothing that is needed is overwritten, the rest takes turns, and what is hidden says so."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from net_tools import CONFIG, MLP, fill, make
from test_net_random import layers

import layerkit as lk
from layerkit.blob import ALIGNMENT
from layerkit.graph import Ref
from layerkit.graph.memory import Key, Needs, Span, place, plan_memory
from layerkit.graph.units import Unit, UnitStep

# -- laying out ----------------------------------------------------------------------------------------------------


@st.composite
def groups(draw):
    found = []
    for i in range(draw(st.integers(1, 25))):
        start = draw(st.integers(0, 30))
        end = draw(st.integers(start, 31))
        found.append([Span(Key("data", Ref(f"b{i}")), draw(st.integers(0, 500)), start, end)])
    return found


@given(groups())
@settings(max_examples=200, deadline=None)
def test_arrays_that_are_needed_at_one_time_lie_apart(found):
    plan = place(found)
    spans = [group[0] for group in found]
    for i, a in enumerate(spans):
        low, high = plan.offsets[a.key], plan.offsets[a.key] + a.size
        assert low % ALIGNMENT == 0
        assert high <= plan.size
        for b in spans[:i]:
            if a.start <= b.end and b.start <= a.end:
                assert high <= plan.offsets[b.key] or plan.offsets[b.key] + b.size <= low
    at_once = max(sum(s.size for s in spans if s.start <= t <= s.end) for t in range(32))
    assert at_once <= plan.size <= sum(-(-s.size // ALIGNMENT) * ALIGNMENT for s in spans)


PLAIN = Needs(frozenset({0}), frozenset({0}), False, False)
SHARING = Needs(frozenset(), frozenset({0}), True, True)
A, B, C, D = (Ref(name) for name in "abcd")


def chain(*needs):
    """A net a -> b -> c -> d of as many units as `needs`, the first a source."""
    refs = [A, B, C, D][: len(needs)]
    units = [Unit((0,), (), (A,))]
    units += [Unit((i,), (refs[i - 1],), (refs[i],)) for i in range(1, len(refs))]
    steps = [UnitStep(i, (i > 1,), (frozenset(),)) for i in range(len(refs) - 1, 0, -1)]
    return units, list(needs), steps, dict.fromkeys(refs, (16,))


def offsets(plan, kind="data"):
    return {key.ref.name: offset for key, offset in plan.offsets.items() if key.kind == kind}


def test_without_a_backward_pass_two_arrays_take_turns():
    units, needs, _, shapes = chain(PLAIN, PLAIN, PLAIN, PLAIN)
    plan = plan_memory(units, needs, [], shapes, pinned=[])
    at = offsets(plan)
    assert at["a"] == at["c"] != at["b"] == at["d"]
    assert plan.size == 128


def test_what_may_be_done_in_place_is():
    units, needs, _, shapes = chain(PLAIN, SHARING, SHARING, SHARING)
    assert plan_memory(units, needs, [], shapes, pinned=[]).size == 64
    assert plan_memory(units, needs, [], shapes, pinned=[A]).size == 128


def test_in_training_what_backward_reads_stays_and_diffs_take_turns():
    units, needs, steps, shapes = chain(PLAIN, PLAIN, PLAIN, PLAIN)
    plan = plan_memory(units, needs, steps, shapes, pinned=[])
    assert len(set(offsets(plan).values())) == 4
    diffs = offsets(plan, "diff")
    assert diffs.keys() == {"b", "c", "d"}  # nobody asks for that of the source
    assert plan.size == 64 * 6


def test_pinned_data_and_diffs_stay():
    units, needs, steps, shapes = chain(PLAIN, SHARING, SHARING, SHARING)
    plan = plan_memory(units, needs, steps, shapes, pinned=[B], pinned_diffs=[C])
    data, diffs = offsets(plan), offsets(plan, "diff")
    assert data["b"] not in {data["a"], data["c"], data["d"], *diffs.values()}
    assert diffs["b"] != diffs["c"]  # though it could be written in place


def test_a_diff_that_is_passed_on_is_one_array_unless_that_would_spoil_it():
    """d = a + b with a = f(b): the sum gives its diff to both; f's backward may change its top's diff."""
    refs = dict.fromkeys([A, B, D], (16,))
    units = [Unit((0,), (), (B,)), Unit((1,), (B,), (A,)), Unit((2,), (A, B), (D,))]
    steps = [UnitStep(2, (True, True), (frozenset(),)), UnitStep(1, (True,), (frozenset(),))]
    passing = Needs(frozenset(), frozenset(), False, True, passes=frozenset({0, 1}))
    for spoils, one in ((False, True), (True, False)):
        f = Needs(frozenset(), frozenset(), False, False, spoils=spoils)
        at = offsets(plan_memory(units, [PLAIN, f, passing], steps, refs, pinned=[], pinned_diffs=[B]), "diff")
        assert at["a"] == at["d"]
        assert (at["b"] == at["d"]) == one


def test_work_arrays_have_one_area_and_those_that_are_kept_their_own_place():
    units, _, steps, shapes = chain(PLAIN, PLAIN)
    works = PLAIN._replace(scratch=(("x", 100, False), ("y", 30, False), ("z", 50, True)))
    plan = plan_memory(units, [works, works], steps, shapes, pinned=[])
    at = {(key.unit, key.what): offset for key, offset in plan.offsets.items() if key.kind == "scratch" and key.what}
    assert at[0, "x"] == at[1, "x"]
    assert at[0, "y"] == at[1, "y"] == at[0, "x"] + 128
    assert len({at[0, "z"], at[1, "z"], at[0, "x"]}) >= 2


# -- nets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(24))
def test_a_random_net_computes_the_same_bits_in_planned_memory(seed):
    nets = [make(layers(seed)), make(layers(seed), keep=())]
    for net in nets:
        fill(net)
    for batch in range(3):
        x = np.random.default_rng(batch).uniform(-1, 1, (3, 3))
        results = []
        for net in nets:
            net.forward(data=x)
            loss = net.loss
            net.backward(accumulate=batch == 2)
            results.append((loss, net.flat.diff.copy()))
        assert results[0][0] == results[1][0]
        np.testing.assert_array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize("engine", ["numpy", "auto"])
def test_a_run_in_planned_memory_ends_with_the_same_bits(engine):
    run = {
        "net": yaml.safe_load(CONFIG),
        "solver": {"base_lr": 0.1, "max_iter": 12, "iter_size": 2, "momentum": 0.9, "test_interval": 5},
    }
    solvers = [lk.Solver(run, engine=engine, keep=keep) for keep in ("all", (), ["act"])]
    tests = [solver.solve() for solver in solvers]
    assert tests[0] == tests[1] == tests[2]
    for other in solvers[1:]:
        np.testing.assert_array_equal(other.net.flat.values, solvers[0].net.flat.values)


def test_what_is_not_kept_says_so():
    net = make(MLP, keep=["fc2"])
    fill(net)
    net.forward()
    net.backward()
    assert net.blobs["fc1"].shape == (4, 5)
    assert not net.blobs["fc1"].has_diff
    for name, what in (("fc1", "data"), ("fc1", "diff"), ("loss", "diff")):
        with pytest.raises(
            lk.UsageError, match=rf"the {what} of blob '{name}' is not kept.*keep='all'.*keep=\['{name}'\]"
        ):
            getattr(net.blobs[name], what)
    plain = make(MLP)
    fill(plain)
    plain.forward()
    plain.backward()
    for name in ("data", "label", "loss", "fc2"):
        np.testing.assert_array_equal(net.blobs[name].data, plain.blobs[name].data)
    np.testing.assert_array_equal(net.blobs["fc2"].diff, plain.blobs["fc2"].diff)


def test_what_a_net_with_little_memory_cannot_do_says_so():
    net = make(MLP, keep=())
    net.forward()
    with pytest.raises(lk.UsageError, match=r"a partial forward pass needs every blob; make the net with keep='all'"):
        net.forward(end="fc1")
    with pytest.raises(lk.UsageError, match=r"a partial backward pass needs every blob"):
        net.backward(start="fc1")
    with pytest.raises(lk.UsageError, match=r"a backward pass from given diffs needs every blob"):
        net.backward(fc2=np.zeros((4, 2)))
    with pytest.raises(lk.UsageError, match=r"no memory for a backward pass; make it with keep='all'"):
        make(MLP, "test", keep=()).backward()
    with pytest.raises(lk.UnknownNameError, match=r"there is no blob to keep 'fc3'; did you mean 'fc2'"):
        make(MLP, keep=["fc3"])


def test_the_inputs_gradients_are_kept_where_they_are_asked_for():
    text = f"force_backward: true\nlayers:{MLP}"
    nets = [lk.Net(text, dtype="float64", keep=keep) for keep in ("all", ())]
    found = []
    for net in nets:
        fill(net)
        net.forward()
        found.append(net.backward()["data"].copy())
    np.testing.assert_array_equal(*found)
    assert found[0].any()


def test_the_bytes_told_are_those_of_the_arrays():
    net = lk.Net(CONFIG, keep=(), engine="numpy")
    net.forward()
    net.backward()
    assert net.bytes["blobs"] == net._store.arena.nbytes
    assert net.bytes["weights"] == 2 * net.flat.values.nbytes
    kept = lk.Net(CONFIG, engine="numpy")
    kept.forward()
    kept.backward()
    assert net.bytes["blobs"] < kept.bytes["blobs"]
    blobs = {id(blob): blob for blob in kept._store.versions.values()}.values()
    scratch = [array for layer in kept.layers.values() for array in vars(layer.scratch).values()]
    assert kept.bytes["blobs"] == sum(
        blob.data.nbytes + (blob.diff.nbytes if blob.has_diff else 0) for blob in blobs
    ) + sum(array.nbytes for array in scratch)
