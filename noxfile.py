"""Every verb of the repository: ``nox -l`` is the map of what one can do, and CI calls nothing else."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import tomllib
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.download_python = "never"
nox.options.sessions = ["tests"]

ROOT = Path(__file__).resolve().parent
PACKAGES = ("hmp-core", "hmp-index", "hmp-cache", "hmp-catalog", "hydromodpy")
PYTHONS = ("3.11", "3.12", "3.13")
#: Most tests wait for processes of their own: one worker a core.
SIDE_BY_SIDE = ("-n", "auto", "--dist", "worksteal")
OTHERS = ("pandas", "xarray", "zarr", "pytest", "hypothesis")

#: What the extra [datasets] brings, and nothing else may.
GRIDDED = ("cf_xarray", "dask", "h5netcdf", "h5py", "pyproj", "rechunkit", "rioxarray", "scipy", "shapely")

#: What the extra [experiments] brings, and its users: a chain is trained with what they like.
LEARNED = ("joblib", "polars", "sklearn")

#: What hmp is measured beside; the original is somebody else's.
PEERS = ("mlflow>=3", "signac>=2.2", "optuna>=4", "hydromodpy==2.0.0a5", "cfdb>=0.11")
#: What experiments are measured beside: two versions of one package, each in an environment of its own.
EXPERIMENTERS = {"0.7.1": ("nirs4all==0.7.1", "duckdb", "polars"), "newest": ("nirs4all>=1.4",)}
#: What is measured beside others -> the script that does.
BESIDE = {
    "catalog": "compare.py",
    "datasets": "datasets.py",
    "experiments": "experiments.py",
    "acquisition": "acquisition.py",
}

#: What installing a package alone must not bring along (import names).
ABSENT = {
    "hmp-core": ("hmp_index", "hmp_cache", "hmp_catalog", "hydromodpy", "httpx", *OTHERS),
    "hmp-index": ("hmp_cache", "hmp_catalog", "hydromodpy", "httpx", *OTHERS),
    "hmp-cache": ("hmp_index", "hmp_catalog", "hydromodpy", *OTHERS),
    "hmp-catalog": (
        "hmp_index",
        "hmp_cache",
        "hydromodpy",
        "httpx",
        "matplotlib",
        "pytest",
        "hypothesis",
        *GRIDDED,
        *LEARNED,
    ),
    "hydromodpy": ("matplotlib", "spotpy", "pytest", "hypothesis"),
}
#: A verb of a package that is then not there, and what the command says to install.
UNKNOWN_VERB = {
    "hmp-core": ("data", "hmp-cache"),
    "hmp-index": ("catalog", "hmp-catalog"),
    "hmp-cache": ("index", "hmp-index"),
    "hmp-catalog": ("data", "hmp-cache"),
}


# ── what a contributor runs ──────────────────────────────────────────────────────────────────────────


@nox.session
def tests(session: nox.Session) -> None:
    """Run what a contributor must pass: lint, types, unit, integration with the manual, and isolation."""
    _develop(session, *PACKAGES, groups=("lint", "types", "test"))
    _lint(session)
    _types(session)
    for package in PACKAGES:
        _unit(session, package)
    _integration(session)
    # all has just run on the source: on the wheels the doors and commands tell a packaging fault
    _isolation(session, PACKAGES, "-k", "test_door or test_cli or test_fold or test_schema")


@nox.session
@nox.parametrize("package", [nox.param(package, id=package) for package in PACKAGES])
def unit(session: nox.Session, package: str) -> None:
    """Run the tests and docstring examples of one package, with the siblings it needs and no other."""
    _develop(session, package)
    _unit(session, package, *session.posargs)


@nox.session
def integration(session: nox.Session) -> None:
    """Run the tests across packages and every example of the manual (``-- --accept`` writes down changes)."""
    _develop(session, *PACKAGES)
    _integration(session, *session.posargs)


@nox.session
def isolation(session: nox.Session) -> None:
    """Install each built wheel alone, check what came with it, and run its tests against it."""
    _isolation(session, tuple(session.posargs) or PACKAGES)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff."""
    session.install(*_tools("lint"))
    _lint(session)


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of each package with mypy in strict mode."""
    _develop(session, *PACKAGES, groups=("types", "test"))
    _types(session)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the manual; a warning is an error."""
    _develop(session, *PACKAGES, groups=("docs",))
    strict = ("-W", "--keep-going", "-q")
    session.run("sphinx-build", *strict, "-b", "html", "docs", "docs/_build/html", *session.posargs)
    session.log("open docs/_build/html/index.html")


