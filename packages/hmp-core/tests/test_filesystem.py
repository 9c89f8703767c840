"""What a folder lies on: read from the kernel's list, and warned of where locks may not hold."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_core import filesystem
from hmp_core.filesystem import FileSystem, filesystem_of
from hmp_core.layout import init_workspace
from hmp_core.locks import database_lock


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list of mounts to be written by the test, in place of the kernel's; nothing was warned of yet."""
    file = tmp_path / "mountinfo"
    monkeypatch.setattr(filesystem, "MOUNTS", file)
    monkeypatch.setattr(filesystem, "_asked", set())
    monkeypatch.setattr(filesystem, "_warned", set())
    return file


def line(mount: object, kind: str, options: str = "rw,relatime", *, device: str = "0:99", tail: str = "rw") -> str:
    escaped = str(mount).replace("\\", r"\134").replace(" ", r"\040").replace("\t", r"\011").replace("\n", r"\012")
    return f"36 35 {device} / {escaped} {options} master:1 - {kind} server:/export {tail}\n"


def test_the_kernel_is_asked() -> None:
    assert filesystem_of(Path("/proc/self/status")) == FileSystem("proc", Path("/proc"), network=False, read_only=False)


def test_the_longest_mount_is_meant(listed: Path, tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    listed.write_text(line("/", "ext4") + line(deep, "nfs4") + line(tmp_path / "a", "xfs") + line(f"{deep}er", "ceph"))
    assert [filesystem_of(p).type for p in (tmp_path, deep.parent, deep, deep / "c" / "d")] == [  # type: ignore[union-attr]
        "ext4", "xfs", "nfs4", "nfs4",
    ]  # fmt: skip


def test_what_was_mounted_last_hides_what_was_there(listed: Path, tmp_path: Path) -> None:
    listed.write_text(line("/", "ext4") + line(tmp_path, "nfs") + line(tmp_path, "overlay"))
    assert filesystem_of(tmp_path) == FileSystem("overlay", tmp_path, network=False, read_only=False)


def test_a_mount_below_one_that_was_mounted_over_is_not_meant(listed: Path, tmp_path: Path) -> None:
    number = os.stat(tmp_path).st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    below = tmp_path / "below"
    listed.write_text(line("/", "ext4") + line(below, "nfs") + line(tmp_path, "xfs", device=device))
    assert filesystem_of(below / "x").type == "xfs"  # type: ignore[union-attr]


@pytest.mark.parametrize(("options", "tail"), [("ro,relatime", "rw"), ("rw", "ro,vers=4.2")])
def test_read_only_is_told_of_the_mount_and_of_what_is_mounted(
    listed: Path, tmp_path: Path, options: str, tail: str
) -> None:
    listed.write_text(line(tmp_path, "nfs4", options, tail=tail))
    assert filesystem_of(tmp_path) == FileSystem("nfs4", tmp_path, network=True, read_only=True)


@given(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1))
def test_any_name_of_a_mount_is_read(name: str) -> None:
    assert [mount.found.mount for mount in filesystem._mounts(line(f"/mnt/x{name}", "ext4"))] == [Path(f"/mnt/x{name}")]


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "lustre", "gpfs", "fuse.sshfs", "ceph", "afs"])
def test_what_several_hosts_may_mount_is_network(listed: Path, tmp_path: Path, kind: str) -> None:
    listed.write_text(line("/", kind))
    assert filesystem_of(tmp_path).network  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "fuse.mergerfs"])
def test_what_one_host_has_to_itself_is_not(listed: Path, tmp_path: Path, kind: str) -> None:
    listed.write_text(line("/", kind))
    assert not filesystem_of(tmp_path).network  # type: ignore[union-attr]


def test_links_are_followed_and_the_path_need_not_exist(listed: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    listed.write_text(line("/", "ext4") + line(tmp_path / "real", "nfs"))
    assert filesystem_of(tmp_path / "link" / "not" / "there").type == "nfs"  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["", "nonsense\n", "1 2 0:1 / / rw\n"])
def test_where_nothing_is_told_nothing_is_known(listed: Path, tmp_path: Path, text: str) -> None:
    assert filesystem_of(tmp_path) is None, "there is no such file"
    listed.write_text(text)
    assert filesystem_of(tmp_path) is None


def test_a_real_mount_is_seen(tmp_path: Path) -> None:
    """A tmpfs and a bind mount with a blank in its name, in a mount namespace of their own."""
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("mounting needs root and unshare")
    kept, bound = tmp_path / "kept", tmp_path / "a b"
    kept.mkdir()
    bound.mkdir()
    code = (
        "import sys; from pathlib import Path; from hmp_core.filesystem import filesystem_of as f; "
        "print([(x.type, x.read_only, x.volatile, x.mount.name) for x in map(f, map(Path, sys.argv[1:]))])"
    )
    script = (
        f"mount -t tmpfs none '{kept}' && mount --bind '{kept}' '{bound}' && mount -o remount,bind,ro '{bound}' && "
        f"'{sys.executable}' -c \"{code}\" '{kept}' '{bound}/x'"
    )
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    if "mount" in done.stderr and done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    assert done.stdout.strip() == "[('tmpfs', False, True, 'kept'), ('tmpfs', True, True, 'a b')]", done.stderr


# ── the warning ──────────────────────────────────────────────────────────────────────────────────────


def _take(*databases: Path) -> None:
    for database in databases:
        with database_lock(database).hold():
            pass


def test_the_first_lock_on_a_network_warns_once_a_mount(
    listed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder in folders:
        folder.mkdir()
    listed.write_text(line("/", "ext4") + line(tmp_path, "nfs4") + line(folders[2], "cifs"))
    with caplog.at_level(logging.WARNING):
        _take(*(folder / "a.duckdb" for folder in folders), folders[0] / "b.duckdb", folders[0] / "a.duckdb")
    assert [record.getMessage().partition(" is on a ")[0] for record in caplog.records] == [
        str(folders[0]), str(folders[2]),
    ]  # fmt: skip
    assert "cifs" in caplog.text
    assert "[fold] host" in caplog.text


@pytest.mark.parametrize("decided", ["host", "never", "always", "local"])
def test_where_it_is_decided_who_folds_nothing_is_said(
    listed: Path, tmp_path: Path, decided: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = init_workspace(tmp_path / "aare").path
    listed.write_text(line("/", "ext4" if decided == "local" else "nfs"))
    if decided == "host":
        with (root / "workspace.toml").open("a") as marker:
            marker.write('[fold]\nhost = "node1"\n')
    elif decided != "local":
        monkeypatch.setenv("HMP_FOLD", decided)
    with caplog.at_level(logging.WARNING):
        _take(root / "data" / "cache.duckdb")
    assert caplog.text == ""
