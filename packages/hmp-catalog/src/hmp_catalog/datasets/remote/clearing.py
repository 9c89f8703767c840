"""What is taken away behind a URL: versions that were replaced, what dead pushes left, or all; and copies to another.

Whoever pushes meanwhile is told by a manifest, before anything is deleted (``docs/decisions/0011``).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from hmp_catalog.datasets.remote import manifests
from hmp_catalog.datasets.remote.fetching import Fetcher
from hmp_catalog.datasets.remote.manifests import Entry, Manifest
from hmp_catalog.datasets.remote.pulling import conflict, live
from hmp_catalog.datasets.remote.remotes import Remote
from hmp_core.errors import BusyError

_TRIES = 20
_AT_ONCE = 4


def clear(remote: Remote, older_than: timedelta) -> int:
    """Delete the objects that no version names which is, or was until so long ago, the newest; return how many.

    Raises
    ------
    RemoteMissing
        If there is no data set.
    NotWritable, RemoteUnreachable
        If they cannot be deleted; the next clearing goes on with it.
    """
    remote.require_writable()
    before = datetime.now(UTC) - older_than
    for _ in range(_TRIES):
        newest = live(remote)
        kept = _kept(remote, newest, before)
        named = {key for each in kept for key in each.objects()}
        listed = remote.listing(manifests.OBJECTS)
        doomed = {
            key for key, told in listed.items() if key not in named and told.made is not None and told.made < before
        }
        if not doomed:
            return 0
        if manifests.publish(remote, newest.next(secrets.token_hex(8), doomed=frozenset(doomed))):
            remote.remove(doomed)
            _remove_manifests(remote, min(each.number for each in kept))
            return len(doomed)
    raise _again(remote)


def _kept(remote: Remote, newest: Manifest, before: datetime) -> list[Manifest]:
    """Return the versions that are, or were until after that moment, the newest."""
    found = [newest]
    for number in sorted(manifests.numbers(remote), reverse=True):
        if number >= newest.number:
            continue
        if datetime.fromisoformat(found[-1].when) < before:
            break
        each = manifests.read(remote, number)
        if each is None:
            break
        found.append(each)
    return found


def _remove_manifests(remote: Remote, first: int) -> None:
    remote.remove(manifests.place(number) for number in manifests.numbers(remote) if number < first)


def delete(remote: Remote) -> None:
    """Delete the data set behind the URL; what stays is one object that says so.

    Raises
    ------
    RemoteMissing
        If there is none.
    NotWritable, RemoteUnreachable
        If it cannot be deleted. Once it was begun nobody can read it any more; deleting it again goes on.
    """
    remote.require_writable()
    for _ in range(_TRIES):
        last = manifests.newest(remote)
        there = set(remote.listing(manifests.OBJECTS))
        if last is None or (last.deleted and not there & last.doomed):
            live(remote)  # says so
            continue
        if not last.deleted:
            push = secrets.token_hex(8)
            last = last.next(push, files={}, held={}, doomed=frozenset(there), deleted=True)
            if not manifests.publish(remote, last):
                continue
        remote.remove(last.doomed)  # and nothing that was sent since: that is of another data set
        _remove_manifests(remote, last.number)
        return
    raise _again(remote)


def _again(remote: Remote) -> BusyError:
    message = f"{remote.url}: others push again and again; try later"
    return BusyError(message, path=remote.url, holder="somebody else", waited=0.0)


def copy(source: Remote, target: Remote, fetcher: Fetcher) -> int:
    """Put the newest version behind another URL, as a data set of its own; return its number there.

    Raises
    ------
    RemoteConflict
        If there is a data set already.
    RemoteMissing
        If there is nothing to copy.
    NotWritable, RemoteUnreachable, CorruptError
        If it cannot be read, or written.
    """
    target.require_writable()
    newest, there = live(source), manifests.newest(target)
    if there is not None and not there.deleted:
        message = f"{target.url}: a data set is there; delete it first, or copy to another URL"
        raise conflict(message, target, None, there)
    push = secrets.token_hex(8)
    entries = dict(zip(newest.files, _copied(newest.files.values(), fetcher, target, push), strict=True))
    number = 1 if there is None else there.number + 1
    made = Manifest(secrets.token_hex(16), number, push, entries, newest.held)
    if not manifests.publish(target, made):
        message = f"{target.url}: somebody else put a data set there just now"
        raise conflict(message, target, None, manifests.newest(target))
    return number


def _copied(entries: Iterable[Entry], fetcher: Fetcher, target: Remote, push: str) -> list[Entry]:
    def one(entry: Entry) -> Entry:
        made = Entry(entry.sha256, entry.size, push, entry.pieces)
        for key, data in zip(made.keys, fetcher.whole(entry), strict=True):
            target.put(key, data)
        return made

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(one, entries))
