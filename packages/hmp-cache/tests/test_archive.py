"""Inputs are carried in one file: the same in the other workspace, and nothing of what is damaged comes in."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import hmp_cache
from hmp_cache import InputsNamespace
from hmp_cache.archive import MANIFEST, checksum
from hmp_core import tarball
from hmp_core.errors import ArchiveInvalid, InvalidInput, NotWritable, PathNotFound, PathTaken, UnknownFilter
from hmp_core.events.record import to_json

Write = Callable[..., Path]

#: What the database says of inputs; a file's time and inode are those of one machine.
ASKED = {
    "entries": "SELECT * EXCLUDE (file_mtime, file_mtime_ns, file_inode, _stamp_sighted) FROM entries ORDER BY ALL",
    **{
        name: f"SELECT * FROM {name} ORDER BY ALL"
        for name in ("artifacts", "provenance", "validation_reports", "coverage", "stations")
    },
}


def _days(*values: float) -> str:
    return "time,discharge\n" + "".join(f"2001-01-{n:02d},{value}\n" for n, value in enumerate(values, 1))


def _rows(data: InputsNamespace) -> dict[str, list[dict[str, Any]]]:
    return {name: data.sql(query).to_pylist() for name, query in ASKED.items()}


def _disk(data: InputsNamespace) -> dict[str, bytes]:
    """Return every file of the inputs, without what belongs to one machine."""
    home = data.workspace / "data"
    found = {p.relative_to(home).as_posix(): p.read_bytes() for p in home.glob("*/*/*") if p.is_file()}
    return found | {p.name: p.read_bytes() for p in (home / ".versions").glob("*")}


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three inputs: one with three versions, one that is derived, one that lies where its owner has it."""
    here = tmp_path_factory.mktemp("stock")
    (here / "desk").mkdir()
    with hmp_cache.open(here / "fulda", create=True) as data:
        for values in ((1.0,), (1.0, 2.0), (1.0, 2.0, 3.0)):
            (here / "desk" / "q.csv").write_text(_days(*values))
            data.add(here / "desk" / "q.csv", variable="discharge", station="outlet", unit="m3 s-1", license="CC0")
        (here / "desk" / "mean.csv").write_text(_days(2.0))
        made: dict[str, Any] = {"parents": [data["q"]], "tool": "mean 1.0", "bbox": (0, 0, 1, 1)}
        data.add(here / "desk" / "mean.csv", variable="discharge", **made)
        theirs = data.workspace / "dem.txt"
        theirs.write_text("1 2 3")
        with hmp_cache.DataCatalogDuckDB(data.workspace / "data" / "cache.duckdb") as catalog:
            catalog.register(variable="dem", source="ign", file_path=theirs, bbox=(0, 0, 10, 10), is_custom=True)
        data.archive(here / "fulda.hmpdata")
    return here


@pytest.fixture
def origin(stock: Path, tmp_path: Path) -> Iterator[InputsNamespace]:
    shutil.copytree(stock / "fulda", tmp_path / "fulda")
    with hmp_cache.open(tmp_path / "fulda") as opened:
        yield opened


@pytest.fixture
def packed(stock: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(stock / "fulda.hmpdata", tmp_path / "fulda.hmpdata"))


@pytest.fixture
def other(tmp_path: Path) -> Iterator[InputsNamespace]:
    with hmp_cache.open(tmp_path / "elsewhere" / "eder", create=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InputsNamespace]:
    """A workspace into which nothing gets."""
    with hmp_cache.open(tmp_path_factory.mktemp("empty") / "eder", create=True) as opened:
        yield opened


def _same(ours: InputsNamespace, theirs: InputsNamespace) -> bool:
    return sorted(map(str, ours.find())) == sorted(map(str, theirs.find()))


# ── there and back ───────────────────────────────────────────────────────────────────────────────────


def test_a_round_trip_gives_the_same(origin: InputsNamespace, packed: Path, other: InputsNamespace) -> None:
    imported = other.import_archive(packed)
    assert sorted(imported, key=str) == sorted(origin.find(), key=str)
    assert _rows(other) == _rows(origin)
    assert [v.path.read_bytes() for v in other.versions("q")] == [v.path.read_bytes() for v in origin.versions("q")]
    assert {entry.state for entry in other.check()} == {"current"}
    assert (other.workspace / "dem.txt").read_text() == "1 2 3"
    other.rebuild()
    assert _rows(other) == _rows(origin)


