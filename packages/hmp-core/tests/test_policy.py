"""Policies: what a file says and cannot say, a file that changes under a running process, and who chooses it."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hmp_core.auth import LocalAuthBackend, PolicyAuthBackend, authorize, get_auth_backend
from hmp_core.auth.policy import parse
from hmp_core.databases import Database
from hmp_core.errors import AccessDenied, InvalidInput, MissingPart, PolicyUnreadable
from hmp_core.layout import WORKSPACE_MARKER, catalog_path, init_project, init_workspace, read_root
from hmp_core.protocols import AuthBackend
from hmp_core.testing.auth_suite import AuthSuite
from hmp_core.testing.children import start
from hmp_core.testing.door_suite import anybodys_folder, unprivileged

POLICY = """
[groups]
modellers = ["anna", "ben"]

[[allow]]
who = ["@modellers"]
read = ["*"]
write = ["cache:aare", "catalog:aare/*"]

[[allow]]
who = ["carla"]
write = ["catalog:reuss/base-?"]

[[allow]]
who = ["*"]
read = ["index"]
"""


def write(file: Path, text: str) -> PolicyAuthBackend:
    file.write_text(text)
    return PolicyAuthBackend(file)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A policy file, and a user who is named in none."""
    monkeypatch.setenv("HMP_USER", "anna")
    file = tmp_path / "policy.toml"
    file.write_text(POLICY)
    return file


class TestPolicy(AuthSuite):
    """The judge of all authorities."""

    may_read: ClassVar[tuple[str, ...]] = ("index", "cache:aare", "catalog:aare/base", "cache:reuss")
    may_write: ClassVar[tuple[str, ...]] = ("cache:aare", "catalog:aare/base", "catalog:aare/wet years")
    may_not_write: ClassVar[tuple[str, ...]] = ("index", "cache:reuss", "catalog:reuss/base", "catalog:aare", "")

    @pytest.fixture
    def authority(self, file: Path) -> AuthBackend:
        return PolicyAuthBackend(file)


class TestStranger(AuthSuite):
    """Somebody the policy does not name has what everybody has."""

    may_read: ClassVar[tuple[str, ...]] = ("index",)
    may_not_read: ClassVar[tuple[str, ...]] = ("cache:aare", "catalog:aare/base")
    may_not_write: ClassVar[tuple[str, ...]] = ("index", "cache:aare", "catalog:aare/base")

    @pytest.fixture
    def authority(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> AuthBackend:
        monkeypatch.setenv("HMP_USER", "zoe")
        return PolicyAuthBackend(file)


# ── what a policy says ───────────────────────────────────────────────────────────────────────────────


def test_who_may_write_may_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMP_USER", "carla")
    policy = PolicyAuthBackend(file)
    assert policy.can_write("catalog:reuss/base-1")
    assert policy.can_read("catalog:reuss/base-1")
    assert not policy.can_read("catalog:reuss/base")


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        ("*", ["index", "cache:aare", "catalog:aare/base", "catalog:a\nb/c"], []),
        ("index", ["index"], ["Index", "index2", "cache:index"]),
        ("cache:*", ["cache:aare", "cache:"], ["catalog:aare/base", "xcache:aare"]),
        (
            "catalog:aare/*",
            ["catalog:aare/base", "catalog:aare/"],
            ["catalog:Aare/base", "catalog:aare2/base", "cache:aare"],
        ),
        ("catalog:*/base", ["catalog:aare/base", "catalog:a/b/base"], ["catalog:aare/base2"]),
        ("catalog:aare/base-?", ["catalog:aare/base-1"], ["catalog:aare/base-", "catalog:aare/base-12"]),
        ("cache:a.re", ["cache:a.re"], ["cache:aare"]),
        ("cache:[a]|(b)", ["cache:[a]|(b)"], ["cache:a", "cache:b"]),
        ("ca*:aare*", ["cache:aare", "catalog:aare/base"], ["index"]),
    ],
)
def test_a_pattern_fits_whole_names(file: Path, pattern: str, fits: list[str], fits_not: list[str]) -> None:
    policy = write(file, f"[[allow]]\nwho = ['anna']\nread = ['{pattern}']\n")
    assert [name for name in fits if not policy.can_read(name)] == []
    assert [name for name in fits_not if policy.can_read(name)] == []
    assert not any(policy.can_write(name) for name in fits)


