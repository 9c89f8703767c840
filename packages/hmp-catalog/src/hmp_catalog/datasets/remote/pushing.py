"""What changed in a local folder goes behind the URL: objects first, then the manifest, which is the commit."""

from __future__ import annotations

import hashlib
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hmp_catalog.datasets.history import adopting, documents, trees
from hmp_catalog.datasets.history.layout import Layout
from hmp_catalog.datasets.history.versions import Snapshot, Versions
from hmp_catalog.datasets.remote import differing, manifests, pieces, standing, stubs
from hmp_catalog.datasets.remote.fetching import Fetcher
from hmp_catalog.datasets.remote.manifests import Entry, Manifest
from hmp_catalog.datasets.remote.pulling import conflict, current, missing, recover, refuse_others, stand
from hmp_catalog.datasets.remote.remotes import Remote
from hmp_catalog.datasets.remote.standing import Begun, Home, Standing
from hmp_catalog.errors import RemoteMissing
from hmp_core.errors import BusyError

#: How many files are sent at a time, each whole in memory.
_AT_ONCE = 4

#: How often a push is taken up again because somebody cleared the store meanwhile.
_TRIES = 20


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did; it is true if it made a version, and false if there was nothing to push.

    Attributes
    ----------
    number : int
        The newest version behind the URL.
    files : int
        How many files changed here since the last push or pull, as `EDataset.changes` lists them.
    nbytes : int
        What was sent, the manifest among it. Bytes that were there already are not sent again.
    """

    number: int
    files: int = 0
    nbytes: int = 0

    def __bool__(self) -> bool:
        return self.nbytes > 0


def push(versions: Versions, remote: Remote, *, force: bool = False) -> Pushed:
    """Make the current local version the newest behind the URL; return its number there, and what was sent.

    What is committed is pushed, and only what is not there yet is sent. A push whose process died is gone on with.

    Parameters
    ----------
    force
        Also where others pushed meanwhile, or another data set is there: this one takes its place.

    Raises
    ------
    RemoteConflict
        If others pushed since the last pull, or another data set is there. Nobody sees anything of it.
    RemoteMissing
        If the data set was removed there.
    NotWritable
        If the store can only be read, or makes no object exclusively.
    RemoteUnreachable, StorageError
        If it could not be sent; others see nothing of it, unless it was the last answer that was lost.
    """
    remote.require_writable()
    home = Home(versions.path)
    versions.snapshot().close()  # refuses a folder with nothing in it
    home.make()
    with home.turn(versions.timeout):
        recover(versions, home, remote)
        for _ in range(_TRIES):
            pushed = _push(versions, home, remote, force=force)
            if pushed is not None:
                home.attach(remote.url)
                home.clear(current(versions))
                return pushed
    message = f"{remote.url}: somebody clears it again and again; try later"
    raise BusyError(message, path=remote.url, holder="somebody else", waited=0.0)


def _push(versions: Versions, home: Home, remote: Remote, *, force: bool) -> Pushed | None:
    """Push once; None if somebody else made the next version meanwhile, which is to be looked at."""
    with versions.snapshot() as snapshot:
        on = standing.standing(snapshot.folder)
        newest = manifests.newest(remote)
        names = differing.names(home.base(snapshot.folder), snapshot.folder)
        if not force:
            _refuse(versions, home, remote, on, newest)
            if on is not None and newest is not None and not names:
                return Pushed(newest.number)
        tree = _linked(snapshot, home)
        sending = Sending(home, remote, newest, _begun(home, remote, newest))
        manifest = sending.manifest(tree, on)
        after = home.keep(manifest, remote.url, tree, whole=not missing(tree))
        home.note(sending.begun, after)
        if not manifests.publish(remote, manifest):
            return None
    stand(versions, after)
    home.done()
    return Pushed(manifest.number, len(names), sum(sending.sizes) + len(manifest.dumps()))


def _linked(snapshot: Snapshot, home: Home) -> Path:
    """Return a tree of links to a version, without the mark; of what a plain reader sees, where there are none yet."""
    tree = home.new_tree()
    if snapshot.number:
        trees.link_tree(snapshot.folder, tree)
        (tree / standing.MARK).unlink(missing_ok=True)
    else:
        adopting.link_plain(Layout(snapshot.folder), tree)
    trees.flush(tree, [])
    return tree


def _refuse(versions: Versions, home: Home, remote: Remote, on: Standing | None, newest: Manifest | None) -> None:
    """Refuse to push on what one does not know."""
    if newest is None or newest.deleted:
        if on is None:
            return
        why = "it is not there any more" if newest is None else f"it was deleted there ({newest.when})"
        message = f"{remote.url}: {why}; push(force_push=True) puts it there again"
        if newest is None:
            raise RemoteMissing(message, path=remote.url)
        raise conflict(message, remote, on, newest)
    refuse_others(versions, remote, on, newest)
    if on is not None and not newest.same(home.manifest(on)):
        message = (
            f"{remote.url}: somebody pushed version {newest.number} since {on.number} was pulled; pull, then push again"
        )
        raise conflict(message, remote, on, newest)


def _begun(home: Home, remote: Remote, newest: Manifest | None) -> Begun:
    """Return the push to go on with, if nothing of what it sent is being cleared; else a new one."""
    begun, _ = home.pushing()
    number = 0 if newest is None else newest.number
    if begun is not None and begun.since <= number:
        between = [] if newest is None else manifests.since(remote, begun.since, newest)
        if between is not None and not any(_of(begun, key) for each in between for key in each.doomed):
            return begun
    begun = Begun(secrets.token_hex(8), number)
    home.note(begun, None)
    return begun


def _of(begun: Begun, key: str) -> bool:
    return key.startswith(f"{manifests.OBJECTS}/{begun.push}/")


class Sending:
    """The files of a tree, sent unless they are there."""

    def __init__(self, home: Home, remote: Remote, newest: Manifest | None, begun: Begun) -> None:
        self.begun = begun
        #: The bytes of each object that was sent; threads append.
        self.sizes: list[int] = []
        self._home, self._remote, self._newest = home, remote, newest
        self._there = {} if newest is None or newest.deleted else newest.by_content()
        self._sent = set(remote.listing(f"{manifests.OBJECTS}/{begun.push}")) if remote.lists else set()
        self._fetcher = Fetcher(home.path, remote if home.url in (None, remote.url) else None)

    def manifest(self, folder: Path, on: Standing | None) -> Manifest:
        """Send what is not there, and return the manifest of a version that stands on another."""
        found, known = trees.inventory(folder), self._known(on)
        nodes = documents.nodes(folder)
        held, wanted = {}, []
        files: dict[str, Entry] = {}
        for name, inode in sorted(found.items()):
            entry = known.get(inode) or (None if differing.hidden(name) else stubs.read(folder / name))
            if differing.hidden(name):
                continue
            if entry is not None and entry.sha256 in self._there:
                files[name] = self._there[entry.sha256]
            elif entry is None and (differing.document(name) or os.path.getsize(folder / name) <= stubs.SMALL):
                held[name] = (folder / name).read_bytes()
            else:
                wanted.append((name, folder / name, _document_of(name, nodes)))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            files |= dict(pool.map(lambda each: (each[0], self._send(*each[1:])), wanted))
        return self._next(on, files, held)

    def _next(self, on: Standing | None, files: dict[str, Entry], held: dict[str, bytes]) -> Manifest:
        if self._newest is not None and not self._newest.deleted:
            return self._newest.next(self.begun.push, files=files, held=held)
        name = secrets.token_hex(16) if on is None or self._newest is not None else on.dataset
        number = 1 if self._newest is None else self._newest.number + 1
        return Manifest(name, number, self.begun.push, files, held)

    def _known(self, on: Standing | None) -> dict[int, Entry]:
        """Return inode -> entry of the files that the version before has, also under another name."""
        if on is None:
            return {}
        inodes, before = trees.inventory(self._home.tree(on)), self._home.manifest(on)
        return {inodes[name]: entry for name, entry in before.files.items() if name in inodes}

    def _send(self, place: Path, document: documents.Document | None) -> Entry:
        entry = stubs.read(place)
        data = place.read_bytes() if entry is None else self._fetcher.read(entry)
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 in self._there:
            return self._there[sha256]
        parts = pieces.cut(data, document)
        table = pieces.table(parts) if len(parts) > 1 else None
        digest = None if table is None else hashlib.sha256(table).hexdigest()
        made = Entry(sha256, len(data), self.begun.push, digest)
        for key, each in zip(made.keys, (data, table or b""), strict=False):
            if key not in self._sent:
                self._remote.put(key, each)
                self.sizes.append(len(each))
        return made


def _document_of(name: str, nodes: dict[str, documents.Document]) -> documents.Document | None:
    """Return the document of the array that a file belongs to."""
    while name:
        name = name.rpartition("/")[0]
        if name in nodes:
            return nodes[name]
    return None
