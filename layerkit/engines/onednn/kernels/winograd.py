"""The weight gradient of 3x3 convolutions with fewer multiplications, by Winograd's minimal filtering."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.engines.kernel import Run
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.kernels.products import ITEM, Batch, WeightGradient, Windows, adding_product
from layerkit.engines.onednn.primitives import Desc, Memory

OF_IMAGE = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]])
"""B^T: of four rows of an image, what is multiplied."""
OF_PIXELS = np.array([[1, 0], [1, 1], [1, -1], [0, 1]])
"""A: of two rows of the pixels' diffs, what it is multiplied by."""
OF_KERNEL = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
"""G: how much of each product belongs to each of the kernel's three rows."""
WORTHWHILE = 0.62
"""At most so many of the multiplications that patches need: the sums of tiles take time as well."""


class TileProduct(WeightGradient):
    """The weight gradient of a 3x3 convolution of stride 1 from tiles: 16 products where patches need 36.

    A tile g of 2x2 pixels was made from a part d of 4x4 of the image. With * element by element,

        dw = G^T (sum over tiles of (B^T d B) * (A g A^T)) G

    and * is at each of its 16 places a product of matrices, from channels to outputs. Each of B^T d B and A g A^T is a
    sum or difference of up to four elements. Images and pixels are divided into their even and odd rows and columns
    first; then a tile's elements lie at the same place in each part, or one further, and all tiles' sums are one sum of
    whole arrays. Each row of tiles, and each column, has one too many, so that one further is the next: there g is 0.

    Source: Lavin and Gray, Fast algorithms for convolutional neural networks (2016), after Winograd (1980).
    """

    @staticmethod
    def suits(windows: Windows) -> bool:
        """Whether these windows can be tiled, with so many fewer multiplications that it is worth it."""
        if (windows.kernel, windows.stride, windows.dilation) != ((3, 3), (1, 1), (1, 1)):
            return False
        return 16 * math.prod(_tiles(windows)) <= WORTHWHILE * 9 * math.prod(windows.count)

    @property
    def tiles(self) -> tuple[int, int]:
        """Tiles along both axes, with the one too many."""
        return _tiles(self.windows)

    @property
    def numbers(self) -> int:
        return math.prod(self.tiles) * (24 * self.channels + 20 * self.outputs)

    def batch(self, samples: int) -> Batch:
        return _Tiles(self, samples)

    def bring(self, diff: Array) -> Run:
        context, pairs = self.context, self.outputs * self.channels
        share = np.einsum("ak,bl->abkl", OF_KERNEL, OF_KERNEL).reshape(16, 9).astype(np.float32)
        products = context.staging.memory(context.desc((pairs, 16), (1, pairs)))
        shares, result = context.memory(share), context.memory(diff.reshape(pairs, 9, copy=False))
        primitive = context.primitive("matmul", products.desc, shares.desc, None, result.desc)
        return primitive.run({c.SRC: products, c.WEIGHTS: shares, c.DST: result})


