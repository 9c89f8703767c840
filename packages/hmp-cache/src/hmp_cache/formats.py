"""Whether the bytes of a file are what its suffix says: not empty, the right magic number, no web page in disguise."""

from __future__ import annotations

import re
from pathlib import Path

#: Suffix -> how a file of that kind may begin. Suffixes that are not here promise nothing.
MAGIC: dict[str, tuple[bytes, ...]] = {
    ".nc": (b"CDF\x01", b"CDF\x02", b"CDF\x05", b"\x89HDF\r\n\x1a\n"),
    ".nc4": (b"\x89HDF\r\n\x1a\n",),
    ".h5": (b"\x89HDF\r\n\x1a\n",),
    ".hdf5": (b"\x89HDF\r\n\x1a\n",),
    ".tif": (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
    ".tiff": (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
    ".grib": (b"GRIB",),
    ".grib2": (b"GRIB",),
    ".parquet": (b"PAR1",),
    ".gpkg": (b"SQLite format 3\x00",),
    ".shp": (b"\x00\x00\x27\x0a",),
    ".zip": (b"PK\x03\x04", b"PK\x05\x06"),
    ".gz": (b"\x1f\x8b",),
    ".bz2": (b"BZh",),
    ".xz": (b"\xfd7zXZ\x00",),
    ".zst": (b"\x28\xb5\x2f\xfd",),
    ".png": (b"\x89PNG\r\n\x1a\n",),
    ".jpg": (b"\xff\xd8\xff",),
    ".jpeg": (b"\xff\xd8\xff",),
    ".pdf": (b"%PDF-",),
    ".json": (b"{", b"["),
    ".geojson": (b"{",),
    ".xml": (b"<",),
    ".gml": (b"<",),
}

#: Suffix -> media type; what is not here is "application/octet-stream".
MEDIA = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".txt": "text/plain",
    ".parquet": "application/vnd.apache.parquet",
    ".nc": "application/x-netcdf",
    ".nc4": "application/x-netcdf",
    ".h5": "application/x-hdf5",
    ".hdf5": "application/x-hdf5",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".grib": "application/wmo-grib",
    ".grib2": "application/wmo-grib",
    ".gpkg": "application/geopackage+sqlite3",
    ".zip": "application/zip",
    ".gz": "application/gzip",
    ".json": "application/json",
    ".geojson": "application/geo+json",
    ".xml": "application/xml",
    ".gml": "application/gml+xml",
    ".pdf": "application/pdf",
}

_UNKNOWN = "application/octet-stream"

#: What a server calls what is no table of text.
_NO_TABLE = ("image/", "audio/", "video/", "font/", "application/pdf", "application/zip")

_TEXT = {".csv", ".tsv", ".txt", ".json", ".geojson", ".xml", ".gml"}
_WEB = {".html", ".htm", ".xhtml"}
_HEAD = 1024


def trouble(path: Path, suffix: str) -> str | None:
    """Return what is wrong with the beginning of a file, or None.

    Parameters
    ----------
    path
        The file.
    suffix
        What it is said to be, as ".nc"; the file itself may still have another name.
    """
    with path.open("rb") as file:
        return trouble_in(file.read(_HEAD), suffix)


def trouble_in(head: bytes, suffix: str) -> str | None:
    """Return what is wrong with the first bytes of a file; see `trouble`."""
    suffix = suffix.lower()
    if not head:
        return "it is empty"
    if is_web_page(head) and suffix not in _WEB:
        return "it is a web page, not data"
    if suffix in _TEXT and b"\x00" in head:
        return f"it holds NUL bytes, which no {suffix[1:]} file does"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip() if suffix in _TEXT else head
    expected = MAGIC.get(suffix)
    if expected and not start.startswith(expected):
        return f"it does not begin like a {suffix} file: {head[:8].hex(' ')}"
    return None


def disguise(head: bytes, suffix: str, media: str | None) -> str | None:
    """Return what comes in place of a file of this suffix, by its first bytes and what the server calls it; or None.

    Examples
    --------
    >>> disguise(b"<html><title>Sorry</title>", ".csv", "text/html")
    "a web page ('Sorry')"
    >>> disguise(b"time,q", ".csv", "image/png"), disguise(b"CDF1", ".nc", None)
    ('image/png', 'bytes that are no .nc: it does not begin like a .nc file: 43 44 46 31')
    """
    kind = (media or "").partition(";")[0].strip().lower()
    if suffix not in _WEB and (is_web_page(head) or kind in {"text/html", "application/xhtml+xml"}):
        return f"a web page{_title(head, b'title')}"
    if b"exceptionreport" in head.lower():
        return f"an error report{_title(head, b'ServiceException') or _title(head, b'ExceptionText')}"
    if suffix in {".csv", ".tsv"} and (kind.startswith(_NO_TABLE) or kind.endswith(("json", "xml"))):
        return kind
    wrong = trouble_in(head, suffix)
    return None if wrong is None else f"bytes that are no {suffix}: {wrong}"


def _title(head: bytes, tag: bytes) -> str:
    found = re.search(rb"<(?:\w+:)?" + tag + rb"[^>]*>\s*([^<]{1,80})", head, re.IGNORECASE)
    return f" ({found[1].decode(errors='replace').strip()!r})" if found else ""


def media_type(suffix: str) -> str:
    """Return the media type of files with this suffix."""
    return MEDIA.get(suffix.lower(), _UNKNOWN)


def suffix_of(media: str | None) -> str:
    """Return the first suffix of a media type, parameters ignored; empty if nobody knows.

    Examples
    --------
    >>> suffix_of("text/csv; charset=utf-8"), suffix_of(None)
    ('.csv', '')
    """
    wanted = (media or "").partition(";")[0].strip().lower()
    return next((suffix for suffix, known in MEDIA.items() if known == wanted), "")


def is_web_page(head: bytes) -> bool:
    """Return whether these first bytes are HTML: what a server sends in place of data when it is unwell.

    Examples
    --------
    >>> is_web_page(b"<!DOCTYPE html><html>Sorry"), is_web_page(b"time,discharge")
    (True, False)
    """
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or (
        start.startswith((b"<?xml", b"<!--")) and b"<html" in start
    )
