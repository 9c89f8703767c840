"""What there is to tell of a run, gathered once for every format: inputs and where they came from, software, agent.

What a run is and left behind is told by its manifest, what was said of it since by the catalog, how its inputs were
obtained by the cache. Of a run that is still open, or was interrupted, the catalog alone tells, and no inputs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from hmp_core.errors import PathEscape
from hmp_core.identity import sha256_bytes, sha256_path
from hmp_core.paths import from_relative
from hydromodpy.exports.discretion import Discretion
from hydromodpy.fates import opened, places
from hydromodpy.origins import upstream_in
from hydromodpy.records import Consumed, Recorded, Version

if TYPE_CHECKING:
    from pathlib import Path

    from hmp_cache import Entry
    from hmp_catalog import Run
    from hydromodpy.reading import CacheReader

#: ISO 7064 MOD 11-2, as https://support.orcid.org has it: the last character is a check digit.
_ORCID = re.compile(r"(?:https?://orcid\.org/)?(\d{4}-\d{4}-\d{4}-\d{3}[\dX])")


@dataclass(frozen=True, slots=True)
class Item:
    """A version of an input: which bytes, where they came from, and what has become of them."""

    #: the artifact of the cache; of a plain file its path, which is its own only within its run
    key: str
    path: str
    sha256: str
    state: str
    variable: str = ""
    source: str = ""
    size: int | None = None
    unit: str | None = None
    license: str | None = None
    media_type: str | None = None
    #: upstream; of a file of this machine its name
    uri: str | None = None
    #: when it was obtained, and when its bytes were purged
    at: datetime | None = None
    purged_at: datetime | None = None
    tool: str | None = None
    tool_version: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    #: keys of what it was derived from
    parents: tuple[str, ...] = ()
    #: where the bytes lie now, as far as the cache knows
    place: Path | None = None
    #: key of the version with these bytes that this cache has, where the run named another, or none
    same: str | None = None

    @property
    def label(self) -> str:
        """What people read."""
        if not self.path:
            return f"an input that is not known here ({self.key[:8]})"
        return f"{self.variable} from {self.source} ({self.path})" if self.variable else self.path


@dataclass(frozen=True, slots=True)
class Output:
    """A file that a run left behind, or a folder of them."""

    path: str
    kind: str
    size: int
    #: of a folder, what `hmp_core.identity.sha256_tree` says of it
    sha256: str
    #: as the manifest has them: path, size, SHA-256
    files: tuple[dict[str, Any], ...]
    is_folder: bool

    @classmethod
    def of(cls, path: str, files: Sequence[dict[str, Any]]) -> Output:
        """Return the file of that path, or the folder of these files."""
        if [one["path"] for one in files] == [path]:
            return cls(path, files[0]["kind"], files[0]["size"], files[0]["sha256"], tuple(files), is_folder=False)
        ordered = sorted(files, key=lambda one: PurePosixPath(one["path"]))
        lines = (f"{one['path'].removeprefix(f'{path}/')}\0{one['sha256']}\n" for one in ordered)
        tree = sha256_bytes("".join(lines).encode())
        return cls(path, files[0]["kind"], sum(one["size"] for one in files), tree, tuple(ordered), is_folder=True)


@dataclass(frozen=True, slots=True)
class Agent:
    """Who is responsible."""

    name: str
    orcid: str | None
    #: whom to write to about the run
    contact: str | None


@dataclass(frozen=True, slots=True)
class Software:
    """A program that took part."""

    name: str
    version: str | None = None
    sha256: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """All there is to tell of a run, with discretion."""

    run: Run
    discretion: Discretion
    #: ``run.json``; empty while the run is open
    manifest: dict[str, Any]
    #: what it consumed, and what that was derived from, by key
    items: dict[str, Item]
    consumed: tuple[str, ...]
    #: what the answer of the cache lacks; empty if nothing
    lacking: str
    with_host: bool

    @property
    def facts(self) -> dict[str, Any]:
        """The run in a line."""
        return self.run.facts

    @property
    def title(self) -> str:
        """What people call it."""
        return self.discretion.text(self.run.name or f"{self.run.solver} {self.run.sim_id[:8]}")

    def said(self, name: str) -> str | None:
        """Return a text that was said of the run."""
        found = self.facts[name]
        return None if found is None else self.discretion.text(str(found))

    def moment(self, name: str) -> str | None:
        """Return when it began or ended."""
        return iso(self.facts[name])

    @property
    def error(self) -> str | None:
        """What went wrong, in a line."""
        if self.run.status == "interrupted":
            return "its process died before it was sealed"
        found = self.facts["error"]
        return None if found is None else self.discretion.error(str(found))

    @property
    def environment(self) -> dict[str, Any]:
        """What it was run with."""
        return dict(self.manifest.get("environment", {}))

    @property
    def host(self) -> str | None:
        """The machine, where it may be named."""
        return self.environment.get("hostname") if self.with_host else None

    @property
    def config(self) -> dict[str, Any] | None:
        """The configuration."""
        found = self.manifest.get("config")
        return None if found is None else dict(self.discretion.value(found))

    @property
    def outputs(self) -> list[Output]:
        """What it left behind, by path; a store of fields, which is many files, as one."""
        stores: dict[str, list[dict[str, Any]]] = {}
        for one in self.manifest.get("files", []):
            head, inside, _ = str(one["path"]).partition("/")
            stores.setdefault(head if inside and head.endswith(".zarr") else str(one["path"]), []).append(one)
        return [Output.of(path, files) for path, files in sorted(stores.items())]

    @property
    def parameters(self) -> list[tuple[str, Any, str | None]]:
        """Name, value and unit of each parameter, by name."""
        units = {_wide(one): one["unit"] for one in self.manifest.get("parameters", [])}
        values = self.run.parameters
        shown = self.discretion.names(sorted(values))
        return [(said, self.discretion.named(name, values[name]), units.get(name)) for name, said in shown.items()]

    @property
    def parent(self) -> str | None:
        """The run that it continues; one of which it is only a duplicate is not its cause."""
        kind = self.manifest.get("run", {}).get("lineage_kind")
        return None if kind == "duplicate" else self.facts["parent_sim_id"]

    @property
    def metrics(self) -> list[tuple[str, float, bool]]:
        """Name and value of each metric, by name, and whether it was measured while the run was made."""
        # repr, for NaN is not NaN; one that was corrected later is not what the run gave
        sealed = {(one["name"], repr(float(one["value"]))) for one in self.manifest.get("metrics", [])}
        found = sorted(self.run.metrics.items())
        return [(name, value, (name.partition("@")[0], repr(value)) in sealed) for name, value in found]

    @property
    def agent(self) -> Agent:
        """Who ran it."""
        name = str(self.facts["principal_id"] or "unknown")
        return Agent(name, orcid_of(name), self.facts["contact_email"])

    @property
    def solver(self) -> Software:
        """What computed it."""
        known = self.environment
        path, version = known.get("solver_binary_path"), known.get("solver_version_text")
        sha256 = known.get("solver_binary_sha256")
        shown = None if version is None else self.discretion.text(version)
        place = None if path is None else self.discretion.text(path)
        return Software(self.discretion.text(self.run.solver), shown, sha256, place)

    @property
    def software(self) -> list[Software]:
        """What it ran on: hmp, Python, other solvers that were said, and the packages that were installed."""
        known = self.environment
        if not known:
            return []
        more = known.get("additional_solvers") or {}
        others = [
            Software(self.discretion.text(str(name)), _version(self.discretion, more[name])) for name in sorted(more)
        ]
        packages = known.get("packages") or {}
        listed = [Software(name, packages[name]) for name in sorted(packages, key=str.lower)]
        return [Software("hmp", known["hmp_version"]), Software("Python", known["python_version"]), *others, *listed]


def _wide(parameter: Mapping[str, Any]) -> str:
    """Return the name under which a run gives a parameter."""
    zone = str(parameter["zone"])
    return str(parameter["name"]) if zone == "__global__" else f"{parameter['name']}::{zone}"


def _version(discretion: Discretion, said: Any) -> str | None:
    found = discretion.value(said)
    return found if isinstance(found, str) or found is None else json.dumps(found, sort_keys=True)


def orcid_of(name: str) -> str | None:
    """Return the ORCID iD that a user goes by, if it is one.

    Examples
    --------
    >>> orcid_of("https://orcid.org/0000-0002-1825-0097"), orcid_of("0000-0002-1825-0098"), orcid_of("anna")
    ('0000-0002-1825-0097', None, None)
    """
    found = _ORCID.fullmatch(name)
    if found is None:
        return None
    total = 0
    for digit in found[1][:-1].replace("-", ""):
        total = (total + int(digit)) * 2
    check = (12 - total % 11) % 11
    return found[1] if found[1][-1] == ("X" if check == 10 else str(check)) else None


def iso(moment: datetime | None) -> str | None:
    """Return a moment (UTC without a zone) as ISO 8601 to the millisecond, as RO-Crate's checkers know it.

    Examples
    --------
    >>> iso(datetime(2001, 1, 2, 3, 4, 5, 678901))
    '2001-01-02T03:04:05.678+00:00'
    """
    return None if moment is None else moment.replace(tzinfo=UTC).isoformat(timespec="milliseconds")


# ── gathering ────────────────────────────────────────────────────────────────────────────────────────


def tell(run: Run, *, host: bool = False) -> Told:
    """Gather what there is to tell of a run.

    Raises
    ------
    HmpError
        Whatever the catalog or the cache raises that cannot be asked: no half of a story is told.
    """
    manifest = {} if run.status in {"running", "interrupted"} else run.manifest
    # its owner is known before it is sealed, and with it what the machine is called
    owner = json.loads(run.facts["owner"] or "{}")
    name = manifest.get("environment", {}).get("hostname") or owner.get("host")
    discretion = Discretion(None if host else name)
    items: dict[str, Item] = {}
    said = [one for one in manifest.get("inputs", []) if one["role"] == "input"]
    if not said:
        return Told(run, discretion, manifest, items, (), "", host)
    recorded = [_recorded(one) for one in said]
    with opened(run.workspace, run.auth) as cache:
        origins = upstream_in(run.workspace, recorded, cache)
        for one, became in zip(said, origins.inputs, strict=True):
            item = _of_manifest(one, became, discretion)
            items[item.key] = item
        consumed = tuple(items)
        for key, version in origins.versions.items():
            # what the run consumed is told by its manifest, which does not change
            items[key] = _completed(items.get(key), _of_version(key, version, discretion))
        for one in [parent for version in origins.versions.values() for parent in version.parents]:
            unknown = Item(one.artifact_id, "", one.sha256 or "", "missing", one.variable or "")
            items.setdefault(one.artifact_id, unknown)
        if cache is not None:
            _purges(cache, items)
    return Told(run, discretion, manifest, items, consumed, origins.notice, host)


def _recorded(said: Mapping[str, Any]) -> Recorded:
    """Return an input as the bridge asks for it; not as a row of the catalog, which has one of each entry."""
    named = ("variable", "source", "sha256", "path", "entry_id", "artifact_id", "license")
    return Recorded(*(said[name] for name in named))


def _of_manifest(said: Mapping[str, Any], became: Consumed, discretion: Discretion) -> Item:
    named = {name: said[name] for name in ("path", "sha256", "variable", "source", "size", "unit", "license")}
    named["license"] = discretion.maybe(named["license"])
    found = Item(said["artifact_id"] or said["path"], state=became.state, uri=discretion.uri(said["uri"]), **named)
    if became.version is None:
        return found
    key = str(became.version.artifact_id)
    return replace(found, place=_place(became.version), same=None if key == found.key else key)


def _place(entry: Entry) -> Path | None:
    """Return where the bytes of a version lie; None where a link leads out of the workspace."""
    try:
        return entry.path
    except PathEscape:
        return None


def _of_version(key: str, version: Version, discretion: Discretion) -> Item:
    entry = version.entry
    # the first that was told of it: that the same bytes were confirmed later did not make them
    how = version.obtained[-1] if version.obtained else None
    found = Item(
        key=key,
        path=entry.relative_path,
        sha256=entry.sha256,
        state=version.state,
        variable=entry.variable,
        source=entry.source,
        size=entry.size,
        unit=entry.unit,
        license=discretion.maybe(entry.license),
        media_type=entry.media_type,
        uri=discretion.uri(entry.uri),
        at=entry.stored_at,
        parents=tuple(one.artifact_id for one in version.parents),
        place=_place(entry),
    )
    if how is None:
        return found
    return replace(
        found,
        license=discretion.maybe(how.license or entry.license),
        uri=discretion.uri(how.uri) or found.uri,
        at=how.fetched_at or entry.stored_at,
        tool=discretion.maybe(how.tool_name),
        tool_version=discretion.maybe(how.tool_version),
        parameters=dict(discretion.value(how.parameters or {})),
    )


def _completed(said: Item | None, known: Item) -> Item:
    names = ("media_type", "at", "tool", "tool_version", "parameters", "parents")
    if said is None:
        return known
    return replace(said, **{name: getattr(known, name) for name in names}, uri=said.uri or known.uri)


def _purges(cache: CacheReader, items: dict[str, Item]) -> None:
    """Say when bytes were purged: the clock of the event that says where they lie."""
    purged = [key for key, item in items.items() if item.state == "purged"]
    # a stamp is rank (1 digit), clock (16 hex digits, microseconds since 1970), id
    sql = (
        "SELECT CAST(id AS VARCHAR) AS id, substr(_stamp_place, 2, 16) AS clock FROM artifacts "
        "WHERE state = 'purged' AND list_contains($1, CAST(id AS VARCHAR))"
    )
    for row in cache.sql(sql, [purged]) if purged else ():
        moment = datetime.fromtimestamp(int(row["clock"], 16) / 1_000_000, UTC).replace(tzinfo=None)
        items[row["id"]] = replace(items[row["id"]], purged_at=moment)


def kept(run: Run, item: Item) -> Path | None:
    """Return where the bytes lie that a run consumed, if they are here and still these."""
    found = [item.place]
    with suppress(PathEscape):
        found += [from_relative(path, run.workspace) for path in places(item.path, item.sha256)]
    there = (place for place in found if place is not None and place.exists())
    return next((place for place in there if sha256_path(place) == item.sha256), None)