@nox.session
def demo(session: nox.Session) -> None:
    """Install everything and run the demo on real data; ``-- PATH`` says where to put it."""
    _develop(session, *PACKAGES, groups=(), extras=("demo",))
    session.run("hmp", "demo", *session.posargs)
    session.log(f"the command for a look around: {Path(session.bin).relative_to(ROOT) / 'hmp'}")


# ── what runs now and then ───────────────────────────────────────────────────────────────────────────


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure what the design promises, beside others (``-- catalog``, ``datasets``, ``experiments``, ...)."""
    _develop(session, *PACKAGES, groups=("test", "benchmarks"))
    part = session.posargs[0] if session.posargs else ""
    if part not in BESIDE:
        _pytest(session, ("tests-integration/benchmarks",), "--timeout=0", "-s", *session.posargs)
    for name, script in BESIDE.items():
        if not part or part == name:
            path = f"tests-integration/benchmarks/{script}"
            peers: list[str] = []
            if name == "experiments":
                peers = [f"{who}={_peers(session, who, *what)}" for who, what in EXPERIMENTERS.items()]
            elif name != "acquisition":  # its peer, Zarr, is beside it already
                peers = [_peers(session, "peers", *PEERS)]
            session.run("python", path, *session.posargs[1:], *(["--peers", *peers] if peers else []))


@nox.session
def standards(session: nox.Session) -> None:
    """Hold what is exported to the standards, with an independent checker (which cannot do with the newest rich)."""
    _develop(session, *PACKAGES, groups=("test", "standards"), extras=("export", "testing"))
    _pytest(session, ("tests-integration/test_export_standards.py",), *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Run the long kill and stress tests, an hour where the others take minutes (``-- PATH ...`` for some of them)."""
    _develop(session, *PACKAGES)
    named = [argument for argument in session.posargs if argument.startswith(("packages/", "tests-integration"))]
    others = [argument for argument in session.posargs if argument not in named]
    # each package by itself: its tests may hide the siblings that it must do without
    for path in named or [*(f"packages/{package}/tests" for package in PACKAGES), "tests-integration"]:
        _pytest(session, (path,), "-m", "soak", "--timeout=0", "-o", "faulthandler_timeout=0", *others, profile="soak")


