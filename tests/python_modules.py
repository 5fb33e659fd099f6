"""Modules with classes for layers of type Python, and nets that may run them."""

import sys
import textwrap

import pytest

import layerkit as lk

CAFFE = "class Layer:\n    pass\n"

EUCLIDEAN = """
    import caffe
    import numpy as np

    class Euclidean(caffe.Layer):
        '''Half the mean squared distance; adds to the diffs, as Caffe lets it.'''

        def setup(self, bottom, top):
            if len(bottom) != 2:
                raise Exception("two bottoms are needed")

        def reshape(self, bottom, top):
            self.difference = np.zeros_like(bottom[0].data)
            top[0].reshape(1)

        def forward(self, bottom, top):
            self.difference[...] = bottom[0].data - bottom[1].data
            top[0].data[...] = np.sum(self.difference**2) / bottom[0].num / 2

        def backward(self, top, propagate_down, bottom):
            for blob, sign in zip(bottom, (1, -1)):
                blob.diff[...] += sign * top[0].diff[0] * self.difference / blob.num
"""

COUNTER = """
    class Counter:
        '''Numbers in turn, three a batch; label is their parity.'''

        def setup(self, bottom, top):
            self.next = int(self.param_str or 0)
            top[0].reshape(3, 2)
            top[1].reshape(3)

        def reshape(self, bottom, top):
            pass

        def forward(self, bottom, top):
            for row in range(3):
                top[0].data[row] = self.next
                top[1].data[row] = self.next % 2
                self.next += 1

        def backward(self, top, propagate_down, bottom):
            pass
"""

AFFINE = """
    import numpy as np

    class Affine:
        '''y = a x + b, one a and b a column.'''

        def setup(self, bottom, top):
            columns = bottom[0].shape[1]
            self.blobs.add_blob(columns)
            self.blobs.add_blob(columns)
            self.blobs[0].data[...] = np.arange(1, columns + 1)
            self.blobs[1].data[...] = -1

        def reshape(self, bottom, top):
            top[0].reshape(*bottom[0].data.shape)

        def forward(self, bottom, top):
            top[0].data[...] = self.blobs[0].data * bottom[0].data + self.blobs[1].data

        def backward(self, top, propagate_down, bottom):
            self.blobs[0].diff[...] += (top[0].diff * bottom[0].data).sum(axis=0)
            self.blobs[1].diff[...] += top[0].diff.sum(axis=0)
            if propagate_down[0]:
                bottom[0].diff[...] = self.blobs[0].data * top[0].diff
"""

KEEP = """
    class Keep:
        '''The rows that begin with a number above 0: as many as there are, of which reshape knows nothing.'''

        def setup(self, bottom, top):
            top[0].reshape(1, 2)

        def reshape(self, bottom, top):
            pass

        def forward(self, bottom, top):
            self.kept = bottom[0].data[:, 0] > 0
            top[0].reshape(int(self.kept.sum()), bottom[0].channels)
            top[0].data[...] = bottom[0].data[self.kept]

        def backward(self, top, propagate_down, bottom):
            bottom[0].diff[self.kept] = top[0].diff
"""


@pytest.fixture(name="module")
def modules(tmp_path, monkeypatch):
    """`module(text)` writes a module into a folder on Python's path and returns its name, which is new each time."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    (folder / "caffe.py").write_text(CAFFE)

    def write(text: str) -> str:
        name = f"user_module_{len(list(folder.glob('*.py')))}"
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
        return name

    yield write
    for name in set(sys.modules) - before:
        if name == "caffe" or name.startswith("user_module_"):
            del sys.modules[name]


def net(*layers, phase="train", **options):
    return lk.Net({"layers": list(layers)}, phase, allow_python=True, **options)


def user(module, layer, name="user", **fields):
    return {"name": name, "type": "Python", "module": module, "layer": layer, **fields}
