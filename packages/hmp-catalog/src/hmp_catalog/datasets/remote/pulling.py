"""What others pushed comes into a local folder: as links and stubs, merged with what changed here, all at once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from hmp_catalog.datasets.history import trees
from hmp_catalog.datasets.history.merging import Merge
from hmp_catalog.datasets.history.versions import Session, Versions
from hmp_catalog.datasets.remote import differing, manifests, standing, stubs
from hmp_catalog.datasets.remote.fetching import Fetcher
from hmp_catalog.datasets.remote.manifests import Entry, Manifest
from hmp_catalog.datasets.remote.remotes import Remote
from hmp_catalog.datasets.remote.standing import Home, Standing
from hmp_catalog.errors import DatasetConflict, RemoteConflict, RemoteMissing

#: How many files are fetched at a time.
_AT_ONCE = 8


def live(remote: Remote) -> Manifest:
    """Return the newest version behind the URL.

    Raises
    ------
    RemoteMissing
        If there is none, or it was deleted.
    """
    found = manifests.newest(remote)
    if found is None or found.deleted:
        why = "no data set there; push one" if found is None else f"the data set was deleted ({found.when})"
        message = f"{remote.url}: {why}"
        raise RemoteMissing(message, path=remote.url)
    return found


def pull(versions: Versions, remote: Remote, *, only_even: bool = False, timeout: float | None = None) -> int:
    """Bring the newest version into the local folder, which is made if it is not there; return its number.

    Only what says what there is is fetched; data come when they are read. With ``only_even`` nothing happens where
    something changed here.

    Raises
    ------
    RemoteConflict
        If the same was changed here and by a push, or there is another data set behind the URL. Nothing changed.
    RemoteMissing, RemoteUnreachable, CorruptError
        If there is none, it cannot be asked, or is damaged.
    BusyError
        If another process of this machine pushed or pulled for longer than the timeout, that of commits if not given.
    """
    newest = live(remote)
    versions.session(create=True).close()  # refuses what is in the way, before anything is made
    home = Home(versions.path)
    home.make()
    with home.turn(versions.timeout if timeout is None else timeout):
        recover(versions, home, remote)
        with versions.session(create=True) as session:
            on = standing.standing(session.folder) if versions.exists else None
            refuse_others(versions, remote, on, newest)
            home.attach(remote.url)
            if on is not None and home.manifest(on).number == newest.number:
                return newest.number
            if on is not None and only_even and differing.names(home.tree(on), session.folder):
                return on.number
            _bring(session, home, remote, newest)
        home.clear(current(versions))
    return newest.number


def refuse_others(versions: Versions, remote: Remote, on: Standing | None, newest: Manifest) -> None:
    """Refuse to mix data sets that have nothing to do with each other.

    Raises
    ------
    RemoteConflict
        If what is here is no copy of what is there.
    """
    if (versions.exists and on is None) or (on is not None and on.dataset != newest.dataset):
        message = (
            f"{versions.path} is no copy of the data set at {remote.url}; open that one in another folder, or put "
            "this one in its place with push(force_push=True)"
        )
        raise conflict(message, remote, on, newest)
    if on is not None and newest.number < on.number:
        message = (
            f"{remote.url} is at version {newest.number}, and was at {on.number}: it was put back; push with force"
        )
        raise conflict(message, remote, on, newest)


def conflict(
    message: str, remote: Remote, on: Standing | None, newest: Manifest | None, at: DatasetConflict | None = None
) -> RemoteConflict:
    """Return the error of two who changed the same."""
    variable, region = ("", "") if at is None else (at.variable, at.region)
    base, found = 0 if on is None else on.number, 0 if newest is None else newest.number
    return RemoteConflict(
        message, url=remote.url, path=remote.url, base=base, found=found, variable=variable, region=region
    )


def current(versions: Versions) -> Standing | None:
    """Return what the current local version stands on."""
    with versions.snapshot() as snapshot:
        return standing.standing(snapshot.folder)


def recover(versions: Versions, home: Home, remote: Remote) -> None:
    """Finish a push that was seen by all but not by us: its process died, or the answer was lost; turn held."""
    begun, after = home.pushing()
    if begun is None or after is None:
        return
    found = manifests.read(remote, after.number)
    if found is not None and found.push == begun.push:
        stand(versions, after)
        home.done()


def stand(versions: Versions, on: Standing) -> None:
    """Make the current local version stand on another version of the remote."""
    with versions.session() as session, session.writing() as folder:
        on.write(folder)


# ── bringing ─────────────────────────────────────────────────────────────────────────────────────────


def _bring(session: Session, home: Home, remote: Remote, newest: Manifest) -> None:
    """Put the newest version, and what changed here, into a session."""
    on = standing.standing(session.folder) if session.number else None
    base = None if on is None else home.tree(on)
    tree = _plant(home, newest, None if on is None else home.manifest(on), base)
    source = tree
    if on is not None and differing.names(base, session.folder):
        source = home.new_tree()
        trees.link_tree(tree, source)
        try:
            Merge(home.path.parent.parent, base, session.folder, tree).into(source)
        except DatasetConflict as error:
            message = (
                f"{remote.url}: {error.variable or 'the data set'}, {error.region}, was changed here and by what was "
                f"pushed since (version {newest.number}, here {on.number}); discard the changes here, or force the push"
            )
            raise conflict(message, remote, on, newest, error) from error
    with session.writing() as folder:
        differing.mirror(source, folder)
        home.keep(newest, remote.url, tree, whole=not missing(folder)).write(folder)


def _plant(home: Home, manifest: Manifest, known: Manifest | None, tree: Path | None) -> Path:
    """Make the tree of a manifest: what is known already are links, all else stubs; documents are whole."""
    place = home.new_tree()
    place.mkdir()
    files = {} if known is None else {entry.sha256: name for name, entry in known.files.items()}
    held = {} if known is None else known.held
    written = []
    for name in sorted({*manifest.files, *manifest.held}):
        target = place / name
        os.makedirs(target.parent, exist_ok=True)
        entry = manifest.files.get(name)
        source = (
            (name if held.get(name) == manifest.held.get(name) else None) if entry is None else files.get(entry.sha256)
        )
        if tree is not None and source is not None:
            trees.link(tree / source, target)
        else:
            target.write_bytes(manifest.held[name] if entry is None else stubs.text(entry))
            written.append(name)
    trees.flush(place, written)
    return place


# ── all of it, none of it ────────────────────────────────────────────────────────────────────────────


def missing(folder: Path) -> dict[str, Entry]:
    """Return the files of a tree that were not fetched."""
    found = {name: stubs.read(folder / name) for name in trees.inventory(folder) if not differing.hidden(name)}
    return {name: entry for name, entry in found.items() if entry is not None}


def load(versions: Versions, remote: Remote) -> int:
    """Fetch everything that is not here; return how many files that were. Then it is a data set as any other.

    Raises
    ------
    CorruptError, RemoteMissing, RemoteUnreachable
        If something cannot be fetched. What was fetched is kept.
    """
    home = Home(versions.path)
    fetcher = Fetcher(home.path, remote)
    with versions.snapshot() as snapshot:
        wanted = missing(snapshot.folder)
    if not wanted:
        return 0
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(fetcher.fetch, wanted.values()):
            pass
    with home.turn(versions.timeout):
        with versions.session() as session:
            _fill(session, home, fetcher)
        home.clear(current(versions))
    for entry in wanted.values():
        fetcher.forget(entry)
    return len(wanted)


def _fill(session: Session, home: Home, fetcher: Fetcher) -> None:
    """Put the files in the places of their stubs, also in the tree of the manifest: nothing changed by that."""
    on = standing.standing(session.folder)
    tree = home.new_tree()
    if on is None:
        tree.mkdir()
    else:
        trees.link_tree(home.tree(on), tree)
    with session.writing() as folder:
        same = _names(folder), _names(tree)
        for name, entry in sorted(missing(folder).items()):
            inode = (folder / name).stat().st_ino
            if name != same[0][inode][0]:
                continue  # a file of several names is put in all their places
            beside = home.new_tree()
            beside.write_bytes(fetcher.read(entry))
            for place in [
                *(folder / each for each in same[0][inode]),
                *(tree / each for each in same[1].get(inode, [])),
            ]:
                place.unlink()
                trees.link(beside, place)
            beside.unlink()
        if on is not None:
            home.keep(home.manifest(on), on.url, tree, whole=True).write(folder)


def _names(folder: Path) -> dict[int, list[str]]:
    """Return inode -> the names that a file has in a tree."""
    found: dict[int, list[str]] = {}
    for name, inode in sorted(trees.inventory(folder).items()):
        found.setdefault(inode, []).append(name)
    return found


def discard(versions: Versions) -> None:
    """Go back to what was pushed or pulled last; nothing happens where that was never done."""
    home = Home(versions.path)
    on = current(versions)
    if on is None:
        return
    with home.turn(versions.timeout), versions.session() as session:
        on = standing.standing(session.folder) or on
        with session.writing() as folder:
            differing.mirror(home.tree(on), folder)
            replace(on, whole=not missing(folder)).write(folder)
