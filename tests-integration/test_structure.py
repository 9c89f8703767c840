"""The plan is the same in every room: names, sizes, belongings, and the map at each entrance."""

from __future__ import annotations

import ast
import json
from itertools import combinations
from pathlib import Path

import pytest

from house import (
    BELONGINGS,
    FUNCTION_LINES,
    LONG_FUNCTIONS,
    LONG_MODULES,
    MODULE_LINES,
    NOT_THINGS,
    PACKAGES,
    PUBLIC_METHODS,
    ROOMS,
    ROOT,
    SCOPES,
    WIDE_FACADES,
    classes,
    code_lines,
    dotted,
    every_module,
    functions,
    modules,
    public_methods,
    public_names,
    short,
    source,
    tree,
)

PINNED = Path(__file__).with_name("public_names.json")


# ── rooms ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("scope", SCOPES)
def test_scope_has_room(scope: str, room: str) -> None:
    """Someone who knows one scope knows all three."""
    found = [path for path in source(scope).glob(room) if path.suffix != ".sql" or path.stat().st_size]
    assert found, f"{short(source(scope))} has no {room}"


@pytest.mark.parametrize("belonging", [*BELONGINGS, "src"])
@pytest.mark.parametrize("folder", PACKAGES)
def test_package_carries(folder: str, belonging: str) -> None:
    """A distribution is complete: it could leave the house tomorrow."""
    assert (ROOT / "packages" / folder / belonging).exists()


