"""A run as W3C PROV: entities, activities and agents, in PROV-JSON.

The words are those of the recommendation (https://www.w3.org/TR/prov-dm/), the form that of the member submission
(https://www.w3.org/submissions/prov-json/): a version of an input is an entity, a run an activity, so is whatever
obtained or derived an input; the user and the programs are agents. What PROV has no word for is said with schema.org,
what that has none for with ``hmp:``. The names of things are made of their ids, so that documents of several runs, also
of several workspaces, can be put together: what is the same has the same name in both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hydromodpy.exports.discretion import is_web
from hydromodpy.exports.told import Item, Software, Told, iso, tell

if TYPE_CHECKING:
    from hmp_catalog import Run

_PREFIXES = {
    "uuid": "urn:uuid:",
    "hmp": "urn:x-hmp:",
    "orcid": "https://orcid.org/",
    "schema": "http://schema.org/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
#: In the order in which they are written.
_KINDS = (
    "entity", "activity", "agent", "used", "wasGeneratedBy", "wasDerivedFrom", "wasAssociatedWith", "wasAttributedTo",
    "actedOnBehalfOf", "wasInformedBy", "wasInfluencedBy", "wasInvalidatedBy", "alternateOf",
)  # fmt: skip


def prov(runs: Run | Iterable[Run], *, host: bool = False) -> dict[str, Any]:
    """Return the lineage of one or several runs as a PROV-JSON document.

    Parameters
    ----------
    runs
        The runs; also one that failed, was interrupted, or lies in the trash.
    host
        Name the machine it ran on.

    Returns
    -------
    dict
        What ``json.dumps`` writes; the same runs always give the same, until something more is said of them or becomes
        of their inputs.

    Raises
    ------
    BusyError, AccessDenied, CorruptError, PathNotFound
        If the catalog or the cache cannot be asked, or the manifest of a run is missing or damaged.
    """
    several = runs if isinstance(runs, Iterable) else [runs]
    return document_of([tell(run, host=host) for run in several])


def document_of(stories: Sequence[Told]) -> dict[str, Any]:
    """Return what was gathered of runs as a document; see `prov`."""
    document = Document()
    for told in stories:
        _Story(document, told).write()
    return document.as_dict()


def text(document: Mapping[str, Any]) -> str:
    """Return a document as the text of a file."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


class Document:
    """What has been said: kind -> name -> attributes. A thing is said once; a relation has no name of its own."""

    def __init__(self) -> None:
        self._said: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in _KINDS}
        self._relations: set[str] = set()

    def has(self, kind: str, name: str) -> bool:
        """Return whether a thing was said."""
        return name in self._said[kind]

    def say(self, kind: str, name: str, attributes: Mapping[str, Any]) -> str:
        """Say a thing, or more of it, without attributes that are None; return its name."""
        told = {key: value for key, value in attributes.items() if value is not None}
        self._said[kind][name] = self._said[kind].get(name, {}) | told
        return name

    def relate(self, kind: str, attributes: Mapping[str, Any]) -> None:
        """Say how things are related."""
        told = {key: value for key, value in attributes.items() if value is not None}
        known = json.dumps([kind, told], sort_keys=True)
        if known not in self._relations:
            self._relations.add(known)
            self._said[kind][f"_:{kind}{len(self._said[kind]) + 1}"] = told

    def as_dict(self) -> dict[str, Any]:
        """Return the document."""
        return {"prefix": dict(_PREFIXES)} | {kind: dict(said) for kind, said in self._said.items() if said}


# ── words ────────────────────────────────────────────────────────────────────────────────────────────


def _typed(value: Any, kind: str) -> dict[str, str] | None:
    return None if value is None else {"$": str(value), "type": kind}


def _name(value: str) -> dict[str, str]:
    return {"$": value, "type": "xsd:QName"}


def _plain(value: Any) -> Any:
    """Return the value of a parameter or a metric as PROV-JSON has it: text as it is, numbers with every digit."""
    if isinstance(value, bool):
        return _typed(str(value).lower(), "xsd:boolean")
    if isinstance(value, int):
        return _typed(value, "xsd:integer")
    if isinstance(value, float):
        odd = {"nan": "NaN", "inf": "INF", "-inf": "-INF"}
        return _typed(odd.get(repr(value), repr(value)), "xsd:double")
    if isinstance(value, (list, Mapping)):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return "" if value is None else str(value)


def _part(value: str) -> str:
    """Return a text as it stands in a name."""
    return quote(value, safe="/")


