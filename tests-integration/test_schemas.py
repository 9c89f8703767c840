"""The four schemas: what they hold, what they must not, what their views answer, and that the page tells it all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb  # noqa: TID251 - an in-memory connection of its own; no database file is opened here
import pytest

from hmp_catalog.metrics import METRICS
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.events import Event, Fold, Row, Table, merge
from hmp_core.events.fold import Batch, reduce
from hmp_core.migrations.runner import EVENT_TABLES, migrate
from house import ROOT

SCOPES = ("index", "cache", "catalog", "experiments")
#: The scopes whose rows are folded from events.
FOLDED = ("cache", "catalog")
PAGE = ROOT / "docs" / "reference" / "schema.md"

TABLES = {
    "index": "workspaces projects simulations_cache index_metadata",
    "cache": "entries artifacts provenance stations coverage api_coverage failures validation_reports",
    "catalog": (
        "dim_variables dim_metrics dim_study_areas solvers statuses flow_regimes mesh_topologies simulations "
        "parameters metrics metric_definitions observations observation_points provenance runs_environment "
        "audit_log deletions tracked_files geographic_features geographic_metadata parquet_files tags stations "
        "calibration_sessions calibration_iterations workflow_steps"
    ),
    "experiments": (
        "runs pipelines chains predictions prediction_arrays artifacts logs _hmp_references _hmp_held _hmp_journals"
    ),
}
VIEWS = {
    "index": "v_workspace_health",
    "cache": "v_entries_summary",
    "catalog": "v_simulation_summary v_metrics_pivot",
    "experiments": "v_simulation_summary v_scores",
}
#: Vocabularies that only a migration extends, and those to which a project may add its own.
CLOSED = {"statuses", "flow_regimes", "mesh_topologies"}
OPEN = {"dim_variables", "dim_metrics", "solvers", "metric_definitions"}
#: Columns that are set apart from the rest of their row, by (scope, table) and group.
GROUPS = {
    ("cache", "entries"): {
        "current": "name artifact_id file_path sha256 fetch_metadata",
        "state": "state",
        "sighted": "file_mtime file_mtime_ns file_inode",
    },
    ("cache", "artifacts"): {"place": "state path"},
    ("cache", "stations"): {"described": "name lat lon z", "valid": "first_valid last_valid"},
    ("catalog", "simulations"): {
        "name": "name",
        "notes": "notes",
        "about": "description scientific_objective contact_email study_area_name",
        "doi": "doi",
        "trash": "trashed_at",
        "packed": "zarr_packed pack_sha256",
    },
    ("catalog", "calibration_sessions"): {
        "end": "n_iterations best_sim_id best_objective best_params_hash ended_at duration_s status error_message"
    },
    ("catalog", "workflow_steps"): {
        "end": "status ended_at duration_s outputs_hash error_message artifact_uris result reused_step_id"
    },
}
INDEXES = {
    "index": set(),
    "cache": {"entries (sha256)", "artifacts (sha256)"},
    "catalog": {
        *(f"{table} (sim_id)" for table in ("parameters", "metrics", "tags", "provenance", "tracked_files")),
        "tracked_files (sha256)",
    },
    "experiments": set(),
}
TYPES = {"UUID", "VARCHAR", "DOUBLE", "BIGINT", "INTEGER", "BOOLEAN", "TIMESTAMP", "JSON", "DATE"}
#: PostgreSQL has arrays too.
TYPES |= {"DOUBLE[]", "BIGINT[]", "VARCHAR[]"}

Columns = dict[str, tuple[str, bool]]


def migrations(scope: str) -> Path:
    if scope == "experiments":
        return ROOT / "packages" / "hmp-catalog" / "src" / "hmp_catalog" / "experiments" / "sql" / "migrations"
    return ROOT / "packages" / f"hmp-{scope}" / "src" / f"hmp_{scope}" / "sql" / "migrations"


def scripts(scope: str) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(migrations(scope).glob("*.sql"))]


def script(scope: str) -> str:
    return "\n".join(scripts(scope))


def bare(sql: str) -> str:
    """Return a script without its comments and its text constants."""
    return re.sub(r"'(?:[^']|'')*'", "''", re.sub(r"--[^\n]*", "", sql))


def created(scope: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:")
    for statement in connection.extract_statements(script(scope)):
        connection.execute(statement.query)
    return connection


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = created(request.param)
    yield connection
    connection.close()


catalog = pytest.mark.parametrize("database", ["catalog"], indirect=True)
every = pytest.mark.parametrize("scope", SCOPES)


@cache
def tables(scope: str) -> dict[str, Columns]:
    """Return name -> columns (type, nullable) of the tables and views of a scope."""
    with created(scope) as connection:
        rows = connection.execute(
            "SELECT table_name, column_name, data_type, is_nullable = 'YES' FROM information_schema.columns "
            "ORDER BY table_name, ordinal_position"
        ).fetchall()
    found: dict[str, Columns] = {}
    for table, column, kind, nullable in rows:
        found.setdefault(table, {})[column] = (kind, nullable)
    return found


@cache
def keys(scope: str) -> dict[str, tuple[str, ...]]:
    with created(scope) as connection:
        rows = connection.execute(
            "SELECT table_name, constraint_column_names FROM duckdb_constraints() WHERE constraint_type = 'PRIMARY KEY'"
        ).fetchall()
    return {table: tuple(columns) for table, columns in rows}


def folded_tables() -> list[Any]:
    return [
        pytest.param(scope, table, id=f"{scope}.{table}")
        for scope in FOLDED
        for table in TABLES[scope].split()
        if table not in CLOSED
    ]


# ── how they are made ────────────────────────────────────────────────────────────────────────────────


@every
def test_made_statement_by_statement_each_in_one_transaction(scope: str) -> None:
    """The runner does it so; what is rolled back leaves nothing."""
    with duckdb.connect(":memory:") as connection:

        def look() -> list[Any]:
            return connection.execute(
                "SELECT table_name, column_name, data_type FROM information_schema.columns ORDER BY ALL"
            ).fetchall()

        for text in scripts(scope):
            before = look()
            for ending in ("ROLLBACK", "COMMIT"):
                connection.execute("BEGIN")
                for statement in connection.extract_statements(text):
                    connection.execute(statement.query)
                connection.execute(ending)
                assert (look() == before) == (ending == "ROLLBACK")
        assert {table for table, _, _ in look()} == set(f"{TABLES[scope]} {VIEWS[scope]}".split())


@pytest.mark.parametrize(("scope", "number"), [("index", 4), ("cache", 8), ("catalog", 26), ("experiments", 10)])
def test_tables_and_views_are_these(scope: str, number: int) -> None:
    with created(scope) as connection:
        rows = connection.execute("SELECT table_type, table_name FROM information_schema.tables").fetchall()
    assert len(TABLES[scope].split()) == number
    assert {name for kind, name in rows if kind == "BASE TABLE"} == set(TABLES[scope].split())
    assert {name for kind, name in rows if kind == "VIEW"} == set(VIEWS[scope].split())


@every
def test_each_is_said_in_a_sentence(scope: str) -> None:
    lines = script(scope).splitlines()
    silent = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if re.match(r"CREATE (TABLE|VIEW)", line) and not re.match(r"-- (a|the one) row ", before)
    ]
    assert silent == []


# ── what they must not hold ──────────────────────────────────────────────────────────────────────────


@every
def test_no_constraint_but_key_and_not_null(scope: str) -> None:
    """Foreign keys break deleting and copying; UNIQUE and CHECK would refuse what was acknowledged."""
    with created(scope) as connection:
        rows = connection.execute("SELECT DISTINCT constraint_type FROM duckdb_constraints()").fetchall()
    assert {kind for (kind,) in rows} == {"PRIMARY KEY", "NOT NULL"}


@every
def test_every_table_has_a_key(scope: str) -> None:
    assert set(keys(scope)) == set(TABLES[scope].split())


@every
def test_no_column_has_a_default(scope: str) -> None:
    """A rebuilt database has equal rows: each value comes from an event or a file."""
    with created(scope) as connection:
        rows = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE column_default IS NOT NULL"
        ).fetchall()
    assert rows == []


@every
def test_columns_are_of_types_that_postgresql_has_too(scope: str) -> None:
    views = VIEWS[scope].split()
    found = {kind for table, columns in tables(scope).items() if table not in views for kind, _ in columns.values()}
    assert found <= TYPES


@every
def test_views_return_no_type_that_arrow_makes_a_decimal(scope: str) -> None:
    """The sum of integers is a HUGEINT, and that a decimal in Arrow."""
    assert {kind for view in VIEWS[scope].split() for kind, _ in tables(scope)[view].values()} <= TYPES


@every
def test_words_are_of_the_shared_subset(scope: str) -> None:
    alien = (
        r"\b(PIVOT|UNPIVOT|MAP|QUALIFY|ENUM|SEQUENCE|STRUCT|LIST|HUGEINT|BLOB|ARG_MAX|ARG_MIN|ISNAN|REPLACE|EXCLUDE"
        r"|FOREIGN|REFERENCES|UNIQUE|CHECK|DEFAULT|NOW|UUID\s*\(|GEN_RANDOM_UUID|CURRENT_\w+|TIMESTAMPTZ|TEMP)\b"
    )
    assert re.findall(alien, bare(script(scope)), re.IGNORECASE) == []


@every
def test_views_name_their_columns(scope: str) -> None:
    """By position, one odd catalog would break a union over all of them."""
    for view in re.findall(r"CREATE VIEW.*?;", bare(script(scope)), re.DOTALL):
        assert "*" not in view.replace("count(*)", "")


@every
def test_indexes_are_these(scope: str) -> None:
    found = re.findall(r"CREATE INDEX idx_\w+ ON (\w+ \(\w+\));", script(scope))
    with created(scope) as connection:
        assert connection.execute("SELECT count(*) FROM duckdb_indexes()").fetchone() == (len(found),)
    assert set(found) == INDEXES[scope]


# ── stamps and groups ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("scope", "table"), folded_tables())
def test_every_row_has_a_stamp(scope: str, table: str) -> None:
    """Required where rows are folded; null for the seeds of a vocabulary, so that no event changes them."""
    assert tables(scope)[table]["_stamp"] == ("VARCHAR", table in OPEN)


def test_what_no_event_sets_has_no_stamp() -> None:
    without = [tables("catalog")[table] for table in CLOSED] + [tables("index")[t] for t in TABLES["index"].split()]
    assert [column for columns in without for column in columns if column.startswith("_")] == []


@pytest.mark.parametrize("scope", FOLDED)
def test_groups_have_their_stamps(scope: str) -> None:
    found = {
        (scope, table): {column.removeprefix("_stamp_") for column in columns if column.startswith("_stamp_")}
        for table, columns in tables(scope).items()
    }
    expected = {place: set(groups) for place, groups in GROUPS.items() if place[0] == scope}
    assert {place: groups for place, groups in found.items() if groups} == expected


@pytest.mark.parametrize("scope", FOLDED)
def test_only_keys_and_stamps_are_required(scope: str) -> None:
    """An event that was acknowledged is never refused for what it does not say."""
    required = {
        f"{table}.{column}"
        for table, columns in tables(scope).items()
        for column, (_, nullable) in columns.items()
        if not nullable and column != "_stamp" and column not in keys(scope).get(table, ())
    }
    vocabularies = {table for table in CLOSED | OPEN if table in TABLES[scope].split()}
    assert {name for name in required if name.partition(".")[0] not in vocabularies} == set()


@pytest.mark.parametrize("scope", FOLDED)
def test_fold_knows_keys_and_groups_as_they_are(scope: str) -> None:
    declared = import_module(f"hmp_{scope}.fold").FOLD.tables
    assert {table.name: tuple(table.key) for table in declared} == {t.name: keys(scope)[t.name] for t in declared}
    for table in declared:
        groups = {name: tuple(members.split()) for name, members in GROUPS.get((scope, table.name), {}).items()}
        assert {name: tuple(members) for name, members in table.groups.items()} == groups


_SAMPLES = {"DOUBLE": 1.5, "BIGINT": 1 << 40, "INTEGER": 7, "BOOLEAN": True}


def _sample(kind: str, mark: int) -> Any:
    """Return a value of a type that bears a mark, where the type can."""
    marked = {
        "UUID": str(UUID(int=mark)),
        "TIMESTAMP": datetime(2020, 1, mark),
        "DATE": date(2020, 1, mark),
        "JSON": f'{{"n":{mark}}}',
        "VARCHAR": f"text {mark}",
    }
    return (marked | _SAMPLES)[kind]


@pytest.mark.parametrize(("scope", "table"), folded_tables())
def test_events_fill_overlay_replace_and_delete_a_row(scope: str, table: str, tmp_path: Path) -> None:
    """The fold's own statements work on this very table, also where an index covers what they set."""
    columns = tables(scope)[table]
    groups = {name: tuple(members.split()) for name, members in GROUPS.get((scope, table), {}).items()}
    known = Table(table, keys(scope)[table], groups)
    grouped = {member for members in groups.values() for member in members}
    plain = [c for c in columns if c not in known.key and c not in grouped and not c.startswith("_stamp")]
    key = tuple(_sample(columns[c][0], 1) for c in known.key)

    def says(stamp: str) -> list[Row]:
        row = Row(table, key, {c: _sample(columns[c][0], int(stamp)) for c in plain}, stamp)
        over = [
            Row(table, key, {c: _sample(columns[c][0], int(stamp)) for c in members}, stamp, group=name)
            for name, members in groups.items()
        ]
        return [row, *over]

    fold = Fold(scope, migrations(scope), [known], rows=lambda event, root: ())
    path = tmp_path / "x.duckdb"
    migrate(path, [("events", EVENT_TABLES), (scope, migrations(scope))])
    backend = DuckDBBackend(path)
    wanted = ", ".join(f'CAST("{c}" AS VARCHAR)' for c in columns)
    where = " AND ".join(f'CAST("{c}" AS VARCHAR) = ${n}' for n, c in enumerate(known.key, 1))

    def after(rows: list[Row]) -> list[tuple[Any, ...]]:
        with backend.transaction():
            merge.merge(backend, fold, _batch(fold, rows), {})
        return backend.fetch_all(f"SELECT {wanted} FROM {table} WHERE {where}", [str(part) for part in key])

    first, again = after(says("1")), after(says("1"))
    assert len(first) == 1
    assert None not in first[0]
    assert again == first
    newer = after(says("3"))
    assert newer != first
    assert after(says("2")) == newer
    if groups:
        return  # a row whose columns are set apart is hidden or purged, never deleted
    assert after([Row(table, key, None, "4")]) == []
    assert after(says("3")) == []
    assert len(after(says("5"))) == 1


