"""On which version behind a URL a local version stands, and the folder beside the versions where that is kept.

::

    .versions/remote/
      url                  where the data set was attached to; no secrets
      turn.lock            held by who pushes or pulls
      manifests/<sha256>   the manifests that versions stand on
      base-<hex>/          the tree of one: links of what is here, stubs of what is not
      objects/             pieces that were fetched
      pushing              the number of a push that is under way

Each version of the data set has a hidden file, `MARK`, that names its manifest and tree: it becomes current with the
version.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from hmp_catalog.datasets.history import trees
from hmp_catalog.datasets.history.layout import HIDDEN, HOME
from hmp_catalog.datasets.remote import manifests
from hmp_catalog.datasets.remote.manifests import Manifest
from hmp_core.durable import fsync_folder, make_folder, write_atomic
from hmp_core.errors import CorruptError, PathNotFound
from hmp_core.locks import database_lock

#: The hidden file in a version.
MARK = ".remote"

_BASE = re.compile(r"(base|new)-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Standing:
    """What a version stands on: ``manifest`` is the digest of one, ``tree`` the name of the folder with its files.

    ``whole`` is true where nothing in the version waits to be fetched.
    """

    url: str
    dataset: str
    number: int
    manifest: str
    tree: str
    whole: bool = False

    def write(self, folder: Path) -> None:
        """Say so in the tree of a session."""
        write_atomic(folder / MARK, json.dumps(asdict(self), indent=2).encode())


@dataclass(frozen=True, slots=True)
class Begun:
    """A push: its name, and the number of the newest version when its first object was sent."""

    push: str
    since: int


def standing(folder: Path) -> Standing | None:
    """Return what a version stands on; None if it was never pushed or pulled.

    Raises
    ------
    CorruptError
        If its mark cannot be read.
    """
    try:
        return Standing(**json.loads((folder / MARK).read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        message = f"{folder / MARK} cannot be read ({error}); attach the data set anew, in another folder"
        raise CorruptError(message, path=str(folder / MARK)) from error


def url_of(home: Path) -> str:
    """Return the URL that a data set was attached to.

    Raises
    ------
    PathNotFound
        If nobody attached it.
    """
    try:
        return (home / "url").read_text("utf-8").strip()
    except FileNotFoundError as error:
        message = f"{home}: it is not known where the missing parts come from; open it with open_edataset"
        raise PathNotFound(message, path=str(home)) from error


class Home:
    """The folder beside the versions of the data set at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path / HIDDEN / HOME

    def make(self) -> None:
        """Make the folder."""
        make_folder(self.path)

    @property
    def url(self) -> str | None:
        """Where things come from; None if nobody said so."""
        try:
            return url_of(self.path)
        except PathNotFound:
            return None

    def attach(self, url: str) -> None:
        """Say where things come from."""
        write_atomic(self.path / "url", url.encode())

    @contextlib.contextmanager
    def turn(self, timeout: float) -> Iterator[None]:
        """Keep others of this machine from pushing and pulling.

        Raises
        ------
        BusyError
            If another one took longer than the timeout.
        """
        with database_lock(self.path / "turn").hold(timeout):
            yield

    # ── manifests and their trees ────────────────────────────────────────────────────────────────────

    def manifest(self, on: Standing) -> Manifest:
        """Return the manifest that a version stands on.

        Raises
        ------
        CorruptError
            If it is not there, or damaged.
        """
        place = self.path / manifests.FOLDER / on.manifest
        try:
            data = place.read_bytes()
        except FileNotFoundError as error:
            message = f"{place} is missing; attach the data set anew, in another folder"
            raise CorruptError(message, path=str(place)) from error
        return manifests.loads(data, str(place))

    def tree(self, on: Standing) -> Path:
        """Return the folder with the files of that manifest.

        Raises
        ------
        CorruptError
            If it is not there.
        """
        place = self.path / on.tree
        if not place.is_dir():
            message = f"{place} is missing; attach the data set anew, in another folder"
            raise CorruptError(message, path=str(place))
        return place

    def base(self, folder: Path) -> Path | None:
        """Return the tree that a version stands on; None if it was never pushed or pulled.

        Raises
        ------
        CorruptError
            If it is not there, or the mark of the version cannot be read.
        """
        on = standing(folder)
        return None if on is None else self.tree(on)

    def keep(self, manifest: Manifest, url: str, tree: Path, *, whole: bool = False) -> Standing:
        """Keep a manifest and its finished tree, and return what a version says that stands on it."""
        data = manifest.dumps()
        name = hashlib.sha256(data).hexdigest()
        make_folder(self.path / manifests.FOLDER)
        write_atomic(self.path / manifests.FOLDER / name, data)
        place = self.path / f"base-{secrets.token_hex(8)}"
        os.rename(tree, place)
        fsync_folder(self.path)
        return Standing(url, manifest.dataset, manifest.number, name, place.name, whole)

    def new_tree(self) -> Path:
        """Return the path of a tree to be made; cleared by `clear` if nobody finishes it."""
        return self.path / f"new-{secrets.token_hex(8)}"

    def clear(self, on: Standing | None) -> None:
        """Remove the trees and manifests that nobody stands on, now or after a push; the caller has the turn."""
        kept = {each for each in (on, self.pushing()[1]) if each is not None}
        for name in os.listdir(self.path):
            if _BASE.fullmatch(name) and name not in {each.tree for each in kept}:
                place = self.path / name
                trees.remove_tree(place) if place.is_dir() else place.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self.path / manifests.FOLDER):
                if name not in {each.manifest for each in kept}:
                    (self.path / manifests.FOLDER / name).unlink(missing_ok=True)

    # ── a push that is under way ─────────────────────────────────────────────────────────────────────

    def pushing(self) -> tuple[Begun | None, Standing | None]:
        """Return the push that is under way, or was when a process died, and on what the data set stands after it."""
        try:
            said = json.loads((self.path / "pushing").read_bytes())
            after = said["after"]
            return Begun(**said["begun"]), None if after is None else Standing(**after)
        except (
            FileNotFoundError,
            ValueError,
            KeyError,
            TypeError,
        ):  # it only spares work, or tells whose a manifest is
            return None, None

    def note(self, begun: Begun, after: Standing | None) -> None:
        """Note a push before anything of it can be seen."""
        said = {"begun": asdict(begun), "after": None if after is None else asdict(after)}
        write_atomic(self.path / "pushing", json.dumps(said).encode())

    def done(self) -> None:
        """Forget the push: what it brought is current, or it is given up."""
        (self.path / "pushing").unlink(missing_ok=True)