class _Story:
    """What is said of one run in a document."""

    def __init__(self, document: Document, told: Told) -> None:
        self.document, self.told = document, told
        self.activity = f"uuid:{told.run.sim_id}"

    def write(self) -> None:
        """Say all of it."""
        self._run()
        self._agents()
        for key in self.told.consumed:
            self._relate("used", "prov:entity", self._entity(self.told.items[key]))
        for item in self.told.items.values():
            self._origin(item)
        self._parameters()
        self._results()

    def _relate(self, kind: str, word: str, other: str, **more: Any) -> None:
        """Relate the run to a thing."""
        self.document.relate(kind, {"prov:activity": self.activity, word: other} | more)

    def _run(self) -> None:
        told = self.told
        attributes = {
            "prov:startTime": told.moment("started_at"),
            "prov:endTime": told.moment("ended_at"),
            "prov:label": told.title,
            "prov:type": _name("hmp:Run"),
            "prov:location": told.host,
            "hmp:status": told.run.status,
            "hmp:project": told.said("project"),
            "hmp:contact": told.agent.contact,
            "hmp:error": told.error,
            "hmp:trashed": _typed("true", "xsd:boolean") if told.facts["trashed_at"] else None,
            "schema:description": told.said("description"),
            "schema:keywords": [told.discretion.text(tag) for tag in told.run.tags] or None,
            "schema:identifier": told.facts["doi"],
        }
        self.document.say("activity", self.activity, attributes)
        if told.parent is not None:
            informant = self.document.say("activity", f"uuid:{told.parent}", {"prov:type": _name("hmp:Run")})
            self.document.relate("wasInformedBy", {"prov:informed": self.activity, "prov:informant": informant})

    # ── who and with what ────────────────────────────────────────────────────────────────────────────

    def _agents(self) -> None:
        who = self.told.agent
        name = f"orcid:{who.orcid}" if who.orcid else f"hmp:person/{quote(who.name, safe='')}"
        said = {"prov:label": who.name, "prov:type": _name("prov:Person")}
        person = self.document.say("agent", name, said)
        plan = self._plan()
        self._relate("wasAssociatedWith", "prov:agent", person, **{"prov:plan": plan})
        for one in (self.told.solver, *self.told.software[:2]):
            program = self._software(one)
            self._relate("wasAssociatedWith", "prov:agent", program, **{"prov:plan": plan})
            responsible = {"prov:delegate": program, "prov:responsible": person, "prov:activity": self.activity}
            self.document.relate("actedOnBehalfOf", responsible)
        packages = [f"{one.name} {one.version}" for one in self.told.software[2:]]
        if packages:
            environment = {
                "prov:label": "installed packages",
                "prov:type": _name("hmp:Environment"),
                "hmp:platform": self.told.environment.get("platform"),
                "hmp:package": packages,
            }
            used = self.document.say("entity", f"{self.activity}#environment", environment)
            self._relate("used", "prov:entity", used)

    def _software(self, one: Software) -> str:
        parts = [one.name, *(part for part in (one.version, one.sha256) if part)]
        name = "hmp:software/" + "/".join(quote(part, safe="") for part in parts)
        attributes = {
            "prov:label": one.name,
            "prov:type": _name("prov:SoftwareAgent"),
            "schema:softwareVersion": one.version,
            "schema:sha256": one.sha256,
            "prov:location": one.path,
        }
        return self.document.say("agent", name, attributes)

    def _plan(self) -> str | None:
        """Say by what the run went: configuration and code."""
        known, config = self.told.environment, self.told.config
        if config is None and known.get("git_commit") is None:
            return None
        attributes = {
            "prov:type": _name("prov:Plan"),
            "prov:label": f"configuration and code of {self.told.title}",
            "prov:value": None if config is None else json.dumps(config, ensure_ascii=False, sort_keys=True),
            "hmp:configHash": self.told.facts["config_hash"],
            "hmp:gitCommit": known.get("git_commit"),
            "hmp:gitDirty": None if known.get("git_dirty") is None else _plain(known["git_dirty"]),
            "hmp:projectGitCommit": known.get("project_git_commit"),
        }
        return self.document.say("entity", f"{self.activity}#plan", attributes)

    # ── what went in ─────────────────────────────────────────────────────────────────────────────────

    def _entity(self, item: Item) -> str:
        """Say a version of an input; a plain file is known by its path, within this run alone."""
        name = f"uuid:{item.key}" if item.key != item.path else f"{self.activity}#inputs/{_part(item.path)}"
        attributes = {
            "prov:label": item.label,
            "prov:type": _name("hmp:Input"),
            "prov:location": item.path or None,
            "hmp:state": item.state,
            "hmp:source": item.source or None,
            "schema:variableMeasured": item.variable or None,
            "schema:unitText": item.unit,
            "schema:sha256": item.sha256 or None,
            "schema:contentSize": _typed(item.size, "xsd:long"),
            "schema:encodingFormat": item.media_type,
            "schema:license": item.license,
        }
        return self.document.say("entity", name, attributes)

    def _origin(self, item: Item) -> None:
        """Say how an input was obtained or derived, from what, and whether its bytes were purged."""
        known = self.document.has("activity", f"hmp:obtained/{item.key}")
        entity = self._entity(item)
        upstream = self._upstream(item)
        if item.at is not None and not known:
            upstream = [*upstream, *(self._entity(self.told.items[key]) for key in item.parents)]
            self._obtained(item, entity, upstream)
        elif item.at is None:
            for source in upstream:
                self.document.relate("wasDerivedFrom", _derivation(entity, source, primary=True))
        if item.same is not None:
            other = self._entity(self.told.items[item.same])
            self.document.relate("alternateOf", {"prov:alternate1": entity, "prov:alternate2": other})
        if item.state == "purged":
            self.document.relate("wasInvalidatedBy", {"prov:entity": entity, "prov:time": iso(item.purged_at)})

    def _upstream(self, item: Item) -> list[str]:
        """Say where an input came from outside: an address, or the file of somebody, of which the name is known."""
        if item.uri is None:
            return []
        # a file of this machine is known by its name alone, which another file may have
        known = hashlib.sha256(item.uri.encode()).hexdigest()[:32] if is_web(item.uri) else _part(item.key)
        name = f"hmp:source/{known}"
        attributes = {
            "prov:label": item.uri,
            "prov:type": _name("hmp:Upstream"),
            "schema:url": _typed(item.uri, "xsd:anyURI") if is_web(item.uri) else None,
            "schema:publisher": item.source or None,
        }
        return [self.document.say("entity", name, attributes)]

    def _obtained(self, item: Item, entity: str, origins: list[str]) -> None:
        moment = iso(item.at)
        kind, label = ("hmp:Derivation", "derived") if item.parents else ("hmp:Acquisition", "obtained")
        attributes = {"prov:endTime": moment, "prov:label": f"{label} {item.label}", "prov:type": _name(kind)}
        attributes |= {f"hmp:parameter/{_part(name)}": _plain(value) for name, value in sorted(item.parameters.items())}
        activity = self.document.say("activity", f"hmp:obtained/{item.key}", attributes)
        if item.tool:
            program = self._software(Software(item.tool, item.tool_version))
            self.document.relate("wasAssociatedWith", {"prov:activity": activity, "prov:agent": program})
        generated = {"prov:entity": entity, "prov:activity": activity, "prov:time": moment}
        self.document.relate("wasGeneratedBy", generated)
        for origin in origins:
            self.document.relate("used", {"prov:activity": activity, "prov:entity": origin})
            said = _derivation(entity, origin, primary=origin.startswith("hmp:source/"))
            self.document.relate("wasDerivedFrom", said | {"prov:activity": activity})

    def _parameters(self) -> None:
        said: list[tuple[str, Any, str | None]] = [*self.told.parameters]
        if self.told.facts["seed"] is not None:
            said.append(("seed of random numbers", self.told.facts["seed"], None))
        for name, value, unit in said:
            attributes = {
                "prov:label": name,
                "prov:type": _name("hmp:Parameter"),
                "prov:value": _plain(value),
                "schema:unitText": unit,
            }
            parameter = f"{self.activity}#parameter/{quote(name, safe='')}"
            self._relate("used", "prov:entity", self.document.say("entity", parameter, attributes))

    # ── what came out ────────────────────────────────────────────────────────────────────────────────

    def _results(self) -> None:
        for one in self.told.outputs:
            attributes = {
                "prov:label": one.path,
                "prov:type": [_name("hmp:Output"), *([_name("prov:Collection")] if one.is_folder else [])],
                "hmp:kind": one.kind or None,
                "hmp:files": _typed(len(one.files), "xsd:long") if one.is_folder else None,
                "hmp:treeSha256" if one.is_folder else "schema:sha256": one.sha256,
                "schema:contentSize": _typed(one.size, "xsd:long"),
            }
            self._generated(f"{self.activity}#files/{_part(one.path)}", attributes)
        for name, value, sealed in self.told.metrics:
            attributes = {"prov:label": name, "prov:type": _name("hmp:Metric"), "prov:value": _plain(value)}
            metric = f"{self.activity}#metric/{quote(name, safe='')}"
            if sealed:
                self._generated(metric, attributes)
            else:  # measured after the run had ended, which therefore did not make it
                self.document.say("entity", metric, attributes)
                influence = {"prov:influencee": metric, "prov:influencer": self.activity}
                self.document.relate("wasInfluencedBy", influence)

    def _generated(self, name: str, attributes: Mapping[str, Any]) -> None:
        entity = self.document.say("entity", name, attributes)
        self._relate("wasGeneratedBy", "prov:entity", entity, **{"prov:time": self.told.moment("ended_at")})


def _derivation(entity: str, origin: str, *, primary: bool) -> dict[str, Any]:
    kind = _name("prov:PrimarySource") if primary else None
    said = {"prov:generatedEntity": entity, "prov:usedEntity": origin, "prov:type": kind}
    return {key: value for key, value in said.items() if value is not None}
