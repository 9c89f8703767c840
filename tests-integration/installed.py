"""Judge an environment from inside: what is installed came from here, works, and brought no stranger along.

Run by the interpreter under test, with nothing but the standard library::

    python installed.py hmp-cache hmp-core --absent zarr pandas --outside /path/of/the/source/tree
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path

OURS = {
    "hmp-core": "hmp_core",
    "hmp-index": "hmp_index",
    "hmp-cache": "hmp_cache",
    "hmp-catalog": "hmp_catalog",
    "hmp-hydromodpy": "hydromodpy",
}
#: Names under which others may publish: the umbrella's import name is not our distribution.
STRANGERS = ("hydromodpy",)


def not_from_here() -> list[str]:
    """Return what bears a name of ours and was not installed from a path of this machine (PEP 610)."""
    faults = [f"{name} is a stranger's distribution" for name in STRANGERS if _distribution(name)]
    for name in OURS:
        found = _distribution(name)
        origin = json.loads((found.read_text("direct_url.json") or "{}") if found else "{}")
        if found and not str(origin.get("url", "")).startswith("file:"):
            faults.append(f"{name} {found.version} was not installed from a path: {origin or 'an index'}")
    return faults


def missing_or_broken(name: str, outside: Path | None) -> list[str]:
    """Return what is wrong with one of ours: absent, empty, mislabelled, or taken from ``outside``."""
    found = _distribution(name)
    if found is None:
        return [f"{name} is not installed"]
    module = importlib.import_module(OURS[name])
    faults = [f"{OURS[name]}.{public} is announced and not there" for public in _unresolved(module)]
    if module.__version__ != found.version:
        faults.append(f"{name} is {found.version} on the label and {module.__version__} inside")
    where = Path(str(module.__file__)).resolve()
    if outside is not None:
        shipped = [str(file) for file in found.files or []]
        faults += [f"{where} is the source tree"] if outside.resolve() in where.parents else []
        faults += [] if f"{OURS[name]}/py.typed" in shipped else [f"{name} ships no py.typed"]
        faults += [] if sum(file.endswith(".py") for file in shipped) > 1 else [f"{name} is an empty shell"]
    return faults


def there_all_the_same(names: list[str]) -> list[str]:
    """Return which of the modules that must not be installed can be imported."""
    return [f"{name} is installed and must not be" for name in names if importlib.util.find_spec(name)]


def _unresolved(module: object) -> list[str]:
    return [name for name in getattr(module, "__all__", []) if not hasattr(module, name)]


def _distribution(name: str) -> importlib.metadata.Distribution | None:
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Print every fault and leave with 1 if there is any."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("present", nargs="*", help="distributions of ours that must work")
    parser.add_argument("--absent", nargs="*", default=[])
    parser.add_argument("--outside", type=Path)
    asked = parser.parse_args()
    faults = not_from_here() + there_all_the_same(asked.absent)
    if not faults:
        faults = [fault for name in asked.present for fault in missing_or_broken(name, asked.outside)]
    for fault in faults:
        print(fault, file=sys.stderr)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
