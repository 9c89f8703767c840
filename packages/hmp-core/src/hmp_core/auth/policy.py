"""The authority of a shared workspace: a TOML file says who may read and write what; what it does not say is refused.

::

    [groups]
    modellers = ["anna", "ben"]

    [[allow]]
    who = ["@modellers"]
    read = ["*"]
    write = ["cache:aare", "catalog:aare/*"]

    [[allow]]
    who = ["*"]
    read = ["index", "catalog:aare/base"]

A guard against mistakes: whoever owns the files, or says to be somebody else with ``HMP_USER``, walks around it.
"""

from __future__ import annotations

import os
import re
import stat
import time
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hmp_core.auth.local import LocalAuthBackend
from hmp_core.errors import PolicyUnreadable
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from upath import UPath

#: Nanoseconds after a change within which a second one may leave time and size of the file as they are: the clock of
#: a file system ticks at 4 to 10 ms, on some at 2 s. Until then its bytes are compared.
_TICK = 2_000_000_000

#: Seconds between looks at a file that was a policy and is none now. An editor that saves in place leaves half a file
#: for some milliseconds, and a run that has just finished would be refused for it.
_PATIENCE = (0.02, 0.05, 0.1, 0.2)

_KEYS = {"who", "read", "write"}


class PolicyAuthBackend:
    """Allows what a policy file allows, to the user that `LocalAuthBackend` would name.

    Who may write something may read it. A pattern is compared with the whole name of a resource, upper and lower case
    told apart; ``*`` stands for any characters (none, and ``/`` too), ``?`` for one, everything else for itself.

    The file is looked at before each answer (a `stat`, 2 us) and read again when it has changed, so that a running
    process obeys the new policy. While it is missing, cannot be read or is malformed, nobody is allowed anything.

    Parameters
    ----------
    path : str, Path or UPath
        The policy file.

    Raises
    ------
    PolicyUnreadable
        If there is none, or it is malformed: says the file and the key.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "policy.toml"
    >>> _ = file.write_text('[[allow]]\\nwho = ["*"]\\nread = ["*"]\\nwrite = ["catalog:aare/*"]\\n')
    >>> authority = PolicyAuthBackend(file)
    >>> authority.can_write("catalog:aare/base"), authority.can_write("index"), authority.can_read("index")
    (True, False, True)
    """

    def __init__(self, path: str | Path | UPath) -> None:
        self.path = to_local(path)
        self._who = LocalAuthBackend()
        self._known = _Known()
        self._gave_up = ""
        self._obey({})

    def __repr__(self) -> str:
        return f"<PolicyAuthBackend {self.path}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return PolicyAuthBackend, (self.path,)

    def current_user(self) -> str:
        """Return who `LocalAuthBackend` says it is: ``HMP_USER``, else the one the operating system names."""
        return self._who.current_user()

    def can_read(self, resource: str) -> bool:
        """Return whether the policy lets the current user read ``resource``.

        Raises
        ------
        PolicyUnreadable
            While there is no policy that can be read.
        """
        return self._may("read", resource)

    def can_write(self, resource: str) -> bool:
        """Return whether the policy lets the current user change ``resource``; raises as `can_read` does."""
        return self._may("write", resource)

    def _may(self, action: Literal["read", "write"], resource: str) -> bool:
        user = self.current_user()
        policy = self._obey({"user": user, "action": action, "resource": resource})
        return policy.rights(user)[action].fullmatch(resource) is not None

    def _obey(self, asked: Mapping[str, str]) -> Policy:
        """Return the policy as the file says it now.

        No lock: what is known is one object, replaced in one step. Two threads may both read a changed file.
        """
        for pause in (*_PATIENCE, 0.0):
            why = self._look()
            if not why:
                return self._known.policy
            if why == self._gave_up or self._known.content is None:
                break
            time.sleep(pause)
        self._gave_up = why
        message = f"{self.path}: {why}; nobody is allowed anything until it is mended"
        raise PolicyUnreadable(message, path=str(self.path), **{"user": "", "action": "", "resource": "", **asked})

    def _look(self) -> str:
        """Look at the file; return why there is no policy, if there is none."""
        try:
            self._known = self._known.looked_again(self.path)
        except FileNotFoundError:
            return "there is no such policy file"
        except OSError as error:
            return f"the policy cannot be read: {error.strerror or error}"
        except (ValueError, RecursionError) as error:  # of tomllib and of `_Wrong`
            return f"the policy is malformed: {error}"
        self._gave_up = ""
        return ""


class _Wrong(ValueError):
    """What a policy says that it cannot mean; names the key."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A policy, and the state of the file that it was read from."""

    mark: tuple[int, ...] = ()
    read_at: int = 0
    content: bytes | None = None
    policy: Policy = field(default_factory=lambda: Policy(()))

    def looked_again(self, path: Path) -> _Known:
        """Return what is known after a look at the file; itself if that is as it was."""
        mark = _mark(os.stat(path))
        if mark == self.mark and self.read_at - max(mark[:2]) > _TICK:
            return self
        read_at = time.time_ns()
        mark, content = _read(path)
        policy = self.policy if content == self.content else parse(content.decode())
        return _Known(mark, read_at, content, policy)