def _batch(fold: Fold, rows: list[Row]) -> Batch:
    """Reduce rows as if one event had said them."""
    event = Event(UUID(int=1), fold.component, 1, "test", 1, 1, "nobody")
    saying = replace(fold, rows=lambda event, root: rows)
    return reduce(saying, [event], Path(), present=lambda table, wanted: set())


# ── seeds ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("table", "codes"),
    [
        ("solvers", "modflow6 modflow_nwt boussinesq gr4j mt3dms modpath"),
        ("statuses", "pending running completed partial failed aborted resumed interrupted"),
        ("flow_regimes", "steady transient steady_then_transient"),
        ("mesh_topologies", "structured_2d structured_3d unstructured_2d unstructured_3d lumped network_1d"),
        ("dim_metrics", "nse kge log_nse r2 rmse mae mse bias pbias kge_2012"),
    ],
)
@catalog
def test_vocabulary_is_seeded(database: duckdb.DuckDBPyConnection, table: str, codes: str) -> None:
    assert {code for (code,) in database.execute(f"SELECT code FROM {table}").fetchall()} == set(codes.split())


@catalog
def test_metrics_are_defined_as_they_are_computed(database: duckdb.DuckDBPyConnection) -> None:
    """One truth about each measure: what the code computes by is what the catalog ranks by."""
    rows = database.execute(
        "SELECT metric_name, unit, higher_is_better, best_value, physical_min, physical_max, description, "
        "metric_references FROM metric_definitions"
    ).fetchall()
    seeded = {name: rest for name, *rest in rows}
    assert set(seeded) == {*METRICS, "kge_2012"}
    for name, m in METRICS.items():
        said = [m.unit_rule, m.higher_is_better, m.best, m.physical_min, m.physical_max, m.description, m.reference]
        assert seeded[name] == said


