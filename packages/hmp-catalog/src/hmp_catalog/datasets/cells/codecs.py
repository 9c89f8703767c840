"""How the codes of a data set are compressed: by which of four ways, and how hard it is tried.

How many chunks a file holds is said in `blocks`; the checksum of each chunk is that of the fields of runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hmp_catalog.fields.codecs import checksummed
from hmp_core.errors import InvalidInput

#: How values may be compressed -> the compressor, and whether bytes of like weight lie together before that.
COMPRESSIONS: Mapping[str, tuple[str, bool]] = MappingProxyType(
    {"zstd_shuffle": ("zstd", True), "zstd": ("zstd", False), "lz4_shuffle": ("lz4", True), "lz4": ("lz4", False)}
)

#: Without a level: the fastest. Of packed hourly temperature, level 3 takes 2.8 times the time for 3 % of the bytes.
LEVEL = 1
HIGHEST = 9

#: What Blosc compresses at a time, in bytes. By its own choice (level 1) packed hourly temperature is 3 % larger, and
#: takes 1.8 times as long to compress and 1.2 times to decompress; the same as float32 12 % larger, 1.7 and 1.8 times.
BLOCK_BYTES = 1 << 19


def checked(compression: str, level: int | None) -> tuple[str, int | None]:
    """Return a compression and its level, if there is such a one.

    Raises
    ------
    InvalidInput
        Another name than those of `COMPRESSIONS`, or a level that is no integer from 1 to 9.
    """
    if compression not in COMPRESSIONS:
        message = f"compression={compression!r}; expected one of {', '.join(COMPRESSIONS)}"
        raise InvalidInput(message)
    whole = isinstance(level, int) and not isinstance(level, bool) and 1 <= level <= HIGHEST
    if level is not None and not whole:
        message = f"compression_level={level!r}; expected an integer from 1 to {HIGHEST}, or None for {LEVEL}"
        raise InvalidInput(message)
    return compression, level


def of(stored: str, compression: str = "zstd_shuffle", level: int | None = None) -> list[Any]:
    """Return the compressors of an array, as zarr takes them.

    Parameters
    ----------
    stored : str
        The type of the codes. The bytes of ``string`` are not shuffled: its items are of no one width.
    compression, level
        As `checked` wants them.

    Raises
    ------
    InvalidInput
        If there is no such compression or level.

    Examples
    --------
    >>> [type(each).__name__ for each in of("uint16")]
    ['BloscCodec', 'Crc32cCodec']
    """
    import numpy as np

    checked(compression, level)
    name, shuffled = COMPRESSIONS[compression]
    width = 1 if stored == "string" else np.dtype(stored).itemsize
    shuffle = "shuffle" if shuffled and width > 1 else "noshuffle"
    return checksummed(name, level or LEVEL, shuffle, width, block=BLOCK_BYTES)