def test_importing_twice_changes_nothing(packed: Path, other: InputsNamespace) -> None:
    first = other.import_archive(packed)
    before, disk, log = _rows(other), _disk(other), other.store.files.everything().events
    assert other.import_archive(packed) == first
    assert (_rows(other), _disk(other), other.store.files.everything().events) == (before, disk, log)
    assert list((other.workspace / "data" / ".incoming").iterdir()) == []


def test_the_same_inputs_give_the_same_file(
    origin: InputsNamespace, packed: Path, other: InputsNamespace, tmp_path: Path
) -> None:
    again = origin.archive(tmp_path / "again.hmpdata")
    other.import_archive(packed)
    from_there = other.archive(tmp_path / "there.hmpdata")
    assert again.sha256 == from_there.sha256
    assert packed.read_bytes() == (tmp_path / "again.hmpdata").read_bytes()


def test_what_was_written_is_told(origin: InputsNamespace, tmp_path: Path) -> None:
    told = origin.archive(tmp_path / "a.hmpdata")
    assert (told.inputs, told.versions, told.lacking) == (3, 5, ())
    assert told.size == (tmp_path / "a.hmpdata").stat().st_size
    assert json.loads(json.dumps(told.as_dict()))["inputs"] == 3


def test_only_some_and_without_former_versions(origin: InputsNamespace, tmp_path: Path, other: InputsNamespace) -> None:
    told = origin.archive(tmp_path / "q.hmpdata", versions=False, name="q")
    assert (told.inputs, told.versions) == (1, 1)
    [entry] = other.import_archive(tmp_path / "q.hmpdata")
    assert entry == origin["q"]
    assert [version.state for version in other.versions(entry)] == ["current", "missing", "missing"]


def test_former_versions_can_come_later(origin: InputsNamespace, tmp_path: Path, other: InputsNamespace) -> None:
    origin.archive(tmp_path / "thin.hmpdata", versions=False)
    origin.archive(tmp_path / "thick.hmpdata")
    other.import_archive(tmp_path / "thin.hmpdata")
    other.import_archive(tmp_path / "thick.hmpdata")
    assert [version.state for version in other.versions("q")] == ["current", "superseded", "superseded"]


def test_it_can_be_unpacked_by_hand(packed: Path, origin: InputsNamespace, tmp_path: Path) -> None:
    """Without hmp it is a tar; a cache is made of what is in it."""
    by_hand = tmp_path / "by_hand"
    with hmp_cache.open(by_hand, create=True):
        pass
    with pa.input_stream(str(packed), compression="zstd") as stream:
        (tmp_path / "plain.tar").write_bytes(stream.read())
    subprocess.run(["tar", "-xf", str(tmp_path / "plain.tar"), "-C", str(by_hand)], check=True)
    with hmp_cache.open(by_hand) as data:
        data.rebuild()
        assert _same(data, origin)


# ── two histories ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ours_is_newer", [True, False])
def test_of_two_histories_every_version_is_kept(tmp_path: Path, write: Write, ours_is_newer: bool) -> None:
    """The one that was stored last is current; the other one is a former version, its bytes are here."""
    said: dict[str, Any] = {"variable": "discharge", "station": "outlet", "unit": "m3 s-1"}
    with hmp_cache.open(tmp_path / "a", create=True) as a, hmp_cache.open(tmp_path / "b", create=True) as b:
        first, second = (b, a) if ours_is_newer else (a, b)
        first.add(write("old.csv", _days(1.0)), **said)
        second.add(write("new.csv", _days(2.0)), **said)
        b.archive(tmp_path / "b.hmpdata")
        for _ in range(2):
            [entry] = a.import_archive(tmp_path / "b.hmpdata")
            versions = a.versions(entry)
            assert [v.path.read_text() for v in versions] == [_days(2.0), _days(1.0)]
            assert [v.state for v in versions] == ["current", "superseded"]
            assert [e.state for e in a.check()] == ["current"]
        before = _rows(a)
        a.rebuild()
        assert _rows(a) == before


def test_merging_both_ways_ends_in_the_same(tmp_path: Path, write: Write) -> None:
    said: dict[str, Any] = {"variable": "discharge", "station": "outlet"}
    with hmp_cache.open(tmp_path / "a", create=True) as a, hmp_cache.open(tmp_path / "b", create=True) as b:
        for n, data in enumerate((a, b, a, b)):
            data.add(write("q.csv", _days(float(n))), **said)
        for source, target in ((a, b), (b, a), (a, b)):
            source.archive(tmp_path / "c.hmpdata", overwrite=True)
            target.import_archive(tmp_path / "c.hmpdata")
        assert _rows(a) == _rows(b)
        assert [v.path.read_text() for v in a.versions("q")] == [_days(3.0), _days(2.0), _days(1.0), _days(0.0)]


