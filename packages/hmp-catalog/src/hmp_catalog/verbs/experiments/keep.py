"""``hmp experiment export, replay, gc, vacuum``: what comes out of a store, and looking after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hmp_catalog.verbs.experiments.places import PROJECT, opened, reading
from hmp_catalog.verbs.words import form
from hmp_core.cli.show import emit, emit_record, notice
from hmp_core.errors import InvalidInput
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from pathlib import Path

    from hmp_catalog.experiments.references import Meant
    from hmp_catalog.experiments.store import WorkspaceStore


@click.command()
@click.argument("reference")
@click.argument("output", type=click.Path(dir_okay=False))
@PROJECT
@form
def export(reference: str, output: str, project: str | None, form: str) -> None:
    """Write a chain as a bundle, or as a script (OUTPUT ends in .py), that predicts without the store.

    REFERENCE may be a prediction, or a run or a pipeline that has one chain. OUTPUT with another ending: .yaml of a run
    is what it consisted of, .json of a pipeline its configuration, .parquet of either its predictions.
    """
    from hmp_catalog.experiments import references

    path = to_local(output)
    with reading(project) as store:
        with store._keeper.reading() as backend:
            meant = references.resolve(backend, reference)
            if path.suffix not in _OTHERS:
                meant = references.Meant("chain", references.chain_of(backend, reference), meant.name)
        written = _exported(store, meant, path)
    row = {"kind": meant.kind, "id": meant.identity, "path": str(written), "bytes": written.stat().st_size}
    emit([row], list(row), form=form)


#: Endings that are no bundle's and no script's.
_OTHERS = {".yaml", ".yml", ".json", ".parquet", ".csv"}


def _exported(store: WorkspaceStore, meant: Meant, path: Path) -> Path:
    match meant.kind, path.suffix:
        case "chain", _ if path.suffix not in _OTHERS:
            return store.export_chain(meant.identity, path, "n4a.py" if path.suffix == ".py" else "n4a")
        case "run", ".yaml" | ".yml":
            return store.export_run(meant.identity, path)
        case "run", ".parquet":
            return store.export_predictions_parquet(path, run_id=meant.identity)
        case "pipeline", ".json":
            return store.export_pipeline_config(meant.identity, path)
        case "pipeline", ".parquet":
            return store.export_predictions_parquet(path, pipeline_id=meant.identity)
    message = f"a {meant.kind} is not exported to {path.suffix}; see `hmp experiment export --help`"
    raise InvalidInput(message)


@click.command()
@click.argument("reference")
@click.argument("data", type=click.Path(dir_okay=False))
@click.option("-o", "--output", default=None, type=click.Path(dir_okay=False), help="The CSV file to write.")
@click.option("--header/--no-header", default=None, help="Whether the first row has names; by default if it has words.")
@PROJECT
@form
def replay(reference: str, data: str, project: str | None, form: str, *, output: str | None, **said: Any) -> None:
    """Predict for the rows of a CSV file with a chain, exactly as it was trained.

    REFERENCE is a chain, a prediction, or a run or a pipeline that has one chain. Columns are taken by their names
    where the chain was trained on named ones and the file has a header, else in order.
    """
    from hmp_catalog.experiments import references
    from hmp_catalog.experiments.replaying import features_of

    with reading(project) as store:
        with store._keeper.reading() as backend:
            chain = references.chain_of(backend, reference)
        known = store.get_chain(chain) or {}
        predicted = store.replay_chain(chain, _samples(data, features_of(known), **said))
    if output is not None:
        path = _written(output, predicted)
        emit([{"chain_id": chain, "samples": len(predicted), "path": str(path)}], form=form)
        return
    columns = ["prediction"] if predicted.ndim == 1 else [f"prediction_{n}" for n in range(predicted.shape[1])]
    rows = predicted.reshape(len(predicted), -1).tolist()
    emit([dict(zip(columns, row, strict=True)) for row in rows], columns, form=form)


def _samples(data: str, features: list[str] | None, *, header: bool | None) -> Any:
    from hmp_catalog.experiments.standalone import read_csv
    from hmp_core.errors import PathNotFound

    path = to_local(data)
    try:
        return read_csv(path, header=header, features=features)
    except FileNotFoundError as error:
        message = f"{path}: no such file"
        raise PathNotFound(message, path=str(path)) from error
    except ValueError as error:
        raise InvalidInput(str(error)) from error


def _written(output: str, predicted: Any) -> Path:
    from hmp_catalog.experiments.standalone import write_csv
    from hmp_core.durable import make_folder, translated

    path = to_local(output)
    make_folder(path.parent)
    with translated(path):
        write_csv(path, predicted)
    return path


@click.command()
@click.option("--dry-run", is_flag=True, help="Only list what would go.")
@PROJECT
@form
def gc(project: str | None, form: str, *, dry_run: bool) -> None:
    """Remove the fitted objects that no chain names; what a living process has saved and not named yet stays."""
    with opened(project) as store:
        if dry_run:
            rows = [{"path": path} for path in store._ending.garbage()]
            emit(rows, ["path"], form=form)
            if rows:
                notice("nothing was removed; without --dry-run these go")
            return
        emit_record({"path": str(store.database), "removed": store.gc_artifacts()}, form=form)


@click.command()
@PROJECT
@form
def vacuum(project: str | None, form: str) -> None:
    """Write store.duckdb anew, without the room that deleted rows took."""
    with opened(project) as store:
        done = store._ending.vacuum()
        emit_record({"path": str(store.database), "before": done.before, "after": done.after}, form=form)
