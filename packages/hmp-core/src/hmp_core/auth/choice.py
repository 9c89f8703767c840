"""Which authority is asked: the one a workspace names, else the one the environment names, else the local one."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from hmp_core.auth.local import LocalAuthBackend
from hmp_core.auth.policy import PolicyAuthBackend
from hmp_core.errors import HmpError, InvalidInput, MissingPart, PolicyUnreadable
from hmp_core.layout import WORKSPACE_MARKER, marker_remedy, root_id, workspace_root
from hmp_core.paths import from_relative
from hmp_core.protocols.auth import AuthBackend

_KEYS = {"backend", "policy"}


def get_auth_backend(name: str | None = None, *, folder: Path | None = None) -> AuthBackend:
    """Return the authority called ``name``; else the one that ``folder``'s workspace names, else the environment.

    The workspace comes before the environment: whoever keeps the data decides for all who open them, and a variable
    left over in somebody's shell does not switch that off.

    Parameters
    ----------
    name
        ``local``, ``policy`` (of ``HMP_AUTH_POLICY``), ``policy:<path>``, or one that another package registers under
        the entry point group ``hmp.auth``: a callable without arguments that returns an `AuthBackend`.
    folder
        A folder of the workspace concerned, links followed; None for the machine index, which belongs to none.

    Raises
    ------
    InvalidInput
        If nobody goes by that name, or ``policy`` names no file.
    PolicyUnreadable
        If the policy, or what ``workspace.toml`` says of it, cannot be read, or if that holds no id.
    MissingPart
        If the package that should give it cannot be imported.
    """
    if name is not None:
        return _called(name, "get_auth_backend")
    workspace = None if folder is None else workspace_root(Path(os.path.realpath(folder)))
    if workspace is not None and (said := _said(workspace)) is not None:
        return _of_workspace(workspace, said)
    wanted = os.environ.get("HMP_AUTH_BACKEND") or ("policy" if os.environ.get("HMP_AUTH_POLICY") else "local")
    return _called(wanted, "HMP_AUTH_BACKEND")


def _called(wanted: str, where: str) -> AuthBackend:
    if wanted == "local":
        return LocalAuthBackend()
    kind, _, path = wanted.partition(":")
    if kind == "policy":
        path = path or os.environ.get("HMP_AUTH_POLICY", "")
        if not path:
            message = f"{where}: auth backend 'policy' needs its file: set HMP_AUTH_POLICY, or write policy:<path>"
            raise InvalidInput(message)
        return PolicyAuthBackend(path)
    from importlib.metadata import entry_points  # 10 ms, which the usual authorities do not need

    for point in entry_points(group="hmp.auth", name=wanted):
        return _made(point, where)
    others = "".join(f", {point.name!r}" for point in entry_points(group="hmp.auth"))
    message = f"{where}: auth backend {wanted!r} is not known; expected 'local', 'policy', 'policy:<path>'{others}"
    raise InvalidInput(message)


def _made(point: Any, where: str) -> AuthBackend:
    try:
        made = point.load()()
    except HmpError:
        raise
    except (ImportError, AttributeError) as error:
        message = f"{where}: auth backend {point.name!r} cannot be loaded from {point.value}: {error}"
        raise MissingPart(message, install=point.dist.name if point.dist else point.value) from error
    if not isinstance(made, AuthBackend):
        message = f"{where}: {point.value} gave {type(made).__name__}, expected current_user, can_read and can_write"
        raise InvalidInput(message)
    return made


# ── what a workspace says ────────────────────────────────────────────────────────────────────────────


def _said(workspace: Path) -> dict[str, Any] | None:
    """Return the table ``[auth]`` of ``workspace.toml``; None if it has none."""
    file = workspace / WORKSPACE_MARKER
    try:
        content = tomllib.loads(file.read_bytes().decode())
        root_id(content)  # emptied by a full disk or a slip of the shell, it would allow everybody everything
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise _unreadable(file, f"{error}; {marker_remedy(file)}") from error
    said = content.get("auth")
    if said is None:
        return None
    if not isinstance(said, dict) or not isinstance(said.get("backend"), str):
        raise _unreadable(file, 'auth: expected [auth] with backend = "policy", or the name of another authority')
    if unknown := sorted(said.keys() - _KEYS):
        raise _unreadable(file, f"auth.{unknown[0]} is not known; expected {', '.join(sorted(_KEYS))}")
    return said


def _of_workspace(workspace: Path, said: dict[str, Any]) -> AuthBackend:
    file, backend, policy = workspace / WORKSPACE_MARKER, said["backend"], said.get("policy")
    if backend != "policy":
        if policy is not None or ":" in backend:
            raise _unreadable(file, f'auth: a policy goes with backend = "policy", not with {backend!r}')
        return _called(backend, f"{file}: auth.backend")
    if not isinstance(policy, str):
        raise _unreadable(file, 'auth.policy: expected the policy file, relative to the workspace, as "policy.toml"')
    try:
        return PolicyAuthBackend(from_relative(policy, workspace))
    except InvalidInput as error:
        raise _unreadable(file, f"auth.policy: {error}") from error


def _unreadable(file: Path, why: str) -> PolicyUnreadable:
    message = f"{file}: {why}; nobody is allowed anything until it is mended"
    return PolicyUnreadable(message, path=str(file), user="", action="", resource="")