@catalog
def test_metrics_agree_with_their_dimension(database: duckdb.DuckDBPyConnection) -> None:
    shared = "unit, higher_is_better, physical_min, physical_max"
    one = database.execute(f"SELECT code, {shared} FROM dim_metrics ORDER BY 1").fetchall()
    assert one == database.execute(f"SELECT metric_name, {shared} FROM metric_definitions ORDER BY 1").fetchall()


@catalog
def test_variables_have_a_unit_a_category_and_most_a_standard_name(database: duckdb.DuckDBPyConnection) -> None:
    rows = database.execute("SELECT code, standard_name, unit, category FROM dim_variables").fetchall()
    named = {code: standard_name for code, standard_name, *_ in rows if standard_name}
    assert len(rows) >= 40
    assert len(named) >= 35
    assert {category for *_, category in rows} == {"forcing", "state", "derived", "budget", "observation"}
    assert all(unit for _, _, unit, _ in rows)
    for code in ("precipitation", "air_temperature", "potential_evapotranspiration", "discharge", "recharge"):
        assert code in named
    assert "head" in {code for code, *_ in rows}


@catalog
def test_seeds_are_of_no_event(database: duckdb.DuckDBPyConnection) -> None:
    for table in OPEN:
        assert database.execute(f"SELECT count(*) FROM {table} WHERE _stamp IS NOT NULL").fetchone() == (0,)