@nox.session(name="another-backend")
def another_backend(session: nox.Session) -> None:
    """Run the tests of the catalog unchanged on a backend that is not hmp's own, and judge that one too."""
    _develop(session, "hmp-catalog")
    _pytest(session, ("packages/hmp-catalog/tests",), "--backend=cold", *session.posargs)
    _pytest(session, (), "packages/hmp-catalog/tests/test_another_backend.py", "-m", "soak")


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the unit tests on the lowest versions the packages say they can live with."""
    session.install(*_editable(_family(*PACKAGES)), "--resolution", "lowest-direct")
    session.install(*_tools("test"))
    _judge(session)
    for package in PACKAGES:
        _unit(session, package)


@nox.session(python=PYTHONS)
def pythons(session: nox.Session) -> None:
    """Run unit and integration tests on every supported Python; skip one that is missing, except in CI."""
    _develop(session, *PACKAGES)
    for package in PACKAGES:
        _unit(session, package)
    _integration(session)


@nox.session(name="tests-duckdb2")
def tests_duckdb2(session: nox.Session) -> None:
    """Run everything on DuckDB 2.x, beside an environment with 1.x, and report; only a broken set-up fails."""
    paths = {package: f"packages/{package}/tests" for package in PACKAGES} | {"between packages": "tests-integration"}
    if strange := set(session.posargs) - paths.keys():
        session.error(f"{', '.join(sorted(strange))}: expected some of {', '.join(paths)}")
    beyond = _empty(_scratch(session) / "duckdb2") / "override.txt"
    beyond.parent.mkdir()
    beyond.write_text("duckdb>=2,<3\n")
    session.install(*_editable(_family(*PACKAGES)), *_tools("test"), "--override", str(beyond))
    _judge(session, *(_distribution(name) for name in _family(*PACKAGES)))
    other = _fresh(session, _empty(_scratch(session) / "env-duckdb1"))
    session.run("uv", "pip", "install", "--quiet", "--python", other, *_editable(_family(*PACKAGES)))
    versions = [_duckdb(session, python) for python in ("python", other)]
    if [int(version.partition(".")[0]) for version in versions] != [2, 1]:
        session.error(f"expected DuckDB 2 here and 1 beside it, and have {' and '.join(versions)}")
    env = {**_surroundings(_empty(_scratch(session) / "state")), "OTHER_DUCKDB_PYTHON": other}
    told = [f"on DuckDB {versions[0]}, beside {versions[1]}:"]
    for name in session.posargs or paths:
        report = beyond.with_name("report.xml")
        chosen = ("-m", "not soak", "--ignore=tests-integration/benchmarks", f"--junitxml={report}", *SIDE_BY_SIDE)
        # 1: some tests failed; anything else means that they could not be run
        session.run("python", "-m", "pytest", *chosen, paths[name], env=env, success_codes=[0, 1])
        told += _verdict(session, name, report)
    session.log("\n".join(told))


# ── what goes out ────────────────────────────────────────────────────────────────────────────────────


@nox.session
def build(session: nox.Session) -> None:
    """Build the source distribution and the wheel of each package (or of those named) into dist/."""
    _build(session, tuple(session.posargs) or PACKAGES, ROOT / "dist")


@nox.session
def release(session: nox.Session) -> None:
    """Check that version, changelog, tag and built wheel of one package agree (``-- PACKAGE``)."""
    if len(session.posargs) != 1 or session.posargs[0] not in PACKAGES:
        session.error(f"say which package: nox -s release -- {{{'|'.join(PACKAGES)}}}")
    package = session.posargs[0]
    version = _version(package)
    _check_changelog(session, package, version)
    _check_siblings(session, package)
    _check_tag(session, f"{package}-v{version}")
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    _build(session, (package,), ROOT / "dist")
    siblings = [name for name in _family(package) if name != package]
    _build(session, tuple(siblings), _empty(_scratch(session) / "siblings"))
    _alone(session, package, {**_wheels(_scratch(session) / "siblings"), **_wheels(ROOT / "dist")})
    session.log(f"{package} {version} may go: dist/ holds what was checked")


# ── the steps that sessions share ────────────────────────────────────────────────────────────────────


def _lint(session: nox.Session) -> None:
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


def _types(session: nox.Session) -> None:
    for package in PACKAGES:
        session.run("mypy", "--strict", f"packages/{package}/src")


def _unit(session: nox.Session, package: str, *arguments: str) -> None:
    folder = f"packages/{package}"
    paths = (f"{folder}/src/{_module(package)}", f"{folder}/tests")
    _pytest(session, paths, "--doctest-modules", *arguments)


def _integration(session: nox.Session, *arguments: str) -> None:
    _pytest(session, ("tests-integration",), "--ignore=tests-integration/benchmarks", *arguments)


def _pytest(session: nox.Session, paths: tuple[str, ...], *arguments: str, profile: str = "default") -> None:
    """Run pytest with a machine state of its own; ``arguments`` may name other paths."""
    chosen = () if "-m" in arguments else ("-m", "not soak")
    # what is measured must be alone, and what is watched must not be hidden by a worker
    chosen += () if {"-s", "-n", "--pdb"} & set(arguments) else SIDE_BY_SIDE
    named = any(argument.startswith(("packages/", "tests-integration")) for argument in arguments)
    state = _empty(_scratch(session) / "state")
    environment = {**_surroundings(state), "HYPOTHESIS_PROFILE": profile}
    where = () if named else paths
    session.run("python", "-m", "pytest", *chosen, *arguments, *where, env=environment)


def _surroundings(state: Path) -> dict[str, str | None]:
    """Return what tests find around them, whatever is set outside.

    Most of them start processes: where nobody keeps the compiled modules, each compiles all it imports, which takes
    two seconds of processor time for xarray alone.
    """
    return {"HMP_STATE_HOME": str(state), "PYTHONPATH": None, "PYTHONDONTWRITEBYTECODE": None}


def _develop(
    session: nox.Session,
    *packages: str,
    groups: tuple[str, ...] = ("test",),
    extras: tuple[str, ...] | None = None,
) -> None:
    """Install packages of this tree, editable, with every sibling they need and the tools of some groups."""
    session.install(*_editable(_family(*packages), extras), *_tools(*groups))
    _judge(session, *(_distribution(name) for name in _family(*packages)))


def _judge(session: nox.Session, *arguments: str) -> None:
    """Refuse an environment into which an index brought anything that bears a name of ours."""
    session.run("python", "tests-integration/installed.py", *arguments, silent=True)


def _isolation(session: nox.Session, packages: tuple[str, ...], *arguments: str) -> None:
    folder = _empty(_scratch(session) / "isolation")
    _build(session, PACKAGES, folder / "dist")
    _impostors(folder / "impostors")
    _show_that_impostors_are_caught(session, folder)
    for package in packages:
        # strangers of a higher version are on offer all the while
        python = _alone(session, package, _wheels(folder / "dist"), "--find-links", str(folder / "impostors"))
        if package not in {"hmp-core", "hydromodpy"}:
            _tests_on_wheel(session, package, python, folder, *arguments)


def _alone(session: nox.Session, package: str, wheels: dict[str, Path], *options: str) -> str:
    """Install one package and its siblings from wheels into a fresh environment; return its interpreter."""
    where = _empty(_scratch(session) / f"env-{package}")
    python = _fresh(session, where)
    _install_wheels(session, python, package, wheels, *options)
    names = [_distribution(name) for name in _family(package)]
    judge = str(ROOT / "tests-integration" / "installed.py")
    absent = ("--absent", *ABSENT[package], "--outside", str(ROOT / "packages"))
    with session.chdir(where):
        session.run(python, "-I", judge, *names, *absent, external=True)
        command = str(Path(python).with_name("hmp"))
        session.run(command, "--version", external=True, silent=True)
        if package in UNKNOWN_VERB:
            verb, remedy = UNKNOWN_VERB[package]
            said = session.run(command, verb, "ls", external=True, silent=True, success_codes=[2])
            if remedy not in str(said):
                session.error(f"`hmp {verb}` without {remedy} should say what to install; it said:\n{said}")
    return python


def _tests_on_wheel(session: nox.Session, package: str, python: str, folder: Path, *arguments: str) -> None:
    """Run the tests of a package against its installed wheel, from a copy that has no source beside it."""
    known = _pyproject(package)["project"]["optional-dependencies"]
    extra = ",".join(name for name in ("testing", "datasets", "experiments") if name in known)
    _install_wheels(session, python, package, _wheels(folder / "dist"), extra=extra)
    session.run("uv", "pip", "install", "--quiet", "--python", python, *_tools("test"))
    copy = folder / f"tests-{package}"
    shutil.copytree(ROOT / "packages" / package / "tests", copy / "tests")
    shutil.copy(ROOT / "conftest.py", copy)
    settings = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(copy), "-p", "no:cacheprovider")
    command = (python, "-m", "pytest", *settings, *SIDE_BY_SIDE, "-m", "not soak", *arguments, "tests")
    with session.chdir(copy):
        session.run(*command, env=_surroundings(copy / "state"), external=True)


def _fresh(session: nox.Session, where: Path) -> str:
    session.run("uv", "venv", "--quiet", "--python", str(Path(session.bin) / "python"), str(where))
    return str(where / "bin" / "python")


def _peers(session: nox.Session, name: str, *packages: str) -> str:
    """Return the interpreter of an environment of others: one of them has the import name of the umbrella."""
    where = _scratch(session) / f"env-{name}"
    python = str(where / "bin" / "python") if where.exists() else _fresh(session, where)
    session.run("uv", "pip", "install", "--quiet", "--python", python, *packages)
    return python


def _install_wheels(
    session: nox.Session, python: str, package: str, wheels: dict[str, Path], *options: str, extra: str = ""
) -> None:
    """Install a package and all siblings it needs, each by the path of its wheel."""
    wanted = f"[{extra}]" if extra else ""
    requirements = [
        f"{_distribution(name)}{wanted if name == package else ''} @ {wheels[name].as_uri()}"
        for name in _family(package)
    ]
    session.run("uv", "pip", "install", "--quiet", "--python", python, *options, *requirements)


def _impostors(folder: Path) -> None:
    """Make wheels that bear the names of ours and a higher version, as a stranger could publish them."""
    folder.mkdir(parents=True)
    for name in (*(_distribution(package) for package in PACKAGES), "hydromodpy"):
        stem = f"{name.replace('-', '_')}-0.999"
        with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
            info = f"{stem}.dist-info"
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.999\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def _show_that_impostors_are_caught(session: nox.Session, folder: Path) -> None:
    """Let one in on purpose: the judge must refuse that environment, or its other verdicts mean nothing."""
    python = _fresh(session, folder / "env-impostor")
    offered = ("--no-index", "--find-links", str(folder / "impostors"))
    session.run("uv", "pip", "install", "--quiet", "--python", python, *offered, "hmp-core")
    judge = str(ROOT / "tests-integration" / "installed.py")
    session.run(python, "-I", judge, external=True, silent=True, success_codes=[1])


def _build(session: nox.Session, packages: tuple[str, ...], folder: Path) -> None:
    """Build each package, the wheel from its source distribution, and refuse an empty one."""
    for package in packages:
        for former in folder.glob(f"{_distribution(package).replace('-', '_')}-*"):
            former.unlink()
        session.run("uv", "build", "--quiet", "--out-dir", str(folder), f"packages/{package}")
        wheel = _wheels(folder)[package]
        names = zipfile.ZipFile(wheel).namelist()
        if f"{_module(package)}/__init__.py" not in names or f"{_module(package)}/py.typed" not in names:
            session.error(f"{wheel.name} does not hold {_module(package)}: {names}")


def _wheels(folder: Path) -> dict[str, Path]:
    """Return the wheels in a folder by package."""
    stems = {_distribution(package).replace("-", "_"): package for package in PACKAGES}
    return {stems[wheel.name.partition("-")[0]]: wheel for wheel in sorted(folder.glob("*.whl"))}


def _check_changelog(session: nox.Session, package: str, version: str) -> None:
    text = (ROOT / "packages" / package / "CHANGELOG.md").read_text(encoding="utf-8")
    heading = re.search(r"^## \[(.+?)\] - (.+)$", text, flags=re.MULTILINE)
    if not heading or heading[1] != version or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", heading[2]):
        found = heading[0] if heading else "no heading"
        session.error(f"the changelog of {package} has `{found}`; expected `## [{version}] - YYYY-MM-DD`")


def _check_siblings(session: nox.Session, package: str) -> None:
    """Refuse a lower bound that no sibling of this tree reaches: nobody could install the release."""
    for requirement in _pyproject(package)["project"]["dependencies"]:
        name, _, bound = requirement.partition(">=")
        if name in _folders():
            here = _version(_folders()[name])
            if _numbers(here) < _numbers(bound.partition(",")[0]):
                session.error(f"{package} needs {requirement}; this tree has {name} {here}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _check_tag(session: nox.Session, tag: str) -> None:
    """Compare with the tag that CI was started by, or with the tags of the commit that is checked out."""
    pushed = os.environ.get("GITHUB_REF_NAME", "") if os.environ.get("GITHUB_REF_TYPE") == "tag" else ""
    here = str(session.run("git", "tag", "--points-at", "HEAD", external=True, silent=True)).split()
    found = [pushed] if pushed else here
    if tag not in found:
        session.error(f"the commit is tagged {', '.join(found) or 'nothing'}; expected {tag}")


# ── what the packages say about themselves ───────────────────────────────────────────────────────────


def _pyproject(package: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / "packages" / package / "pyproject.toml").read_text(encoding="utf-8"))


def _distribution(package: str) -> str:
    return str(_pyproject(package)["project"]["name"])


def _folders() -> dict[str, str]:
    return {_distribution(package): package for package in PACKAGES}


def _module(package: str) -> str:
    return package.replace("-", "_")


def _version(package: str) -> str:
    entrance = ROOT / "packages" / package / "src" / _module(package) / "__init__.py"
    found = re.findall(r"^__version__ = [\"'](.+)[\"']$", entrance.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return str(found[0])


def _family(*packages: str) -> list[str]:
    """Return packages with every sibling they need: all are installed by path together, none by name."""
    family: set[str] = set()
    waiting = list(packages)
    while waiting:
        package = waiting.pop()
        family.add(package)
        needs = (re.split(r"[\[<>=!~; ]", line)[0] for line in _pyproject(package)["project"]["dependencies"])
        waiting += [_folders()[name] for name in needs if name in _folders()]
    return [package for package in PACKAGES if package in family]


def _editable(packages: list[str], extras: tuple[str, ...] | None = None) -> list[str]:
    """Return the arguments that install packages editable, with all their extras or those named."""
    arguments = []
    for package in packages:
        known = _pyproject(package)["project"].get("optional-dependencies", {})
        chosen = ",".join(extra for extra in known if extras is None or extra in extras)
        arguments += ["-e", f"packages/{package}[{chosen}]" if chosen else f"packages/{package}"]
    return arguments


def _tools(*groups: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(nox.project.load_toml(ROOT / "pyproject.toml"), *groups)


def _scratch(session: nox.Session) -> Path:
    """Return the scratch folder of a session, absolute: steps run in several folders."""
    return Path(session.create_tmp()).resolve()


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


def _duckdb(session: nox.Session, python: str) -> str:
    """Return the version of DuckDB that an interpreter imports."""
    ask = "import duckdb, hmp_core.backends; print(duckdb.__version__)"
    return str(session.run(python, "-c", ask, silent=True, external=True)).strip()


def _verdict(session: nox.Session, name: str, report: Path) -> list[str]:
    """Return how many tests of a report passed, and the name of each that did not; none at all is a broken set-up."""
    suite = ElementTree.parse(report).getroot()[0]
    count = {kind: int(suite.attrib[kind]) for kind in ("tests", "failures", "errors", "skipped")}
    failed = [
        f"    {case.get('classname')}::{case.get('name')}"
        for case in suite.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]
    passed = count["tests"] - count["failures"] - count["errors"] - count["skipped"]
    if passed <= 0:
        session.error(f"no test of {name} passed: they could not be run")
    return [f"  {name}: {passed} passed, {len(failed)} failed, {count['skipped']} skipped", *failed]


# ── the machine ──────────────────────────────────────────────────────────────────────────────────────


def _hand_over_what_pip_knows() -> None:
    """Tell uv the index, the certificates and the trusted hosts of pip, whose settings it does not read."""
    homes = [Path("/etc/pip.conf"), Path.home() / ".pip/pip.conf", Path.home() / ".config/pip/pip.conf"]
    settings = configparser.ConfigParser(interpolation=None)
    settings.read([*homes, os.environ.get("PIP_CONFIG_FILE", os.devnull)], encoding="utf-8")
    for option, variable in {
        "index-url": "UV_DEFAULT_INDEX",
        "cert": "SSL_CERT_FILE",
        "trusted-host": "UV_INSECURE_HOST",
    }.items():
        said = os.environ.get(f"PIP_{option.upper().replace('-', '_')}")
        said = said or settings.get("global", option, fallback="")
        if said:
            os.environ.setdefault(variable, said)


_hand_over_what_pip_knows()
os.environ.setdefault("UV_PYTHON_DOWNLOADS", "never")
