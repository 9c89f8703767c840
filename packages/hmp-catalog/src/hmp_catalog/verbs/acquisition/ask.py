"""``hmp acquisition ls, show, follow``: what was recorded, and what is being recorded."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hmp_catalog.verbs.acquisition.places import PROJECT, SESSION, SESSIONS, gathered, meant, moment, run_of, running_in
from hmp_catalog.verbs.words import LIMIT, form
from hmp_core.cli.show import emit, emit_record, notice, plain
from hmp_core.errors import AmbiguousReference, NotFound

if TYPE_CHECKING:
    from pathlib import Path

    from hmp_catalog.acquisition import Event, Run

_TIMES = ("time_start", "time_stop")


@click.command()
@SESSIONS
@click.option("--sample", default=None, help="Only of a sample of exactly this name.")
@click.option("--plan", default=None, help="Only of exactly this plan.")
@click.option("--operator", default=None, help="Only by this person.")
@click.option("--status", default=None, help="Only success, failed, aborted, interrupted or running ones.")
@click.option("--since", default=None, help="Only from this time on, as 2026-06-01.")
@click.option("--until", default=None, help="Only before this time.")
@click.option("--tag", default=None, help="Only of samples with this tag.")
@click.option("--scan-id", type=int, default=None, help="Only with this number.")
@LIMIT
@PROJECT
@form
def ls(paths: tuple[str, ...], project: str | None, limit: int, form: str, **asked: Any) -> None:
    """List the runs of the sessions, newest first.

    Without SESSION, of every session of the project or workspace.
    """
    from hmp_catalog.acquisition import Catalog

    def runs(path: Path) -> list[dict[str, Any]]:
        with Catalog(path) as catalog:
            return [asdict(run) | {"session": str(path)} for run in catalog.find(**asked)]

    rows, code = gathered(meant(paths, project), runs)
    rows.sort(key=lambda row: float(row["time_start"]), reverse=True)
    shown = [_brief(row, form) for row in rows[:limit]]
    columns = ["uid", "session", "scan_id", "plan_name", "sample_name", "exit_status", "num_events", "time_start"]
    emit(shown, columns if form == "table" else [*columns, "time_stop", "operator"], form=form)
    if len(rows) > limit:
        notice(f"{len(rows) - limit} more; use --limit")
    raise click.exceptions.Exit(code)


def _brief(row: dict[str, Any], form: str) -> dict[str, Any]:
    if form != "table":
        return row
    from pathlib import Path

    times = {name: moment(row[name], form) for name in _TIMES}
    return row | times | {"uid": row["uid"][:8], "session": Path(row["session"]).stem}


@click.command()
@click.argument("reference", metavar="RUN")
@SESSION
@PROJECT
@form
def show(reference: str, session: str | None, project: str | None, form: str) -> None:
    """Show what is known of a run: RUN is its uid, or the head of it."""
    run = run_of(reference, session, project)
    sample = run.sample
    found = {
        "uid": run.uid,
        "session": str(run.path),
        "scan_id": run.scan_id,
        "plan_name": run.plan_name,
        "sample": None if sample is None else sample.name if form == "table" else asdict(sample),
        "exit_status": run.exit_status,
        "reason": run.reason,
        "operator": run.operator,
        "time_start": moment(run.time_start, form),
        "time_stop": moment(run.time_stop, form),
        "events": run.events_by_stream,
        "frames": {name: list(run.images(name).shape) for name in run.fields},
        "metadata": run.metadata,
    }
    if form == "table":
        found = {key: value for key, value in found.items() if value not in (None, "", {}, [])}
    emit_record(found, form=form)


@click.command()
@click.argument("reference", metavar="[RUN]", required=False)
@SESSION
@PROJECT
@click.option("--poll", type=click.FloatRange(min=0.01), default=0.2, show_default=True, help="Seconds between looks.")
@click.option("--new", is_flag=True, help="Leave out the events that are there already.")
@form
def follow(
    reference: str | None, session: str | None, project: str | None, form: str, *, poll: float, new: bool
) -> None:
    """Print the events of a run as they come, until it ends; Ctrl-C stops it, and not the run.

    Without RUN, of the run that is going on.
    """
    run = run_of(reference, session, project) if reference else _running(session, project)
    for event in run.follow(poll, backlog=not new):
        print(_line(event, form), flush=True)
    if form == "table":
        notice(f"run {run.uid[:8]}: {run.exit_status}, {run.num_events} events")


def _running(session: str | None, project: str | None) -> Run:
    found = list(running_in(meant([session] if session else [], project)))
    if not found:
        message = "no run is going on; name one, as `hmp acquisition ls` lists them"
        raise NotFound(message, reference="", candidates=[])
    if len(found) > 1:
        known = [uid for _, uid in found]
        message = f"several runs are going on: {', '.join(known)}; name one"
        raise AmbiguousReference(message, reference="", candidates=known)
    catalog, uid = found[0]
    return catalog[uid]


def _line(event: Event, form: str) -> str:
    if form != "table":
        from hmp_catalog.acquisition.values import dumped

        return dumped(asdict(event), "event")
    said = " ".join(f"{name}={json.dumps(value, default=str)}" for name, value in event.data.items())
    return plain(f"{moment(event.time, form)} {event.stream} {event.seq_num} {said}")