# ── what the views answer ────────────────────────────────────────────────────────────────────────────

NAN = float("nan")


def _simulation(connection: duckdb.DuckDBPyConnection, number: int, **columns: Any) -> UUID:
    sim_id = UUID(int=number)
    columns = {"sim_id": str(sim_id), "_stamp": "1"} | columns
    marks = ", ".join("?" for _ in columns)
    connection.execute(f"INSERT INTO simulations ({', '.join(columns)}) VALUES ({marks})", list(columns.values()))
    return sim_id


def _score(connection: duckdb.DuckDBPyConnection, sim_id: UUID, metric: str, **stations: float) -> None:
    """Note the values of a metric; ``station__variable=value``, discharge if no variable is named."""
    for place, value in stations.items():
        station, _, variable = place.partition("__")
        station = "__outlet__" if station == "OUTLET" else station
        row = [str(sim_id), station, variable or "discharge", metric, value]
        connection.execute(
            "INSERT INTO metrics (sim_id, station_id, variable, metric_name, value, _stamp) VALUES (?,?,?,?,?,'1')",
            row,
        )


def _one(connection: duckdb.DuckDBPyConnection, view: str, column: str, sim_id: UUID) -> Any:
    rows = connection.execute(f"SELECT {column} FROM {view} WHERE sim_id = ?", [str(sim_id)]).fetchall()
    assert len(rows) == 1
    return rows[0][0]