def _mark(found: os.stat_result) -> tuple[int, ...]:
    if not stat.S_ISREG(found.st_mode):  # to open a pipe would wait for somebody to write into it
        message = "it is no regular file"
        raise _Wrong(message)
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev)


def _read(path: Path) -> tuple[tuple[int, ...], bytes]:
    with path.open("rb") as file:
        mark = _mark(os.fstat(file.fileno()))  # before its bytes: what is written meanwhile is seen at the next look
        return mark, file.read()


# ── what a policy says: pure ─────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Rule:
    """To whom what is allowed; ``"*"`` is everybody."""

    who: frozenset[str]
    read: tuple[str, ...]
    write: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of a file, and for each user that was asked about one expression for each action."""

    rules: Sequence[_Rule]
    _rights: dict[str, dict[str, re.Pattern[str]]] = field(default_factory=dict, compare=False)

    def rights(self, user: str) -> dict[str, re.Pattern[str]]:
        """Return what ``user`` may read and write: an expression for each."""
        found = self._rights.get(user)
        if found is None:
            mine = [rule for rule in self.rules if user in rule.who or "*" in rule.who]
            write = [pattern for rule in mine for pattern in rule.write]
            read = [pattern for rule in mine for pattern in rule.read]
            found = self._rights[user] = {"read": _expression([*read, *write]), "write": _expression(write)}
        return found


def _expression(patterns: Iterable[str]) -> re.Pattern[str]:
    signs = {"*": ".*", "?": "."}
    either = ["".join(signs.get(sign) or re.escape(sign) for sign in pattern) for pattern in dict.fromkeys(patterns)]
    return re.compile("|".join(either) if either else r"(?!)", re.DOTALL)


def parse(text: str) -> Policy:
    """Return the policy that ``text`` states.

    Raises
    ------
    ValueError
        If it is no TOML, or says what a policy cannot mean; names the key.
    """
    said = tomllib.loads(text)
    _only(said, {"groups", "allow"}, "the policy")
    groups = _groups(said.get("groups", {}))
    rules = said.get("allow", [])
    if not isinstance(rules, list) or not rules:  # a file without any is one that is just being written
        message = "allow: expected [[allow]], a table for each rule, and at least one"
        raise _Wrong(message)
    return Policy(tuple(_rule(rule, f"allow {number}", groups) for number, rule in enumerate(rules, 1)))


def _groups(said: Any) -> dict[str, list[str]]:
    if not isinstance(said, dict):
        message = 'groups: expected a table of NAME = ["user", ...]'
        raise _Wrong(message)
    groups = {name: _texts(users, f"groups.{name}") for name, users in said.items()}
    for name, users in groups.items():
        if odd := [user for user in users if user.startswith("@") or user == "*"]:
            message = f"groups.{name}: {odd[0]!r} is no user; a group holds users, not groups"
            raise _Wrong(message)
    return groups


def _rule(said: Any, key: str, groups: Mapping[str, list[str]]) -> _Rule:
    if not isinstance(said, dict):
        message = f"{key}: expected a table with who, read and write"
        raise _Wrong(message)
    _only(said, _KEYS, key)
    if "who" not in said or not said.keys() & {"read", "write"}:
        message = f"{key}: expected who, and read or write"
        raise _Wrong(message)
    who = frozenset(user for name in _texts(said["who"], f"{key}.who") for user in _users(name, key, groups))
    read, write = (_patterns(said, action, key) for action in ("read", "write"))
    return _Rule(who, read, write)


def _users(name: str, key: str, groups: Mapping[str, list[str]]) -> list[str]:
    if name.startswith("@"):
        if name[1:] in groups:
            return groups[name[1:]]
        message = f"{key}.who: there is no group {name[1:]!r}; known are {', '.join(groups) or 'none'}"
        raise _Wrong(message)
    if name in groups:
        message = f"{key}.who: {name!r} is a group: write {'@' + name!r}, or give the group another name"
        raise _Wrong(message)
    return [name]


def _patterns(said: Mapping[str, Any], action: str, key: str) -> tuple[str, ...]:
    if action not in said:
        return ()
    patterns = _texts(said[action], f"{key}.{action}")
    for pattern in patterns:
        kind, colon, rest = pattern.partition(":")
        anywhere = {"*", "?"} & set(kind)
        if not (anywhere or pattern == "index" or (kind in {"cache", "catalog"} and colon and rest)):
            message = (
                f"{key}.{action}: {pattern!r} fits no resource; expected index, cache:<workspace>, "
                "catalog:<workspace>/<project>, or a pattern of these"
            )
            raise _Wrong(message)
    return tuple(patterns)


def _texts(said: Any, key: str) -> list[str]:
    texts = isinstance(said, list) and all(isinstance(one, str) and one.strip() == one != "" for one in said)
    if not texts or not said:
        message = f"{key}: {said!r}; expected a list of texts, none of them empty or with blanks around it"
        raise _Wrong(message)
    return list(said)


def _only(said: Mapping[str, Any], known: set[str], key: str) -> None:
    if unknown := sorted(said.keys() - known):
        message = f"{key}: {unknown[0]!r} is not known; expected {', '.join(sorted(known))}"
        raise _Wrong(message)
