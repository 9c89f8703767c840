"""No path escapes the authority: every public verb and every command is tried by somebody who may not.

Nothing is changed by what is refused, to the byte, and a refused write is on record. The table of verbs is in `verbs`,
the workspace they are tried on in `worlds`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import hmp_cache
import hmp_catalog
import hmp_index
import hydromodpy
from hmp_core.arrivals import announce, waiting
from hmp_core.auth import LocalAuthBackend, PolicyAuthBackend
from hmp_core.cli.main import main
from hmp_core.errors import AccessDenied
from hmp_core.layout import init_workspace
from hmp_core.testing.traces import differences
from verbs import (
    CLASSES,
    COMMANDS,
    FORMATS,
    PURE,
    REPORTS,
    UMBRELLA,
    VERBS,
    classes_there_are,
    commands_there_are,
    verbs_there_are,
)
from worlds import USER, Switch, World, register_switch

_ALL = '[[allow]]\nwho = ["*"]\nwrite = ["*"]\n'

#: What is granted by an authority that refuses everything, by one that refuses writes, and by a policy file.
GRANTED: dict[str, set[str]] = {
    "nothing": set(),
    "no writes": {"read index", "read cache", "read catalog"},
    "a policy": {"read index", "read cache"},
}
_POLICY = f'[[allow]]\nwho = ["{USER}"]\nread = ["index", "cache:aare"]\n\n[[allow]]\nwho = ["ben"]\nwrite = ["*"]\n'


@dataclass
class Trial:
    """A world under an authority, and what it grants."""

    world: World
    granted: set[str]
    #: what the environment says
    backend: str

    def refuses(self, needs: str) -> bool:
        return not set(needs.split(", ")) <= self.granted

    def unchanged(self) -> list[str]:
        """Return what has changed; who may read takes the locks."""
        return differences(self.before, self.world.trace(locks=not self.granted))

    def look(self) -> None:
        self.before = self.world.trace(locks=not self.granted)


@pytest.fixture(scope="module", params=GRANTED)
def _trial(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """Make a world with all rights, then take them: open doors are asked again at each verb."""
    granted = GRANTED[request.param]
    home = tmp_path_factory.mktemp("denied")
    policy = home / "policy.toml"
    policy.write_text(_ALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(home / "site")
        patch.setenv("HMP_STATE_HOME", str(home / "state"))
        patch.setenv("HMP_USER", USER)
        by_policy = request.param == "a policy"
        register_switch(home / "site")
        backend = f"policy:{policy}" if by_policy else "switch"
        patch.setenv("HMP_AUTH_BACKEND", backend)
        world = World(home, None if by_policy else Switch())
        made = Trial(world, granted, backend)
        Switch.granted = granted
        policy.write_text(_POLICY)
        made.look()
        yield made
        Switch.granted = None
        policy.write_text(_ALL)
        world.close()


@pytest.fixture
def trial(_trial: Trial, state_home: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    """Stay on the machine of the world, inside its project."""
    monkeypatch.setenv("HMP_STATE_HOME", str(_trial.world.state))
    monkeypatch.setenv("HMP_USER", USER)
    monkeypatch.setenv("HMP_AUTH_BACKEND", _trial.backend)
    monkeypatch.chdir(_trial.world.project)
    return _trial


@pytest.mark.parametrize("verb", VERBS)
def test_verb(trial: Trial, verb: str) -> None:
    """Scenario 36: refused if it needs what is not granted, and nothing has changed but the record; else it works."""
    needs, call = VERBS[verb]
    on_record = len(trial.world.refused())
    if not trial.refuses(needs):
        call(trial.world)
        trial.look()  # reading may bring the snapshot of the index up to date
        return
    with pytest.raises(AccessDenied) as refused:
        call(trial.world)
    assert trial.unchanged() == []
    assert refused.value.user == USER
    if refused.value.action == "write" and verb not in OUTSIDE:
        assert len(trial.world.refused()) > on_record, "a refused write is on record"


#: Where hmp has nothing yet a refusal leaves nothing, not even its record: the log says it.
OUTSIDE = {
    "hmp_cache.open: a new workspace",
    "hmp_catalog.open: outside any workspace",
    "hydromodpy.open: a new project",
    "hydromodpy.init",
    "hydromodpy.demo",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_command(trial: Trial, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Leaves with the exit code of a refusal, and nothing has changed; else it works."""
    needs, words = COMMANDS[command]
    code = main([*command.partition(":")[0].split(), *trial.world.words(words)])
    told = capsys.readouterr()
    if not trial.refuses(needs):
        assert code in {0, 1}, told.err
        trial.look()
        return
    assert code == REPORTS.get(command, AccessDenied.exit_code), told
    assert trial.unchanged() == []
    assert f"{USER} may not" in told.out + told.err


