"""Fitted objects as files: the same bytes for the same object, whole or absent, checked before they are unpickled."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hmp_catalog.errors import ArtifactDamaged, ArtifactLost
from hmp_catalog.experiments.artifacts import EXTENSIONS, ArtifactFiles, Content, load, serialised
from hmp_core.errors import (
    BusyError,
    CorruptError,
    InvalidInput,
    MissingPart,
    NotWritable,
    PathEscape,
    StorageError,
)
from hmp_core.testing.children import run, start
from hmp_core.testing.interrupts import _never
from hmp_core.testing.surroundings import STRANGER, fill, read_only_medium, require_root, small_disk

pytest.importorskip("joblib")
pytest.importorskip("cloudpickle")
pytest.importorskip("sklearn")
import joblib
from sklearn.cross_decomposition import PLSRegression
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def models() -> dict[str, Any]:
    chance = np.random.default_rng(8)
    X, y = chance.random((40, 60)), chance.random(40)
    return {
        "scaler": StandardScaler().fit(X),
        "chain": make_pipeline(StandardScaler(), Ridge()).fit(X, y),
        "pls": PLSRegression(5).fit(X, y),
        "forest": RandomForestRegressor(5, random_state=0).fit(X, y),
        "nothing": None,
    }


def hashes() -> list[str]:
    return [serialised(model, kind).sha256 for model in models().values() for kind in EXTENSIONS]


def same(found: Any, expected: Any) -> None:
    X = np.random.default_rng(9).random((7, 60))
    assert type(found) is type(expected)
    for verb in ("transform", "predict"):
        if hasattr(expected, verb):
            np.testing.assert_array_equal(getattr(found, verb)(X), getattr(expected, verb)(X))


@pytest.fixture
def files(tmp_path: Path) -> ArtifactFiles:
    return ArtifactFiles(tmp_path)


def kept(folder: Path) -> list[str]:
    """Return the files below ``artifacts/``."""
    root = folder / "artifacts"
    return sorted(each.relative_to(root).as_posix() for each in root.rglob("*") if each.is_file())


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", models())
@pytest.mark.parametrize("kind", EXTENSIONS)
def test_an_object_comes_back_from_each_format(kind, name):
    model = models()[name]
    content = serialised(model, kind)
    assert content.sha256 == hashlib.sha256(content.data).hexdigest()
    assert content.extension == EXTENSIONS[kind]
    same(load(content.data, kind), model)


@pytest.mark.parametrize("name", models())
def test_joblib_reads_what_is_kept_for_it(name, tmp_path):
    model = models()[name]
    (tmp_path / "model.joblib").write_bytes(serialised(model, "joblib").data)
    same(joblib.load(tmp_path / "model.joblib"), model)


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 1), ("xz", 1)])
@pytest.mark.parametrize("name", models())
def test_what_joblib_itself_wrote_is_read(name, compress):
    model, stream = models()[name], io.BytesIO()
    joblib.dump(model, stream, compress=compress)
    same(load(stream.getvalue(), "joblib"), model)


def test_the_same_training_gives_the_same_bytes_in_another_process():
    program = f"""
    import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
    from test_experiment_artifacts import hashes
    print(*hashes())
    """
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    said = subprocess.run([sys.executable, "-c", dedent(program)], env=environment, capture_output=True, check=True)
    assert hashes() == hashes()
    assert said.stdout.decode().split() == hashes()


def test_what_shrinks_is_compressed_and_what_does_not_is_left():
    model = models()
    assert serialised(model["forest"], "joblib").data[:1] == b"x"
    assert len(serialised(model["forest"], "joblib").data) < 0.5 * len(serialised(model["forest"], "pickle").data)
    assert serialised(np.random.default_rng(0).random(10_000), "joblib").data[:1] == b"\x80"
    assert serialised(Ridge(), "joblib").data[:1] == b"\x80"


def test_cloudpickle_keeps_what_no_module_has():
    for function in (lambda x: x + 1, lambda x: np.log1p(x) + 2):
        with pytest.raises(InvalidInput, match="keeps functions and classes"):
            serialised(function, "joblib")
        content = serialised(function, "cloudpickle")
        assert serialised(function, "cloudpickle") == content
        code = "from hmp_catalog.experiments.artifacts import load; say(float(load(data, 'cloudpickle')(1.0)))"
        assert run(code, data=content.data) == [float(function(1.0))]


class Closed:
    def __reduce__(self) -> Any:
        raise ValueError("not this one")


@pytest.mark.parametrize("kind", EXTENSIONS)
@pytest.mark.parametrize(
    ("make", "cause"),
    [(threading.Lock, "lock"), (Closed, "not this one"), (lambda: (n for n in ()), "generator")],
    ids=["lock", "closed", "generator"],
)
def test_an_object_that_cannot_be_pickled_is_refused_by_its_class(make, cause, kind):
    thing = make()
    with pytest.raises(InvalidInput, match=cause) as refused:
        serialised(thing, kind)
    assert type(thing).__qualname__ in str(refused.value)
    assert refused.value.__cause__ is not None


def test_what_is_nested_too_deep_is_refused():
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidInput, match="class builtins"):
        serialised(deep, "joblib")


@pytest.mark.parametrize("kind", ["dill", "", None, "JOBLIB"])
def test_another_format_is_refused(kind):
    with pytest.raises(InvalidInput, match="joblib, pickle, cloudpickle"):
        serialised(1, kind)
    with pytest.raises(InvalidInput, match="joblib, pickle, cloudpickle"):
        load(b"", kind)


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_bytes_that_are_no_object_are_said_to_be(kind):
    whole = serialised(models()["forest"], kind).data
    for data in (b"", b"abc", whole[: len(whole) // 2], b"x" + whole):
        with pytest.raises(CorruptError):
            load(data, kind)


def test_an_object_of_a_module_that_is_not_here_names_it():
    data = b"cnot_installed_here\nThing\n."
    with pytest.raises(MissingPart, match="not_installed_here") as missing:
        load(data, "pickle")
    assert missing.value.install == "not_installed_here"


def test_an_object_of_a_class_that_is_gone_says_what_is_missing():
    with pytest.raises(CorruptError, match="NoSuchClass"):
        load(b"csklearn.linear_model\nNoSuchClass\n.", "pickle")


@pytest.mark.parametrize(("library", "kind"), [("cloudpickle", "cloudpickle"), ("joblib", "joblib")])
def test_a_library_that_is_not_installed_is_named(library, kind):
    code = """
    import sys
    sys.modules[library] = None
    from hmp_catalog.experiments.artifacts import load, serialised
    from hmp_core.errors import MissingPart
    for act in (lambda: load(data, kind), lambda: serialised(1, kind)):
        try:
            act()
            say("done")
        except MissingPart as error:
            say((error.install, str(error)))
    """
    stream = io.BytesIO()
    joblib.dump(np.arange(3), stream)
    said = run(code, library=library, kind=kind, data=stream.getvalue())
    # joblib's streams are written by pickle
    assert [each == "done" for each in said] == [False, library == "joblib"]
    assert said[0][0] == "hmp-catalog[experiments]"
    assert library in said[0][1]


# ── files ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_is_named_by_its_content(files, tmp_path):
    content = serialised(models()["pls"], "joblib")
    relative = files.put(content)
    assert relative == f"{content.sha256[:2]}/{content.sha256}.joblib"
    assert files.path(relative) == tmp_path / "artifacts" / relative
    assert files.path(relative).read_bytes() == content.data
    assert files.read(relative, content.sha256, "a1") == content.data
    files.sync()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(data=st.binary(max_size=2000), kind=st.sampled_from(list(EXTENSIONS)))
def test_whatever_is_put_is_read(files, data, kind):
    content = serialised(data, kind)
    assert load(files.read(files.put(content), content.sha256, "a1"), kind) == data


def test_what_is_there_is_left_as_it_is(tmp_path):
    content = serialised([1, 2], "joblib")
    first, second = ArtifactFiles(tmp_path), ArtifactFiles(tmp_path)
    file = first.path(first.put(content))
    before = file.stat()
    for files in (first, second, second):
        assert files.path(files.put(content)).stat() == before
    assert kept(tmp_path) == [f"{content.sha256[:2]}/{content.sha256}.joblib"]


@pytest.mark.parametrize("again", [True, False], ids=["who put it", "another"])
@pytest.mark.parametrize(
    "harm",
    [
        lambda file: file.unlink(),
        lambda file: (file.unlink(), file.parent.rmdir()),
        lambda file: (file.unlink(), file.parent.rmdir(), file.parents[1].rmdir()),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(b"\0" * file.stat().st_size),
        lambda file: (file.unlink(), file.symlink_to("/dev/null")),
        lambda file: (file.unlink(), os.mkfifo(file)),
    ],
    ids=["gone", "its folder gone", "all gone", "empty", "cut", "other bytes", "a link", "a pipe"],
)
def test_saving_again_heals_what_is_lost_or_damaged(files, tmp_path, harm, again):
    content = serialised({"a": 1}, "pickle")
    file = files.path(files.put(content))
    harm(file)
    relative = (files if again else ArtifactFiles(tmp_path)).put(content)
    assert files.read(relative, content.sha256, "a1") == content.data


def test_a_lost_file_is_named(files):
    content = serialised({"a": 1}, "pickle")
    relative = files.put(content)
    files.path(relative).unlink()
    with pytest.raises(ArtifactLost, match="artefact a1 is gone") as lost:
        files.read(relative, content.sha256, "a1")
    assert isinstance(lost.value, FileNotFoundError)
    assert (lost.value.artifact_id, lost.value.path) == ("a1", str(files.path(relative)))
    files.sync()  # nothing to flush is no failure


def test_a_damaged_file_is_named_and_not_given_out(files):
    content = serialised({"a": 1}, "pickle")
    relative = files.put(content)
    files.path(relative).write_bytes(pickle.dumps("something else"))
    with pytest.raises(ArtifactDamaged, match="artefact a1 has other bytes") as damaged:
        files.read(relative, content.sha256, "a1")
    assert (damaged.value.artifact_id, damaged.value.path) == ("a1", str(files.path(relative)))


@pytest.mark.parametrize("relative", ["../store.duckdb", "/etc/passwd", "ab/../../x", "a\\b", "", "C:/x"])
def test_no_path_leaves_the_folder(files, relative):
    for act in (files.path, files.remove, lambda path: files.read(path, "", "a1"), lambda p: files.sync_these([p])):
        with pytest.raises(PathEscape):
            act(relative)


def test_no_link_leads_out_of_the_folder(files, tmp_path):
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "ab").symlink_to("/etc")
    with pytest.raises(PathEscape, match="through a link"):
        files.read("ab/passwd", "", "a1")


def test_removing_takes_the_file_and_its_empty_folder(files, tmp_path):
    contents = [Content(bytes([n]), f"ab{n:062x}", "pkl") for n in range(2)]
    one, other = (files.put(content) for content in contents)
    with files.clearing(1.0):
        assert files.remove(one) is True
        assert files.remove(one) is False
        assert kept(tmp_path) == [other]
        assert files.remove(other) is True
    assert list((tmp_path / "artifacts").iterdir()) == []
    assert files.remove("cd/nothing.pkl") is False
    files.sync()
    assert files.read(files.put(contents[0]), hashlib.sha256(b"\0").hexdigest(), "a1") == b"\0"


def test_flushing_what_is_gone_or_of_others_is_no_failure(files, tmp_path):
    relative = ArtifactFiles(tmp_path).put(serialised(1, "pickle"))
    files.sync_these([relative, "cd/nothing.pkl"])
    files.sync_these([])
    ArtifactFiles(tmp_path / "nowhere").sync()
    assert not (tmp_path / "nowhere").exists()


# ── flushed ──────────────────────────────────────────────────────────────────────────────────────────


def flushed(code: str, folder: Path) -> list[str]:
    """Run ``code`` in a process and return what it flushed, relative to ``artifacts/``."""
    before = """
    import os
    from pathlib import Path
    from hmp_catalog.experiments.artifacts import ArtifactFiles, serialised
    root, files, flush = Path(folder) / "artifacts", ArtifactFiles(Path(folder)), os.fsync
    def said(descriptor):
        place = os.readlink(f"/proc/self/fd/{descriptor}")
        if place.startswith(str(root)):
            say(os.path.relpath(place, root))
        flush(descriptor)
    os.fsync = said
    """
    return run(dedent(before) + dedent(code), folder=str(folder.resolve()))


def test_files_are_flushed_once_before_their_folders(tmp_path):
    said = flushed(
        "a, b = (files.put(serialised(n, 'pickle')) for n in (1, 1.5)); say((a, b)); files.sync(); files.sync()",
        tmp_path,
    )
    names, *rest = said[said.index(next(each for each in said if isinstance(each, tuple))) :]
    assert rest == [*sorted(names), ".", *sorted({name[:2] for name in names})]


def test_what_another_may_not_have_flushed_is_flushed(tmp_path):
    ArtifactFiles(tmp_path).put(serialised(1, "pickle"))
    said = flushed("say('put'); name = files.put(serialised(1, 'pickle')); say([name]); files.sync()", tmp_path)
    names = said[1]
    assert said == ["put", names, *names, ".", names[0][:2]]
    again = flushed("for _ in range(2): name = files.put(serialised(1, 'pickle')); files.sync()", tmp_path)
    assert again == said[2:]


def test_many_are_all_flushed_before_their_folders(tmp_path):
    said = flushed("say(['put', *{files.put(serialised(n, 'pickle')) for n in range(30)}]); files.sync()", tmp_path)
    names = set(said[0][1:])
    assert len(names) == 30
    assert set(said[1:31]) == names
    assert set(said[31:]) == {".", *(name[:2] for name in names)}


def test_many_are_flushed_at_the_end_of_the_interpreter(tmp_path):
    said = flushed(
        """
        import atexit
        for n in range(30):
            files.put(serialised(n, 'pickle'))
        atexit.register(lambda: (files.sync(), say("flushed")))
        """,
        tmp_path,
    )
    assert said[-1] == "flushed"
    assert len([each for each in said if each.endswith(".pkl")]) == 30


def test_a_disk_that_fails_is_said_and_tried_again(tmp_path):
    """Of many and of few: nothing counts as flushed that was not."""
    code = """
    import errno
    from hmp_core.errors import StorageError
    def fails(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    for count in (2, 30):
        names = {files.put(serialised([count, n], 'pickle')) for n in range(count)}
        os.fsync = fails
        try:
            files.sync()
        except StorageError:
            say("failed")
        os.fsync = said
        files.sync()
        say(sorted(names))
    """
    found = flushed(code, tmp_path)
    assert found.count("failed") == 2
    for count in (2, 30):
        end = next(n for n, each in enumerate(found) if isinstance(each, list) and len(each) == count)
        begin = max(n for n, each in enumerate(found[:end]) if each == "failed")
        assert set(found[end]) == {each for each in found[begin:end] if each.endswith(".pkl")}


# ── hostile surroundings ─────────────────────────────────────────────────────────────────────────────


def test_a_full_disk_leaves_no_file_and_says_so():
    content = Content(os.urandom(200_000), "ab" * 32, "pkl")
    with small_disk("1m") as disk:
        files = ArtifactFiles(disk)
        small = files.put(serialised(1, "pickle"))
        ballast = fill(disk, leaving=100_000)
        with pytest.raises(StorageError, match="free some space") as full:
            files.put(content)
        assert isinstance(full.value, OSError)
        assert kept(disk) == [small]
        fill(disk, leaving=0)
        with pytest.raises(StorageError):
            files.put(serialised(2, "pickle"))
        assert files.put(serialised(1, "pickle")) == small  # needs no room
        ballast.unlink()
        relative = files.put(content)
        files.sync()
        assert files.path(relative).read_bytes() == content.data
        assert kept(disk) == sorted([small, relative])


def test_on_a_medium_that_may_only_be_read_files_are_read(tmp_path):
    content = serialised(1, "pickle")
    relative = ArtifactFiles(tmp_path).put(content)
    with read_only_medium(tmp_path) as place:
        files = ArtifactFiles(place)
        assert files.read(relative, content.sha256, "a1") == content.data
        assert files.put(content) == relative
        for act in (lambda: files.put(serialised(2, "pickle")), lambda: files.remove(relative)):
            with pytest.raises(NotWritable):
                act()


def test_another_user_reads_and_cannot_write():
    require_root("becomes another user")
    content = serialised(1, "pickle")
    code = """
    from pathlib import Path
    from hmp_catalog.experiments.artifacts import ArtifactFiles, serialised
    from hmp_core.errors import NotWritable
    from hmp_core.testing.surroundings import become
    become(user)
    files = ArtifactFiles(Path(folder))
    say(files.read(relative, sha256, "a1"))
    say(files.put(serialised(1, "pickle")))
    for act in (lambda: files.put(serialised(3, "pickle")), lambda: files.read(closed, "", "a2"),
                lambda: files.remove(relative)):
        try:
            act()
        except NotWritable as error:
            say(str(error))
    """
    with small_disk() as folder:
        files = ArtifactFiles(folder)
        relative, closed = files.put(content), files.put(serialised(2, "pickle"))
        files.path(closed).chmod(0o600)
        names = {"relative": relative, "closed": closed, "sha256": content.sha256, "user": STRANGER}
        data, again, *refused = run(code, folder=str(folder), **names)
        assert kept(folder) == sorted([relative, closed])
    assert (data, again, len(refused)) == (content.data, relative, 3)
    assert "artefact a2 cannot be read" in refused[1]


# ── killed, interrupted, side by side ────────────────────────────────────────────────────────────────

#: Puts, and removes, in forked processes that end themselves at lines in turn; says which lines they passed.
KILLED = """
import os, signal, sys
from pathlib import Path
import hmp_core.durable
from hmp_catalog.experiments import artifacts, sharing

rooms = {room.__file__ for room in (artifacts, sharing, hmp_core.durable)}

def live(folder, fatal):
    passed = []
    def step(frame, event, _):
        if frame.f_code.co_filename not in rooms:
            return None
        if event == "line":
            passed.append((frame.f_code.co_name, frame.f_lineno))
            if len(passed) == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
        return step
    files = artifacts.ArtifactFiles(folder)
    contents = [artifacts.serialised([n] * 3000, "joblib") for n in range(2)]
    sys.settrace(step)
    relatives = [files.put(content) for content in contents]
    files.sync()
    files.put(contents[0])
    with files.clearing(1.0):
        files.remove(relatives[1])
    sys.settrace(None)
    return passed

passed = live(Path(folder) / "0", 0)
steps = list(range(1, len(passed) + 1))
if not every:
    steps = [n for n in steps if passed[n - 1] not in passed[: n - 1] or passed[n - 1][0] in ("put", "_write")]
say(steps)
for fatal in steps:
    if (pid := os.fork()) == 0:
        live(Path(folder) / str(fatal), fatal)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL, fatal
"""


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_a_kill_between_any_two_lines_leaves_whole_files_or_none(tmp_path, every):
    (steps,) = run(KILLED, folder=str(tmp_path), every=every)
    assert len(steps) > 100
    contents = {f"{c.sha256}.joblib": c for c in (serialised([n] * 3000, "joblib") for n in range(2))}
    half = 0
    for fatal in steps:
        folder, files = tmp_path / str(fatal), ArtifactFiles(tmp_path / str(fatal))
        for relative in kept(folder):
            name = relative.partition("/")[2]
            if name.endswith(".tmp"):
                half += 1
            else:
                assert files.path(relative).read_bytes() == contents[name].data
        with files.clearing(0.0):  # the dead hold nothing
            assert {name.partition("/")[2] for name in kept(folder)} <= set(contents)
        for content in contents.values():
            assert files.read(files.put(content), content.sha256, "a1") == content.data
    assert half > 5


def test_an_interrupt_at_any_line_leaves_no_lock_and_no_half_file(tmp_path):
    from hmp_catalog.experiments import artifacts, sharing

    rooms = {artifacts.__file__, sharing.__file__}
    contents = [serialised(n, "pickle") for n in range(300)]

    def interrupted(at: int, content: Content) -> bool:
        passed = 0

        def step(frame: Any, event: str, _: Any) -> Any:
            nonlocal passed
            if frame.f_code.co_filename not in rooms:
                return None
            if event == "line" and frame.f_lasti not in _never(frame.f_code):
                passed += 1
                if passed == at:
                    raise KeyboardInterrupt
            return step

        sys.settrace(step)
        try:
            files.put(content)
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(None)
        return False

    files, at = ArtifactFiles(tmp_path), 1
    while interrupted(at, contents[at]):
        with files.clearing(0.0):
            pass
        strays = [name for name in kept(tmp_path) if name.endswith(".tmp")]
        assert strays == []
        assert files.read(files.put(contents[at]), contents[at].sha256, "a1") == contents[at].data
        at += 1
    assert at > 20


def test_clearing_waits_for_who_saves_in_another_process(tmp_path):
    code = """
    from pathlib import Path
    from hmp_catalog.experiments.artifacts import ArtifactFiles
    with ArtifactFiles(Path(folder)).saving():
        say("saving")
        listen()
    say("done")
    listen()
    """
    files = ArtifactFiles(tmp_path)
    with start(code, folder=str(tmp_path)) as child:
        assert child.hear() == "saving"
        with files.saving():
            files.put(serialised(1, "pickle"))  # any number save at once
        with pytest.raises(BusyError, match="waited") as busy, files.clearing(0.0):
            pytest.fail("somebody saves")
        assert busy.value.path.endswith(".hmp/store/artifacts.lock")
        child.tell()
        assert child.hear() == "done"
        with files.clearing(5.0):
            pass


def test_saving_waits_for_who_clears(tmp_path):
    files, other = ArtifactFiles(tmp_path, timeout=0.02), ArtifactFiles(tmp_path, timeout=10.0)
    done: list[str] = []
    saver = threading.Thread(target=lambda: done.append(other.put(serialised(2, "pickle"))))
    with files.clearing(0.0):
        with pytest.raises(BusyError):
            files.put(serialised(1, "pickle"))
        saver.start()
        saver.join(0.05)
        assert done == []
    saver.join(10.0)
    assert kept(tmp_path) == done


def test_who_was_killed_while_saving_keeps_nobody_out(tmp_path):
    """Nor does a child that it had forked, and that lives on with the same open files."""
    code = """
    import os, signal
    from pathlib import Path
    from hmp_catalog.experiments.artifacts import ArtifactFiles
    with ArtifactFiles(Path(folder)).saving():
        if os.fork() == 0:
            say("forked")
            listen()
            os._exit(0)
        import time
        time.sleep(60)
    """
    with start(code, folder=str(tmp_path)) as child:
        assert child.hear() == "forked"
        files = ArtifactFiles(tmp_path)
        with pytest.raises(BusyError), files.clearing(0.0):
            pytest.fail("somebody saves")
        os.kill(child.pid, signal.SIGKILL)
        with files.clearing(5.0):
            pass
        child.tell()


def test_what_stands_half_written_is_swept_and_nothing_else(files, tmp_path):
    relative = files.put(serialised(1, "pickle"))
    shard = files.path(relative).parent
    (shard / f".{shard.name}.joblib.1a2b3c4d.tmp").write_bytes(b"half")
    (tmp_path / "artifacts" / "README.tmp").write_bytes(b"of the user")
    (shard / "mine.tmp").write_bytes(b"of the user")
    with files.clearing(1.0):
        pass
    assert kept(tmp_path) == sorted([relative, "README.tmp", f"{shard.name}/mine.tmp"])


@pytest.fixture
def racers(tmp_path: Path) -> Iterator[list[Any]]:
    code = """
    from pathlib import Path
    from hmp_catalog.experiments.artifacts import ArtifactFiles, serialised
    files = ArtifactFiles(Path(folder))
    say("ready")
    listen()
    for n in range(60):
        content = serialised([n % 3] * 2000, "pickle")
        with files.saving():
            relative = files.put(content)
            assert files.read(relative, content.sha256, "a1") == content.data
    """
    with start(code, folder=str(tmp_path)) as one, start(code, folder=str(tmp_path)) as other:
        yield [one, other]


def test_two_processes_save_the_same_while_a_third_removes_it(racers, files, tmp_path):
    for each in racers:
        assert each.hear() == "ready"
    for each in racers:
        each.tell()
    relatives = [files.put(serialised([n] * 2000, "pickle")) for n in range(3)]
    removed = 0
    for _ in range(30):
        with files.clearing(10.0):
            removed += sum(files.remove(relative) for relative in relatives)
    assert removed >= 3
    assert [[*each.rest(), each.join()] for each in racers] == [["ready", 0]] * 2
    assert set(kept(tmp_path)) <= set(relatives)