@pytest.mark.parametrize("metric", ["nse", "log_nse", "kge", "kge_2012", "r2"])
@catalog
def test_best_is_the_greatest_where_higher_is_better(database: duckdb.DuckDBPyConnection, metric: str) -> None:
    sim_id = _simulation(database, 1)
    _score(database, sim_id, metric, a=0.4, b=NAN, c=0.9, d=-3.0)
    assert _one(database, "v_metrics_pivot", metric, sim_id) == 0.9


@pytest.mark.parametrize("metric", ["rmse", "mae", "mse"])
@catalog
def test_best_is_the_least_where_lower_is_better(database: duckdb.DuckDBPyConnection, metric: str) -> None:
    sim_id = _simulation(database, 1)
    _score(database, sim_id, metric, a=0.4, b=NAN, c=0.9, d=3.0)
    assert _one(database, "v_metrics_pivot", metric, sim_id) == 0.4


@pytest.mark.parametrize("metric", ["bias", "pbias"])
@pytest.mark.parametrize(
    ("values", "best"),
    [((-0.1, NAN, 0.3), -0.1), ((-0.5, 0.2, NAN), 0.2), ((-2.0, -1.0, NAN), -1.0), ((2.0, 1.0, 5.0), 1.0)],
)
@catalog
def test_best_is_the_closest_to_zero_where_there_is_no_direction(
    database: duckdb.DuckDBPyConnection, metric: str, values: tuple[float, ...], best: float
) -> None:
    sim_id = _simulation(database, 1)
    _score(database, sim_id, metric, **dict(zip("abc", values, strict=True)))
    assert _one(database, "v_metrics_pivot", metric, sim_id) == best


