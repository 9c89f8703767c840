"""The fold: any order and repetition of events, in any number of batches, gives the tables of the model."""

from __future__ import annotations

import itertools
import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmp_core.backends import DuckDBBackend
from hmp_core.errors import CorruptError, StatementError, StorageError
from hmp_core.events import Event, Fold, NotYet, Row, Table
from hmp_core.events.apply import Folding
from hmp_core.events.fold import Purge, reduce
from hmp_core.events.pending import Harvest
from hmp_core.testing.expected import tables
from hmp_core.testing.gauges import FOLD, ORDERS, gauges

GAUGES = [str(UUID(int=n + 1)) for n in range(3)]
CODES = ["ann", "bob"]


def _event(clock: int, kind: str, payload: dict[str, Any], *, v: int = 1) -> Event:
    return Event(UUID(int=(clock << 64) + random.getrandbits(32)), "gauges", v, kind, clock, clock, "emma", payload)


_GAUGE = st.sampled_from(GAUGES)
_FACTS = st.one_of(
    st.tuples(
        st.just("gauge.set"),
        st.fixed_dictionaries(
            {"gauge": _GAUGE, "river": st.sampled_from("AR"), "elevation": st.none() | st.floats(0, 9)}
        ),
    ),
    st.tuples(st.just("gauge.named"), st.fixed_dictionaries({"gauge": _GAUGE, "name": st.sampled_from("xyz")})),
    st.tuples(st.just("gauge.hidden"), st.fixed_dictionaries({"gauge": _GAUGE, "on": st.booleans()})),
    st.tuples(st.just("gauge.purged"), st.fixed_dictionaries({"gauge": _GAUGE})),
    st.tuples(
        st.just("level.set"),
        st.fixed_dictionaries({"gauge": _GAUGE, "day": st.integers(0, 2), "level": st.none() | st.floats(0, 9)}),
    ),
    st.tuples(
        st.just("observer.set"),
        st.fixed_dictionaries({"code": st.sampled_from(CODES), "called": st.none() | st.sampled_from("AB")}),
    ),
    st.tuples(st.just("visit.made"), st.fixed_dictionaries({"code": st.sampled_from(CODES), "gauge": _GAUGE})),
    st.tuples(st.just("gauge.moved"), st.fixed_dictionaries({"gauge": _GAUGE})),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Events of which many speak of the same few things, some at the same clock, some of a kind of tomorrow."""
    facts = draw(st.lists(_FACTS, max_size=25))
    clocks = draw(st.lists(st.integers(0, 12), min_size=len(facts), max_size=len(facts)))
    made = [(clock, kind, payload) for clock, (kind, payload) in zip(clocks, facts, strict=True)]
    return [
        Event(UUID(int=n + 1), "gauges", 2 if kind == "gauge.moved" else 1, kind, clock, 0, "emma", payload)
        for n, (clock, kind, payload) in enumerate(made)
    ]


Batches = Callable[[Sequence[Sequence[Event]]], tuple[dict[str, Any], set[UUID]]]


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Batches:
    """Return what folds batches into a new database and tells its tables and what waits."""
    home = tmp_path_factory.mktemp("fold")
    gauges(home / "empty").prepare_schema()

    def fold(batches: Sequence[Sequence[Event]]) -> tuple[dict[str, Any], set[UUID]]:
        database = home / "gauges.duckdb"
        database.unlink(missing_ok=True)
        shutil.copy(home / "empty" / "gauges.duckdb", database)
        backend = DuckDBBackend(database)
        with backend.lease(write=True, unlocked=True):
            for events in batches:
                Folding(backend, FOLD, home, {}).apply(Harvest(events=list(events)))
            rows = {t: backend.fetch_all(f"SELECT * FROM {t} ORDER BY {by}") for t, by in ORDERS.items()}
            waiting = {row[0] for row in backend.fetch_all("SELECT event_id FROM _hmp_waiting")}
        return rows, waiting

    return fold


# ── order plays no part ──────────────────────────────────────────────────────────────────────────────


@settings(max_examples=max(50, settings().max_examples // 5))
@given(events=histories(), data=st.data())
def test_any_order_repetition_and_division_gives_the_tables_of_the_model(
    folded: Batches, events: list[Event], data: st.DataObject
) -> None:
    mixed = data.draw(st.permutations(events + data.draw(st.lists(st.sampled_from(events)) if events else st.just([]))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(mixed)), max_size=4)))
    bounds = [0, *cuts, len(mixed)]
    batches = [mixed[a:b] for a, b in itertools.pairwise(bounds)]
    assert folded(batches) == tables(events)


def _in_every_order(folded: Batches, events: list[Event]) -> Any:
    """Fold events one by one in every order (of many, eight), and together, and return the one result."""
    expected = folded([events])
    orders = list(itertools.permutations(events))
    for order in random.Random(1).sample(orders, min(len(orders), 8)):
        assert folded([[event] for event in order]) == expected, [e.kind for e in order]
    return expected


def test_the_latest_wins(folded: Batches) -> None:
    rows, _ = _in_every_order(
        folded, [_event(n, "gauge.set", {"gauge": GAUGES[0], "river": river}) for n, river in enumerate("ABC")]
    )
    assert [row[1] for row in rows["gauges"]] == ["C"]


def test_a_deletion_is_an_event_like_any_other(folded: Batches) -> None:
    def said(clock: int, called: str | None) -> Event:
        return _event(clock, "observer.set", {"code": "ann", "called": called})

    assert _in_every_order(folded, [said(1, "A"), said(2, None)])[0]["observers"] == []
    rows, _ = _in_every_order(folded, [said(1, "A"), said(2, None), said(3, "B")])
    assert [row[:2] for row in rows["observers"]] == [("ann", "B")]
    assert _in_every_order(folded, [said(1, None), said(3, None), said(2, "B")])[0]["observers"] == []


def test_a_purge_beats_what_was_and_what_will_be_said(folded: Batches) -> None:
    rows, waiting = _in_every_order(
        folded,
        [
            _event(2, "gauge.purged", {"gauge": GAUGES[0]}),
            _event(1, "gauge.set", {"gauge": GAUGES[0], "river": "A"}),
            _event(3, "level.set", {"gauge": GAUGES[0], "day": 1, "level": 1.0}),
            _event(4, "gauge.named", {"gauge": GAUGES[0], "name": "x"}),
        ],
    )
    assert (rows["gauges"], rows["levels"], waiting) == ([], [], set())


def test_a_purge_empties_what_stays(folded: Batches) -> None:
    gauge = _event(1, "gauge.set", {"gauge": GAUGES[0], "river": "A"})
    named = [_event(n, "gauge.named", {"gauge": GAUGES[0], "name": name}) for n, name in ((2, "x"), (4, "y"))]
    rows, _ = _in_every_order(folded, [gauge, *named, _event(3, "gauge.purged", {"gauge": GAUGES[0]})])
    assert [row[1:3] for row in rows["namings"]] == [(UUID(GAUGES[0]), None)] * 2


def test_a_child_waits_for_its_parent(folded: Batches) -> None:
    child = _event(1, "level.set", {"gauge": GAUGES[0], "day": 1, "level": 1.0})
    assert folded([[child]])[1] == {child.id}
    rows, waiting = _in_every_order(folded, [child, _event(2, "gauge.set", {"gauge": GAUGES[0], "river": "A"})])
    assert len(rows["levels"]) == 1
    assert waiting == set()


def test_a_parent_that_was_deleted_is_known(folded: Batches) -> None:
    """Else it would depend on the order whether the child was seen in time."""
    visit = _event(3, "visit.made", {"code": "ann", "gauge": GAUGES[0]})
    come = _event(1, "observer.set", {"code": "ann", "called": "A"})
    gone = _event(2, "observer.set", {"code": "ann", "called": None})
    rows, waiting = _in_every_order(folded, [visit, come, gone])
    assert (len(rows["visits"]), rows["observers"], waiting) == (1, [], set())
    assert _in_every_order(folded, [visit, gone])[1] == set()


def test_groups_are_set_independently(folded: Batches) -> None:
    rows, _ = _in_every_order(
        folded,
        [
            _event(1, "gauge.named", {"gauge": GAUGES[0], "name": "x"}),
            _event(2, "gauge.hidden", {"gauge": GAUGES[0], "on": True}),
            _event(3, "gauge.set", {"gauge": GAUGES[0], "river": "A"}),
            _event(4, "gauge.named", {"gauge": GAUGES[0], "name": "y"}),
        ],
    )
    assert [row[1:6:4] + row[4:5] for row in rows["gauges"]] == [("A", True, "y")]


def test_a_group_waits_for_its_row(folded: Batches) -> None:
    """Once it was lost without a word when it came first."""
    named = _event(1, "gauge.named", {"gauge": GAUGES[0], "name": "x"})
    assert folded([[named]])[1] == {named.id}
    assert folded([[named], [_event(2, "gauge.set", {"gauge": GAUGES[0], "river": "A"})]])[1] == set()


def test_what_is_of_tomorrow_waits(folded: Batches) -> None:
    newer = [_event(1, "gauge.set", {"gauge": GAUGES[0], "river": "A"}, v=2), _event(2, "gauge.painted", {})]
    rows, waiting = _in_every_order(folded, newer)
    assert (rows["gauges"], waiting) == ([], {event.id for event in newer})


def test_parents_of_parents_are_waited_for(folded: Batches, tmp_path: Path) -> None:
    """A chain that hangs on nothing waits as a whole."""
    chain = [
        Row(
            "gauges",
            (GAUGES[n],),
            {"river": "A"},
            f"1{n}",
            needs=("gauges", GAUGES[n - 1]) if n else ("observers", "ann"),
        )
        for n in range(3)
    ]
    events = [_event(n, str(n), {}) for n in range(3)]
    fold = replace(FOLD, rows=lambda event, root: [chain[int(event.kind)]])
    batch = reduce(fold, events, tmp_path, present=lambda table, keys: set())
    assert set(batch.waiting) == {event.id for event in events}
    assert batch.waiting[events[0].id][1] == "observers ann is not known yet"
    batch = reduce(fold, events, tmp_path, present=lambda table, keys: keys & {"ann"})
    assert batch.waiting == {}


# ── what is not understood ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"gauge": None, "river": "A"},
        {"gauge": GAUGES[0]},
        {"gauge": "no uuid", "river": "A"},
        {"gauge": GAUGES[0], "river": None},
        {"gauge": GAUGES[0], "river": "A", "elevation": "high"},
    ],
    ids=["empty", "null key", "missing", "no uuid", "null", "text for a number"],
)
def test_facts_that_make_no_row_wait_and_keep_nobody_out(folded: Batches, payload: dict[str, Any]) -> None:
    """Also those that only the engine refuses: they are found, and everything else is in."""
    odd = _event(9, "gauge.set", payload)
    good = [_event(n, "gauge.set", {"gauge": gauge, "river": "R"}) for n, gauge in enumerate(GAUGES[1:])]
    child = _event(5, "level.set", {"gauge": GAUGES[1], "day": 0, "level": 1.0})
    for batches in ([[odd, *good, child]], [[child], [odd], good], [good, [child, odd], [odd]]):
        rows, waiting = folded(batches)
        assert waiting == {odd.id}
        assert [row[0] for row in rows["gauges"]] == [UUID(gauge) for gauge in GAUGES[1:]]
        assert len(rows["levels"]) == 1


def test_a_fold_that_fails_for_one_event_lets_it_wait(folded: Batches, tmp_path: Path) -> None:
    """Whatever a scope meets in its files: a damaged one, one that may not be read."""
    for error in (
        CorruptError("damaged"),
        PermissionError("no"),
        UnicodeDecodeError("utf-8", b"", 0, 1, "x"),
        IndexError(),
        NotYet("later"),
        json.JSONDecodeError("x", "y", 0),
    ):

        def rows(event: Event, root: Path, error: Exception = error) -> list[Row | Purge]:
            if event.kind == "odd":
                raise error
            return [Row("gauges", (event.payload["gauge"],), {"river": "A"}, event.stamp())]

        events = [_event(1, "odd", {}), _event(2, "even", {"gauge": GAUGES[0]})]
        batch = reduce(replace(FOLD, rows=rows), events, tmp_path, present=lambda table, keys: set())
        assert list(batch.waiting) == [events[0].id]
        assert batch.applied == {events[1].id}


@pytest.mark.parametrize(
    "row",
    [
        Row("nowhere", ("x",), {}, "1"),
        Row("gauges", (GAUGES[0], "y"), {}, "1"),
        Row("gauges", (GAUGES[0],), {}, "1", group="colour"),
        Row("gauges", (GAUGES[0],), None, "1"),
        Row("visits", (GAUGES[0],), {}, "1", needs=("levels", "x")),
        Row("visits", (GAUGES[0],), {}, "1", needs=("nowhere", "x")),
    ],
    ids=["table", "key", "group", "deletes what has groups", "needs a composite key", "needs nothing we know"],
)
def test_a_row_that_cannot_be_lets_its_event_wait(tmp_path: Path, row: Row) -> None:
    event = _event(1, "odd", {})
    fold = replace(FOLD, rows=lambda event, root: [row])
    batch = reduce(fold, [event], tmp_path, present=lambda table, keys: set())
    assert list(batch.waiting) == [event.id]


def test_a_column_nobody_knows_is_not_dropped(folder: Path) -> None:
    backend = DuckDBBackend(folder / "gauges.duckdb")
    fold = replace(
        FOLD, rows=lambda event, root: [Row("gauges", (GAUGES[0],), {"river": "A", "colour": "red"}, event.stamp())]
    )
    with backend.lease(write=True):
        Folding(backend, fold, folder, {}).apply(Harvest(events=[_event(1, "odd", {})]))
        ((reason,),) = backend.fetch_all("SELECT reason FROM _hmp_waiting")
    assert "colour" in reason


def test_what_was_refused_comes_in_once_it_can(folder: Path) -> None:
    """As after an upgrade: with the next door that is opened."""
    backend = DuckDBBackend(folder / "gauges.duckdb")
    odd = _event(1, "gauge.set", {"gauge": GAUGES[0], "river": None})
    mended = replace(FOLD, rows=lambda event, root: [Row("gauges", (GAUGES[0],), {"river": "?"}, event.stamp())])
    with backend.lease(write=True):
        Folding(backend, FOLD, folder, {}).apply(Harvest(events=[odd]))
        Folding(backend, mended, folder, {}).apply(Harvest(), retry=False)
        assert backend.fetch_all("SELECT count(*) FROM gauges") == [(0,)]
        Folding(backend, mended, folder, {}).apply(Harvest(), retry=True)
        assert backend.fetch_all("SELECT river FROM gauges") == [("?",)]
        assert backend.fetch_all("SELECT count(*) FROM _hmp_waiting") == [(0,)]


def test_orphans_are_asked_for_once_the_rest_is_in(folder: Path) -> None:
    """What was opened and what died before it could say more may come to light with the same fold."""
    visit = _event(2, "visit.made", {"code": "ann", "gauge": GAUGES[0]})

    def orphans(backend: Any, root: Path) -> list[Event]:
        return [visit] if backend.fetch_all("SELECT 1 FROM observers WHERE code = 'ann'") else []

    backend = DuckDBBackend(folder / "gauges.duckdb")
    with backend.lease(write=True):
        came = _event(1, "observer.set", {"code": "ann", "called": "A"})
        Folding(backend, replace(FOLD, orphans=orphans), folder, {}).apply(Harvest(events=[came]))
        assert backend.fetch_all("SELECT event_id FROM visits") == [(visit.id,)]


def test_an_orphan_that_the_engine_refuses_keeps_nobody_out(folder: Path) -> None:
    orphan = _event(1, "gauge.set", {"gauge": GAUGES[0], "river": None})
    fold = replace(FOLD, orphans=lambda backend, root: [orphan])
    backend = DuckDBBackend(folder / "gauges.duckdb")
    with backend.lease(write=True):
        good = _event(2, "gauge.set", {"gauge": GAUGES[1], "river": "R"})
        Folding(backend, fold, folder, {}).apply(Harvest(events=[good]))
        assert backend.fetch_all("SELECT river FROM gauges") == [("R",)]


def _noting(seen: list[int]) -> Callable[[Any, Path], None]:
    """Return what counts the gauges before each commit."""
    return lambda backend, root: seen.append(backend.fetch_all("SELECT count(*) FROM gauges")[0][0])


def test_what_precedes_a_commit_sees_what_will_be_committed(folder: Path) -> None:
    backend, seen = DuckDBBackend(folder / "gauges.duckdb"), list[int]()
    good = _event(1, "gauge.set", {"gauge": GAUGES[0], "river": "A"})
    with backend.lease(write=True):
        Folding(backend, replace(FOLD, before_commit=_noting(seen)), folder, {}).apply(Harvest(events=[good]))
    assert seen == [1]


def test_what_precedes_a_commit_does_so_where_the_engine_refuses_an_event(folder: Path) -> None:
    backend, seen = DuckDBBackend(folder / "gauges.duckdb"), list[int]()
    odd = _event(1, "gauge.set", {"gauge": GAUGES[1], "river": None})
    good = _event(2, "gauge.set", {"gauge": GAUGES[0], "river": "A"})
    with backend.lease(write=True):
        Folding(backend, replace(FOLD, before_commit=_noting(seen)), folder, {}).apply(Harvest(events=[odd, good]))
        assert backend.fetch_all("SELECT count(*) FROM gauges") == [(1,)]
    assert seen
    assert seen[-1] == 1


def test_without_what_precedes_it_nothing_is_committed(folder: Path) -> None:
    """A full disk: the rows wait for the next fold, as the log does."""

    def refuse(backend: Any, root: Path) -> None:
        message = "no room"
        raise StorageError(message)

    backend = DuckDBBackend(folder / "gauges.duckdb")
    good = _event(1, "gauge.set", {"gauge": GAUGES[0], "river": "A"})
    with backend.lease(write=True):
        with pytest.raises(StorageError):
            Folding(backend, replace(FOLD, before_commit=refuse), folder, {}).apply(Harvest(events=[good]))
        assert backend.fetch_all("SELECT count(*) FROM gauges") == [(0,)]


def test_a_failing_engine_is_not_taken_for_a_bad_event(folder: Path) -> None:
    backend = DuckDBBackend(folder / "gauges.duckdb")
    fold = Fold(
        "gauges", FOLD.migrations, (Table("nowhere", ("id",)),), lambda event, root: [Row("nowhere", ("x",), {}, "1")]
    )
    with backend.lease(write=True):
        Folding(backend, fold, folder, {}).apply(Harvest(events=[_event(1, "odd", {})]))
        assert backend.fetch_all("SELECT count(*) FROM _hmp_waiting") == [(1,)]
    with pytest.raises(StatementError):
        backend.query("SELECT * FROM nowhere")


def test_a_table_with_groups_has_one_key() -> None:
    with pytest.raises(ValueError, match="one key column"):
        Table("levels", ("a", "b"), groups={"g": ("c",)})
    assert FOLD.table("gauges").key == ("gauge_id",)