@pytest.mark.parametrize("folder", PACKAGES)
def test_package_has_tests(folder: str) -> None:
    assert list((ROOT / "packages" / folder / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("package", PACKAGES.values())
def test_package_is_typed(package: str) -> None:
    assert (source(package) / "py.typed").is_file()


@pytest.mark.parametrize("folder", PACKAGES)
def test_file_is_named_after_the_thing_inside(folder: str) -> None:
    said_nothing = [
        short(path)
        for path in (ROOT / "packages" / folder).rglob("*.py")
        if path.stem.strip("_").removesuffix("s") in NOT_THINGS
    ]
    assert said_nothing == []


# ── the map at the entrance ──────────────────────────────────────────────────────────────────────────


def _kind(statement: ast.stmt) -> str:
    match statement:
        case ast.Import() | ast.ImportFrom():
            return "import"
        case ast.Expr(value=ast.Constant(value=str())):
            return "docstring"
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return f"line {statement.lineno}: {ast.unparse(statement).splitlines()[0]}"


@pytest.mark.parametrize("package", PACKAGES.values())
def test_entrance_is_a_map(package: str) -> None:
    """``__init__.py`` holds a docstring, imports, ``__all__`` and ``__version__``, and no logic."""
    kinds = [_kind(statement) for statement in tree(source(package) / "__init__.py").body]
    assert kinds[0] == "docstring"
    assert set(kinds) - {"docstring", "import"} == {"__all__", "__version__"}


@pytest.mark.parametrize("package", PACKAGES.values())
def test_inner_entrances_hold_no_logic(package: str) -> None:
    entrances = [module for module in modules(package) if module.name == "__init__.py"]
    inner = [module for module in entrances if module.parent != source(package)]
    logic = {
        short(module): sorted({_kind(s) for s in tree(module).body} - {"docstring", "import", "__all__"})
        for module in inner
    }
    assert {module: found for module, found in logic.items() if found} == {}


@pytest.mark.parametrize("package", PACKAGES.values())
def test_public_names_are_pinned(package: str, request: pytest.FixtureRequest) -> None:
    """A name becomes public by decision: ``nox -s integration -- --accept -k pinned`` writes it down."""
    pinned = json.loads(PINNED.read_text(encoding="utf-8"))
    if request.config.getoption("--accept"):
        pinned[package] = public_names(package)
        PINNED.write_text(json.dumps(pinned, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    assert public_names(package) == pinned.get(package)


# ── words ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("package", PACKAGES.values())
def test_module_says_what_its_room_is_for(package: str) -> None:
    """The first line of a module is one sentence."""
    first = {short(m): (ast.get_docstring(tree(m)) or "").partition("\n")[0] for m in modules(package)}
    assert [module for module, line in first.items() if not line.endswith((".", ":", "?"))] == []


# ── sizes ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("package", PACKAGES.values())
def test_rooms_are_small(package: str) -> None:
    sizes = {dotted(module): len(code_lines(module)) for module in modules(package)}
    assert {name: size for name, size in sizes.items() if size > LONG_MODULES.get(name, MODULE_LINES)} == {}


@pytest.mark.parametrize("package", PACKAGES.values())
def test_functions_are_short(package: str) -> None:
    """Counted from the first statement to the last: the signature and the docstring are free."""
    long = {}
    for module in modules(package):
        lines = code_lines(module)
        for name, node in functions(module):
            size = sum(node.body[0].lineno <= line <= (node.end_lineno or 0) for line in lines)
            if size > LONG_FUNCTIONS.get(name, FUNCTION_LINES):
                long[name] = size
    assert long == {}


@pytest.mark.parametrize("package", PACKAGES.values())
def test_classes_are_one_noun(package: str) -> None:
    """A class with more verbs is two nouns, unless it is a documented surface that delegates."""
    wide = {
        f"{dotted(module)}.{node.name}": len(public_methods(node))
        for module in modules(package)
        for node in classes(module)
        if node.name not in WIDE_FACADES
    }
    assert {name: count for name, count in wide.items() if count > PUBLIC_METHODS} == {}


@pytest.mark.parametrize("package", PACKAGES.values())
def test_wide_surfaces_only_delegate(package: str) -> None:
    """Each verb of a wide surface hands over to its room in at most three statements."""
    working = [
        f"{node.name}.{method.name}"
        for module in modules(package)
        for node in classes(module)
        if node.name in WIDE_FACADES and len(public_methods(node)) > PUBLIC_METHODS
        for method in public_methods(node)
        if sum(isinstance(inner, ast.stmt) for s in method.body for inner in ast.walk(s)) > _DOCSTRING + 3
    ]
    assert working == []


_DOCSTRING = 1


def test_exceptions_to_the_sizes_are_still_needed() -> None:
    """An exception that is no longer one goes."""
    names = {dotted(module) for module in every_module()}
    names |= {name for module in every_module() for name, _ in functions(module)}
    assert (LONG_MODULES.keys() | LONG_FUNCTIONS.keys()) - names == set()


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────


def _swallows(handler: ast.ExceptHandler) -> bool:
    caught = {
        ast.unparse(kind)
        for kind in (handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type])
        if kind is not None
    }
    if not caught or "Exception" in caught:
        return True
    passed_on = any(isinstance(last, ast.Raise) and last.exc is None for last in handler.body[-1:])
    return "BaseException" in caught and not passed_on


@pytest.mark.parametrize("package", PACKAGES.values())
def test_what_is_caught_is_named(package: str) -> None:
    """No bare ``except``, no ``except Exception``; ``BaseException`` only to clean up and raise again."""
    swallowing = [
        f"{short(module)}:{node.lineno}"
        for module in modules(package)
        for node in ast.walk(tree(module))
        if isinstance(node, ast.ExceptHandler) and _swallows(node)
    ]
    assert swallowing == []


@pytest.mark.parametrize("scope", SCOPES)
def test_errors_of_a_scope_are_errors_of_hmp(scope: str) -> None:
    """Every class in ``errors.py`` builds on the one tree."""
    module = source(scope) / "errors.py"
    known = {
        alias.asname or alias.name
        for node in ast.walk(tree(module))
        if isinstance(node, ast.ImportFrom) and node.module == "hmp_core.errors"
        for alias in node.names
    }
    for node in classes(module):
        assert {ast.unparse(b) for b in node.bases} & known, f"{node.name} stands outside hmp_core.errors"
        known.add(node.name)


# ── alike doors ──────────────────────────────────────────────────────────────────────────────────────


def _parameters(node: ast.FunctionDef) -> dict[str, str]:
    """Return each parameter with what a caller sees of it: kind, annotation, default."""
    spec = node.args
    positional = spec.posonlyargs + spec.args
    padding: list[ast.expr | None] = [None] * (len(positional) - len(spec.defaults))
    pairs = [("positional", *pair) for pair in zip(positional, padding + spec.defaults, strict=True)]
    pairs += [("keyword", *pair) for pair in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)]
    return {
        arg.arg: f"{kind} {_text(arg.annotation)} = {_text(default)}"
        for kind, arg, default in pairs
        if arg.arg != "self"
    }


def _text(node: ast.expr | None) -> str:
    return ast.unparse(node) if node else "-"


def _verbs(scope: str) -> dict[str, dict[str, str]]:
    door = tree(source(scope) / "door.py")
    verbs = [node for node in door.body if isinstance(node, ast.FunctionDef)]
    verbs += [verb for node in door.body if isinstance(node, ast.ClassDef) for verb in public_methods(node)]
    return {verb.name: _parameters(verb) for verb in verbs if not verb.name.startswith("_")}


@pytest.mark.parametrize(("one", "other"), list(combinations(SCOPES, 2)))
def test_doors_are_alike(one: str, other: str) -> None:
    """A parameter that two doors share under one verb is the same parameter."""
    left, right = _verbs(one), _verbs(other)
    unlike = [
        f"{verb}({name}): {one} has {left[verb][name]!r}, {other} has {right[verb][name]!r}"
        for verb in left.keys() & right.keys()
        for name in left[verb].keys() & right[verb].keys()
        if left[verb][name] != right[verb][name]
    ]
    assert unlike == []


# ── the judge can fail ───────────────────────────────────────────────────────────────────────────────


def test_docstrings_comments_and_blanks_are_free(tmp_path: Path) -> None:
    module = tmp_path / "room.py"
    module.write_text(
        '"""What for.\n\nMore.\n"""\n\n# why\nx = 1\n\n\ndef f():\n    """Say."""\n    return """a\nb"""\n'
    )
    assert len(code_lines(module)) == 4


@pytest.mark.parametrize(
    ("handler", "swallows"),
    [
        ("except:\n    pass", True),
        ("except Exception as error:\n    raise", True),
        ("except (OSError, Exception):\n    pass", True),
        ("except BaseException:\n    log()", True),
        ("except BaseException:\n    undo()\n    raise", False),
        ("except OSError:\n    pass", False),
    ],
)
def test_a_swallowed_exception_is_seen(handler: str, *, swallows: bool) -> None:
    parsed = ast.parse(f"try:\n    work()\n{handler}\n")
    assert [_swallows(node) for node in ast.walk(parsed) if isinstance(node, ast.ExceptHandler)] == [swallows]
