"""What servers do wrong and what happens to files on the disk, tried on hmp and on other tools that keep downloads.

Each is used as its manual shows it, without a hash, since the services of hydrology publish none. Prints the table of
``docs/explanation/trusted-downloads.md``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
TESTS = HERE.parents[1] / "packages" / "hmp-cache" / "tests"
TOOLS = {"hmp": "hmp-cache", "pooch": "pooch", "fsspec": "fsspec", "requests-cache": "requests-cache"}
#: Seconds after which a tool is taken to wait for ever.
PATIENCE = 20.0


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem + "_of_cache", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _obtain(tool: str, uri: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "fault_process.py"), tool, uri, str(folder)]
    environment = os.environ | {"NO_PROXY": "*"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE, env=environment, cwd=HERE
        )
    except subprocess.TimeoutExpired:
        return {"error": "waits"}
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _word(found: dict[str, Any], good: bytes) -> str:
    if "error" in found:
        return "waits" if found["error"] == "waits" else "refuses"
    return "good" if found["sha256"] == hashlib.sha256(good).hexdigest() else f"**serves {found['size']} B**"


def _print(rows: dict[str, dict[str, str]]) -> None:
    named = [f"{tool} {version(package)}" for tool, package in TOOLS.items()]
    print(f"\n\n| fault | {' | '.join(named)} |\n|---|{'---|' * len(TOOLS)}")
    for title, found in rows.items():
        print(f"| {title} | {' | '.join(found[tool] for tool in TOOLS)} |")


def test_what_servers_do_wrong(tmp_path: Path) -> None:
    for package in TOOLS.values():
        pytest.importorskip(package.replace("-", "_"))
    loopback = _module(TESTS / "conftest.py")
    faults = _module(TESTS / "services" / "faults.py")
    server = loopback.Loopback()
    rows: dict[str, dict[str, str]] = {}
    try:
        for number, fault in enumerate(f for f in faults.FAULTS if not f.said):
            for tool in TOOLS:
                uri = server.on(f"/{number}/{fault.name}", *(loopback.Reply(**said) for said in fault.replies))
                found = _obtain(tool, uri, tmp_path / tool / str(number))
                rows.setdefault(fault.title, {})[tool] = _word(found, fault.good)
    finally:
        server.close()
    _print(rows)
    assert {found["hmp"] for found in rows.values()} == {"refuses"}


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes().replace(b"9.25", b"8.25"))
    os.replace(other, path)


HARMS = {"cached file truncated": _truncate, "one bit of it flipped": _flip, "replaced by another": _replace}


def _kept(folder: Path, good: bytes) -> Path | None:
    return next((p for p in folder.rglob("*") if p.is_file() and p.read_bytes() == good), None)


def test_what_happens_to_files(tmp_path: Path) -> None:
    for package in TOOLS.values():
        pytest.importorskip(package.replace("-", "_"))
    loopback = _module(TESTS / "conftest.py")
    good: bytes = _module(TESTS / "services" / "faults.py").GOOD
    server = loopback.Loopback()
    rows: dict[str, dict[str, str]] = {}
    try:
        for title, harm in HARMS.items():
            for tool in TOOLS:
                rows.setdefault(title, {})[tool] = _harmed(tool, tmp_path / title / tool, server, loopback, harm, good)
    finally:
        server.close()
    _print(rows)
    assert {found["hmp"] for found in rows.values()} == {"good"}


def _harmed(
    tool: str, folder: Path, server: Any, loopback: ModuleType, harm: Callable[[Path], None], good: bytes
) -> str:
    uri = server.on("/q.csv", loopback.Reply(body=good))
    assert _word(_obtain(tool, uri, folder), good) == "good"
    kept = _kept(folder, good)
    if kept is None:
        return "no file"  # among others, in a database
    harm(kept)
    return _word(_obtain(tool, uri, folder), good)
