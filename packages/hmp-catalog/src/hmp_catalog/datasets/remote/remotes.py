"""A store behind a URL: objects are read whole or in part, made, listed and removed. The only room that knows fsspec.

What is promised of every store: an object that is read is the object, or an error of hmp is raised. What is asked of
one that is pushed to: `Remote.create` makes an object unless it is there, in one operation of the store.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from hmp_catalog.datasets.libraries import library
from hmp_catalog.errors import RemoteMissing, RemoteUnreachable
from hmp_core.durable import make_folder, write_atomic
from hmp_core.errors import HmpError, InvalidInput, MissingPart, NotWritable, UnsupportedScheme

#: Where an object can be created exclusively, by ``mode="create"`` (s3fs: ``If-None-Match``; gcsfs:
#: ``ifGenerationMatch``; adlfs: ``overwrite``). Elsewhere fsspec looks first and writes then.
_CREATE = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"})
_LOCAL = frozenset({"file", "local"})

#: Seconds before an answer that failed is asked for again.
_PAUSES = (0.1, 0.5)

#: How many objects are removed by one request, where the store takes many.
_BATCH = 500

#: By what names stores tell when an object was made.
_MOMENTS = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")

_REFUSED = {401, 403, 404, 410}

#: What stores raise that is no `OSError`, by the module that has it: looked for where somebody imported that.
_ERRORS = {
    "aiohttp": ("ClientError",),
    "botocore.exceptions": ("BotoCoreError", "ClientError"),
    "gcsfs.retry": ("HttpError",),
    "azure.core.exceptions": ("AzureError",),
}

_memory = threading.Lock()


@dataclass(frozen=True, slots=True)
class Listed:
    """What a listing tells of an object: ``size`` in bytes, and the moment it was made; None where nobody knows."""

    size: int
    made: datetime | None


class Remote:
    """A folder in a store.

    Parameters
    ----------
    url : str, Path or UPath
        ``s3://bucket/forcing``, ``file:///srv/forcing``, ``https://example.org/forcing``, a path of this machine.
    **options
        What the file system of fsspec takes: keys, an endpoint. They are kept in memory only.

    Raises
    ------
    UnsupportedScheme
        If nobody here opens such a URL, or the package for it is missing.
    InvalidInput
        If it is no plain URL of a folder.

    Examples
    --------
    >>> Remote("memory://forcing").url
    'memory://forcing'
    """

    def __init__(self, url: str | os.PathLike[str], **options: Any) -> None:
        self._options = {**getattr(url, "storage_options", {}), **options}
        said = str(url) if isinstance(url, str) or hasattr(url, "storage_options") else os.fspath(url)
        scheme, mark, rest = said.partition("://")
        if not mark:
            scheme, rest = "file", quote(os.path.abspath(os.path.expanduser(said)))
        if "::" in said or (scheme.startswith("http") and ("?" in rest or "#" in rest)) or not rest.strip("/"):
            message = f"{_public(scheme, rest)}: expected the URL of a folder, as 's3://bucket/forcing'"
            raise InvalidInput(message)
        self.scheme = scheme.lower()
        local = self.scheme in _LOCAL  # fsspec takes the name as it is, and URLs have spaces as %20
        rest = quote(unquote(rest)) if local else rest
        self._url = f"{self.scheme}://{unquote(rest) if local else rest}".rstrip("/")
        #: The URL without the name and password of a user.
        self.url = _public(self.scheme, rest).rstrip("/")
        self._system: Any = None
        self._pid = 0
        self._refuse_unknown()

    def __repr__(self) -> str:
        return f"Remote({self.url!r})"

    def _refuse_unknown(self) -> None:
        fsspec = library("fsspec", "data sets behind a URL need")
        try:
            fsspec.get_filesystem_class(self.scheme)
        except ImportError as error:
            message = f"{self.url}: {self.scheme}:// needs a package that is not installed: {error}"
            raise UnsupportedScheme(message, uri=self.url) from error
        except ValueError as error:
            message = f"{self.url}: nobody here opens {self.scheme}://; https://, s3:// and file:// can be opened"
            raise UnsupportedScheme(message, uri=self.url) from error

    def _opened(self) -> tuple[Any, str]:
        """Return the file system and the folder in it; a child of a fork has its own."""
        if self._system is None or self._pid != os.getpid():
            import fsspec

            self._system, self._pid = fsspec.core.url_to_fs(self._url, **self._options), os.getpid()
        system, folder = self._system
        return system, str(folder).rstrip("/")

    def _place(self, key: str) -> Path:
        return Path(self._opened()[1]) / key

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────

    def read(self, key: str, start: int | None = None, stop: int | None = None) -> bytes:
        """Return an object, or the bytes from ``start`` to ``stop`` of it.

        Raises
        ------
        RemoteMissing
            If there is no such object, or it may not be read.
        RemoteUnreachable
            If the store does not answer, three times.
        """
        for pause in _PAUSES:
            try:
                return self._read(key, start, stop)
            except RemoteUnreachable:
                time.sleep(pause)
        return self._read(key, start, stop)

    def _read(self, key: str, start: int | None, stop: int | None) -> bytes:
        with self._translated(key):
            system, folder = self._opened()
            found = bytes(system.cat_file(f"{folder}/{key}", start=start, end=stop))
        if start is None or stop is None or len(found) == stop - start:
            return found
        if len(found) < stop:  # cut short
            message = f"{self.url}/{key}: {len(found)} bytes came of {stop - start}"
            raise RemoteUnreachable(message, url=self.url)
        return found[start:stop]  # a server that knows no ranges sent it whole

    def listing(self, prefix: str) -> dict[str, Listed]:
        """Return every object whose key begins with the folder ``prefix``, by its key.

        Raises
        ------
        RemoteUnreachable
            If the store does not answer, or lists nothing, as web servers.
        """
        with self._translated(prefix):
            system, folder = self._opened()
            system.invalidate_cache()
            try:
                found = system.find(f"{folder}/{prefix}", detail=True)
            except FileNotFoundError:
                return {}
        return {name[len(folder) + 1 :]: Listed(int(told["size"] or 0), _made(told)) for name, told in found.items()}

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def lists(self) -> bool:
        """Whether it can say what it holds; of a web server nobody asks it."""
        return not self.scheme.startswith("http")

    def require_writable(self) -> None:
        """Refuse a store that cannot be pushed to.

        Raises
        ------
        NotWritable
            If it can only be read, or creates an object twice.
        """
        if self.scheme in _LOCAL or self.scheme == "memory":
            return
        if self.scheme not in _CREATE:
            message = (
                f"{self.url}: nothing can be pushed to {self.scheme}://, which makes no object exclusively; "
                f"file:// and {', '.join(f'{each}://' for each in sorted(_CREATE))} do"
            )
            raise NotWritable(message, path=self.url)
        probe = f"probe-{secrets.token_hex(8)}"
        once = self.create(probe, b"1"), self.create(probe, b"2")
        self.remove([probe])
        if once != (True, False):
            message = f"{self.url}: this store created one object twice (it ignores If-None-Match); push to another one"
            raise NotWritable(message, path=self.url)

    def create(self, key: str, data: bytes) -> bool:
        """Make an object unless it is there; return whether it was made.

        Raises
        ------
        NotWritable, StorageError, RemoteUnreachable
            If it cannot be made.
        """
        with self._translated(key, writing=True):
            system, folder = self._opened()
            if self.scheme in _LOCAL:
                make_folder(self._place(key).parent)
                return write_atomic(self._place(key), data, overwrite=False)
            with _memory if self.scheme == "memory" else contextlib.nullcontext():
                try:
                    system.pipe_file(f"{folder}/{key}", data, mode="create")
                except FileExistsError:
                    return False
        return True

    def put(self, key: str, data: bytes) -> None:
        """Make an object, or put it in the place of another.

        Raises
        ------
        NotWritable, StorageError, RemoteUnreachable
            If it cannot be made.
        """
        with self._translated(key, writing=True):
            system, folder = self._opened()
            if self.scheme in _LOCAL:
                make_folder(self._place(key).parent)
                write_atomic(self._place(key), data)
            else:
                system.pipe_file(f"{folder}/{key}", data)

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there are no matter.

        Raises
        ------
        NotWritable, RemoteUnreachable
            If they cannot be removed.
        """
        wanted = sorted(keys)
        with self._translated("", writing=True):
            system, folder = self._opened()
            system.invalidate_cache()
            for first in range(0, len(wanted), _BATCH):
                names = [f"{folder}/{key}" for key in wanted[first : first + _BATCH]]
                try:
                    system.rm(names)
                except FileNotFoundError:
                    for name in names:
                        with contextlib.suppress(FileNotFoundError):
                            system.rm_file(name)
        if self.scheme in _LOCAL:
            for parent in {self._place(key).parent for key in wanted}:
                with contextlib.suppress(OSError):  # not empty
                    parent.rmdir()

    @contextlib.contextmanager
    def _translated(self, key: str, *, writing: bool = False) -> Iterator[None]:
        """Turn what file systems of every kind say into errors of hmp."""
        where = f"{self.url}/{key}".rstrip("/")
        try:
            yield
        except (HmpError, FileExistsError):
            raise
        except ImportError as error:
            message = f"{where}: it needs a package that is not installed: {error}"
            raise MissingPart(message, install=str(error.name or "")) from error
        except _foreign() as error:
            said = f"{type(error).__name__}: {error}".replace(self._url, self.url)
            if writing and isinstance(error, (PermissionError, NotImplementedError)):
                message = f"{where} cannot be written: {said}; check who may write there"
                raise NotWritable(message, path=where) from error
            if isinstance(error, (FileNotFoundError, PermissionError)) or getattr(error, "status", 0) in _REFUSED:
                message = f"{where}: there is no such object, or it may not be read ({said})"
                raise RemoteMissing(message, path=where) from error
            message = f"{where} cannot be reached: {said}; try again"
            raise RemoteUnreachable(message, url=self.url) from error