def test_an_older_state_of_the_same_history_changes_nothing(
    data: InputsNamespace, write: Write, tmp_path: Path
) -> None:
    data.add(write("q.csv", _days(1.0)), variable="discharge")
    data.archive(tmp_path / "old.hmpdata")
    newer = data.add(write("q.csv", _days(2.0)), variable="discharge")
    before = _rows(data)
    assert data.import_archive(tmp_path / "old.hmpdata") == [newer]
    assert _rows(data) == before


def test_a_file_of_that_name_stays(packed: Path, other: InputsNamespace) -> None:
    theirs = other.workspace / "data" / "discharge" / "custom" / "q.csv"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    (other.workspace / "dem.txt").write_text("my own")
    for _ in range(2):
        other.import_archive(packed)
        assert theirs.read_text() == "mine"
        assert (other.workspace / "dem.txt").read_text() == "my own"
        assert other["q"].path.read_text() == _days(1.0, 2.0, 3.0)
        assert len(other.versions("q")) == 3
        dem = other["dem"]
        assert dem.path.read_text() == "1 2 3"
        assert other.check(name="dem")[0].state == "modified"


def test_a_file_that_was_changed_here_is_kept_and_mended(packed: Path, other: InputsNamespace) -> None:
    other.import_archive(packed)
    other["q"].path.write_text("scribbled")
    other.import_archive(packed)
    assert other.check(name="q")[0].state == "current"
    kept = [path.read_text() for path in (other.workspace / "data" / ".versions").iterdir()]
    assert "scribbled" in kept


def test_bytes_that_two_inputs_share_are_two_files(data: InputsNamespace, write: Write, tmp_path: Path) -> None:
    for station in ("a", "b"):
        data.add(write("q.csv", _days(1.0)), variable="discharge", station=station)
    data.archive(tmp_path / "two.hmpdata")
    with hmp_cache.open(tmp_path / "x", create=True) as other:
        first, second = other.import_archive(tmp_path / "two.hmpdata")
        assert first.path != second.path
        assert first.path.stat().st_ino != second.path.stat().st_ino
        assert {entry.state for entry in other.check()} == {"current"}


# ── what is lacking ──────────────────────────────────────────────────────────────────────────────────


def test_what_is_not_here_any_more_is_named(origin: InputsNamespace, tmp_path: Path, other: InputsNamespace) -> None:
    origin["mean"].path.unlink()
    (origin.workspace / "dem.txt").write_text("9 9 9")
    told = origin.archive(tmp_path / "a.hmpdata")
    assert sorted((each.name, each.why) for each in told.lacking) == [("dem", "modified"), ("mean", "missing")]
    imported = {entry.name: entry.state for entry in other.import_archive(tmp_path / "a.hmpdata")}
    assert imported == {"q": "current", "mean": "missing", "dem": "missing"}


def test_bytes_that_look_right_and_are_not_do_not_get_in(origin: InputsNamespace, tmp_path: Path) -> None:
    path = origin["q"].path
    looks = path.stat()
    path.write_text(_days(9.0, 9.0, 9.0))
    os.utime(path, ns=(looks.st_atime_ns, looks.st_mtime_ns))
    told = origin.archive(tmp_path / "a.hmpdata")
    assert [(each.name, each.why) for each in told.lacking] == [("q", "modified")]


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────


def _refused(empty: InputsNamespace, path: Path, match: str = ".") -> None:
    before = sorted(empty.workspace.rglob("*"))
    with pytest.raises(ArchiveInvalid, match=match):
        empty.import_archive(path)
    assert sorted(empty.workspace.rglob("*")) == before


def _unpacked(data: bytes) -> bytes | None:
    try:
        with pa.CompressedInputStream(io.BytesIO(data), "zstd") as stream:
            return bytes(stream.read())
    except OSError:
        return None


