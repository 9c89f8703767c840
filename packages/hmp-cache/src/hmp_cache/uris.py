"""Downloading from whatever fsspec opens beside the web: object stores, archives, memory, other protocols.

The same checks as over HTTP (see `hmp_cache.transfer`). Which schemes there are depends on what is installed; one that
nobody knows, or whose package is missing, is refused before anything is asked.
"""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from hmp_cache.addresses import public, scheme_of
from hmp_cache.attempts import until_whole
from hmp_cache.retries import Retry
from hmp_cache.transfer import CONTENT, HTTP, NETWORK, Answer, Failure, Head, Kept, Refused, Transfer
from hmp_core.errors import HmpError, UnsupportedScheme

_CHUNK = 1 << 20
#: Schemes that other rooms open.
_OURS = frozenset({"http", "https", "file"})
#: What fsspec opens and is no place that data come from: programs, caches, this machine by other names.
_NO_PLACES = frozenset(
    {"local", "data", "reference", "async_wrapper", "filecache", "simplecache", "blockcache", "cached"}
)


def require_known(uri: str) -> str:
    """Return the scheme of a URI that can be fetched.

    Raises
    ------
    UnsupportedScheme
        For a scheme that nobody here opens; names the package to install where one would.
    InvalidInput
        For what is no URI.
    """
    scheme = scheme_of(uri)
    if scheme in _OURS:
        return scheme
    import fsspec

    for part in (each.partition("://")[0].lower() for each in uri.split("::")):
        try:
            known = part not in _NO_PLACES and fsspec.get_filesystem_class(part) is not None
        except ImportError as error:
            message = f"{public(uri)}: {part}:// needs a package that is not installed: {error}"
            raise UnsupportedScheme(message, uri=public(uri)) from error
        except ValueError:
            known = False
        if not known:
            message = f"{public(uri)}: nobody here opens {part}://; https://, http:// and file:// always work"
            raise UnsupportedScheme(message, uri=public(uri))
    return scheme


def download(
    uri: str,
    write: Callable[[bytes], None],
    restart: Callable[[], None],
    *,
    etag: str | None = None,
    sha256: str | None = None,
    retry: Retry | None = None,
    failed: Callable[[Failure], None],
    kept: Kept | None = None,
    advance: Callable[[int, int | None], None] | None = None,
) -> Answer:
    """Fetch a URI; see `hmp_cache.http.download`.

    Parameters
    ----------
    etag
        What the store called the content of what is there already: the answer is then perhaps that it is unchanged.
    """
    policy = retry or Retry()
    transfer = Transfer(uri, write, restart, sha256=sha256, kept=kept, advance=advance)
    return until_whole(uri, transfer, lambda: _attempt(uri, transfer, policy, etag), policy, failed)


def _attempt(uri: str, transfer: Transfer, policy: Retry, etag: str | None) -> Answer:
    import fsspec

    with _translated(uri):
        opener, path = fsspec.url_to_fs(uri)
        opener.invalidate_cache()
        about = opener.info(path)
        found = _etag(about)
        if etag is not None and found == etag:
            return Answer(304, public(uri), etag=etag)
        size = about.get("size")
        head = Head(200, {} if size is None else {"Content-Length": str(size)}, public(uri))
        transfer.forget()
        with opener.open(path, "rb") as file:
            transfer.receive(head, iter(lambda: file.read(_CHUNK), b""), policy)
        return Answer(200, head.uri, transfer.sha256, transfer.size, etag=found)


@contextlib.contextmanager
def _translated(uri: str) -> Iterator[None]:
    """Turn what file systems of every kind say into what a download says."""
    try:
        yield
    except HmpError:
        raise  # our own disk
    except (FileNotFoundError, IsADirectoryError, PermissionError, LookupError, TypeError) as error:
        # a TypeError: the address lacks what this kind of store needs, as a host
        raise Refused(HTTP, _said(error, uri), transient=False) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise Refused(CONTENT, _said(error, uri), transient=False) from error
    except ImportError as error:
        message = f"{public(uri)}: it needs a package that is not installed: {error}"
        raise UnsupportedScheme(message, uri=public(uri)) from error
    except OSError as error:
        raise Refused(NETWORK, _said(error, uri)) from error


def _said(error: Exception, uri: str) -> str:
    return f"{type(error).__name__}: {error}".replace(uri, public(uri))


def _etag(about: dict[str, Any]) -> str | None:
    """Return what a store calls the content of an object."""
    found = about.get("ETag") or about.get("etag")
    return str(found) if found else None
