"""A run as a Workflow Run RO-Crate: its files, and a description that any reader of RO-Crates understands.

The profile is the Process Run Crate (https://w3id.org/ro/wfrun/process/0.5), for a run is one execution of a program:
a ``CreateAction`` whose ``instrument`` is the solver, whose ``object`` are inputs and parameters, and whose ``result``
are the files and metrics. The entities are made with ``rocrate`` (extra ``[export]``); what lies in a crate is written
by `hydromodpy.exports.writing`.

Version 0.6 of the profile stands on RO-Crate 1.3, which demands the address and the version of every program: nobody
records the address of a solver, so that a crate of ours would not be one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from hmp_core.errors import MissingPart
from hmp_core.identity import sha256_file
from hmp_core.paths import to_local
from hydromodpy.exports.discretion import is_web
from hydromodpy.exports.told import Item, Output, Software, Told, iso, kept, tell
from hydromodpy.exports.writing import Member, checksums, require_free, write

if TYPE_CHECKING:
    from rocrate.model.contextentity import ContextEntity
    from rocrate.rocrate import ROCrate
    from upath import UPath

    from hmp_catalog import Run

#: Version of the profile, and of RO-Crate that it stands on.
_PROFILE, _CRATE = "0.5", "1.1"
_TERMS = {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}
_STATUS = {"completed": "Completed", "partial": "Completed", "running": "Active"}
_FORMATS = {
    ".parquet": "application/vnd.apache.parquet",
    ".csv": "text/csv",
    ".json": "application/json",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".nc": "application/netcdf",
    ".tif": "image/tiff",
}
#: Of the form of an SPDX identifier (https://spdx.org/licenses), as "CC-BY-4.0" or "etalab-2.0".
_SPDX = re.compile(r"[A-Za-z][A-Za-z0-9.]*(-[A-Za-z0-9.+]+)+|MIT|ISC|Zlib|0BSD|Unlicense")
_CHECKSUMS, _CONFIG, _METADATA = "sha256.txt", "configuration.json", "ro-crate-metadata.json"


def ro_crate(
    run: Run,
    target: str | Path | UPath,
    *,
    license: str | None = None,  # noqa: A002 - the word of RO-Crate
    with_inputs: bool = False,
    host: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write a run into an RO-Crate.

    Parameters
    ----------
    run
        The run; one that failed or lies in the trash too. Of one that was interrupted there is a description, and no
        files.
    target
        A ZIP if it ends in ``.zip``, else a folder that is not there yet.
    license
        Of the crate as a whole: an SPDX identifier as "CC-BY-4.0", or an address.
    with_inputs
        Take the bytes of the inputs along, where they still are what was consumed. The crate names the others.
    host
        Name the machine it ran on.
    overwrite
        Replace a file of that name.

    Returns
    -------
    Path
        The target.

    Raises
    ------
    MissingPart
        If rocrate is not installed.
    PathTaken, PathNotFound
        If something is there already, or the folder above is not.
    CorruptError
        If a file of the run is not as it was sealed; nothing is left behind.
    """
    told = tell(run, host=host)
    return crate_of(told, target, license=license, with_inputs=with_inputs, overwrite=overwrite)


def crate_of(
    told: Told,
    target: str | Path | UPath,
    *,
    license: str | None,  # noqa: A002 - the word of RO-Crate
    with_inputs: bool,
    overwrite: bool,
) -> Path:
    """Write what was gathered of a run into an RO-Crate; see `ro_crate`."""
    where = to_local(target)
    require_free(where, overwrite=overwrite)
    content = _Content(told, license, with_inputs=with_inputs)
    write(where, content.members(), overwrite=overwrite)
    return where


def _rocrate() -> ROCrate:
    try:
        from rocrate.rocrate import ROCrate
    except ImportError as error:
        message = "a crate is made with rocrate: install hmp-hydromodpy[export]"
        raise MissingPart(message, install="hmp-hydromodpy[export]") from error
    return ROCrate(version=_CRATE)


