"""The ZIP of a bundle: laid down so that the same files give the same bytes, and checked before anything is unpickled.

Its members are ``manifest.json``, which lists the others with size and SHA-256, ``chain.json`` and
``artifacts/<sha256>.<ext>``. None is compressed again, so that none can grow when it is read.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hmp_catalog.experiments.artifacts import EXTENSIONS
from hmp_catalog.experiments.chains import artifacts_of
from hmp_core.durable import refusal
from hmp_core.errors import ArchiveInvalid, HmpError, PathNotFound, SchemaTooNewError

MANIFEST, CHAIN = "manifest.json", "chain.json"
#: What this hmp writes, and the newest that it reads.
VERSION = (1, 0)

#: The earliest date that a ZIP can say: when a chain was made is told by the manifest.
_DATE = (1980, 1, 1, 0, 0, 0)
_CHUNK = 1 << 20
#: A manifest is a few kilobytes; more is none.
_LONGEST = 64 << 20
#: What `zipfile` raises for bytes that are no ZIP, and for a folder.
_AILMENTS = (zipfile.BadZipFile, IsADirectoryError, EOFError, ValueError, LookupError, RuntimeError, struct.error)
_NAME = re.compile(r"artifacts/([0-9a-f]{64})\.[a-z]+")


def place(sha256: str, format: str) -> str:  # noqa: A002 - the word of the doors
    """Return where an artefact lies in a bundle."""
    return f"artifacts/{sha256}.{EXTENSIONS[format]}"


def put(archive: zipfile.ZipFile, name: str, data: bytes) -> dict[str, Any]:
    """Add a member, and return what the manifest says of it."""
    info = zipfile.ZipInfo(name, _DATE)
    info.external_attr, info.create_system = 0o644 << 16, 3
    archive.writestr(info, data)
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def document(value: Mapping[str, Any]) -> bytes:
    """Return a plain mapping as a member, in its own order: a sum over folds depends on that, to the last bit."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1).encode() + b"\n"


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a bundle for reading; whatever ails the ZIP meanwhile makes it no bundle."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except HmpError:
        raise  # some are ValueErrors too, and say more than we could
    except (FileNotFoundError, NotADirectoryError) as error:
        message = f"{path}: no such file"
        raise PathNotFound(message, path=str(path)) from error
    except _AILMENTS as error:
        raise invalid(path, f"it is no ZIP, or was cut short ({error})") from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # it says that it goes on before its beginning
            raise invalid(path, f"its list leads nowhere ({error})") from error
        raise refusal(error) from error


def invalid(path: Path, why: str) -> ArchiveInvalid:
    """Return the error that says why a file is no bundle."""
    message = f"{path} is not a bundle as hmp exports it: {why}; nothing of it was unpickled, export the chain again"
    return ArchiveInvalid(message, path=str(path))


def checked(archive: zipfile.ZipFile, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return manifest and chain of a bundle whose every member is what the manifest says; see `Bundle.open`."""
    names = _stored(archive, path)
    if MANIFEST not in names or archive.getinfo(MANIFEST).file_size > _LONGEST:
        raise invalid(path, f"it has no {MANIFEST}")
    manifest = _document(archive.read(MANIFEST), MANIFEST, path)
    _require_known(manifest.get("bundle_format_version"), path)
    files: Any = manifest.get("files")
    rows: Any = manifest.get("artifacts")
    listed = _documents(files, {"sha256": str, "size": int}) and _documents(rows, {"file": str, "format": str})
    if not listed or not isinstance(manifest.get("versions"), dict):
        raise invalid(path, f"its {MANIFEST} does not list its files and what they were exported with")
    _require_listed(names, files, rows, path)
    for name in names - {MANIFEST}:
        _verify(archive, name, files[name], path)
    chain = _document(archive.read(CHAIN), CHAIN, path)
    if missing := sorted(set(_named(chain, path)) - set(rows)):
        raise invalid(path, f"its chain names artefacts that it does not hold: {', '.join(missing)}")
    return manifest, chain


def _stored(archive: zipfile.ZipFile, path: Path) -> set[str]:
    """Return the names of the members, none of which is greater than what lies in the file."""
    members = archive.infolist()
    if any(one.compress_type != zipfile.ZIP_STORED or one.flag_bits & 1 for one in members):
        raise invalid(path, "its members are compressed or encrypted")
    if sum(one.file_size for one in members) > path.stat().st_size:
        raise invalid(path, "its members claim to be greater than the file")
    names = {one.filename for one in members}
    if len(names) < len(members):
        raise invalid(path, "it holds several members of one name")
    return names


def _document(data: bytes, name: str, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise invalid(path, f"its {name} is no JSON ({error})") from error
    if not isinstance(found, dict):
        raise invalid(path, f"its {name} is no JSON object")
    return found


def _require_known(version: Any, path: Path) -> None:
    said = re.fullmatch(r"([0-9]{1,4})\.([0-9]{1,4})", version) if isinstance(version, str) else None
    if said is None:
        raise invalid(path, f"its format version is {version!r:.40}")
    found = int(said[1]), int(said[2])
    if found > VERSION:
        message = f"{path} has format {version}, and this hmp reads {VERSION[0]}.{VERSION[1]}; upgrade hmp"
        raise SchemaTooNewError(message, path=str(path), found=found[0], known=VERSION[0])


def _documents(value: Any, expected: Mapping[str, type]) -> bool:
    """Return whether a value maps names to objects that have these keys, of these types."""
    return isinstance(value, dict) and all(
        isinstance(each, dict) and all(type(each.get(key)) is kind for key, kind in expected.items())
        for each in value.values()
    )


def _require_listed(names: set[str], files: dict[str, Any], rows: dict[str, Any], path: Path) -> None:
    """Refuse members that nobody expects, files that are missing, and names that are not made from content."""
    expected = {MANIFEST, *files}
    if names != expected or CHAIN not in files:
        others = ", ".join(f"{name!r:.80}" for name in sorted(names ^ expected)[:5])
        raise invalid(path, f"it and its {MANIFEST} do not list the same files: {others or CHAIN}")
    for name in set(files) - {CHAIN}:
        said = _NAME.fullmatch(name)
        if said is None or said[1] != files[name]["sha256"]:
            raise invalid(path, f"{name!r:.80} is not named by its content")
    for artifact_id, row in rows.items():
        extension = EXTENSIONS.get(row["format"])
        if row["file"] not in files or extension is None or not row["file"].endswith(f".{extension}"):
            raise invalid(path, f"its artefact {artifact_id!r:.80} has no file, or one of another format")


def _verify(archive: zipfile.ZipFile, name: str, said: Mapping[str, Any], path: Path) -> None:
    digest = hashlib.sha256()
    with archive.open(name) as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    if archive.getinfo(name).file_size != said["size"] or digest.hexdigest() != said["sha256"]:
        raise invalid(path, f"{name} has other bytes than its {MANIFEST} says")


def _named(chain: dict[str, Any], path: Path) -> list[str]:
    try:
        return list(artifacts_of(chain))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise invalid(path, f"its {CHAIN} is not the record of a chain ({error})") from error