def test_a_changed_byte_is_refused(packed: Path, empty: InputsNamespace) -> None:
    """Wherever it is; about one bit of a hundred in a compressed frame means nothing: what comes out is the same."""
    data = packed.read_bytes()
    whole = _unpacked(data)
    refused = 0
    for at in range(0, len(data), max(1, len(data) // 60)):
        changed = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
        if _unpacked(changed) == whole:
            continue
        packed.write_bytes(changed)
        try:
            _refused(empty, packed)
            refused += 1
        except pytest.fail.Exception:
            pytest.fail(f"byte {at} of {len(data)} was changed, and it was imported")
    assert refused > 50


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
def test_what_was_cut_short_is_refused(packed: Path, empty: InputsNamespace, kept: float) -> None:
    packed.write_bytes(packed.read_bytes()[: int(packed.stat().st_size * kept)])
    _refused(empty, packed)


def test_what_follows_is_refused(packed: Path, empty: InputsNamespace) -> None:
    packed.write_bytes(packed.read_bytes() * 2)
    _refused(empty, packed, "not announced")


def test_another_kind_of_file_is_refused(empty: InputsNamespace, write: Write) -> None:
    _refused(empty, write("q.csv"), "no archive of inputs")


def _repacked(packed: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> Path:
    """Write an archive again, changed and with all its sums right."""
    with pa.input_stream(str(packed), compression="zstd") as stream:
        plain = io.BytesIO(stream.read())
    said = json.loads(tarball.take_first(plain, MANIFEST, 1 << 20))
    files = {name: b"".join(tarball.take(plain, name, size)) for name, size, _ in said["members"]}
    change(said, files)
    from hmp_core.identity import sha256_bytes

    said["members"] = [[name, len(data), sha256_bytes(data)] for name, data in sorted(files.items())]
    said["checksum"] = checksum(said)
    target = packed.with_name("repacked.hmpdata")
    with target.open("wb") as file, pa.CompressedOutputStream(file, "zstd") as sink:
        for name, data in {MANIFEST: to_json(said).encode(), **dict(sorted(files.items()))}.items():
            tarball.put(sink, name, len(data), [data])
        tarball.finish(sink)
    return target


def test_a_newer_form_is_refused(packed: Path, empty: InputsNamespace) -> None:
    _refused(empty, _repacked(packed, lambda said, files: said.update(schema=2)), "upgrade hmp-cache")


def test_a_file_nobody_speaks_of_is_refused(packed: Path, empty: InputsNamespace) -> None:
    _refused(empty, _repacked(packed, lambda said, files: files.update({"data/x": b"1"})), "nothing is said of data/x")


@pytest.mark.parametrize(
    "path",
    ["../../evil.csv", "/etc/evil.csv", "data/events/x.csv", "data/discharge/custom/.hidden", "data/cache.duckdb",
     "data/rain/custom/q.csv", "data/discharge/custom/a/q.csv", ".hmp/x", "data\\evil"],
)  # fmt: skip
@pytest.mark.parametrize("in_place", [True, False])
def test_a_path_that_leads_elsewhere_is_refused(
    packed: Path, empty: InputsNamespace, path: str, in_place: bool
) -> None:
    if in_place and path in {"data/rain/custom/q.csv", "data/discharge/custom/a/q.csv"}:
        return  # there an owner may have a file

    def change(said: dict[str, Any], files: dict[str, bytes]) -> None:
        _told(files, "q", lambda payload: payload["artifact"].update(path=path, in_place=in_place))

    _refused(empty, _repacked(packed, change), "cannot be")


@pytest.mark.parametrize(
    "path",
    ["hydromodpy.lock", "workspace.toml", "projects/fulda/model.nc", "data/x.csv", "data/discharge/x.csv",
     "data/events/a/b.jsonl"],
)  # fmt: skip
def test_no_owner_has_a_file_where_the_house_has_its_own(packed: Path, empty: InputsNamespace, path: str) -> None:
    def change(said: dict[str, Any], files: dict[str, bytes]) -> None:
        from hmp_cache import sidecar

        [member] = [name for name in files if ".registered" in name]
        told = sidecar.decoded(files[member], Path(member))
        for event in told.events:
            files[path] = files.get("dem.txt", b"")
            event.payload["artifact"]["path"] = path
        del files["dem.txt"]
        files[member] = sidecar.encoded(told)

    _refused(empty, _repacked(packed, change), "is not where a dem of ign lies")


def _told(files: dict[str, bytes], name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what the sidecar of an input says, sums and all."""
    from hmp_cache import sidecar

    member = f"data/discharge/custom/{name}.csv.hmp.json"
    told = sidecar.decoded(files[member], Path(member))
    for event in told.events:
        change(event.payload)
    files[member] = sidecar.encoded(told)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda payload: payload["entry"].update(id="0" * 8), "none of this input"),
        (lambda payload: payload["artifact"].update(id="0" * 8), "none of this input"),
        (lambda payload: payload.pop("provenance"), "KeyError"),
        (lambda payload: payload["entry"].update(variable="../x"), "variable is"),
        (lambda payload: payload["artifact"].update(mtime_ns=10**30), "no time"),
        (lambda payload: payload["artifact"].update(mtime=1e300, mtime_ns=None), "no time"),
        (lambda payload: payload["artifact"].update(mtime="x", mtime_ns=None), "TypeError"),
    ],
)
def test_what_cannot_be_said_is_refused(
    packed: Path, empty: InputsNamespace, change: Callable[[dict[str, Any]], None], what: str
) -> None:
    _refused(empty, _repacked(packed, lambda said, files: _told(files, "q", change)), what)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda payload: payload["provenance"].update(uri=["https://x"]), "uri"),
        (lambda payload: payload["provenance"].update(license=7), "license"),
        (lambda payload: payload["validation"].update(passed="perhaps"), "passed"),
        (lambda payload: payload["data"].update(n_records=1.5), "n_records"),
        (lambda payload: payload["entry"].update(bbox=["a", "b", "c", "d"]), "bbox"),
        (lambda payload: (payload["superseded"] or {}).update(id="former"), "id"),
    ],
    ids=["uri", "license", "passed", "n_records", "bbox", "superseded"],
)
def test_what_fits_no_column_is_refused(
    packed: Path, empty: InputsNamespace, change: Callable[[dict[str, Any]], None], what: str
) -> None:
    """The fold would set it aside: the file would be here, and no row of it."""
    match = f"what is said of [0-9a-f-]+ cannot be .*{what}"
    _refused(empty, _repacked(packed, lambda said, files: _told(files, "q", change)), match)


def test_an_event_of_a_newer_hmp_is_refused(packed: Path, empty: InputsNamespace) -> None:
    def change(said: dict[str, Any], files: dict[str, bytes]) -> None:
        from hmp_cache import sidecar

        member = "data/discharge/custom/q.csv.hmp.json"
        told = sidecar.decoded(files[member], Path(member))
        files[member] = sidecar.encoded(replace(told, events=tuple(replace(e, v=2) for e in told.events)))

    _refused(empty, _repacked(packed, change), "newer hmp")


def test_an_event_from_the_end_of_time_is_refused(packed: Path, empty: InputsNamespace) -> None:
    """Nothing that is said later could come after it."""

    def change(said: dict[str, Any], files: dict[str, bytes]) -> None:
        from hmp_cache import sidecar

        member = "data/discharge/custom/q.csv.hmp.json"
        told = sidecar.decoded(files[member], Path(member))
        late = tuple(replace(e, clock=(1 << 63) - 1) for e in told.events)
        files[member] = sidecar.encoded(replace(told, events=late))

    _refused(empty, _repacked(packed, change), "no time")


def test_what_lies_too_deep_is_refused(packed: Path, empty: InputsNamespace) -> None:
    deep = b"[" * 100_000
    with packed.open("wb") as file, pa.CompressedOutputStream(file, "zstd") as sink:
        tarball.put(sink, MANIFEST, len(deep), [deep])
        tarball.finish(sink)
    _refused(empty, packed, "cannot be read")


def test_nothing_of_the_cache_is_written_over(origin: InputsNamespace) -> None:
    before = _disk(origin)
    for place in ("cache.duckdb", "discharge/custom/q.csv", "discharge/custom/new.hmpdata"):
        with pytest.raises(InvalidInput, match="among the inputs"):
            origin.archive(origin.workspace / "data" / place, overwrite=True)
    assert _disk(origin) == before


def test_a_file_that_is_there_is_not_overwritten(origin: InputsNamespace, packed: Path) -> None:
    before = packed.read_bytes()
    with pytest.raises(PathTaken):
        origin.archive(packed)
    assert packed.read_bytes() == before
    origin.archive(packed, overwrite=True, name="q")
    assert packed.read_bytes() != before


def test_mistakes_are_told(origin: InputsNamespace, tmp_path: Path, packed: Path) -> None:
    with pytest.raises(UnknownFilter):
        origin.archive(tmp_path / "x.hmpdata", nmae="q")
    with pytest.raises(PathNotFound):
        origin.archive(tmp_path / "nowhere" / "x.hmpdata")
    with pytest.raises(PathNotFound):
        origin.import_archive(tmp_path / "x.hmpdata")
    with hmp_cache.open(origin.workspace, read_only=True) as reader:
        with pytest.raises(NotWritable):
            reader.import_archive(packed)
        assert reader.archive(tmp_path / "reader.hmpdata").inputs == 3
    assert [p.name for p in tmp_path.glob(".*")] == []
