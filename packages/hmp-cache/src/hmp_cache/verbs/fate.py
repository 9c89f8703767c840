"""``hmp data prune, remove, restore, refresh``: what becomes of the bytes of inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hmp_cache.verbs.words import JSON, WORKSPACE, filters_of, given, opened, say, show_entries
from hmp_core.cli.show import emit, notice

if TYPE_CHECKING:
    from hmp_cache.plans import Plan

_APPLY = click.option("--apply", is_flag=True, help="Do it; by default only what would be done is shown.")
_FORCE = click.option("--force", is_flag=True, help="Also what hydromodpy.lock names.")


@click.command()
@click.argument("conditions", nargs=-1, metavar="KEY=VALUE...")
@click.option("--older-than", default=None, help="Nothing happened to it for so long, as 180d, 36h, 4w, 2y.")
@click.option("--keep-latest", type=int, default=None, help="Leave that many newest versions of each input.")
@click.option("--max-size", default=None, help="Leave no more than that, as 500MB, 10GiB; the oldest go first.")
@click.option("--superseded", is_flag=True, help="Only former versions.")
@_APPLY
@click.option(
    "--force", is_flag=True, help="Also what hydromodpy.lock names, and former versions that cannot be fetched again."
)
@WORKSPACE
@JSON
def prune(conditions: tuple[str, ...], workspace: str | None, as_json: bool, **said: Any) -> None:  # noqa: FBT001
    """Show which bytes could go, and let them go with --apply; their records stay."""
    with opened(workspace) as data:
        plan = data.prune(**given(said), **filters_of(conditions))
        _show(plan, as_json=as_json)
        say(data)
    if plan.unasked:
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("reference")
@_APPLY
@_FORCE
@WORKSPACE
@JSON
def remove(reference: str, workspace: str | None, as_json: bool, **said: bool) -> None:  # noqa: FBT001
    """Show what would go with an input, and give it up with --apply; its record stays. Exit 1 if it must stay."""
    with opened(workspace) as data:
        plan = data.remove(reference, **said)
        _show(plan, as_json=as_json)
        say(data)
    if plan.unasked or (said["apply"] and not plan.applied):
        raise click.exceptions.Exit(1)


def _show(plan: Plan, *, as_json: bool) -> None:
    """Print what goes and what stays, and say what is not in the lines."""
    for place in plan.unasked:
        notice(f"runs that may have used it are not named: {place}")
    lines = [*(each.as_dict() for each in plan.items), *(each.as_dict() for each in plan.kept)]
    if as_json:
        emit(lines, as_json=True)
        return
    shown = [each | {"used_by": _used(each)} for each in lines]
    emit(shown, ["what", "id", "name", "state", "freed", "why", "used_by", "path"])
    done = "freed" if plan.applied else "would be freed; --apply does it"
    if plan.items:
        notice(f"{plan.freed} bytes {done}")
    if plan.over:
        notice(f"{plan.over} bytes more than that are left, and nothing else may go")


def _used(told: dict[str, Any]) -> str:
    if told["what"] == "stays":
        return ""
    used = told["used_by"]
    if used is None:
        return "unknown here"
    more = len(used) - _NAMED
    return ", ".join([*used[:_NAMED], *([f"and {more} more"] if more > 0 else [])]) or "nobody"


#: How many runs are named in a line for people: an input may have been used by thousands. As JSON all are named.
_NAMED = 5


@click.command()
@click.argument("references", nargs=-1, required=True, metavar="REFERENCE...")
@click.option("--accept-change", is_flag=True, help="If upstream has other bytes now, take those as a new version.")
@click.option("--retry-now", is_flag=True, help="Ask also for what failed a short while ago.")
@click.option("--full", is_flag=True, help="Read what is there, to see that it is unharmed.")
@WORKSPACE
@JSON
def restore(
    references: tuple[str, ...],
    accept_change: bool,  # noqa: FBT001
    retry_now: bool,  # noqa: FBT001
    full: bool,  # noqa: FBT001
    workspace: str | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Bring bytes back that were purged, are missing or were changed; exit 7 if upstream has others now."""
    verify = "full" if full else "quick"
    with opened(workspace) as data:
        for reference in references:
            entry = data.restore(reference, accept_change=accept_change, retry_now=retry_now, verify=verify)
            show_entries([entry], as_json=as_json)


@click.command()
@click.argument("conditions", nargs=-1, metavar="[REFERENCE | KEY=VALUE...]")
@click.option("--retry-now", is_flag=True, help="Ask also where it failed a short while ago.")
@WORKSPACE
@JSON
def refresh(conditions: tuple[str, ...], retry_now: bool, workspace: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Ask upstream whether inputs have changed; what has becomes a new version. Exit 1 if one could not be asked."""
    named = conditions[0] if len(conditions) == 1 and "=" not in conditions[0] else None
    filters = {} if named else filters_of(conditions)
    with opened(workspace) as data:
        found = [each.as_dict() for each in data.refresh(named, retry_now=retry_now, **filters)]
        if not as_json:
            found = [each | {"error": (each["error"] or {}).get("message")} for each in found]
        columns = None if as_json else ["outcome", "id", "name", "variable", "source", "sha256", "error"]
        emit(found, columns, as_json=as_json)
        say(data)
    if any(each["outcome"] == "failed" for each in found):
        raise click.exceptions.Exit(1)