def _foreign() -> tuple[type[Exception], ...]:
    """Return what file systems of the kinds that are in use may raise."""
    modules = ((sys.modules.get(module), names) for module, names in _ERRORS.items())
    own = [getattr(module, name) for module, names in modules for name in names if hasattr(module, name)]
    return (OSError, ValueError, RuntimeError, LookupError, TypeError, MemoryError, OverflowError, *own)


def _public(scheme: str, rest: str) -> str:
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _made(told: dict[str, Any]) -> datetime | None:
    found = next((told[name] for name in _MOMENTS if told.get(name) is not None), None)
    if isinstance(found, (int, float)):
        return datetime.fromtimestamp(found, UTC)
    if isinstance(found, str):
        try:
            found = datetime.fromisoformat(found)
        except ValueError:
            return None
    if not isinstance(found, datetime):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


# ── which remote a folder belongs to ─────────────────────────────────────────────────────────────────

_known: dict[str, Remote] = {}


def introduce(home: Path, remote: Remote) -> None:
    """Say by which connection what is missing in a local folder is fetched, in this process."""
    _known[os.path.realpath(home)] = remote


def of(home: Path, url: str) -> Remote:
    """Return the connection of a local folder: the one introduced, else one without secrets."""
    found = _known.get(os.path.realpath(home))
    return found if found is not None and found.url == url else Remote(url)
