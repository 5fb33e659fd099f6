"""What the tests of define by run share."""

import numpy as np
import pytest

import layerkit as lk
import layerkit.eager as F  # noqa: N812 - as in the guide

RNG = np.random.default_rng(7)
X = RNG.normal(size=(4, 5))
LABELS = np.array([0, 2, 1, 2])


def differences(tape, compute, array, step=1e-6):
    """The gradient of what `compute` returns by central differences, of an array that it reads."""
    found = np.empty_like(array)
    for index in np.ndindex(array.shape):
        before = array[index]
        values = []
        for moved in (before + step, before - step):
            array[index] = moved
            with tape:
                values.append(float(compute()))
        array[index] = before
        found[index] = (values[0] - values[1]) / (2 * step)
    return found


def expect_same_net(tape):
    """The net that the tape writes down computes what the tape did, to the bit, forward and backward."""
    tape.zero()
    tape.backward()
    net = tape.to_net()
    net.forward()
    net.backward()
    slots = net.flat.slots.values()
    diffs = {slot.uses[0].key: slot.blob.diff for slot in slots if slot.trained}
    assert {key: diff.tolist() for key, diff in diffs.items()} == {
        key: blob.diff.tolist() for key, blob in tape.params.items() if blob.diff.any() or key in diffs
    }
    variables = [each for step in tape.steps for each in ((step,) if isinstance(step, F.Variable) else step.tops)]
    net.backward(**{each.name: np.full(each.shape, each.loss_weight) for each in variables if each.loss_weight})
    for variable in variables:  # this pass goes to the inputs, as a tape's does
        np.testing.assert_array_equal(net.blobs[variable.name].data, variable.data, strict=True)
        np.testing.assert_array_equal(net.blobs[variable.name].diff, variable.diff, strict=True)
    assert lk.Net(tape.to_yaml()).graph.shapes == net.graph.shapes
    return net


def wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()
