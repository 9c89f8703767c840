"""``hmp acquisition verify, gc, export, rebuild-index``: looking after sessions, and what comes out of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hmp_catalog.verbs.acquisition.places import PROJECT, SESSION, SESSIONS, gathered, meant, place, run_of
from hmp_catalog.verbs.words import form
from hmp_core.cli.show import emit, emit_record, notice
from hmp_core.errors import InvalidInput
from hmp_core.layout import workspace_root
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from hmp_catalog.acquisition import Finding

_COLUMNS = ["code", "run", "field", "frames", "where", "what"]

#: The master index of a folder, where no other is named.
_INDEX = "acquisition-index.db"


@click.command()
@SESSIONS
@click.option("--deep", is_flag=True, help="Read every frame, and compare it with its hash.")
@PROJECT
@form
def verify(paths: tuple[str, ...], project: str | None, form: str, *, deep: bool) -> None:
    """Look whether sessions are whole; exit 1 if something is lost or damaged.

    A session may be written meanwhile.
    """
    from hmp_catalog.acquisition import verify as verified

    lost: list[Finding] = []

    def found(path: Path) -> list[dict[str, Any]]:
        findings = verified(path, deep=deep)
        lost.extend(each for each in findings if each.is_loss)
        return [_shown(each, form) for each in findings]

    sessions = meant(paths, project)
    rows, code = gathered(sessions, found)
    if rows or code or form != "table":
        emit(rows, _COLUMNS, form=form)
    else:
        print(f"{len(sessions)} session{'s are' if len(sessions) > 1 else ' is'} whole")
    raise click.exceptions.Exit(1 if lost else code)


@click.command()
@SESSIONS
@click.option("--dry-run", is_flag=True, help="Only list what would go.")
@PROJECT
@form
def gc(paths: tuple[str, ...], project: str | None, form: str, *, dry_run: bool) -> None:
    """Remove the frames of deleted runs, and close what dead writers left; a session that is written is refused."""
    from hmp_catalog.acquisition import gc as cleared

    rows, code = gathered(
        meant(paths, project), lambda path: [_shown(each, form) for each in cleared(path, dry_run=dry_run)]
    )
    emit(rows, _COLUMNS, form=form)
    if rows and dry_run:
        notice("nothing was removed; without --dry-run these go")
    raise click.exceptions.Exit(code)


def _shown(finding: Finding, form: str) -> dict[str, Any]:
    row = finding.as_dict()
    if form != "table":
        return row
    return row | {"run": (finding.run or "")[:8], "frames": _ranges(finding.frames), "where": finding.where.name}


def _ranges(numbers: tuple[int, ...]) -> str:
    """Return numbers as people read them.

    Examples
    --------
    >>> _ranges((1, 2, 3, 7))
    '1-3, 7'
    """
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


@click.command()
@click.argument("reference", metavar="RUN")
@click.argument("output", type=click.Path(dir_okay=False))
@click.option("--stream", default="primary", show_default=True, help="Which stream goes into a netCDF file.")
@SESSION
@PROJECT
@form
def export(reference: str, output: str, session: str | None, project: str | None, form: str, *, stream: str) -> None:
    """Write a run into a file: OUTPUT ends in .nc (netCDF, of one stream) or .jsonl (documents of Bluesky)."""
    path = to_local(output)
    if path.suffix not in {".nc", ".jsonl"}:
        message = f"{path.name}: a run is written as .nc (netCDF) or .jsonl (documents of Bluesky)"
        raise InvalidInput(message)
    run = run_of(reference, session, project)
    if path.suffix == ".nc":
        run.to_netcdf(path, stream)
    else:
        _write_documents(run, path)
    emit_record({"uid": run.uid, "path": str(path), "bytes": path.stat().st_size}, form=form)


def _write_documents(run: Any, path: Path) -> None:
    """Write one document a line, as (name, document)."""
    import json

    from hmp_core.durable import write_atomic
    from hmp_core.errors import PathTaken

    # what is no number is null: JSON knows no NaN
    said = (json.loads(json.dumps(each), parse_constant=lambda _: None) for each in run.documents())
    lines = [json.dumps(each, ensure_ascii=False, allow_nan=False) + "\n" for each in said]
    if not write_atomic(path, "".join(lines).encode(), overwrite=False):
        message = f"{path} is there already; name another file"
        raise PathTaken(message, path=str(path))


@click.command("rebuild-index")
@click.argument("index", required=False)
@click.option("--root", default=None, help="Where to look for sessions; by default the folder of INDEX, and below.")
@PROJECT
@form
def rebuild_index(index: str | None, root: str | None, project: str | None, form: str) -> None:
    """Build the master index of researchers, sessions and runs anew, from the session files alone.

    INDEX is its file, by default acquisition-index.db of the workspace, else of the project. Exit 1 if a session could
    not be read.
    """
    from hmp_catalog.acquisition import MasterIndex

    path = to_local(index) if index else _home(project) / _INDEX
    done = MasterIndex(path).rebuild(root)
    found = {"path": str(path), "sessions": done.sessions, "read": done.read, "skipped": done.skipped}
    if form == "table":
        found["skipped"] = len(done.skipped)
    emit_record(found, form=form)
    for where, why in done.skipped.items():
        notice(f"{where}: {why}")
    raise click.exceptions.Exit(1 if done.skipped else 0)


def _home(project: str | None) -> Path:
    folder = place(project)
    return folder if project else workspace_root(folder) or folder
