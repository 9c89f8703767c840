"""How you get in: the index of this machine, which knows every registered workspace and what its projects hold."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hmp_core import arrivals
from hmp_core.errors import InvalidInput, MissingPart, PathNotFound
from hmp_core.layout import WORKSPACE_MARKER, Root, index_path, read_root, workspace_root
from hmp_core.locks import DEFAULT_TIMEOUT
from hmp_core.paths import to_local
from hmp_core.questions import ask
from hmp_index import finding, labels, queries, roster, scanning
from hmp_index.enrolling import readable
from hmp_index.keeper import Keeper, View
from hmp_index.records import Health, Hit, Notice, Project, Pruned, Workspace
from hmp_index.roster import Listed
from hmp_index.scanning import DEPTH
from hmp_index.search import words

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from upath import UPath

    from hmp_core.protocols import AuthBackend


def index(
    db_path: str | Path | UPath | None = None,
    *,
    read_only: bool = False,
    auth: AuthBackend | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> GlobalIndex:
    """Open the index of this machine, making it if it is not there.

    Parameters
    ----------
    db_path
        The database; by default ``index.duckdb`` in ``HMP_STATE_HOME``, else in the user's state folder.
    read_only
        Change nothing: answer from the snapshot as it is, and say what changed since.
    auth
        Who is asked for the right to read and write; by default whom ``HMP_AUTH_BACKEND`` names, and before a catalog
        is read whom its workspace names.
    timeout
        Seconds to wait for the lock of the index.

    Raises
    ------
    DatabaseNotFound
        With ``read_only``, if there is none; nothing is created.
    UnsupportedScheme, NotWritable, SchemaTooNewError, SchemaIntegrityError, BusyError, AccessDenied
        See `hmp_core.errors`.

    Examples
    --------
    >>> from hmp_core.layout import init_workspace
    >>> root = init_workspace("fulda")
    >>> with index() as machine:
    ...     machine.register("fulda", label="Fulda at Bad Hersfeld").label
    'Fulda at Bad Hersfeld'
    """
    return GlobalIndex(db_path, read_only=read_only, auth=auth, timeout=timeout)


class GlobalIndex:
    """Which workspaces exist on this machine, and a searchable snapshot of their simulations.

    Every answer first brings the snapshot up to date: what changed is found by `stat`, and only that is read. A
    catalog that cannot be read keeps its last snapshot; `notice` says which, why, and how old it is. See `index` for
    the parameters and errors.

    Attributes
    ----------
    path : Path
        The database; the list of workspaces is ``workspaces.toml`` beside it.
    notice : Notice
        What the last answer lacks; false when it was complete.
    """

    def __init__(
        self,
        db_path: str | Path | UPath | None = None,
        *,
        read_only: bool = False,
        auth: AuthBackend | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        where = index_path() if db_path is None else to_local(db_path)
        if where.is_dir():
            message = f"{where} is a folder; pass the database in it, as {where / 'index.duckdb'}"
            raise InvalidInput(message)
        self._keeper = Keeper(where, auth=auth, timeout=timeout, read_only=read_only)
        self.path = self._keeper.path
        self.notice = Notice()

    def __repr__(self) -> str:
        return f"<GlobalIndex {self.path}>"

    # ── the list of workspaces ───────────────────────────────────────────────────────────────────────

    def register(self, path: str | Path | UPath, label: str | None = None) -> Workspace:
        """Put a workspace on the list and read what it holds.

        Workspaces that hmp makes or opens to work in come onto the list by themselves, unless
        ``HMP_AUTO_REGISTER_WORKSPACE`` is 0.

        Registering it again, through a link, relatively or as a ``file://`` URI, changes nothing but the label, if one
        is given. A workspace that was moved is recognised by the id it carries, and gets its new path. A copy, whose
        original is still where it was, gets a line and an id of its own: `Workspace.copy_of` and `notice` say so.

        Parameters
        ----------
        path
            The root of a workspace, which has a ``workspace.toml``.
        label
            What to call it; by default what it was called when it was on a list before, else its own name. It is noted
            in the workspace too, so that it comes back where everything else of the index was lost.

        Raises
        ------
        PathNotFound
            If it is not a workspace; nothing is changed.
        UnsupportedScheme, InvalidInput, CorruptError, NotWritable, BusyError, AccessDenied
            See `hmp_core.errors`.
        """
        root = _root(path)
        _check_label(label)
        line = self._keeper.enrol(lambda enrolled: enrolled.add(root, label)).lines[-1]
        if label is not None:
            labels.note(line, self._keeper.auth)
        return self._looked_at(line)

    def relocate(self, ref: str | Path | UUID, new_path: str | Path | UPath) -> Workspace:
        """Say where a workspace lies now.

        Raises
        ------
        NotFound, AmbiguousReference
            If no workspace, or several, go by ``ref`` (an id or its first digits, a label, a path).
        OtherWorkspace
            If the folder holds another workspace.
        """
        root = _root(new_path)

        def moved(listed: list[Listed]) -> tuple[list[Listed], Listed]:
            line = roster.resolve(listed, ref)
            return roster.relocated(listed, line, root), replace(line, path=root.path)

        return self._looked_at(self._keeper.change(moved))

    def forget(self, ref: str | Path | UUID) -> Workspace:
        """Take a workspace off the list, and return what it was; its files are left alone.

        Raises
        ------
        NotFound, AmbiguousReference
            If no workspace, or several, go by ``ref`` (an id or its first digits, a label, a path).
        """

        def without(listed: list[Listed]) -> tuple[list[Listed], Listed]:
            line = roster.resolve(listed, ref)
            return [one for one in listed if one != line], line

        former = self._records(only=())
        line = self._keeper.change(without)
        arrivals.tell_again()
        self._records(only=())
        return _among(former, line)

    def prune(self, *, dry_run: bool = False) -> list[Pruned]:
        """Take off the index what is not there any more: workspaces that are gone from their place, and projects.

        Parameters
        ----------
        dry_run
            Only say what would go.

        Returns
        -------
        list of Pruned
            What went. A workspace that was merely not mounted comes back with all it holds when it is registered.
        """
        view = self._see(self._keeper.found_again())
        gone = {seen.line.id: seen.line for seen in view.found.seen if seen.gone}
        lost = [row.place for row in view.found.lost]
        projects = {project.id: project for project in view.projects()}
        pruned = [_pruned(line, projects.values()) for line in gone.values()]
        pruned += [_pruned_project(projects[str(place.project_id)]) for place in lost]
        if pruned and not dry_run:
            self._keeper.change(lambda listed: ([line for line in listed if line.id not in gone], None))
            self._keeper.drop([place.project_id for place in lost])
        return pruned

    def refresh(self, *, only_stale: bool = True, progress: Callable[[str], None] | None = None) -> Notice:
        """Read what changed, however long it takes, and say what could not be read.

        A workspace that is gone from its place is looked for beside it, where a folder above it was renamed, and beside
        the other workspaces: it is known by the id it carries, and gets its new path.

        Parameters
        ----------
        only_stale
            Leave alone the catalogs whose files are as they were.
        progress
            Called with a sentence now and then.
        """
        return self._see(self._keeper.found_again(only_stale=only_stale, budget=None, progress=progress)).notice

    def rebuild(
        self,
        roots: Iterable[str | Path | UPath] | None = None,
        *,
        below: str | Path | UPath | None = None,
        depth: int = DEPTH,
        progress: Callable[[str], None] | None = None,
    ) -> Notice:
        """Make the database anew from ``workspaces.toml`` and the workspaces; say what could not be read.

        The former database is set aside. What is out of reach keeps its last snapshot, unless that was damaged.

        Parameters
        ----------
        roots
            Workspaces to put on the list first, with the labels that they note themselves. What is none is told in the
            notice, and stops nothing.
        below
            Also those at and below this folder. Hidden folders, links and what lies in a workspace are passed over, and
            what cannot be read is told in the notice.
        depth
            How many levels below it.
        progress
            Called with a sentence now and then.

        Raises
        ------
        PathNotFound
            If there is no folder ``below``.
        InvalidInput, UnsupportedScheme, NotWritable, BusyError, AccessDenied
            See `hmp_core.errors`.
        """
        places = [Path(os.path.realpath(to_local(root))) for root in roots or ()]
        start = None if below is None else _folder(below, depth)
        self._keeper.authorize()
        found, skipped = readable(places)
        remarks = list[str]()
        if start is not None:
            scan = scanning.below(start, depth=depth, progress=progress)
            found, skipped = [*found, *scan.roots], [*skipped, *scan.skipped]
            remarks += [f"{scan.too_deep} folders lie deeper than {depth} below {start}"] if scan.too_deep else []
        if found:
            self._keeper.enrol(lambda enrolled: enrolled.add_all(found))
        notice = self._see(self._keeper.rebuild(progress)).notice
        self.notice = Notice((*notice.skipped, *skipped), (*notice.remarks, *remarks))
        return self.notice

    # ── answers ──────────────────────────────────────────────────────────────────────────────────────

    def workspaces(self, *, look: bool = True) -> list[Workspace]:
        """Return the registered workspaces, in the order they were registered.

        Parameters
        ----------
        look
            Look at each and read what changed; without, they are told as they were known last: all that whoever asks
            them himself needs.
        """
        return self._records(only=None if look else ())

    def projects(self) -> list[Project]:
        """Return the projects of all registered workspaces."""
        return self._see(self._keeper.known()).projects()

    def health(self) -> list[Health]:
        """Return each workspace with its projects: what can be read, what cannot, and why."""
        found, self.notice = self._keeper.answer(
            lambda backend, view: (
                queries.workspaces(backend, view.listed, view.state.workspaces),
                view.projects(),
            )
        )
        by_workspace: dict[str, list[Project]] = {}
        for project in found[1]:
            by_workspace.setdefault(project.workspace_id, []).append(project)
        return [Health(one, tuple(by_workspace.get(one.id, ()))) for one in found[0]]

    def find(self, **filters: Any) -> list[Hit]:
        """Return the simulations that fit, in any registered workspace, newest first.

        Parameters
        ----------
        **filters
            Columns (``workspace``, ``project``, ``solver``, ``status``, ``name``, ``study_area_name``, ``kind``,
            ``created_at``, ...), ``tags`` (one, or a list that must all be there), ``text``, metrics (``nse_gt=0.7``,
            at any station) and parameters (``**{"param.x1_gt": 300}``). A list means any of its values; the suffixes
            ``_gt``, ``_gte``, ``_lt``, ``_lte``, ``_ne`` and ``_like`` compare otherwise than for equality. A catalog
            means the same by each but ``text``: here it is words, as for `search`, also of tags, the project and the
            label of the workspace, without accents and punctuation; and a ``status`` that nobody has finds nothing.

        Raises
        ------
        UnknownFilter
            For a key that nothing goes by; lists the valid ones.
        """
        found, self.notice = self._keeper.answer(
            lambda backend, view: queries.hits(
                backend,
                finding.question(filters, lambda kind: queries.keys(backend, kind), view.labels()),
                view.projects(),
            )
        )
        return found

    def search(self, text: str, limit: int | None = 20) -> list[Hit]:
        """Return the simulations that some words describe, best first.

        Every word must stand, whole or as the beginning of a word, in the name, the tags, the study area, the
        objective, the description, the project or the label of the workspace. Accents and case do not matter.

        Parameters
        ----------
        text
            Words; whatever is neither a letter nor a digit separates them.
        limit
            How many at most; None for all.
        """
        if not isinstance(text, str) or not (limit is None or (isinstance(limit, int) and 0 < limit <= _MOST)):
            message = f"search({text!r}, limit={limit!r}): expected words, and at least one hit"
            raise InvalidInput(message)
        sought = words(text)
        if not sought:
            return []
        found, self.notice = self._keeper.answer(
            lambda backend, view: queries.hits(
                backend, finding.search(sought, view.labels()), view.projects(), limit=limit
            )
        )
        return found

    def sql(
        self,
        query: str,
        params: Sequence[Any] = (),
        *,
        live: bool = False,
        progress: Callable[[str], None] | None = None,
    ) -> pa.Table:
        """Return the answer to a SQL question about the snapshot; see the reference of the schema.

        Parameters
        ----------
        query
            One question.
        params
            Values for its ``$1``, ``$2``, ...
        live
            Ask the catalogs themselves as they are at this moment, with every column they have, as ``all_simulations``,
            ``all_metrics``, ``all_parameters``, ``all_tags`` and ``all_projects``, beside the tables of the snapshot.
            `notice` names those that could not be asked: nothing of them is in these tables. It takes some 20 ms a
            catalog.
        progress
            Called with a sentence about once a second of a live question.

        Raises
        ------
        InvalidInput
            If it is not a single question, or a live one that names none of these tables.
        StatementError
            If the engine refuses it.
        """
        if live:
            found, self.notice = self._keeper.live(query, params, progress)
        else:
            found, self.notice = self._keeper.answer(lambda backend, _: ask(backend, query, params))
        return found

    @property
    def table(self) -> pa.Table:
        """The whole snapshot as an Arrow table, newest first."""
        found, self.notice = self._keeper.answer(lambda backend, _: queries.snapshot(backend))
        return found

    @property
    def frame(self) -> pd.DataFrame:
        """The whole snapshot as a pandas data frame, newest first.

        Raises
        ------
        MissingPart
            If pandas is not installed.
        """
        try:
            import pandas  # noqa: F401 - Arrow would say it in its own words
        except ImportError as error:
            message = "a data frame needs pandas: install hmp-index[frame], or use `table`"
            raise MissingPart(message, install="hmp-index[frame]") from error
        return self.table.to_pandas()

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """Refuse every further use; nothing is held open between answers."""
        self._keeper.close()

    def __enter__(self) -> GlobalIndex:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _see(self, view: View) -> View:
        self.notice = view.notice
        return view

    def _records(self, only: Collection[UUID] | None = None) -> list[Workspace]:
        found, self.notice = self._keeper.answer(
            lambda backend, view: queries.workspaces(backend, view.listed, view.state.workspaces), only=only
        )
        return found

    def _looked_at(self, line: Listed) -> Workspace:
        return _among(self._records(only={line.id}), line)


#: What the engine can count hits to.
_MOST = 2**63 - 1


def _among(records: Iterable[Workspace], line: Listed) -> Workspace:
    """Return the record of a workspace; what its line says where another process listed or forgot it meanwhile."""
    return next((one for one in records if one.id == str(line.id)), None) or queries.unread(line)


def _root(path: str | Path | UPath) -> Root:
    """Return the workspace at ``path``, links followed."""
    where = Path(os.path.realpath(to_local(path)))
    try:
        str(where).encode()
    except UnicodeEncodeError as error:
        message = f"{where!r} cannot be kept as text: rename the folder"
        raise InvalidInput(message) from error
    try:
        return read_root(where, WORKSPACE_MARKER)
    except PathNotFound as error:
        above = workspace_root(where)
        if above is None or not where.exists():
            raise
        message = f"{where} is not a workspace but lies in one: register {above}"
        raise PathNotFound(message, path=str(where)) from error


def _folder(path: str | Path | UPath, depth: int) -> Path:
    """Return the folder to look through."""
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 0:
        message = f"depth={depth!r}: expected how many levels below the folder, from 0 on"
        raise InvalidInput(message)
    where = Path(os.path.realpath(to_local(path)))
    if not where.is_dir():
        message = f"{where}: no such folder; name one that workspaces lie below"
        raise PathNotFound(message, path=str(where))
    return where


def _check_label(label: str | None) -> None:
    if label is not None and not labels.is_label(label):
        message = f"label={label!r}: expected text, or None for the name of the workspace"
        raise InvalidInput(message)


def _pruned(line: Listed, projects: Iterable[Project]) -> Pruned:
    count = sum(project.n_simulations for project in projects if project.workspace_id == str(line.id))
    return Pruned("workspace", line.label, "", line.path, count)


def _pruned_project(project: Project) -> Pruned:
    return Pruned("project", project.workspace, project.slug, project.path, project.n_simulations)