@catalog
def test_direction_is_that_of_the_definition(database: duckdb.DuckDBPyConnection) -> None:
    """The view asks the table and knows no metric by heart."""
    database.execute("UPDATE metric_definitions SET higher_is_better = FALSE WHERE metric_name = 'nse'")
    database.execute("UPDATE metric_definitions SET higher_is_better = NULL, best_value = 1 WHERE metric_name = 'r2'")
    sim_id = _simulation(database, 1)
    _score(database, sim_id, "nse", a=0.4, b=0.9)
    _score(database, sim_id, "r2", a=0.2, b=1.1)
    assert _one(database, "v_metrics_pivot", "nse", sim_id) == 0.4
    assert _one(database, "v_metrics_pivot", "r2", sim_id) == 1.1


@catalog
def test_pivot_has_one_row_per_simulation(database: duckdb.DuckDBPyConnection) -> None:
    """Also where nothing was scored, or nothing but NaN, or a metric that nobody defined."""
    for number in (1, 2, 3):
        _simulation(database, number)
    _score(database, UUID(int=1), "nse", a=NAN)
    _score(database, UUID(int=2), "my_own", a=1.0)
    rows = database.execute("SELECT sim_id, nse FROM v_metrics_pivot ORDER BY sim_id").fetchall()
    assert rows == [(UUID(int=n), None) for n in (1, 2, 3)]


@catalog
def test_pivot_has_a_column_for_each_seeded_metric(database: duckdb.DuckDBPyConnection) -> None:
    names = {name for (name,) in database.execute("SELECT metric_name FROM metric_definitions").fetchall()}
    assert set(tables("catalog")["v_metrics_pivot"]) == {"sim_id", *names}