def _tiles(windows: Windows) -> tuple[int, int]:
    height, width = ((count + 1) // 2 + 1 for count in windows.count)
    return height, width


class _Tiles(Batch):
    """Where it all lies in the context's room, one behind the other.

    The images' parts, which are read from up to a row and a tile further on; the images and pixels, padded to as many
    tiles as there are; 16 sums of images; 16 sums of pixels, of which the corners are the pixels' parts.
    """

    def __init__(self, product: TileProduct, samples: int):
        self.context, self.product, self.samples = product.context, product, samples
        tiles = math.prod(product.tiles)
        self.rows, self.most = samples * tiles, product.at_once * tiles
        # numbers that each of the 4 parts takes, or of the 16 sums
        self.image, self.pixel = self.most * product.channels, self.most * product.outputs
        lengths = (0, 4 * self.image, 4 * self.image, 4 * self.pixel, 16 * self.image)
        self.parts, self.images, self.pixels, self.left, self.right = itertools.accumulate(lengths)
        self.sums = [
            self._divide(self.images, product.channels, self.parts, (2 * self.image, self.image)),
            *self._add_up(OF_IMAGE, self._of_image, self.left, product.channels),
            self._divide(self.pixels, product.outputs, self.right, (12 * self.pixel, 3 * self.pixel)),
            *self._add_up(OF_PIXELS, self._of_pixels, self.right, product.outputs),
        ]

    def clear(self) -> None:
        padded = self._memory(self.context.desc((self.left - self.images,)), self.images)
        padded.array[: padded.desc.size] = 0

    def runs(self, images: Array, pixels: Array, *, add: bool) -> list[Run]:
        context, channels, outputs = self.context, self.product.channels, self.product.outputs
        left = context.desc((16, self.rows, channels), (self.image, channels, 1))
        right = context.desc((16, outputs, self.rows), (self.pixel, 1, outputs))
        out = context.staging.memory(context.desc((16, outputs, channels)))
        multiply = adding_product(context, right, left, out.desc, add=add)
        arrays = {c.SRC: self._memory(right, self.right), c.WEIGHTS: self._memory(left, self.left), c.DST: out}
        place = [self._place(images, self.images, self.product.windows.pad), self._place(pixels, self.pixels, (0, 0))]
        return [*place, *self.sums, multiply.run(arrays)]

    def _memory(self, desc: Desc, start: int) -> Memory:
        """The room from a number on."""
        return self.context.patches.memory(desc, ITEM * start)

    def _place(self, blob: Array, start: int, corner: Shape) -> Run:
        """What brings samples into the zeros that begin at `start`, with their corner so far down and right."""
        _, channels, *_ = blob.shape
        height, width = self.product.tiles
        row = 2 * width * channels
        inside = self.context.desc(blob.shape, (2 * height * row, 1, row, channels))
        source = self.context.memory(blob)
        target = self._memory(inside, start + corner[0] * row + corner[1] * channels)
        return self.context.reorder(source.desc, inside).run({c.SRC: source, c.DST: target})

    def _divide(self, start: int, channels: int, target: int, apart: tuple[int, int]) -> Run:
        """What divides padded samples into even and odd rows and columns, which come to lie so far apart."""
        height, width = self.product.tiles
        shape = (2, 2, self.samples, height, width, channels)
        row = 2 * width * channels
        whole = self.context.desc(shape, (row, channels, 2 * height * row, 2 * row, 2 * channels, 1))
        parts = self.context.desc(shape, (*apart, *self.context.strides(shape[2:])))
        arrays = {c.SRC: self._memory(whole, start), c.DST: self._memory(parts, target)}
        return self.context.reorder(whole, parts).run(arrays)

    def _of_image(self, i: int, j: int) -> int:
        """Where the elements at (i, j) of all tiles of the images begin."""
        _, width = self.product.tiles
        further = (i // 2 * width + j // 2) * self.product.channels
        return self.parts + (2 * (i % 2) + j % 2) * self.image + further

    def _of_pixels(self, i: int, j: int) -> int:
        """Where those of the pixels begin."""
        return self.right + (12 * i + 3 * j) * self.pixel

    def _add_up(self, matrix: Array, element: Callable[[int, int], int], start: int, channels: int) -> Iterator[Run]:
        """What writes the 16 sums, matrix (elements) matrix^T, but those that are one element and lie there already."""
        line = self.context.desc((self.rows * channels,))
        for a, b in itertools.product(range(4), repeat=2):
            terms = [
                (matrix[a, i] * matrix[b, j] > 0, self._memory(line, element(i, j)))
                for i, j in itertools.product(range(matrix.shape[1]), repeat=2)
                if matrix[a, i] and matrix[b, j]
            ]
            if len(terms) > 1:
                yield self._sum(terms, self._memory(line, start + (4 * a + b) * self.most * channels))

    def _sum(self, terms: Sequence[tuple[bool, Memory]], out: Memory) -> Run:
        """What adds up arrays, or with False subtracts them; at least one is added."""
        first, second, *rest = sorted(terms, key=lambda term: not term[0])
        attributes = self.context.attributes()
        for plus, array in rest:
            attributes.then_binary(c.ADD if plus else c.SUBTRACT, array.desc)
        rule = c.ADD if second[0] else c.SUBTRACT
        primitive = self.context.primitive("binary", rule, out.desc, out.desc, out.desc, attributes=attributes)
        further = {c.post_op(i): array for i, (_, array) in enumerate(rest)}
        return primitive.run({c.SRC: first[1], c.SRC_1: second[1], c.DST: out, **further})
