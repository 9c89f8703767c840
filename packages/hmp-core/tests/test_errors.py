"""The errors: the tree that is drawn is the tree that is, and each is caught, shown and sent as one expects."""

from __future__ import annotations

import builtins
import copy
import pickle
import re

import pytest

from hmp_core import errors
from hmp_core.errors import BusyError, HmpError, NotFound, PathNotFound

ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HmpError)]

_DRAWN = re.compile(r"^    (?P<indent>[│├└─ ]*)(?P<name>\w+)(?: \((?P<base>\w+)\))? +(?P<code>\d+)  (?P<says>\S.*)$")


def _drawn() -> dict[str, tuple[str | None, str | None, int]]:
    """Return name -> (parent, builtin, exit code) as drawn in the docstring."""
    found: dict[str, tuple[str | None, str | None, int]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = _DRAWN.match(line)
        if match is None:
            continue
        depth = len(match["indent"]) // 4
        # the first level below the root are the groups, which are no classes
        above = [*above[: max(depth - 1, 0)], match["name"]]
        parent = above[-2] if len(above) > 1 and depth > 2 else ("HmpError" if depth else None)
        found[match["name"]] = (parent, match["base"], int(match["code"]))
    return found


def test_every_error_is_drawn() -> None:
    assert sorted(_drawn()) == sorted(kind.__name__ for kind in ALL)


@pytest.mark.parametrize("kind", ALL)
def test_the_drawing_tells_the_exit_code(kind: type[HmpError]) -> None:
    assert _drawn()[kind.__name__][2] == kind.exit_code


@pytest.mark.parametrize("kind", ALL)
def test_the_drawing_tells_the_parent(kind: type[HmpError]) -> None:
    ours = [base.__name__ for base in kind.__bases__ if base in ALL]
    assert [_drawn()[kind.__name__][0]] == (ours or [None])


@pytest.mark.parametrize("kind", ALL)
def test_the_drawing_tells_what_else_it_is(kind: type[HmpError]) -> None:
    name = _drawn()[kind.__name__][1]
    also = [base for base in kind.__bases__ if base not in ALL and base is not Exception]
    assert also == ([getattr(builtins, name)] if name else [])


@pytest.mark.parametrize("kind", ALL)
def test_every_error_says_what_it_means(kind: type[HmpError]) -> None:
    assert kind.__doc__


@pytest.mark.parametrize("send", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
@pytest.mark.parametrize("kind", ALL)
def test_it_travels_with_its_data(kind: type[HmpError], send: object) -> None:
    error = kind("aare: gone; look again", path="/aare", candidates=["aare", "reuss"], found=3)
    there = send(error)  # type: ignore[operator]
    assert type(there) is kind
    assert (str(there), there.path, there.candidates, there.found) == (str(error), "/aare", ["aare", "reuss"], 3)
    assert isinstance(there.exit_code, int)


@pytest.mark.parametrize("kind", ALL)
def test_the_message_is_shown_as_it_is(kind: type[HmpError]) -> None:
    """A KeyError would show it in quotes, an OSError with an errno."""
    assert str(kind("aare: gone; look again")) == "aare: gone; look again"


def test_one_is_caught_as_the_builtin() -> None:
    with pytest.raises(KeyError):
        raise NotFound("no run", reference="x", candidates=[])
    with pytest.raises(FileNotFoundError):
        raise PathNotFound("no folder", path="x")
    with pytest.raises(TimeoutError):
        raise BusyError("held", path="x", holder="y", waited=1.0)


def test_success_and_usage_are_no_exit_codes_of_trouble() -> None:
    assert 0 not in {kind.exit_code for kind in ALL}
    assert all(0 < kind.exit_code < 126 for kind in ALL)
