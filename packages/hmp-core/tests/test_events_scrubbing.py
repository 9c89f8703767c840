"""What a purge leaves in the log: the same lines, in the same places, that say no more than that they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hmp_core.errors import InvalidInput
from hmp_core.events import Event, EventStore
from hmp_core.events.scrubbing import Scrubbed, scrub
from hmp_core.testing.gauges import dump, gauges

GAUGE = "00000000-0000-4000-8000-000000000001"
OTHER = "00000000-0000-4000-8000-000000000002"


@pytest.fixture
def store(tmp_path: Path) -> EventStore:
    """A log in which a gauge got a name, all of it in a pack."""
    found = gauges(tmp_path)
    found.prepare_schema()
    for gauge in (GAUGE, OTHER):
        found.append("gauge.set", {"gauge": gauge, "river": "Aare"})
        found.append("gauge.named", {"gauge": gauge, "name": "Villa Schmidt"})
    found.log.turn()
    found.fold()
    return found


def _emptied(event: Event) -> Event | None:
    named = event.v == 1 and event.kind == "gauge.named" and event.payload["gauge"] == GAUGE
    return replace(event, v=0, payload={"gauge": GAUGE}) if named else None


def _pack(store: EventStore) -> bytes:
    (pack,) = store.files.packed()
    return pack.read_bytes()


def test_what_was_said_is_gone_and_nothing_else_is(store: EventStore) -> None:
    before = {event.id: event for event in store.files.everything().events}
    assert scrub(store.path, _emptied) == Scrubbed(emptied=1)
    after = {event.id: event for event in store.files.everything().events}
    assert _pack(store).count(b"Villa Schmidt") == 1
    assert {identity: _emptied(event) or event for identity, event in before.items()} == after


def test_how_far_the_log_was_read_stays_true(store: EventStore) -> None:
    before, length = dump(store), len(_pack(store))
    scrub(store.path, _emptied)
    assert len(_pack(store)) == length
    assert dump(store) == before
    assert not store.notice
    store.append("gauge.set", {"gauge": OTHER, "river": "Reuss"})
    assert [row[1] for row in dump(store)["gauges"]] == ["Aare", "Reuss"]


def test_once_more_does_nothing(store: EventStore) -> None:
    scrub(store.path, _emptied)
    before = _pack(store)
    assert scrub(store.path, _emptied) == Scrubbed()
    assert _pack(store) == before


def test_what_a_living_process_holds_is_counted(store: EventStore) -> None:
    store.append("gauge.named", {"gauge": GAUGE, "name": "Villa Schmidt"})
    store.fold()
    assert scrub(store.path, _emptied) == Scrubbed(emptied=1, left=1)


def test_what_stays_is_not_longer(store: EventStore) -> None:
    before = _pack(store)
    with pytest.raises(InvalidInput, match="longer"):
        scrub(store.path, lambda event: replace(event, payload=event.payload | {"more": "x" * 99}))
    assert _pack(store) == before
