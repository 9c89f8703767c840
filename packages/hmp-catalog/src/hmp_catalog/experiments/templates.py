"""One pipeline template on disk: what its folder is called, how it is put there whole, how it is read.

A template is a folder ``<category>/<name>/`` of three files. It is written beside, under a name with a dot, flushed,
and renamed. One that is replaced steps aside for a moment (``.<name>.<hex>.old``), where readers find it until the new
one has its place: they see the template before or the one after. What a killed process left is swept by the next one
that writes, which holds the lock of the library.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from hmp_catalog.plain import digest, plain, word
from hmp_core.durable import fsync_folder, make_folder, refusal, translated, write_atomic
from hmp_core.errors import ArchiveInvalid, CorruptError, InvalidInput, PathEscape

PIPELINE, METADATA, README = "pipeline.json", "metadata.json", "README.md"

#: What an exported template calls itself.
FORMAT, VERSION = "hmp pipeline template", 1

_DROPPED = re.compile(r'[<>:"|?*]')
#: Names that a Windows machine, to which a workspace may be copied, keeps for devices.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
#: Bytes of a folder's name: the name beside it has 15 more, and 255 is the most.
_LONGEST = 200

_BESIDE = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.(?P<what>new|old|gone)")
#: How often a reader looks again: a template can be between two places for a moment.
_LOOKS = 4


def cleaned(text: str, what: str) -> str:
    """Return what the folder of a template or a category is called: lower case, ``_`` for blanks, no signs.

    Parameters
    ----------
    text : str
        What it was called.
    what : str
        What that is, for the message: ``"the name of a template"``.

    Raises
    ------
    InvalidInput
        If it would lead out of its folder, if nothing is left of it, or if a file system keeps the name for itself.

    Examples
    --------
    >>> cleaned("My PLS*", "the name of a template")
    'my_pls'
    """
    name = unicodedata.normalize("NFC", word(text, what))
    if "/" in name or "\\" in name:
        _refuse(text, what, "a slash would lead into another folder")
    if not name.isprintable():
        _refuse(text, what, "it has characters that cannot be shown")
    name = unicodedata.normalize("NFC", _DROPPED.sub("", name.replace(" ", "_")).lower()).strip(".")
    if not name:
        _refuse(text, what, "nothing is left of it as the name of a folder")
    if name.partition(".")[0] in _DEVICES:
        _refuse(text, what, "file systems keep it for themselves")
    if len(name.encode()) > _LONGEST:
        _refuse(text, what, f"it has {len(name.encode())} bytes, at most {_LONGEST} fit")
    return name


def _refuse(text: str, what: str, why: str) -> NoReturn:
    message = f"{what} is {text[:80]!r}: {why}; take letters, digits, blanks, - and _"
    raise InvalidInput(message)


# ── writing: the lock of the library is held ─────────────────────────────────────────────────────────


def put(folder: Path, files: dict[str, bytes]) -> None:
    """Let a folder have these files and no others, all of them or none; what is there is replaced.

    Raises
    ------
    StorageError, NotWritable
        If they cannot be written; then everything is as it was.
    """
    category = folder.parent
    make_folder(category)
    new, old = _beside(folder, "new"), _beside(folder, "old")
    with translated(folder):
        try:
            new.mkdir()
            for name, data in files.items():
                write_atomic(new / name, data)
            if os.path.lexists(folder):
                os.rename(folder, old)
            os.rename(new, folder)
        except BaseException:
            _step_back(folder, old)
            _discard(new)
            raise
        fsync_folder(category)
        _discard(old)


def _step_back(folder: Path, old: Path) -> None:
    if os.path.lexists(old) and not os.path.lexists(folder):
        os.rename(old, folder)


def remove(folder: Path) -> None:
    """Remove a template, and its category when that is empty then.

    Raises
    ------
    NotWritable
        If it cannot be removed.
    """
    gone = _beside(folder, "gone")
    with translated(folder):
        os.rename(folder, gone)
        fsync_folder(folder.parent)
        _discard(gone)
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()


def sweep(category: Path) -> None:
    """Finish what killed processes left in a category."""
    with translated(category):
        for entry in os.listdir(category) if category.is_dir() else []:
            found = _BESIDE.fullmatch(entry)
            if found is None:
                continue
            if found["what"] == "old":
                _step_back(category / found["name"], category / entry)
            _discard(category / entry)


def _discard(folder: Path) -> None:
    """Remove a folder, or a link to one; what cannot be removed is left to the next sweep."""
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.{what}")


# ── reading: no lock, so that it works where nothing can be written ──────────────────────────────────


def names(category: Path) -> list[str]:
    """Return the names of the folders of a category, in order."""
    found = set()
    for entry in _listed(category):
        beside = _BESIDE.fullmatch(entry)
        if beside is not None and beside["what"] == "old":
            found.add(beside["name"])  # stepped aside, or left behind there
        elif not entry.startswith(".") and (category / entry).is_dir():
            found.add(entry)
    return sorted(found)


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise refusal(error) from error


def exists(folder: Path) -> bool:
    """Return whether there is a template, damaged or not."""
    return any(True for _ in _places(folder))


def _places(folder: Path) -> Iterator[Path]:
    """Give where a template can be read: its folder, else where it stepped aside to."""
    for _ in range(_LOOKS):
        if folder.is_symlink():
            message = f"{folder} is a link: templates are read from the library alone; put the folder itself there"
            raise PathEscape(message, path=str(folder))
        if folder.is_dir():
            yield folder
        for entry in _listed(folder.parent):
            beside = _BESIDE.fullmatch(entry)
            if beside is not None and beside["name"] == folder.name and beside["what"] == "old":
                yield folder.with_name(entry)


def read(folder: Path, *wanted: str) -> list[Any] | None:
    """Return what files of a template say, all of the same moment; None where there is no template.

    Raises
    ------
    CorruptError
        If one is not there, or is no JSON.
    NotWritable
        If it may not be read.
    """
    missing = None
    for place in _places(folder):
        try:
            descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise refusal(error) from error
        try:
            texts = [_bytes(descriptor, name) for name in wanted]
        except FileNotFoundError as error:
            missing = error.filename  # or it was replaced just now, then the next look finds it
            continue
        except OSError as error:
            raise refusal(error) from error
        finally:
            os.close(descriptor)
        return [decoded(text, folder / name) for text, name in zip(texts, wanted, strict=True)]
    if missing is None:
        return None
    message = f"{folder / missing} is gone: put it back, or delete the template and save it again"
    raise CorruptError(message, path=str(folder / missing))


def _bytes(folder: int, name: str) -> bytes:
    # not to wait for whoever writes into a pipe of that name
    with open(os.open(name, os.O_RDONLY | os.O_NONBLOCK, dir_fd=folder), "rb") as file:
        return file.read()


# ── as text ──────────────────────────────────────────────────────────────────────────────────────────


def encoded(value: Any) -> bytes:
    """Return plain values as JSON that people read."""
    return (json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2) + "\n").encode()


def decoded(data: bytes, path: Path) -> Any:
    """Return what a file of JSON says.

    Raises
    ------
    CorruptError
        If it is no JSON.
    """
    try:
        return plain(json.loads(data, parse_constant=_no_number), path.name)
    except (ValueError, RecursionError) as error:  # InvalidInput, UnicodeDecodeError and JSONDecodeError are
        message = f"{path} cannot be read as JSON: {error}; mend it, or delete it and save it again"
        raise CorruptError(message, path=str(path)) from error


def _no_number(name: str) -> NoReturn:
    message = f"{name} is no number in JSON"
    raise ValueError(message)


def readme(about: dict[str, Any]) -> bytes:
    """Return what a template says of itself to whoever looks into its folder."""
    lines = [f"# {about['name']}", "", about["description"] or "A pipeline template.", ""]
    lines += [f"- category: {about['category']}", f"- tags: {', '.join(about['tags'])}"]
    lines += [f"- {name}: {value}" for name, value in about["metrics"].items()]
    lines += [f"- saved: {about['created_at']}, changed: {about['modified_at']}", "", about["notes"], ""]
    lines += [f"The pipeline is in `{PIPELINE}`, what is known of it in `{METADATA}`.", ""]
    return "\n".join(lines).encode()


def sealed(about: dict[str, Any], pipeline: Any) -> bytes:
    """Return a template as one file, with the SHA-256 of what it says."""
    said = {"metadata": about, "pipeline": pipeline}
    return encoded({"format": FORMAT, "version": VERSION, "sha256": digest(said)} | said)


def unsealed(data: bytes, path: Path) -> tuple[dict[str, Any], Any]:
    """Return the metadata and the pipeline of an exported template.

    Raises
    ------
    ArchiveInvalid
        If it is none, was written by a newer hmp, or has been changed since.
    """
    try:
        said = decoded(data, path)
    except CorruptError as error:
        _invalid(path, f"is no exported template: {error}")
    if not isinstance(said, dict) or said.get("format") != FORMAT or not isinstance(said.get("metadata"), dict):
        _invalid(path, "is no exported template: export one with `hmp experiment templates export`")
    if said.get("version") != VERSION:
        _invalid(path, f"is a template of version {said.get('version')}, this hmp knows {VERSION}: upgrade hmp")
    if "pipeline" not in said or said.get("sha256") != digest({k: said[k] for k in ("metadata", "pipeline")}):
        _invalid(path, "was changed since it was exported, or damaged: export it again")
    return said["metadata"], said["pipeline"]


def _invalid(path: Path, why: str) -> NoReturn:
    message = f"{path} {why}; nothing was imported"
    raise ArchiveInvalid(message, path=str(path))
