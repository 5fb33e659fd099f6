"""Descriptors, memories and primitives as Python objects that own what they point to."""

from __future__ import annotations

import ctypes
import math
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layerkit.blob import Array, Shape, aligned
from layerkit.engines.kernel import Run
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.library import Library, StatusError
from layerkit.errors import LayerkitError

_HELD = {np.dtype(np.float32): c.F32, np.dtype(np.int32): c.S32}


class Desc:
    """How an array lies in memory: shape, element type, strides or a packed format of oneDNN's own."""

    def __init__(self, library: Library, handle: int):
        self.library = library
        self.handle = handle

    def __del__(self) -> None:
        self.library.dnnl_memory_desc_destroy(self.handle)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Desc) and bool(self.library.dnnl_memory_desc_equal(self.handle, other.handle))

    __hash__ = None  # type: ignore[assignment]

    @property
    def size(self) -> int:
        """Bytes of an array that lies so."""
        return int(self.library.dnnl_memory_desc_get_size(self.handle))


class Memory:
    """An array as oneDNN sees it. It keeps the array alive, which oneDNN does not."""

    def __init__(self, desc: Desc, array: Array):
        self.desc = desc
        self.array = array
        self.handle = desc.library.make("dnnl_memory_create", desc.handle, desc.library.engine, array.ctypes.data)

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self.desc.library.dnnl_memory_destroy(self.handle)

    def move(self, array: Array) -> None:
        """Point to another array that lies in the same way."""
        self.desc.library.dnnl_memory_set_data_handle(self.handle, array.ctypes.data)
        self.array = array


class Primitive:
    """One computation for fixed shapes, compiled. `run` binds it to arrays."""

    def __init__(self, context: Context, name: str, arguments: Sequence[Any], attributes: Attributes | None = None):
        library = context.library
        self.context = context
        self.name = name
        self._kept = arguments  # descriptors may be referred to
        attributes = attributes or Attributes(library)
        self.descriptor = library.describe(name, *map(_plain, arguments), attributes.handle)
        self.attributes = attributes
        self.handle = 0
        try:
            self.handle = library.make("dnnl_primitive_create", self.descriptor)
        except StatusError as error:
            library.dnnl_primitive_desc_destroy(self.descriptor)
            self.descriptor = 0
            raise LayerkitError(f"{error} ({name})") from None
        self.scratchpad = self.desc(c.SCRATCHPAD_MD)

    def __del__(self) -> None:
        if getattr(self, "handle", 0):
            self.context.library.dnnl_primitive_destroy(self.handle)
        if getattr(self, "descriptor", 0):
            self.context.library.dnnl_primitive_desc_destroy(self.descriptor)

    def desc(self, what: int, index: int = 0) -> Desc:
        """The descriptor that the primitive chose for one of its arrays."""
        library = self.context.library
        borrowed = library.dnnl_primitive_desc_query_md(self.descriptor, what, index)
        return Desc(library, library.make("dnnl_memory_desc_clone", borrowed))

    @property
    def implementation(self) -> str:
        """oneDNN's name of what runs, such as `jit:avx2` or `ref:any`."""
        text = ctypes.c_char_p()
        self.context.library.dnnl_primitive_desc_query(self.descriptor, c.IMPLEMENTATION, 0, ctypes.byref(text))
        return (text.value or b"").decode()

    def run(self, arrays: Mapping[int, Memory]) -> Run:
        """A function without arguments that computes on these arrays; it raises LayerkitError where oneDNN fails."""
        memories = dict(arrays)
        if self.scratchpad.size:
            memories[c.SCRATCHPAD] = self.context.scratchpad.memory(self.scratchpad)
        arguments = (c.Argument * len(memories))(
            *(c.Argument(number, memory.handle) for number, memory in memories.items())
        )
        library = self.context.library
        execute, stream, handle, count, name = library.execute, library.stream, self.handle, len(memories), self.name

        def call(kept: object = (self, memories)) -> None:  # what oneDNN points to must not be collected
            status = execute(handle, stream, count, arguments)
            if status:
                raise StatusError(f"{name} (execution)", status)

        return call


class Attributes:
    """What happens beside a primitive's computation: here always a scratchpad that the caller gives."""

    def __init__(self, library: Library):
        self.library = library
        self.handle = library.make("dnnl_primitive_attr_create")
        self._operations = 0
        self._kept: list[Desc] = []
        library.dnnl_primitive_attr_set_scratchpad_mode(self.handle, c.SCRATCHPAD_USER)

    def __del__(self) -> None:
        self.library.dnnl_primitive_attr_destroy(self.handle)
        if self._operations:
            self.library.dnnl_post_ops_destroy(self._operations)

    def then_elementwise(self, rule: int, alpha: float = 0.0, beta: float = 0.0) -> Attributes:
        """Apply an elementwise function to the result."""
        self.library.dnnl_post_ops_append_eltwise(self._post_ops(), rule, alpha, beta)
        return self._adopt()

    def then_binary(self, rule: int, other: Desc) -> Attributes:
        """Combine the result with another array."""
        self._kept.append(other)
        self.library.dnnl_post_ops_append_binary(self._post_ops(), rule, other.handle)
        return self._adopt()

    def then_sum(self, factor: float) -> Attributes:
        """Add what the result's array held before, times a factor."""
        self.library.dnnl_post_ops_append_sum(self._post_ops(), factor, 0, 0)
        return self._adopt()

    def scaled(self, argument: int) -> Attributes:
        """Multiply an argument by a number that is given at run time."""
        self.library.dnnl_primitive_attr_set_scales_mask(self.handle, argument, 0)
        return self

    def _post_ops(self) -> int:
        if not self._operations:
            self._operations = self.library.make("dnnl_post_ops_create")
        return self._operations

    def _adopt(self) -> Attributes:
        self.library.dnnl_primitive_attr_set_post_ops(self.handle, self._operations)
        return self


