"""How the values of a chunk become bytes, for the fields of runs and for data sets: Blosc, then a checksum."""

from __future__ import annotations

from typing import Any


def checksummed(name: str, level: int, shuffle: str, width: int, *, block: int = 0) -> list[Any]:
    """Return the compressors of an array, as zarr takes them: a damaged chunk is then never decoded.

    Parameters
    ----------
    name, level, shuffle : str, int, str
        What Blosc compresses with, how hard it tries, and what lies together before that: ``shuffle`` (bytes of like
        weight), ``bitshuffle`` or ``noshuffle``.
    width : int
        Bytes of an item.
    block : int
        Bytes that are compressed at a time; 0 is Blosc's own choice.
    """
    from zarr.codecs import BloscCodec, Crc32cCodec

    packed = BloscCodec(cname=name, clevel=level, shuffle=shuffle, typesize=width, blocksize=block)
    return [packed, Crc32cCodec()]
