"""Whether bytes are what their suffix says."""

from __future__ import annotations

from pathlib import Path

import pytest

from hmp_cache.formats import is_web_page, media_type, suffix_of, trouble


def _trouble(folder: Path, content: bytes, suffix: str) -> str | None:
    file = folder / "x.part"
    file.write_bytes(content)
    return trouble(file, suffix)


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        (b"time,q\n", ".csv"),
        (b"\xef\xbb\xbftime,q\n", ".CSV"),
        (b"CDF\x01....", ".nc"),
        (b"\x89HDF\r\n\x1a\n...", ".nc"),
        (b"II*\x00....", ".tif"),
        (b"PAR1....", ".parquet"),
        (b"\n  {}", ".json"),
        (b"<html>", ".html"),
        (b"anything \x00 at all", ".dat"),
        (b"anything", ""),
    ],
)
def test_what_begins_as_it_should(tmp_path: Path, content: bytes, suffix: str) -> None:
    assert _trouble(tmp_path, content, suffix) is None


@pytest.mark.parametrize(
    ("content", "suffix", "said"),
    [
        (b"", ".csv", "empty"),
        (b"", "", "empty"),
        (b"<!DOCTYPE html><html>Sorry</html>", ".csv", "web page"),
        (b"  \n<HTML>", ".nc", "web page"),
        (b"<?xml version='1.0'?><html xmlns=''>", "", "web page"),
        (b"t\x00i\x00m\x00e\x00", ".csv", "NUL"),
        (b"time,q\n", ".nc", "does not begin like a .nc"),
        (b"CDF\x01", ".nc4", "does not begin like"),
        (b"time,q\n", ".parquet", "does not begin like"),
        (b"hello", ".json", "does not begin like"),
    ],
)
def test_what_does_not(tmp_path: Path, content: bytes, suffix: str, said: str) -> None:
    assert said in (_trouble(tmp_path, content, suffix) or "")


def test_xml_is_no_web_page() -> None:
    assert not is_web_page(b"<?xml version='1.0'?><wfs:FeatureCollection/>")


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".tsv", ".json"])
def test_media_types_lead_back_to_the_suffix(suffix: str) -> None:
    assert suffix_of(media_type(suffix)) == suffix


def test_what_nobody_knows_is_a_stream_of_bytes() -> None:
    assert media_type(".xyz") == "application/octet-stream"
    assert suffix_of("application/x-never-heard") == ""
