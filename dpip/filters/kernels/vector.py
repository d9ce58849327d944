"""The few vector operations that LLVM does not find by itself, as intrinsics on 64 lanes.

Numba widens 16-bit sums to 64 bits, so LLVM does not recognise the high half of a 16-bit product; with
intrinsics the Gaussian runs 2 to 3 times as fast. Each operation has a bit-equal twin in ``plain``, which
defines it; ``lanes`` chooses between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from dpip.filters.kernels.compile import BYTES, BYTES_OUT, INTS, WORDS, WORDS_OUT, kernel
from dpip.filters.kernels.plain import BLOCK1, BLOCK3, LANES

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


def _constant(value: int, like: ir.VectorType) -> ir.Constant:
    return ir.Constant(like, [value] * like.count)


def _splat(builder: Any, value: Any, count: int) -> Any:
    vector = ir.VectorType(value.type, count)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_I32, count), [0] * count))


def _multiply_high(builder: Any, left: Any, right: Any) -> Any:
    """Compute the upper 16 bits of each product: one instruction on x86 and ARM."""
    wide = ir.VectorType(_I32, left.type.count)
    product = builder.mul(builder.zext(left, wide), builder.zext(right, wide))
    return builder.trunc(builder.lshr(product, _constant(16, wide)), left.type)


class _Memory:
    """An array argument, read and written in vectors at any element."""

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any) -> None:
        self.builder = builder
        self.element = context.get_data_type(kind.dtype)
        array = context.make_array(kind)(context, builder, value)
        self.data = array.data
        self.size = array.nitems

    def _at(self, index: Any, count: int) -> Any:
        pointer = self.builder.gep(self.data, [index])
        return self.builder.bitcast(pointer, ir.VectorType(self.element, count).as_pointer())

    def load(self, index: Any, count: int) -> Any:
        loaded = self.builder.load(self._at(index, count))
        loaded.align = 1
        return loaded

    def store(self, value: Any, index: Any) -> None:
        self.builder.store(value, self._at(index, value.type.count)).align = 1

    def scalar(self, index: Any) -> Any:
        return self.builder.load(self.builder.gep(self.data, [index]))


@intrinsic
def _pairs(typing: Any, source: Any, offsets: Any, weights: Any, x: Any, target: Any, at: Any) -> Any:
    """Compute ``plain.pairs``: 64 lanes of a sum of weighted pairs of rows."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, offsets, weights, target = (
            _Memory(context, builder, signature.args[n], arguments[n]) for n in (0, 1, 2, 4)
        )
        x, at = arguments[3], arguments[5]
        words = ir.VectorType(_I16, LANES)

        def row(number: Any) -> Any:
            loaded = source.load(builder.add(offsets.scalar(number), x), LANES)
            return builder.zext(loaded, words) if source.element.width == 8 else loaded

        half = 128 if target.element.width == 8 else 1
        taps = builder.trunc(weights.size, _I16)
        bias = builder.add(builder.lshr(taps, ir.Constant(_I16, 1)), ir.Constant(_I16, half))
        total = cgutils.alloca_once_value(builder, _splat(builder, bias, LANES))
        with cgutils.for_range(builder, weights.size, intp=_I64) as loop:
            first = builder.shl(loop.index, ir.Constant(_I64, 1))
            pair = builder.add(row(first), row(builder.add(first, ir.Constant(_I64, 1))))
            if source.element.width == 8:
                pair = builder.shl(pair, _constant(7, words))
            weight = _splat(builder, weights.scalar(loop.index), LANES)
            builder.store(builder.add(builder.load(total), _multiply_high(builder, pair, weight)), total)
        if target.element.width == 8:
            rounded = builder.lshr(builder.load(total), _constant(8, words))
            target.store(builder.trunc(rounded, ir.VectorType(_I8, LANES)), at)
        else:
            target.store(builder.lshr(builder.load(total), _constant(1, words)), at)
        return context.get_dummy_value()

    return types.void(source, offsets, weights, types.int64, target, types.int64), generate


