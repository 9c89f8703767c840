"""``hmp experiment ls, top, show``: what there is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from hmp_catalog.verbs.experiments.places import PROJECT, brief, reading
from hmp_catalog.verbs.words import LIMIT, form
from hmp_core.cli.show import emit, emit_record, notice

if TYPE_CHECKING:
    from hmp_catalog.experiments.store import WorkspaceStore

_JSON = ("config", "datasets", "summary", "scores", "best_params")


@click.command()
@click.option("--status", default=None, help="Only completed, failed, interrupted or running ones.")
@click.option("--dataset", default=None, help="Only with a dataset of exactly this name.")
@LIMIT
@PROJECT
@form
def ls(project: str | None, limit: int, form: str, *, status: str | None, dataset: str | None) -> None:
    """List the training runs, newest first."""
    with reading(project) as store:
        rows = [_decoded(row) for row in store.list_runs(status, dataset, limit + 1).to_dicts()]
    if form == "table":
        rows = [row | {"datasets": _named(row["datasets"])} for row in rows]
    columns = ["run_id", "name", "status", "datasets", "created_at", "completed_at"]
    columns += [] if form == "table" else ["config", "summary", "error"]
    emit([brief(row, form) for row in rows[:limit]], columns, form=form)
    if len(rows) > limit:
        notice("there are more; use --limit")


@click.command()
@click.option("-n", "count", type=click.IntRange(min=0), default=10, show_default=True, help="How many.")
@click.option("--metric", default="val_score", show_default=True, help="Or test_score, train_score.")
@click.option("--ascending/--descending", default=True, show_default=True, help="Whether less is better.")
@click.option("--partition", default="val", show_default=True, help="Of which partition.")
@click.option("--dataset", default=None, help="Only on the dataset of this name.")
@click.option("--group-by", default=None, help="So many of each of these, as model_class or dataset_name.")
@PROJECT
@form
def top(project: str | None, count: int, form: str, *, ascending: bool, group_by: str | None, **said: Any) -> None:
    """Show the best predictions by a score, best first; one that was not measured comes last."""
    from hmp_catalog.experiments.schema import SCORES

    with reading(project) as store:
        which = {"partition": said["partition"], "dataset_name": said["dataset"], "group_by": group_by}
        found = store.top_predictions(count, said["metric"], ascending, **which)
        rows = [_decoded(row) for row in found.to_dicts()]
    columns = ["prediction_id", "chain_id", "dataset_name", "model_name", "preprocessings", "fold_id", "metric"]
    columns += [said["metric"]] if form == "table" else [*SCORES, "partition", "model_class", "task_type", "n_samples"]
    columns += [] if form == "table" else ["n_features", "scores", "best_params", "pipeline_id", "created_at"]
    emit([brief(row, form) for row in rows], columns, form=form)


@click.command()
@click.argument("reference")
@PROJECT
@form
def show(reference: str, project: str | None, form: str) -> None:
    """Show a run, pipeline, chain or prediction: REFERENCE is an id, the head of one, or a name."""
    from hmp_catalog.experiments import references

    with reading(project) as store:
        with store._keeper.reading() as backend:
            meant = references.resolve(backend, reference)
        found = {"kind": meant.kind} | (_SHOWN[meant.kind](store, meant.identity) or {})
    below = found.pop("below", [])
    if form == "table":
        emit_record({key: value for key, value in found.items() if value not in (None, "", [], {})}, form=form)
        if below:
            print()
            emit([brief(row, form) for row in below], form=form)
    else:
        emit_record(found | ({f"{_BELOW[meant.kind]}": below} if meant.kind in _BELOW else {}), form=form)


def _run(store: WorkspaceStore, run_id: str) -> dict[str, Any]:
    columns = ["pipeline_id", "name", "dataset_name", "status", "metric", "best_val", "best_test", "duration_ms"]
    below = store.list_pipelines(run_id=run_id).select(columns).to_dicts()
    return (store.get_run(run_id) or {}) | {"below": below}


def _pipeline(store: WorkspaceStore, pipeline_id: str) -> dict[str, Any]:
    columns = ["chain_id", "model_class", "preprocessings", "fold_strategy", "created_at"]
    below = store.get_chains_for_pipeline(pipeline_id).select(columns).to_dicts()
    return (store.get_pipeline(pipeline_id) or {}) | {"below": below}


def _chain(store: WorkspaceStore, chain_id: str) -> dict[str, Any]:
    return store.get_chain(chain_id) or {}


def _prediction(store: WorkspaceStore, prediction_id: str) -> dict[str, Any]:
    return store.get_prediction(prediction_id) or {}


_SHOWN = {"run": _run, "pipeline": _pipeline, "chain": _chain, "prediction": _prediction}
_BELOW = {"run": "pipelines", "pipeline": "chains"}


def _decoded(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of a frame with its columns of JSON decoded."""
    return {key: json.loads(value) if key in _JSON and isinstance(value, str) else value for key, value in row.items()}


def _named(datasets: Any) -> str:
    return ", ".join(str(each.get("name", "?")) for each in datasets or [] if isinstance(each, dict))
