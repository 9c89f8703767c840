"""How files are spoilt: cut, a bit turned, overwritten by noise or by nothing, at many places spread over them."""

from __future__ import annotations

import random
from collections.abc import Iterator

#: The longest piece of noise, in bytes.
_PIECE = 600


def spoilt(data: bytes, *, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield what was done to a file and what it holds then: ``count`` cuts, bits and pieces of noise, and some more.

    The places are spread evenly, one at random in each part of the file; the same ``seed`` gives the same damage.

    Examples
    --------
    >>> for how, _ in spoilt(bytes(100), count=1, seed=1):
    ...     print(how)
    empty
    garbage
    zeros
    noise
    cut at 76
    bit 128 of byte 76
    noise at 76
    """
    chance = random.Random(seed)
    yield from (("empty", b""), ("garbage", b"not what it was"), ("zeros", bytes(len(data))))
    yield "noise", chance.randbytes(len(data))
    for n in range(count):
        place = min(len(data) - 1, int((n + chance.random()) * len(data) / count))
        bit, piece = 1 << chance.randrange(8), chance.randbytes(chance.randrange(1, _PIECE))
        yield f"cut at {place}", data[:place]
        yield f"bit {bit} of byte {place}", data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
        yield f"noise at {place}", (data[:place] + piece + data[place + len(piece) :])[: len(data)]
