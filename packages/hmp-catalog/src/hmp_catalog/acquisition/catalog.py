"""`Catalog`: one session, to be read: its runs by uid, newest first, and by what is known of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hmp_catalog.acquisition import searching
from hmp_catalog.acquisition.reading import Reading
from hmp_catalog.acquisition.run import Run
from hmp_core.locks import DEFAULT_TIMEOUT
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from datetime import date

    from upath import UPath

    from hmp_catalog.acquisition.records import RunSummary
    from hmp_core.protocols import AuthBackend


class Catalog:
    """The runs of one session: a mapping of uids to `Run`, which only reads.

    It reads files of all versions up to the present one as they are, also while a writer writes them and where one may
    not write. Each answer is of one moment, and newer than what was committed before the question.

    Parameters
    ----------
    db_path
        The session file.
    auth
        Who is asked for the right to read; by default whom the workspace or ``HMP_AUTH_BACKEND`` names.
    timeout
        Seconds to wait where somebody keeps readers out.

    Raises
    ------
    DatabaseNotFound
        If there is no such file.
    SchemaTooNewError
        If a newer hmp wrote it; it is left as it is.
    CorruptError
        If it is no session, or damaged.
    AccessDenied
        If this user may not read it.

    Examples
    --------
    >>> import tempfile
    >>> from hmp_catalog.acquisition.records import SampleMetadata
    >>> from hmp_catalog.acquisition.writer import RunWriter
    >>> june = tempfile.mkdtemp() + "/june.db"
    >>> with RunWriter(june, SampleMetadata("outlet")) as writer:
    ...     uid = writer.open_run("count", operator="Ada", metadata={"weather": "rain"})
    ...     stream = writer.open_stream("primary", {"level": {"dtype": "number"}})
    ...     event = writer.write_event({"level": 1.25})
    ...     writer.close_run()
    >>> with Catalog(june) as catalog:
    ...     catalog[uid[:8]].table()["level"].tolist(), [run.plan_name for run in catalog.find(weather="rain")]
    ([1.25], ['count'])
    """

    def __init__(
        self, db_path: str | Path | UPath, *, auth: AuthBackend | None = None, timeout: float = DEFAULT_TIMEOUT
    ) -> None:
        self._reading = Reading(to_local(db_path), auth=auth, timeout=timeout)
        with self._reading.snapshot():
            pass  # it is there, and can be read

    @property
    def path(self) -> Path:
        """The session file."""
        return self._reading.path

    def close(self) -> None:
        """Refuse every further question; runs and frames that were taken from it stay. Closing twice is allowed."""
        self._reading.is_closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────

    def recent(self, n: int | None = 10) -> list[RunSummary]:
        """Return the newest runs, newest first; all of them for None.

        Raises
        ------
        InvalidInput
            If ``n`` is no number of runs.
        """
        return searching.newest(self._reading, n)

    def by_sample(self, name: str) -> list[RunSummary]:
        """Return the runs of the samples of a name, newest first."""
        return self.find(sample=name)

    def find(
        self,
        *,
        sample: str | list[str] | None = None,
        plan: str | list[str] | None = None,
        operator: str | list[str] | None = None,
        status: str | None = None,
        since: float | str | date | None = None,
        until: float | str | date | None = None,
        tag: str | None = None,
        scan_id: int | list[int] | None = None,
        **metadata: Any,
    ) -> list[RunSummary]:
        """Return the runs that fit all that is asked, newest first.

        Parameters
        ----------
        sample, plan, operator, scan_id
            What the run has, exactly; a list means any of these.
        status
            How it stands: ``success``, ``failed``, ``aborted``, ``interrupted`` or ``running``.
        since, until
            When it began, at ``since`` or later and before ``until``: seconds since 1970, ISO 8601 text, or a
            datetime; without a zone it is UTC.
        tag
            One of the tags of its sample.
        **metadata
            What its metadata say, exactly; a key with dots is a path into them.

        Raises
        ------
        InvalidInput
            If a filter is of another kind.

        Examples
        --------
        ``catalog.find(plan="scan", since="2026-06-01", status="failed", weather="rain")``
        """
        asked = {
            "sample": sample, "plan": plan, "operator": operator, "status": status,
            "since": since, "until": until, "tag": tag, "scan_id": scan_id,
        }  # fmt: skip
        return searching.matching(self._reading, asked, metadata)

    def __getitem__(self, reference: str) -> Run:
        """Return the run of a uid, or of the beginning of one.

        Raises
        ------
        NotFound
            If there is none (a ``KeyError``).
        AmbiguousReference
            If several begin so; they are named.
        """
        reading = self._reading
        uid = searching.resolved(reading, reference)
        return Run(reading.reopened(), uid)

    def __contains__(self, uid: object) -> bool:
        return isinstance(uid, str) and bool(self._reading.ask("one_run", [uid]))

    def __len__(self) -> int:
        ((count,),) = self._reading.ask("count_runs")
        return int(count)

    def __iter__(self) -> Iterator[str]:
        return iter([uid for (uid,) in self._reading.ask("uids")])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"