def _make_split(channels: int, count: int) -> Callable[..., None]:
    every_second = [2 * channels * pixel + c for pixel in range(count // channels) for c in range(channels)]

    @intrinsic
    def split(typing: Any, source: Any, x: Any, target: Any, even: Any, odd: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            source = _Memory(context, builder, signature.args[0], arguments[0])
            target = _Memory(context, builder, signature.args[2], arguments[2])
            both = source.load(arguments[1], 2 * count)
            for start, at in ((0, arguments[3]), (channels, arguments[4])):
                mask = ir.Constant(ir.VectorType(_I32, count), [start + lane for lane in every_second])
                target.store(builder.shuffle_vector(both, both, mask), at)
            return context.get_dummy_value()

        return types.void(source, types.int64, target, types.int64, types.int64), generate

    chosen: Callable[..., None] = split
    return chosen


def _average(builder: Any, left: Any, right: Any) -> Any:
    """Compute (left + right + 1) >> 1 without overflow: one instruction on x86 and ARM."""
    wide = ir.VectorType(_I32, left.type.count)
    total = builder.add(builder.zext(left, wide), builder.zext(right, wide))
    halved = builder.lshr(builder.add(total, _constant(1, wide)), _constant(1, wide))
    return builder.trunc(halved, left.type)


def _lean(builder: Any, near: Any, far: Any) -> Any:
    return _average(builder, near, _average(builder, near, far))


@intrinsic
def _lean_rows(typing: Any, source: Any, near: Any, far: Any, target: Any, at: Any) -> Any:
    """Compute ``plain.lean``: 64 lanes a quarter of the way from one row to another."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = _Memory(context, builder, signature.args[0], arguments[0])
        target = _Memory(context, builder, signature.args[3], arguments[3])
        near, far = (source.load(row, LANES) for row in arguments[1:3])
        target.store(_lean(builder, near, far), arguments[4])
        return context.get_dummy_value()

    return types.void(source, types.int64, types.int64, target, types.int64), generate


def _make_spread(channels: int, count: int) -> Callable[..., None]:
    starts = range(0, count, channels)
    by_turns = [at + start + c for start in starts for at in (0, count) for c in range(channels)]

    @intrinsic
    def spread(typing: Any, source: Any, x: Any, target: Any, at: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            source = _Memory(context, builder, signature.args[0], arguments[0])
            target = _Memory(context, builder, signature.args[2], arguments[2])
            near, *far = (
                source.load(builder.add(arguments[1], ir.Constant(_I64, shift)), count)
                for shift in (0, -channels, channels)
            )
            even, odd = (_lean(builder, near, side) for side in far)
            if target.element.width == 8:
                even, odd = (_to_bytes(builder, half) for half in (even, odd))
            mask = ir.Constant(ir.VectorType(_I32, 2 * count), by_turns)
            target.store(builder.shuffle_vector(even, odd, mask), arguments[3])
            return context.get_dummy_value()

        return types.void(source, types.int64, target, types.int64), generate

    chosen: Callable[..., None] = spread
    return chosen


def _to_bytes(builder: Any, words: Any) -> Any:
    """Round 8.7 fixed point to bytes."""
    rounded = builder.lshr(builder.add(words, _constant(64, words.type)), _constant(7, words.type))
    return builder.trunc(rounded, ir.VectorType(_I8, words.type.count))


def _make_paeth(count: int) -> Callable[..., None]:
    words = ir.VectorType(_I16, count)

    def distance(builder: Any, difference: Any) -> Any:
        negative = builder.icmp_signed("<", difference, _constant(0, words))
        return builder.select(negative, builder.sub(_constant(0, words), difference), difference)

    def smaller(builder: Any, one: Any, other: Any) -> Any:
        return builder.select(builder.icmp_signed("<", one, other), one, other)

    @intrinsic
    def paeth(
        typing: Any, source: Any, x: Any, target: Any, above: Any, at: Any, step: Any, pixels: Any
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            source = _Memory(context, builder, signature.args[0], arguments[0])
            target = _Memory(context, builder, signature.args[2], arguments[2])
            x, _, above, at, step, pixels = arguments[1:]

            def pixel(memory: _Memory, start: Any, index: Any) -> Any:
                position = builder.add(start, builder.mul(index, step))
                return builder.zext(memory.load(position, count), words)

            before = ir.Constant(_I64, -1)
            left = cgutils.alloca_once_value(builder, pixel(target, at, before))
            corner = cgutils.alloca_once_value(builder, pixel(target, above, before))
            with cgutils.for_range(builder, pixels, intp=_I64) as loop:
                a, c = builder.load(left), builder.load(corner)
                b = pixel(target, above, loop.index)
                up, across = builder.sub(b, c), builder.sub(a, c)
                to_a, to_b = distance(builder, up), distance(builder, across)
                to_c = distance(builder, builder.add(up, across))
                least = smaller(builder, smaller(builder, to_a, to_b), to_c)
                b_or_c = builder.select(builder.icmp_signed("==", to_b, least), b, c)
                nearest = builder.select(builder.icmp_signed("==", to_a, least), a, b_or_c)
                total = builder.add(pixel(source, x, loop.index), nearest)
                value = builder.and_(total, _constant(255, words))
                builder.store(value, left)
                builder.store(b, corner)
                position = builder.add(at, builder.mul(loop.index, step))
                target.store(builder.trunc(value, ir.VectorType(_I8, count)), position)
            return context.get_dummy_value()

        positions = (types.int64,) * 4
        return types.void(source, types.int64, target, *positions), generate

    chosen: Callable[..., None] = paeth
    return chosen


pairs: Callable[..., None] = _pairs
lean: Callable[..., None] = _lean_rows
split1, split3 = _make_split(1, BLOCK1), _make_split(3, BLOCK3)
spread1, spread3 = _make_spread(1, BLOCK1), _make_spread(3, BLOCK3)
paeth4, paeth8 = _make_paeth(4), _make_paeth(8)


@kernel((BYTES, INTS, WORDS, WORDS_OUT, BYTES_OUT))
def trial(source: Any, offsets: Any, weights: Any, words: Any, out: Any) -> None:
    """Run every operation, for the comparison in ``lanes``: 600 bytes in, 1024 words and 512 bytes out."""
    for x in range(0, 256, LANES):
        pairs(source, offsets, weights, x, words, x)
    split1(words, 0, words, 256, 320)
    split3(words, 128, words, 384, 448)
    lean(words, 3, 101, words, 512)
    spread1(words, 64, words, 576)
    spread3(words, 64, words, 704)
    pairs(words, offsets, weights, 512, words, 832)
    pairs(words, offsets, weights, 640, out, 0)
    pairs(source, offsets, weights, 320, out, 64)
    spread1(words, 64, out, 128)
    spread3(words, 64, out, 256)
    paeth4(source, 0, out, 3, 400, 3, 20)
    paeth8(source, 70, out, 200, 480, 6, 4)