class Shared:
    """One array that the primitives of a net use one after the other, as large as the largest asks for."""

    def __init__(self) -> None:
        self.array = aligned(0, np.uint8)
        self._memories: weakref.WeakKeyDictionary[Memory, int] = weakref.WeakKeyDictionary()

    def memory(self, desc: Desc, start: int = 0) -> Memory:
        """A memory over the array from the byte `start` on. The array grows where it is too small."""
        if start + desc.size > self.array.size:
            self.array = aligned(start + desc.size, np.uint8)
            for memory, place in self._memories.items():
                memory.move(self.array[place:])
        memory = Memory(desc, self.array[start:])
        self._memories[memory] = start
        return memory


class Context:
    """What the kernels of one net have in common."""

    def __init__(self, library: Library):
        self.library = library
        self.scratchpad = Shared()
        """Where primitives work."""
        self.staging = Shared()
        """Where a weight or its diff lies packed, for one primitive after the other."""
        self.patches = Shared()
        """Where patches of a few images are laid out for a product."""
        self._ones = np.ones((1, 0), np.float32)
        self._rooms: list[tuple[weakref.ref[Any], int]] = []

    def desc(self, shape: Shape, strides: Sequence[int] | None = None, dtype: Any = np.float32) -> Desc:
        """The descriptor of an array with these strides, in elements; without any, C-ordered."""
        shape = shape or (1,)
        if strides is None:
            strides = self.strides(shape)
        element = _HELD[np.dtype(dtype)]
        arguments = (len(shape), c.Dims(*shape), element, c.Dims(*strides))
        return Desc(self.library, self.library.make("dnnl_memory_desc_create_with_strides", *arguments))

    @staticmethod
    def strides(shape: Sequence[int]) -> list[int]:
        """The strides of a C-ordered array, in elements."""
        steps = [1]
        for length in reversed(shape[1:]):
            steps.append(steps[-1] * max(1, length))
        return steps[::-1]

    def of(self, array: Array) -> Desc:
        """The descriptor of an array as it lies."""
        return self.desc(array.shape, [step // array.itemsize for step in array.strides], array.dtype)

    def free(self, shape: Shape) -> Desc:
        """A descriptor that leaves the format to the primitive."""
        arguments = (len(shape), c.Dims(*shape), c.F32, c.ANY)
        return Desc(self.library, self.library.make("dnnl_memory_desc_create_with_tag", *arguments))

    def memory(self, array: Array, desc: Desc | None = None) -> Memory:
        """An array of somebody else's."""
        return Memory(desc or self.of(array), array)

    def allocate(self, desc: Desc) -> Memory:
        """An array of the kernel's own."""
        return Memory(desc, self.room((desc.size,), np.uint8))

    def room(self, shape: Shape, dtype: Any = np.float32) -> Array:
        """A C-ordered array of the kernel's own."""
        array = aligned(math.prod(shape), dtype)
        self._rooms = [(owner, size) for owner, size in self._rooms if owner() is not None]
        self._rooms.append((weakref.ref(array.base), array.nbytes))  # the base is what all views of it keep alive
        return array.reshape(shape)

    def ones(self, count: int) -> Array:
        """A row of ones (1, count), which all that ask for one share."""
        if count > self._ones.size:
            self._ones = self.room((1, count))
            self._ones.fill(1)
        return self._ones[:, :count]

    @property
    def own(self) -> int:
        """Bytes of arrays that kernels made for themselves and that are there still."""
        rooms = sum(size for owner, size in self._rooms if owner() is not None)
        shared = (self.scratchpad, self.staging, self.patches)
        return rooms + sum(each.array.nbytes for each in shared)

    def primitive(self, name: str, *arguments: Any, attributes: Attributes | None = None) -> Primitive:
        """A primitive of that kind. Raises StatusError where oneDNN has none for these arguments."""
        return Primitive(self, name, arguments, attributes)

    def attributes(self) -> Attributes:
        """Attributes to add to."""
        return Attributes(self.library)

    def reorder(self, source: Desc, target: Desc) -> Primitive:
        """A primitive that copies from one layout to another."""
        return self.primitive("reorder", source, self.library.engine, target, self.library.engine)


def _plain(argument: Any) -> Any:
    """What the C function takes: handles of objects, arrays of numbers, numbers."""
    if isinstance(argument, Desc):
        return argument.handle
    if isinstance(argument, Primitive):
        return argument.descriptor
    if isinstance(argument, tuple):
        return c.Dims(*argument)
    return argument