@pytest.mark.parametrize("_trial", ["no writes"], indirect=True)
def test_a_workspace_that_arrived_waits_for_who_may_list_it(trial: Trial, tmp_path: Path) -> None:
    """Who may only read is told that it is missing from the answer; nothing is refused, and nothing is lost."""
    new = init_workspace(tmp_path / "arrived").path
    announce(new)
    on_record = len(trial.world.refused())
    trial.world.index.find()
    assert (new, "pending") in [(one.path, one.status) for one in trial.world.index.notice.skipped]
    assert len(trial.world.refused()) == on_record
    (word,) = waiting(trial.world.state)
    word.file.unlink()
    trial.look()


@pytest.mark.parametrize("_trial", ["no writes"], indirect=True)
def test_a_refused_write_says_who_and_what(trial: Trial) -> None:
    with pytest.raises(AccessDenied):
        trial.world.run().tag("paper")
    newest = max(trial.world.refused(), key=lambda one: one.at)
    assert (newest.user, newest.action, newest.resource) == (USER, "write", "catalog:aare/base")
    assert newest.what == "record run.tagged"


def test_doors_that_were_given_no_authority_obey_the_policy(trial: Trial) -> None:
    """The judge judges what it means to: by a policy file in one world, by an authority of a package in the others."""
    by_policy = trial.world.auth is None
    store = trial.world.catalog.store
    assert isinstance(store._auth, PolicyAuthBackend) == by_policy
    assert isinstance(trial.world.data.store._auth, PolicyAuthBackend) == by_policy


# ── each workspace its own ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two workspaces with a run each that consumed the same bytes; the second has a policy, which knows only ben."""
    file = tmp_path / "q.csv"
    file.write_text("time,discharge\n2001-01-01,1.5\n")
    for name in ("aare", "reuss"):
        with hydromodpy.init(tmp_path / name) as workspace, workspace.project("base") as project:
            entry = workspace.data.add(file, variable="discharge")
            with project.catalog.record("gr4j", name=name, inputs=[entry]):
                pass
    (tmp_path / "reuss" / "policy.toml").write_text('[[allow]]\nwho = ["ben"]\nwrite = ["c*:reuss*"]\n')
    with (tmp_path / "reuss" / "workspace.toml").open("a") as marker:
        marker.write('[auth]\nbackend = "policy"\npolicy = "policy.toml"\n')
    monkeypatch.setenv("HMP_USER", USER)
    return tmp_path / "aare", tmp_path / "reuss"


def test_every_door_asks_whom_its_workspace_names(two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    aare, reuss = two
    for user, allowed in ((USER, False), ("ben", True)):
        monkeypatch.setenv("HMP_USER", user)
        monkeypatch.chdir(reuss)
        for words in (["data", "ls"], ["catalog", "ls"], ["lineage", "--stale"]):
            assert main(words) == (0 if allowed else AccessDenied.exit_code)
        for opened in (hmp_cache.open, hmp_catalog.open):
            opened(aare).close()
            if not allowed:
                with pytest.raises(AccessDenied):
                    opened(reuss)
            opened(reuss, auth=LocalAuthBackend()).close()


def test_the_index_asks_the_policy_of_each_workspace(two: tuple[Path, Path]) -> None:
    """What may not be read is named, and keeps nobody else out."""
    with hmp_index.index() as machine:
        assert {hit.name for hit in machine.find()} == {"aare"}
        (skipped,) = machine.notice.skipped
        assert f"{USER} may not read catalog:reuss/base" in str(skipped)
    with hmp_index.index(auth=LocalAuthBackend()) as machine:
        assert {hit.name for hit in machine.find()} == {"aare", "reuss"}


def test_the_bridge_asks_the_policy_of_each_workspace(two: tuple[Path, Path]) -> None:
    aare, reuss = two
    with hmp_cache.open(aare) as data:
        uses = data["q"].used_by()
        assert [use.name for use in uses] == ["aare"]
        assert list(uses.skipped) == [str(reuss / "projects" / "base")]
    with hmp_cache.open(aare, auth=LocalAuthBackend()) as data:
        assert [use.name for use in data["q"].used_by()] == ["aare", "reuss"]


# ── the table is whole ───────────────────────────────────────────────────────────────────────────────


def _plain(names: object) -> set[str]:
    return {str(name).partition(":")[0] for name in names}  # type: ignore[attr-defined]


def test_every_verb_is_tried_or_says_why_not() -> None:
    tried, excused = _plain(VERBS), {name for name in PURE if name in verbs_there_are()}
    assert sorted(verbs_there_are() - tried - excused) == [], "give it a line in tests-integration/verbs.py"
    assert sorted(tried - verbs_there_are()) == []
    assert sorted(tried & excused) == []


def test_every_class_that_the_scopes_show_is_looked_into() -> None:
    assert {kind.__name__ for kind in classes_there_are() - set(CLASSES) - set(FORMATS)} == set()


def test_every_command_is_tried() -> None:
    assert sorted(_plain(COMMANDS) ^ commands_there_are()) == []


def test_every_kind_of_right_is_needed_by_something() -> None:
    needed = {right for needs, _ in VERBS.values() for right in needs.split(", ")}
    assert needed == {f"{action} {kind}" for action in ("read", "write") for kind in ("index", "cache", "catalog")}
    assert len(UMBRELLA) < len(VERBS)