def test_names_of_users_are_told_apart_by_case(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMP_USER", "Anna")
    assert not PolicyAuthBackend(file).can_write("cache:aare")


def test_what_is_not_allowed_is_refused(file: Path) -> None:
    policy = write(file, "[[allow]]\nwho = ['anna']\nread = ['cache:reuss']\n")
    assert not any(policy.can_read(resource) for resource in ("index", "cache:aare", "*", ""))


WRONG = {
    "": "allow",
    "[groups]\na = ['b']": "allow",
    "allow = []": "allow",
    "allow = 'all'": "allow",
    "[groups": "",
    "groups = ['a']": "groups",
    "[groups]\na = 'b'": "groups.a",
    "[groups]\na = []": "groups.a",
    "[groups]\na = ['']": "groups.a",
    "[groups]\na = ['b']\nc = ['@a']": "groups.c",
    "[groups]\na = ['*']": "groups.a",
    "[users]\na = 1": "users",
    "[allow]\nwho = ['*']\nread = ['*']": "allow",
    "[[deny]]\nwho = ['*']\nread = ['*']": "deny",
    "[[allow]]\nwho = ['*']": "allow 1",
    "[[allow]]\nread = ['*']": "allow 1",
    "[[allow]]\nwho = '*'\nread = ['*']": "allow 1.who",
    "[[allow]]\nwho = []\nread = ['*']": "allow 1.who",
    "[[allow]]\nwho = [' anna']\nread = ['*']": "allow 1.who",
    "[[allow]]\nwho = [1]\nread = ['*']": "allow 1.who",
    "[[allow]]\nwho = ['@nobody']\nread = ['*']": "allow 1.who",
    "[groups]\nben = ['ben']\n[[allow]]\nwho = ['ben']\nread = ['*']": "allow 1.who",
    "[[allow]]\nwho = ['*']\nread = []": "allow 1.read",
    "[[allow]]\nwho = ['*']\nread = ['']": "allow 1.read",
    "[[allow]]\nwho = ['*']\nwrite = ['catalogue:aare/*']": "allow 1.write",
    "[[allow]]\nwho = ['*']\nwrite = ['cache']": "allow 1.write",
    "[[allow]]\nwho = ['*']\nwrite = ['cache:']": "allow 1.write",
    "[[allow]]\nwho = ['*']\nwrite = ['Index']": "allow 1.write",
    "[[allow]]\nwho = ['*']\nread = ['*']\n[[allow]]\nwho = ['*']\nreads = ['*']": "allow 2",
    "x = " + "[" * 5000: "",
}


@pytest.mark.parametrize("text", WRONG, ids=[f"{n} {key}" for n, key in enumerate(WRONG.values())])
def test_what_a_policy_cannot_mean_is_refused_with_its_key(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(PolicyUnreadable) as refused:
        PolicyAuthBackend(file)
    assert refused.value.path == str(file)
    assert str(file) in str(refused.value)
    assert WRONG[text] in str(refused.value)
    assert isinstance(refused.value, AccessDenied)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.write_bytes(b"\xff\xfe")])
