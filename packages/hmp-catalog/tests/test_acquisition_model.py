"""A session beside dictionaries: whatever is done to both, they say the same; readers see it, also once reopened."""

from __future__ import annotations

import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from hmp_catalog.acquisition import RunWriter, SampleMetadata
from hmp_catalog.acquisition.catalog import Catalog
from hmp_catalog.errors import FrameMismatch, WriterState
from hmp_core.errors import InvalidInput

VALUES = st.one_of(
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
    st.sampled_from([None, True, np.float32(0.1), np.int64(7), np.array([1.5, np.nan])]),
    st.lists(st.floats(), max_size=3),
)
STREAMS, KEYS, FIELDS = ("primary", "baseline", "monitor"), ("level", "time", "seq_num"), ("camera", "other")
SHAPES = {"camera": ((4, 6), "u2"), "other": ((3, 2), "f4")}


def plain(value: Any) -> Any:
    found = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(found, list):
        return [plain(each) for each in found]
    return "nan" if isinstance(found, float) and math.isnan(found) else found


def frame(field: str, number: int) -> np.ndarray[Any, Any]:
    shape, dtype = SHAPES[field]
    return np.full(shape, number % 5, dtype)  # every fifth is dark


class Beside(RuleBasedStateMachine):
    """``runs`` says what has to be there, by uid, and ``now`` which of them is open."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "june.db"
        self.runs: dict[str, dict[str, Any]] = {}
        self.now: dict[str, Any] | None = None
        self.count = 0
        self.writer = self._opened(1)

    def _opened(self, flush_events: int) -> RunWriter:
        writer = RunWriter(self.path, SampleMetadata("PS"), flush_events=flush_events, sync_seconds=60)
        writer.open()
        self.gathering = flush_events > 1
        return writer

    def teardown(self) -> None:
        self._close()
        self._look()
        shutil.rmtree(self.folder)

    # ── what is done ─────────────────────────────────────────────────────────────────────────────────

    def _close(self) -> None:
        self.writer.close()
        if self.now is not None:
            self.now["status"] = "aborted"
        self.now = None

    @rule(flush_events=st.sampled_from([1, 3, 100]))
    def reopen(self, flush_events: int) -> None:
        self._close()
        self.writer = self._opened(flush_events)

    @rule(plan=st.sampled_from(["scan", "", "count"]))
    def open_run(self, plan: str) -> None:
        if self.now is not None or not plan:
            with pytest.raises(WriterState if self.now is not None else InvalidInput):
                self.writer.open_run(plan)
            return
        uid = self.writer.open_run(plan, metadata={"n": self.count})
        self.now = {"plan": plan, "status": "running", "streams": {}, "frames": {}, "last": {}}
        self.runs[uid] = self.now

    @rule(name=st.sampled_from(STREAMS))
    def open_stream(self, name: str) -> None:
        if self.now is None or name in self.now["streams"]:
            with pytest.raises(InvalidInput):
                self.writer.open_stream(name, dict.fromkeys(KEYS))
            return
        self.writer.open_stream(name, {key: {"dtype": "any"} for key in KEYS})
        self.now["streams"][name] = []
        self.now["current"] = name

    @precondition(lambda self: self.now is not None and self.now["streams"])
    @rule(
        data=st.dictionaries(st.sampled_from(KEYS), VALUES),
        stream=st.sampled_from([None, *STREAMS]),
        wrong=st.booleans(),
    )
    def write_event(self, data: dict[str, Any], stream: str | None, wrong: bool) -> None:
        name = stream or self.now["current"]
        if wrong or name not in self.now["streams"]:
            with pytest.raises(InvalidInput):
                self.writer.write_event({**data, "strange": 1} if wrong else data, stream=stream)
            return
        uid = self.writer.write_event(data, dict.fromkeys(data, 1.5), stream=stream)
        self.now["streams"][name].append((uid, {key: plain(value) for key, value in data.items()}))

    @precondition(lambda self: self.now is not None and any(self.now["streams"].values()))
    @rule(
        stream=st.sampled_from(STREAMS),
        place=st.integers(-3, 3),
        field=st.sampled_from(FIELDS),
        wrong=st.sampled_from([False, False, False, True]),
    )
    def write_image(self, stream: str, place: int, field: str, wrong: bool) -> None:
        events = self.now["streams"].get(stream) or next(filter(None, self.now["streams"].values()))
        name = next(name for name, found in self.now["streams"].items() if found is events)
        seq = place % len(events) + 1
        self._shoot(name, seq, field, wrong=wrong)

    def _shoot(self, name: str, seq: int, field: str, *, wrong: bool = False) -> None:
        uid, _ = self.now["streams"][name][seq - 1]
        kept = self.now["frames"].setdefault(field, [])
        self.count += 1
        picture = frame(field, self.count)
        if wrong and kept:
            with pytest.raises(FrameMismatch):
                self.writer.write_image(uid, field, picture.T)
        elif seq <= self.now["last"].get((name, field), 0):
            with pytest.raises(InvalidInput):
                self.writer.write_image(uid, field, picture)
        elif not wrong:
            self.writer.write_image(uid, field, picture)
            self.now["last"][name, field] = seq
            kept.append(picture)

    @precondition(lambda self: self.now is not None and self.now["streams"])
    @rule(count=st.sampled_from([1, 20, 64]), field=st.sampled_from(FIELDS))
    def burst(self, count: int, field: str) -> None:
        name = self.now["current"]
        for _ in range(count):
            self.write_event({"level": self.count}, None, wrong=False)
            self._shoot(name, len(self.now["streams"][name]), field)

    @rule(status=st.sampled_from(["success", "failed", "aborted", "done"]))
    def close_run(self, status: str) -> None:
        if self.now is None or status == "done":
            with pytest.raises(InvalidInput):
                self.writer.close_run(exit_status=status)
            return
        self.writer.close_run(exit_status=status, reason="so")
        self.now["status"] = status
        self.now = None

    # ── what is seen ─────────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: not self.gathering or self.now is None)
    @rule()
    def look(self) -> None:
        self._look()

    def _look(self) -> None:
        with Catalog(self.path) as catalog:
            assert sorted(catalog) == sorted(self.runs)
            for uid, expected in self.runs.items():
                self._compare(catalog[uid], expected)

    def _compare(self, run: Any, expected: dict[str, Any]) -> None:
        assert (run.plan_name, run.exit_status) == (expected["plan"], expected["status"])
        assert sorted(run.streams) == sorted(expected["streams"])
        for name, events in expected["streams"].items():
            found = run.events(name)
            assert [event.seq_num for event in found] == list(range(1, len(events) + 1))
            assert [(e.uid, {key: plain(v) for key, v in e.data.items()}) for e in found] == events
        for field, frames in expected["frames"].items():
            if not frames:
                continue
            images = run.images(field)
            assert images.dtype == frames[0].dtype
            assert (np.asarray(images) == np.stack(frames)).all()
            if expected["status"] != "running":
                array = zarr.open_array(self.path.with_suffix(".zarr") / "runs" / run.uid / field, mode="r")
                assert (np.asarray(array[...]) == np.stack(frames)).all()


#: Making a failure smaller takes minutes, with stores on disk.
QUICK = {"deadline": None, "suppress_health_check": list(HealthCheck), "phases": [Phase.reuse, Phase.generate]}

TestBeside = Beside.TestCase
TestBeside.settings = settings(max_examples=20, stateful_step_count=40, **QUICK)


@pytest.mark.soak
def test_beside_for_long():
    run_state_machine_as_test(Beside, settings=settings(max_examples=150, stateful_step_count=60, **QUICK))