@pytest.mark.parametrize(
    ("stations", "shown"),
    [
        ({"OUTLET": 0.5, "OUTLET__head": 0.9, "w1__head": 0.8}, 0.5),
        ({"outlet": 0.5, "w1__head": 0.8}, 0.5),
        ({"OUTLET__head": 0.9, "w1__head": 0.8}, 0.9),
        ({"w1__head": 0.8}, 0.8),
        ({"w1__head": 0.8, "w2__head": 0.7}, None),
        ({"OUTLET__head": 0.9, "OUTLET__stage": 0.8}, None),
        ({"OUTLET": NAN, "w1__head": 0.8}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("metric", ["nse", "kge", "rmse", "r2"])
@catalog
def test_summary_scores_the_outlet_or_the_only_series(
    database: duckdb.DuckDBPyConnection, metric: str, stations: dict[str, float], shown: float | None
) -> None:
    sim_id = _simulation(database, 1)
    _score(database, sim_id, metric, **stations)
    assert _one(database, "v_simulation_summary", metric, sim_id) == shown


@catalog
def test_summary_knows_the_kind_of_solver_and_shows_unknown_ones(database: duckdb.DuckDBPyConnection) -> None:
    _simulation(database, 1, solver="modflow6", name="base")
    _simulation(database, 2, solver="swat", name="base")
    _simulation(database, 3)
    rows = database.execute("SELECT solver, solver_category FROM v_simulation_summary ORDER BY sim_id").fetchall()
    assert rows == [("modflow6", "distributed"), ("swat", None), (None, None)]


@pytest.mark.parametrize("database", ["cache"], indirect=True)
def test_entries_are_summed_by_variable_and_source(database: duckdb.DuckDBPyConnection) -> None:
    rows = [
        (1, "discharge", "hubeau", "J1", "2010-01-01", "2012-01-01", False),
        (2, "discharge", "hubeau", "J1", "2009-01-01", "2010-01-01", None),
        (3, "discharge", "hubeau", "", None, None, True),
        (4, "discharge", "custom", "J1", None, "2020-01-01", True),
    ]
    for number, *values in rows:
        database.execute(
            "INSERT INTO entries (id, variable, source, station_id, date_start, date_end, is_custom, _stamp) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, '1')",
            [str(UUID(int=number)), *values],
        )
    found = database.execute(
        "SELECT source, n_entries, n_stations, CAST(earliest AS DATE)::VARCHAR, CAST(latest AS DATE)::VARCHAR, "
        "n_custom FROM v_entries_summary ORDER BY source"
    ).fetchall()
    assert found == [
        ("custom", 1, 1, None, "2020-01-01", 1),
        ("hubeau", 3, 1, "2009-01-01", "2012-01-01", 1),
    ]


@pytest.mark.parametrize("database", ["index"], indirect=True)
def test_health_counts_projects_and_simulations_apart(database: duckdb.DuckDBPyConnection) -> None:
    """A join of both at once would count each simulation once per project."""
    full, empty = str(UUID(int=1)), str(UUID(int=2))
    for workspace in (full, empty):
        database.execute(
            "INSERT INTO workspaces (workspace_id, workspace_uri, status) VALUES (?, '/w', 'ok')", [workspace]
        )
    for number, status, unfolded in ((1, "ok", 2), (2, "busy", None)):
        database.execute(
            "INSERT INTO projects (project_id, workspace_id, slug, root_relative, mark, status, unfolded) "
            "VALUES (?, ?, 'p', 'projects/p', '', ?, ?)",
            [str(UUID(int=number)), full, status, unfolded],
        )
    # the second project is a copy of the first; one simulation lies in the trash, one row is an acquisition
    snapshot = [
        (1, 11, "simulation", None),
        (2, 11, "simulation", None),
        (1, 12, "simulation", None),
        (1, 13, "simulation", "2020-02-02"),
        (1, 14, "acquisition", None),
    ]
    for project, number, kind, trashed in snapshot:
        database.execute(
            "INSERT INTO simulations_cache (workspace_id, project_id, sim_id, kind, trashed_at, snapshot_taken_at, "
            "search_text) VALUES (?, ?, ?, ?, ?, '2020-01-01', '')",
            [full, str(UUID(int=project)), str(UUID(int=number)), kind, trashed],
        )
    rows = database.execute(
        "SELECT n_projects, n_projects_not_ok, unfolded, n_simulations FROM v_workspace_health ORDER BY workspace_id"
    ).fetchall()
    assert rows == [(2, 1, 2, 2), (0, 0, 0, 0)]


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────

_SECTION = re.compile(r"^### `(\w+)\.(\w+)`( \(view\))?\n\n([^\n]+)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| (\*\*)?`(\w+)`(?:\*\*)? \| ([\w\[\]]+) \| (.+) \|$", re.MULTILINE)


def told(scope: str) -> dict[str, tuple[bool, str, list[tuple[str, ...]]]]:
    """Return what the page says of a scope: name -> (whether a view, its sentence, rows of its table)."""
    sections = _SECTION.findall(PAGE.read_text(encoding="utf-8"))
    return {name: (bool(view), said, _ROW.findall(text)) for of, name, view, said, text in sections if of == scope}


@every
def test_page_names_every_table_and_view(scope: str) -> None:
    assert {name for name, (view, *_) in told(scope).items() if not view} == set(TABLES[scope].split())
    assert {name for name, (view, *_) in told(scope).items() if view} == set(VIEWS[scope].split())


@every
def test_page_names_every_column_with_its_type(scope: str) -> None:
    page = {name: [(column, kind) for _, column, kind, _ in rows] for name, (_, _, rows) in told(scope).items()}
    assert page == {name: [(c, kind) for c, (kind, _) in columns.items()] for name, columns in tables(scope).items()}


@every
def test_page_marks_the_keys(scope: str) -> None:
    page = {name: {c for bold, c, *_ in rows if bold} for name, (view, _, rows) in told(scope).items() if not view}
    assert page == {name: set(columns) for name, columns in keys(scope).items()}


@every
def test_page_says_a_sentence_of_each(scope: str) -> None:
    assert [name for name, (_, said, _) in told(scope).items() if not re.match(r"[A-Z].+\.$", said)] == []


@pytest.mark.parametrize(
    "query",
    [
        "SELECT code, standard_name, unit, category, description FROM dim_variables",
        "SELECT code, category, description FROM solvers",
        "SELECT metric_name, unit, CASE higher_is_better WHEN TRUE THEN 'higher' WHEN FALSE THEN 'lower' END, "
        "CAST(best_value AS INTEGER), CAST(physical_min AS INTEGER), CAST(physical_max AS INTEGER), role, "
        "description, metric_references FROM metric_definitions",
    ],
    ids=["variables", "solvers", "metrics"],
)
@catalog
def test_page_lists_the_seeds(database: duckdb.DuckDBPyConnection, query: str) -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = database.execute(query).fetchall()
    wanted = [f"| `{code}` | " + " | ".join("" if v is None else str(v) for v in rest) + " |" for code, *rest in rows]
    assert [line for line in wanted if line not in lines] == []