def test_what_is_no_policy_file_is_refused(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    """A pipe is not opened: that would wait for ever."""
    make(tmp_path / "policy.toml")
    with pytest.raises(PolicyUnreadable, match=r"policy\.toml"):
        PolicyAuthBackend(tmp_path / "policy.toml")


def test_a_missing_policy_allows_nobody_anything(tmp_path: Path) -> None:
    with pytest.raises(PolicyUnreadable, match="no such policy file"):
        PolicyAuthBackend(tmp_path / "policy.toml")


def test_a_policy_that_may_not_be_read_allows_nobody_anything() -> None:
    with anybodys_folder() as folder:
        file = folder / "policy.toml"
        file.write_text(POLICY)
        file.chmod(0)
        with unprivileged(), pytest.raises(PolicyUnreadable, match="Permission denied"):
            PolicyAuthBackend(file)


# ── a policy that changes ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("old", [False, True], ids=["at once", "after a while"])
def test_a_change_is_obeyed_at_the_next_question(file: Path, monkeypatch: pytest.MonkeyPatch, *, old: bool) -> None:
    """Also one that leaves size and time of the file as they were."""
    policy = PolicyAuthBackend(file)
    assert policy.can_write("cache:aare")
    if old:  # so long ago that the file was not looked into again
        monkeypatch.setattr(time, "time_ns", lambda now=time.time_ns: now() + 10**11)
        assert policy.can_write("cache:aare")
        assert policy.can_write("cache:aare")
    before = file.stat()
    with file.open("r+") as stream:
        stream.write(POLICY.replace("anna", "emma"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not policy.can_write("cache:aare")
    write(file, POLICY)
    assert policy.can_write("cache:aare")


_ASK = """
    from hmp_core.auth import PolicyAuthBackend
    policy = PolicyAuthBackend(path)
    while True:
        say(str(policy.can_write("cache:aare")))
        listen()
"""


def test_another_process_obeys_at_its_next_question(file: Path) -> None:
    with start(_ASK, path=file) as child:
        assert child.hear() == "True"
        file.write_text(POLICY.replace("anna", "emma"))
        child.tell()
        assert child.hear() == "False"


def test_while_the_policy_cannot_be_read_nobody_may_do_anything(file: Path) -> None:
    policy = PolicyAuthBackend(file)
    for spoil in (file.unlink, lambda: file.write_text("[[allow"), lambda: file.write_text("who = 1")):
        spoil()
        for ask in (policy.can_read, policy.can_write):
            with pytest.raises(PolicyUnreadable) as refused:
                ask("cache:aare")
            assert (refused.value.user, refused.value.resource) == ("anna", "cache:aare")
    file.write_text(POLICY)
    assert policy.can_write("cache:aare")


def test_a_file_that_is_as_it_was_is_not_read_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = PolicyAuthBackend(file)
    os.utime(file, (1e9, 1e9))
    monkeypatch.setattr(time, "time_ns", lambda now=time.time_ns: now() + 10**11)
    assert policy.can_read("index")
    opened: list[Any] = []
    monkeypatch.setattr(Path, "open", lambda *args, **_: opened.append(args))
    assert policy.can_read("index")
    assert opened == []


def test_threads_see_the_old_policy_or_the_new_one(file: Path) -> None:
    """A file replaced in one step is never half there, and nobody is told what neither policy says."""
    policy = PolicyAuthBackend(file)
    texts = [POLICY, POLICY.replace('write = ["cache:aare"', 'write = ["cache:reuss"')]

    def replace() -> None:
        for number in range(60):
            beside = file.with_name("beside")
            beside.write_text(texts[number % 2])
            beside.replace(file)

    def ask(_: int) -> set[bool]:
        return {policy.can_write("catalog:aare/base") for _ in range(100)} | {policy.can_write("cache:emme")}

    with ThreadPoolExecutor(5) as pool:
        done = pool.submit(replace)
        answers = list(pool.map(ask, range(8)))
        done.result()
    assert all(found == {True, False} for found in answers)


def test_a_policy_travels(file: Path) -> None:
    again = pickle.loads(pickle.dumps(PolicyAuthBackend(file)))
    assert again.path == file
    assert again.can_write("cache:aare")


def test_the_example_in_the_manual_of_the_module_is_a_policy() -> None:
    import textwrap

    from hmp_core.auth import policy

    example = (policy.__doc__ or "").split("::\n", 1)[1].rpartition("A guard")[0]
    assert len(parse(textwrap.dedent(example)).rules) == 2


def test_a_file_that_is_being_saved_is_waited_for(file: Path) -> None:
    """A finished run must not be refused because an editor is at the policy: it leaves half a file for a moment."""
    policy = PolicyAuthBackend(file)
    for half in (lambda: file.write_text(POLICY[:30]), lambda: file.write_text(""), file.unlink):
        half()
        saved = threading.Timer(0.1, file.write_text, [POLICY])
        saved.start()
        assert policy.can_write("cache:aare")
        saved.join()


def test_what_stays_spoilt_is_waited_for_once(file: Path) -> None:
    policy = PolicyAuthBackend(file)
    file.unlink()
    with pytest.raises(PolicyUnreadable):
        policy.can_write("cache:aare")
    began = time.perf_counter()
    for _ in range(20):
        with pytest.raises(PolicyUnreadable):
            policy.can_write("cache:aare")
    assert time.perf_counter() - began < 0.5


# ── who chooses ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return init_workspace(tmp_path / "aare").path


def say(workspace: Path, text: str) -> None:
    marker = workspace / WORKSPACE_MARKER
    marker.write_text(f"{marker.read_text()}\n{text}\n")


def test_the_environment_chooses(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMP_AUTH_BACKEND", "policy")
    with pytest.raises(InvalidInput, match="HMP_AUTH_POLICY"):
        get_auth_backend()
    monkeypatch.setenv("HMP_AUTH_POLICY", str(file))
    assert _path(get_auth_backend()) == file
    monkeypatch.setenv("HMP_AUTH_BACKEND", "local")
    assert isinstance(get_auth_backend(), LocalAuthBackend)
    monkeypatch.setenv("HMP_AUTH_BACKEND", f"policy:{file.with_name('other.toml')}")
    with pytest.raises(PolicyUnreadable, match=r"other\.toml"):
        get_auth_backend()


def test_a_policy_alone_is_meant(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever names a policy and forgets to say so must not find everything allowed."""
    monkeypatch.setenv("HMP_AUTH_POLICY", str(file))
    assert _path(get_auth_backend()) == file


def test_the_workspace_chooses_before_the_environment(
    workspace: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HMP_AUTH_BACKEND", f"policy:{file}")
    for folder in (workspace, workspace / "data", workspace / "projects" / "not there"):
        assert _path(get_auth_backend(folder=folder)) == file
    say(workspace, '[auth]\nbackend = "policy"\npolicy = "who/may.toml"')
    with pytest.raises(PolicyUnreadable, match=r"may\.toml"):
        get_auth_backend(folder=workspace)
    (workspace / "who").mkdir()
    (workspace / "who" / "may.toml").write_text(POLICY)
    for folder in (workspace, workspace / "data", workspace / "projects" / "not there"):
        assert _path(get_auth_backend(folder=folder)) == workspace / "who" / "may.toml"
    monkeypatch.setenv("HMP_AUTH_BACKEND", "local")
    assert isinstance(get_auth_backend(folder=workspace), PolicyAuthBackend)
    assert isinstance(get_auth_backend("local", folder=workspace), LocalAuthBackend)
    assert isinstance(get_auth_backend(), LocalAuthBackend), "the index belongs to no workspace"


def test_a_link_leads_to_the_same_authority(workspace: Path, tmp_path: Path) -> None:
    """By another way in it is the same workspace, under its own name."""
    project = init_project(workspace, "base").path
    say(workspace, '[auth]\nbackend = "policy"\npolicy = "policy.toml"')
    (workspace / "policy.toml").write_text(POLICY)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "other").symlink_to(project)
    catalog_path(project).touch()
    (tmp_path / "elsewhere" / "catalog.duckdb").symlink_to(catalog_path(project))
    for path in (
        catalog_path(project),
        catalog_path(tmp_path / "elsewhere" / "other"),
        catalog_path(tmp_path / "elsewhere"),
    ):
        found = Database("catalog", path)
        assert found.resource == "catalog:aare/base"
        assert isinstance(found.auth(), PolicyAuthBackend)


def test_a_database_on_another_disk_belongs_to_its_workspace(workspace: Path, tmp_path: Path) -> None:
    """A link that leads out of a workspace does not lead out of its policy."""
    say(workspace, '[auth]\nbackend = "policy"\npolicy = "policy.toml"')
    (workspace / "policy.toml").write_text(POLICY)
    (tmp_path / "scratch").mkdir()
    for component, path, resource in (
        ("cache", workspace / "data" / "cache.duckdb", "cache:aare"),
        ("catalog", catalog_path(init_project(workspace, "base").path), "catalog:aare/base"),
    ):
        (tmp_path / "scratch" / path.name).touch()
        path.symlink_to(tmp_path / "scratch" / path.name)
        found = Database(component, path)
        assert found.resource == resource
        assert isinstance(found.auth(), PolicyAuthBackend)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("auth = 1", "auth"),
        ("[auth]", "auth"),
        ("[auth]\nbackend = 1", "auth"),
        ('[auth]\nbackend = "policy"', "auth.policy"),
        ('[auth]\nbackend = "policy"\npolicy = 1', "auth.policy"),
        ('[auth]\nbackend = "policy"\npolicy = "/etc/policy.toml"', "auth.policy"),
        ('[auth]\nbackend = "policy"\npolicy = "../policy.toml"', "auth.policy"),
        ('[auth]\nbackend = "policy"\npolicy = "link.toml"', "auth.policy"),
        ('[auth]\nbackend = "policy:policy.toml"', "auth"),
        ('[auth]\nbackend = "local"\npolicy = "policy.toml"', "auth"),
        ('[auth]\nbackend = "policy"\npolicy = "p.toml"\nfile = "x"', "auth.file"),
        ("[auth", ""),
    ],
)
def test_what_a_workspace_cannot_mean_is_refused_with_its_key(
    workspace: Path, tmp_path: Path, file: Path, text: str, key: str
) -> None:
    (workspace / "link.toml").symlink_to(file)
    say(workspace, text)
    with pytest.raises(PolicyUnreadable) as refused:
        get_auth_backend(folder=workspace)
    assert key in str(refused.value)
    assert refused.value.path == str(workspace / WORKSPACE_MARKER)


def test_a_workspace_that_names_nobody_known_is_refused(workspace: Path) -> None:
    say(workspace, '[auth]\nbackend = "oracle"')
    with pytest.raises(InvalidInput, match=r"workspace\.toml: auth\.backend.*'oracle'"):
        get_auth_backend(folder=workspace)


def test_a_workspace_with_a_policy_is_a_workspace(workspace: Path) -> None:
    """Extra tables neither hinder reading its marker nor get lost when it is opened again."""
    say(workspace, '[auth]\nbackend = "local"')
    before = (workspace / WORKSPACE_MARKER).read_bytes()
    assert read_root(workspace, WORKSPACE_MARKER) == init_workspace(workspace, name="another")
    assert (workspace / WORKSPACE_MARKER).read_bytes() == before


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install a package that registers an authority called "oracle"."""

    def register(source: str, value: str = "oracle_of_delphi:Oracle") -> None:
        info = tmp_path / "site" / "oracle-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: oracle\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[hmp.auth]\noracle = {value}\n")
        (tmp_path / "site" / "oracle_of_delphi.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path / "site")
        monkeypatch.delitem(sys.modules, "oracle_of_delphi", raising=False)
        monkeypatch.setenv("HMP_AUTH_BACKEND", "oracle")

    return register


def test_another_package_may_register_an_authority(registered: Callable[..., None], workspace: Path) -> None:
    registered(
        "class Oracle:\n def current_user(self): return 'pythia'\n def can_read(self, r): return 'yes'\n"
        " def can_write(self, r): return r == 'index'\n"
    )
    for authority in (get_auth_backend(), get_auth_backend("oracle"), get_auth_backend(folder=workspace)):
        authorize(authority, "write", "index")
        with pytest.raises(AccessDenied, match="pythia"):
            authorize(authority, "read", "index")  # anything but True is no


@pytest.mark.parametrize(
    ("source", "value", "kind"),
    [
        ("Oracle = dict", "oracle_of_delphi:Oracle", InvalidInput),
        ("", "oracle_of_delphi:Oracle", MissingPart),
        ("", "oracle_of_dodona:Oracle", MissingPart),
        ("import nothing_of_that_name", "oracle_of_delphi:Oracle", MissingPart),
    ],
)
def test_an_authority_that_cannot_be_had_is_not_replaced_by_one_that_allows(
    registered: Callable[..., None], source: str, value: str, kind: type[Exception]
) -> None:
    registered(source, value)
    with pytest.raises(kind, match="oracle"):
        get_auth_backend()


def _path(authority: AuthBackend) -> Path:
    assert isinstance(authority, PolicyAuthBackend)
    return authority.path


@pytest.mark.parametrize("text", ["", 'name = "aare"\n', 'id = "7"\n'])
def test_an_emptied_workspace_file_does_not_switch_the_policy_off(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.delenv("HMP_AUTH_POLICY", raising=False)
    (workspace / WORKSPACE_MARKER).write_text(text)
    with pytest.raises(PolicyUnreadable, match=rf"workspace\.toml: .*`hmp init {workspace} --force`"):
        get_auth_backend(folder=workspace)
