"""Obtain one URI with one tool, as its manual shows it, and print what came: run by `test_faults.py`.

``python fault_process.py TOOL URI FOLDER``: prints a line of JSON, ``{"size": ..., "sha256": ...}`` of the bytes that
were given as data, or ``{"error": ...}``.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path


def by_hmp(uri: str, folder: Path) -> bytes:
    import hmp_cache

    with hmp_cache.open(folder, create=True) as data:
        retry = hmp_cache.Retry(attempts=1, stalled=1.0, patience=1.0)
        return data.fetch(uri, variable="discharge", retry=retry, retry_now=True).path.read_bytes()


def by_pooch(uri: str, folder: Path) -> bytes:
    import pooch

    pooch.get_logger().setLevel("ERROR")
    wait = pooch.HTTPDownloader(timeout=1)
    return Path(pooch.retrieve(uri, known_hash=None, path=folder, downloader=wait)).read_bytes()


def by_fsspec(uri: str, folder: Path) -> bytes:
    import fsspec

    with fsspec.open(f"filecache::{uri}", filecache={"cache_storage": str(folder)}) as file:
        content: bytes = file.read()
    return content


def by_requests_cache(uri: str, folder: Path) -> bytes:
    import requests_cache

    answer = requests_cache.CachedSession(str(folder / "cache")).get(uri, timeout=1)
    answer.raise_for_status()
    return bytes(answer.content)


TOOLS = {"hmp": by_hmp, "pooch": by_pooch, "fsspec": by_fsspec, "requests-cache": by_requests_cache}


if __name__ == "__main__":
    _, tool, uri, folder = sys.argv
    Path(folder).mkdir(parents=True, exist_ok=True)
    try:
        content = TOOLS[tool](uri, Path(folder))
        told = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    except Exception as error:  # noqa: BLE001 - whatever a tool says is an answer here
        reason = getattr(error, "reason", None)
        told = {"error": f"{type(error).__name__}" + (f" ({reason})" if isinstance(reason, str) else "")}
    print(json.dumps(told))