class _Content:
    """What is in the crate of a run: the description as it grows, and the files."""

    def __init__(self, told: Told, license_: str | None, *, with_inputs: bool) -> None:
        self.told, self.with_inputs = told, with_inputs
        self.crate = _rocrate()
        self.crate.metadata.extra_terms.update(_TERMS)
        #: by path, for an input may lie in a folder that is another
        self.files: dict[str, Member] = {}
        self.folders: list[str] = []
        #: inputs by key, and what of them does not lie in it, with the reason
        self.inputs: dict[str, Any] = {}
        self.absent: list[str] = []
        self._license = license_

    def members(self) -> list[Member]:
        """Return the files of the crate, its description first."""
        action = self._action()
        self._root(action)
        sums = Member.made(_CHECKSUMS, checksums([one for _, one in sorted(self.files.items())]))
        self._file(sums, {"name": "SHA-256 of every file, for `sha256sum --check`", "encodingFormat": "text/plain"})
        data = json.dumps(self.crate.metadata.generate(), ensure_ascii=False, allow_nan=False, indent=1, sort_keys=True)
        folders = [Member.made(path, b"") for path in self.folders]
        inside = sorted([*folders, *self.files.values()], key=lambda one: one.path)
        return [Member.made(_METADATA, (data + "\n").encode()), *inside]

    # ── entities ─────────────────────────────────────────────────────────────────────────────────────

    def _add(self, name: str, kind: str, properties: dict[str, Any]) -> ContextEntity:
        """Return a contextual entity, added once."""
        from rocrate.model.contextentity import ContextEntity

        known = self.crate.dereference(name)
        if known is not None:
            return known
        return self.crate.add(ContextEntity(self.crate, name, properties={"@type": kind} | _some(properties)))

    def _file(self, member: Member, properties: dict[str, Any]) -> Any:
        """Return a file of the crate."""
        self.files.setdefault(member.path, member)
        said = {"contentSize": str(member.size), "sha256": member.sha256}
        return self.crate.add_file(None, member.path, properties=said | _some(properties))

    def _folder(self, path: str, members: Sequence[Member], properties: dict[str, Any]) -> Any:
        """Return a folder of the crate."""
        for one in members:
            self.files.setdefault(one.path, one)
        self.folders.append(f"{path}/")
        return self.crate.add_dataset(None, f"{path}/", properties=_some(properties))

    def _licence(self, said: str | None) -> Any:
        """Return a licence: an address as it is, an SPDX identifier by its page, other words as a name."""
        if said is None:
            return None
        if is_web(said):
            return self._add(said, "CreativeWork", {"name": urlsplit(said).netloc + urlsplit(said).path})
        if _SPDX.fullmatch(said):
            return self._add(f"https://spdx.org/licenses/{said}", "CreativeWork", {"name": said, "identifier": said})
        return self._add(f"#license/{quote(said, safe='')}", "CreativeWork", {"name": said})

    def _value(self, group: str, name: str, value: Any, unit: str | None = None) -> Any:
        """Return a parameter or a metric; NaN and the like, which JSON does not know, and what has parts, as text."""
        shown = str(value) if isinstance(value, float) and value - value != 0 else value
        if isinstance(value, (list, Mapping)):  # rocrate would take the parts for entities
            shown = json.dumps(value, ensure_ascii=False, sort_keys=True)
        said = {"name": name, "value": shown, "unitText": unit}
        return self._add(f"#{group}/{quote(name, safe='')}", "PropertyValue", said)

    def _root(self, action: Any) -> None:
        told, root = self.told, self.crate.root_dataset
        facts = told.facts
        profile = {"name": "Process Run Crate", "version": _PROFILE}
        parent = told.parent
        based = {"name": f"run {parent}", "description": "the run that this one continues"}
        later = [self._value("metric", name, value) for name, value, sealed in told.metrics if not sealed]
        said = {
            "name": told.title,
            "description": self._description(),
            "datePublished": told.moment("ended_at") or told.moment("created_at"),
            "conformsTo": self._add(f"https://w3id.org/ro/wfrun/process/{_PROFILE}", "CreativeWork", profile),
            "mentions": [action, *self._derivations()],
            "author": self._agent(),
            "license": self._licence(self._license),
            "keywords": ", ".join(told.discretion.text(tag) for tag in told.run.tags) or None,
            "identifier": facts["doi"],
            "isBasedOn": None if parent is None else self._add(f"urn:uuid:{parent}", "CreativeWork", based),
            # measured after the run had ended, which therefore did not make it
            "variableMeasured": later,
        }
        for name, value in _some(said).items():
            root[name] = value

    def _description(self) -> str:
        told = self.told
        said = [
            f"Run {told.run.sim_id} of {told.solver.name}, {told.run.status}.",
            told.said("description"),
            told.said("scientific_objective"),
            "It lies in the trash of its project." if told.facts["trashed_at"] else None,
            f"The crate does not contain: {'; '.join(self.absent)}." if self.absent else None,
        ]
        return " ".join(one for one in said if one)

    def _action(self) -> Any:
        told = self.told
        inputs = [self._input(told.items[key]) for key in told.consumed]
        known = f" on {told.host}" if told.host else ""
        said = {
            "name": f"run of {told.title}",
            "description": f"{told.solver.name} of project {told.said('project')}{known}, {told.run.status}",
            "instrument": self._instruments(),
            "agent": self._agent(),
            "object": [*inputs, *self._parameters()],
            "result": [*map(self._output, told.outputs), *self._metrics()],
            "startTime": told.moment("started_at"),
            "endTime": told.moment("ended_at"),
            "actionStatus": f"http://schema.org/{_STATUS.get(told.run.status, 'Failed')}ActionStatus",
            "error": told.error if told.run.status not in _STATUS else None,
        }
        return self._add(f"urn:uuid:{told.run.sim_id}", "CreateAction", said)

    def _parameters(self) -> list[Any]:
        found = [self._value("parameter", name, value, unit) for name, value, unit in self.told.parameters]
        if self.told.facts["seed"] is not None:
            found.append(self._value("seed", "seed of random numbers", self.told.facts["seed"]))
        config = self.told.config
        if config is not None:
            data = (json.dumps(config, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()
            said = {"name": "configuration", "encodingFormat": "application/json"}
            found.append(self._file(Member.made(_CONFIG, data), said))
        return found

    def _metrics(self) -> list[Any]:
        return [self._value("metric", name, value) for name, value, sealed in self.told.metrics if sealed]

    # ── who and with what ────────────────────────────────────────────────────────────────────────────

    def _agent(self) -> Any:
        who = self.told.agent
        name = f"https://orcid.org/{who.orcid}" if who.orcid else f"#person/{quote(who.name, safe='')}"
        contact = None
        if who.contact:
            contact = self._add(f"mailto:{quote(who.contact, safe='@')}", "ContactPoint", {"email": who.contact})
        return self._add(name, "Person", {"name": who.name, "contactPoint": contact})

    def _instruments(self) -> list[Any]:
        known = self.told.environment
        programs = [self._software(one) for one in self.told.software]
        solver = self._software(self.told.solver, softwareRequirements=programs)
        commit = known.get("git_commit")
        if commit is None:
            return [solver]
        changed = "with changes that were not committed" if known.get("git_dirty") else None
        said = {"name": "code of the run", "version": commit, "description": changed}
        return [solver, self._add(f"#code/{commit}", "SoftwareSourceCode", said)]

    def _software(self, one: Software, **more: Any) -> Any:
        parts = [one.name, *(part for part in (one.version, one.sha256) if part)]
        said = {"name": one.name, "softwareVersion": one.version, "sha256": one.sha256}
        address = "https://www.python.org/" if one.name == "Python" else None
        said |= {"url": address, "description": f"program {one.path}" if one.path else None}
        name = "#software/" + "/".join(quote(part, safe="") for part in parts)
        return self._add(name, "SoftwareApplication", said | more)

    # ── what went in ─────────────────────────────────────────────────────────────────────────────────

    def _input(self, item: Item) -> Any:
        """Return an input, with all that it was made of, however far back: a series may have grown day by day."""
        waiting = [] if item.key in self.inputs else [item]
        found = self._known(item)
        for each in waiting:  # grows while it is gone through; nothing comes twice, so that a circle ends
            for key in (*each.parents, *([each.same] if each.same else [])):
                if key not in self.inputs:
                    self._known(self.told.items[key])
                    waiting.append(self.told.items[key])
            based = [self.inputs[key] for key in each.parents]
            based += [self._upstream(each)] if each.uri is not None else []
            same = self.inputs[each.same] if each.same else None
            for name, value in _some({"isBasedOn": based, "sameAs": same}).items():
                self.inputs[each.key][name] = value
        return found

    def _known(self, item: Item) -> Any:
        """Return an input: as part of the crate where its bytes go along, else as something known by its hash."""
        if item.key in self.inputs:
            return self.inputs[item.key]
        consumed = item.key in self.told.consumed
        place = kept(self.told.run, item) if self.with_inputs and consumed else None
        if place is None:
            said = {"sha256": item.sha256 or None, "contentSize": None if item.size is None else str(item.size)}
            found = self._add(_identity(item), "CreativeWork", self._about(item) | said)
            self.absent += [f"{item.path} ({_why(item, asked=self.with_inputs)})"] if consumed else []
        else:
            found = self._along(f"inputs/{item.path}", place, item)
        self.inputs[item.key] = found
        return found

    def _along(self, path: str, place: Path, item: Item) -> Any:
        said = self._about(item) | {"identifier": _identity(item)}
        if not place.is_dir():
            return self._file(Member(path, lambda: place.open("rb"), place.stat().st_size, item.sha256), said)
        inside = sorted(one for one in place.rglob("*") if one.is_file())
        return self._folder(path, [_copied(f"{path}/{one.relative_to(place).as_posix()}", one) for one in inside], said)

    def _about(self, item: Item) -> dict[str, Any]:
        return {
            "name": item.label,
            "description": f"{item.state} when the crate was made",
            "license": self._licence(item.license),
            "encodingFormat": item.media_type or _format(item.path),
            "dateCreated": iso(item.at),
            "creativeWorkStatus": item.state,
        }

    def _upstream(self, item: Item) -> Any:
        address = item.uri if is_web(item.uri) else None
        # a file of this machine is known by its name alone, which another file may have
        name = address or f"#source/{quote(item.key, safe='')}"
        said = {"name": item.uri, "url": address, "description": f"where {item.path} came from"}
        return self._add(name, "CreativeWork", said)

    def _derivations(self) -> list[Any]:
        """Return what derived inputs from others, where the program that did is known."""
        found = []
        for item in self.told.items.values():
            if item.parents and item.tool:
                program = self._software(Software(item.tool, item.tool_version))
                name = f"derivation of {item.label}"
                parents = [self._input(self.told.items[key]) for key in item.parents]
                values = [self._value(f"derivation/{item.key}", n, v) for n, v in sorted(item.parameters.items())]
                said = {"name": name, "description": name, "instrument": program, "object": [*parents, *values]}
                said |= {"result": [self._input(item)], "endTime": iso(item.at)}
                found.append(self._add(f"#derivation/{item.key}", "CreateAction", said))
        return found

    # ── what came out ────────────────────────────────────────────────────────────────────────────────

    def _output(self, one: Output) -> Any:
        run = self.told.run
        said = {"name": f"{one.kind or 'file'} ({one.path})"}
        members = [_output_of(run, file) for file in one.files]
        if not one.is_folder:
            return self._file(members[0], said | {"encodingFormat": _format(one.path)})
        more = {"description": f"{len(members)} files, whose hashes are in {_CHECKSUMS}", "contentSize": str(one.size)}
        return self._folder(one.path, members, said | more)


def _output_of(run: Run, said: dict[str, Any]) -> Member:
    path = str(said["path"])
    return Member(path, lambda: run.open(path), int(said["size"]), str(said["sha256"]))


def _format(path: str) -> str:
    """Return what a file is by its name; the tables of the system, which differ, are not asked."""
    return _FORMATS.get(Path(path).suffix.lower(), "application/octet-stream")


def _copied(path: str, file: Path) -> Member:
    return Member(path, lambda: file.open("rb"), file.stat().st_size, sha256_file(file))


def _some(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return properties without those that say nothing; one thing stands for itself, not as a list of one."""
    single = {name: one[0] if isinstance(one, list) and len(one) == 1 else one for name, one in properties.items()}
    return {name: one for name, one in single.items() if one is not None and one != []}


def _identity(item: Item) -> str:
    """Return the name of an input: that of its version, or for a plain file its path within this run."""
    return f"urn:uuid:{item.key}" if item.key != item.path else f"#input/{quote(item.path, safe='')}"


def _why(item: Item, *, asked: bool) -> str:
    if item.state in {"purged", "missing", "modified"}:
        return f"{item.state}, SHA-256 {item.sha256}"
    return f"not as it was consumed any more, SHA-256 {item.sha256}" if asked else f"SHA-256 {item.sha256}"
