"""Pipeline templates: configurations worth keeping, by category and name, as files that people can read."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hmp_catalog.experiments import templates
from hmp_catalog.experiments.operators import fitting
from hmp_catalog.experiments.schema import COMPONENT, DATABASE
from hmp_catalog.experiments.templates import METADATA, PIPELINE, README, cleaned
from hmp_catalog.experiments.values import kept
from hmp_catalog.plain import mapping, plain, word
from hmp_core.databases import Database
from hmp_core.durable import make_folder, refusal, write_atomic
from hmp_core.errors import (
    AmbiguousReference,
    CorruptError,
    HmpError,
    InvalidInput,
    PathEscape,
    PathNotFound,
    PathTaken,
)
from hmp_core.layout import internal_folder
from hmp_core.locks import DEFAULT_TIMEOUT, database_lock
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from upath import UPath

    from hmp_core.protocols.auth import AuthBackend

_NAME, _CATEGORY = "the name of a template", "the category of a template"


class PipelineLibrary:
    """The templates of a workspace, in ``library/<category>/<name>/`` of its folder.

    A template is there as a whole or not at all, whatever dies meanwhile. Two processes may write at once.

    Parameters
    ----------
    workspace_path : str, Path or UPath
        The folder of the experiments store; a project, a workspace or any folder. It need not be there yet.
    auth : AuthBackend, optional
        Who decides what the user may do here; by default the authority of the workspace.
    timeout : float
        Seconds to wait for another process that is writing.

    Notes
    -----
    Names and categories are compared as their folders are called: lower case, ``_`` for blanks, without the signs
    ``< > : " | ? *``. "My PLS*" and "my pls" would have one folder, so the second of them is refused.

    Examples
    --------
    >>> library = PipelineLibrary("spectra")
    >>> saved = library.save_template({"steps": ["scale", "pls"]}, "optimized PLS", category="regression", tags=["pls"])
    >>> saved.parts[-3:]
    ('library', 'regression', 'optimized_pls')
    >>> library.load_template("optimized PLS")
    {'steps': ['scale', 'pls']}
    >>> [each["name"] for each in library.list_templates(tags=["pls", "forest"])]
    ['optimized PLS']
    """

    def __init__(
        self,
        workspace_path: str | Path | UPath,
        *,
        auth: AuthBackend | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        folder = to_local(workspace_path)
        self._database = Database(COMPONENT, folder / DATABASE)
        self._lock = internal_folder(folder / DATABASE) / "library"
        self._auth = auth
        self._timeout = timeout
        self._path = folder / "library"

    @property
    def path(self) -> Path:
        """Where the templates lie."""
        return self._path

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────

    def save_template(
        self,
        pipeline_config: Any,
        name: str,
        category: str = "general",
        description: str = "",
        tags: Iterable[str] | None = None,
        metrics: Mapping[str, Any] | None = None,
        notes: str = "",
        *,
        overwrite: bool = False,
    ) -> Path:
        """Keep a pipeline under a name and return its folder.

        Parameters
        ----------
        pipeline_config : object
            Steps as plain values, or estimators, which are kept as their class and parameters (see `build`).
        name, category : str
            What it is called, and among which.
        description, notes : str
            What it is for, and anything else.
        tags : iterable of str, optional
            What `list_templates` finds it by.
        metrics : mapping, optional
            How good it was.
        overwrite : bool
            Replace the template of the same name; when it was first saved is kept.

        Raises
        ------
        PathTaken
            If there is one of that name, or another that would have the same folder: that one is named, and
            ``overwrite`` does not replace it.
        InvalidInput
            For a name or category that would lead out of the library or leaves nothing, or values that cannot be kept.
        """
        said = {"description": description, "tags": tags, "metrics": metrics, "notes": notes}
        about = _described(name, category, **said)
        return self._save(about, kept(pipeline_config, "pipeline_config"), overwrite=overwrite)

    def import_template(
        self, import_path: str | Path | UPath, category: str | None = None, *, overwrite: bool = False
    ) -> Path:
        """Take a template from a file that `export_template` wrote, and return its folder.

        Parameters
        ----------
        import_path : str, Path or UPath
            The file.
        category : str, optional
            Where to put it; by default the category that it had.
        overwrite : bool
            Replace the template of the same name.

        Raises
        ------
        PathNotFound
            If there is no such file.
        ArchiveInvalid
            If it is no template, or was changed since it was exported; nothing was imported.
        PathTaken
            If there is one of that name.
        """
        path = to_local(import_path)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            message = f"{path}: no such file"
            raise PathNotFound(message, path=str(path)) from error
        except OSError as error:
            raise refusal(error) from error
        said, pipeline = templates.unsealed(data, path)
        known = {key: said.get(key) for key in ("description", "tags", "metrics", "notes", "created_at", "modified_at")}
        about = _described(said.get("name"), category or said.get("category"), **known)
        return self._save(about, pipeline, overwrite=overwrite)

    def delete_template(self, name: str, category: str | None = None) -> None:
        """Remove a template, also a damaged one.

        Raises
        ------
        PathNotFound
            If there is none of that name.
        AmbiguousReference
            If several categories have one and none was said.
        """
        with self._writing():
            folder = self._found(name, category)
            templates.sweep(folder.parent)
            templates.remove(folder)

    def _save(self, about: dict[str, Any], pipeline: Any, *, overwrite: bool) -> Path:
        folder = self._category(about["category"]) / cleaned(about["name"], _NAME)
        with self._writing():
            templates.sweep(folder.parent)
            if templates.exists(folder):
                former = _require_same(folder, about["name"], overwrite=overwrite)
                about["created_at"] = former.get("created_at") or about["created_at"]
            files = {PIPELINE: templates.encoded(pipeline), METADATA: templates.encoded(about)}
            templates.put(folder, files | {README: templates.readme(about)})
        return folder

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Keep every other writer of this library out for the block."""
        self._authorize("write")
        make_folder(self._lock.parent)
        with database_lock(self._lock).hold(self._timeout):
            yield

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────

    def load_template(self, name: str, category: str | None = None) -> Any:
        """Return the pipeline of a template, as plain values; `build` makes estimators of them.

        Raises
        ------
        PathNotFound
            If there is none of that name.
        AmbiguousReference
            If several categories have one and none was said.
        CorruptError
            If its file is damaged.
        """
        return self._read(name, category, PIPELINE)[0]

    def get_template_metadata(self, name: str, category: str | None = None) -> dict[str, Any]:
        """Return what is known of a template: its name, category, tags, metrics, times.

        Raises
        ------
        PathNotFound, AmbiguousReference, CorruptError
            As `load_template`.
        """
        found = self._read(name, category, METADATA)[0]
        return _whole(found, self._found(name, category))

    def list_templates(self, category: str | None = None, tags: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """Return what is known of each template, by category and name.

        One that is damaged is listed whatever the tags, for nobody knows its own: ``damaged`` says what is wrong with
        it, and is None of the others.

        Parameters
        ----------
        category : str, optional
            Only of this one; a category that is not there has none.
        tags : iterable of str, optional
            Only those that have any of these.
        """
        self._authorize("read")
        wanted = None if tags is None else set(_tags(tags))
        found = [self._listed(folder) for folder in self._folders(category)]
        return [each for each in found if each and _fits(each, wanted)]

    def export_template(self, name: str, export_path: str | Path | UPath, category: str | None = None) -> Path:
        """Write a template into one file that `import_template` verifies, and return where it is.

        Parameters
        ----------
        name, category : str
            Which one.
        export_path : str, Path or UPath
            The file, replaced if it is there; ``.json`` is added to a name without a suffix.

        Raises
        ------
        PathNotFound, AmbiguousReference, CorruptError
            As `load_template`.
        """
        about, pipeline = self._read(name, category, METADATA, PIPELINE)
        about = _whole(about, self._found(name, category))
        path = to_local(export_path)
        path = path if path.suffix else path.with_suffix(".json")
        make_folder(path.parent)
        write_atomic(path, templates.sealed(about, pipeline))
        return path

    @staticmethod
    def build(config: Any) -> Any:
        """Return a pipeline with its estimators made anew, from what `load_template` gave.

        A mapping ``{"class": "module.Class", "params": {...}}`` becomes an object, ``{"class": ...}`` alone the class,
        ``{"function": "module.name"}`` the function; lists and other mappings are gone through.

        Warnings
        --------
        It imports what the template names and calls it: a template is code, to be built only if it is trusted.

        Raises
        ------
        InvalidInput
            If there is no such class or function, or it does not take these parameters.

        Examples
        --------
        >>> PipelineLibrary.build([{"class": "fractions.Fraction", "params": {"numerator": 1, "denominator": 3}}])
        [Fraction(1, 3)]
        """
        if isinstance(config, list):
            return [PipelineLibrary.build(each) for each in config]
        if not isinstance(config, dict):
            return config
        made = {key: PipelineLibrary.build(value) for key, value in config.items()}
        if set(made) == {"class", "params"} and isinstance(made["params"], dict):
            return _made(_imported(made["class"]), made["params"])
        if set(made) in ({"class"}, {"function"}):
            return _imported(*made.values())
        return made

    # ── which folder ─────────────────────────────────────────────────────────────────────────────────

    def _authorize(self, action: Literal["read", "write"]) -> None:
        self._database.authorize(action, self._auth, what="pipeline templates")

    def _category(self, category: str) -> Path:
        folder = self._path / cleaned(category, _CATEGORY)
        if folder.is_symlink():
            message = f"{folder} is a link: a category lies in the library itself; put the folder there"
            raise PathEscape(message, path=str(folder))
        return folder

    def _folders(self, category: str | None) -> list[Path]:
        """Return the folders of the templates of a category, or of all, in order."""
        if category is not None:
            categories = [self._category(category)]
        else:
            categories = [self._path / name for name in templates.names(self._path)]
        return [each / name for each in categories if not each.is_symlink() for name in templates.names(each)]

    def _found(self, name: str, category: str | None) -> Path:
        """Return the one folder of a template."""
        safe = cleaned(name, _NAME)
        found = [folder for folder in self._folders(category) if folder.name == safe]
        if len(found) > 1:
            candidates = [f"{folder.parent.name}/{folder.name}" for folder in found]
            message = f"{name!r} is a template in {len(found)} categories: {', '.join(candidates)}; say which category"
            raise AmbiguousReference(message, reference=name, candidates=candidates)
        if not found:
            where = self._path if category is None else self._category(category)
            message = f"{where} has no template {name!r}; list_templates() says which there are"
            raise PathNotFound(message, path=str(where / safe))
        return found[0]

    def _read(self, name: str, category: str | None, *files: str) -> list[Any]:
        self._authorize("read")
        folder = self._found(name, category)
        said = templates.read(folder, *files)
        if said is None:
            message = f"the template {name!r} was deleted meanwhile"
            raise PathNotFound(message, path=str(folder))
        return said

    def _listed(self, folder: Path) -> dict[str, Any] | None:
        try:
            said = templates.read(folder, METADATA, PIPELINE)
            return None if said is None else _whole(said[0], folder) | {"damaged": None}
        except HmpError as error:
            known: dict[str, Any] = {"name": folder.name, "category": folder.parent.name, "description": ""}
            known |= {"tags": [], "metrics": {}, "notes": "", "created_at": None, "modified_at": None, "version": None}
            return known | {"damaged": str(error)}


# ── what is said of a template ───────────────────────────────────────────────────────────────────────


def _described(name: Any, category: Any, **said: Any) -> dict[str, Any]:
    """Return the metadata of a template that is to be saved now, checked."""
    now = datetime.now(UTC).isoformat()
    return {
        "name": word(name, _NAME),
        "category": cleaned(category, _CATEGORY),
        "description": _prose(said["description"], "description"),
        "tags": _tags(said["tags"] or ()),
        "metrics": kept(mapping({} if said["metrics"] is None else said["metrics"], "metrics"), "metrics"),
        "notes": _prose(said["notes"], "notes"),
        "created_at": _prose(said.get("created_at"), "created_at") or now,
        "modified_at": _prose(said.get("modified_at"), "modified_at") or now,
        "version": "1.0",
    }


def _tags(tags: Iterable[str]) -> list[str]:
    if isinstance(tags, (str, bytes)):
        message = f"tags is {tags!r}, expected a list of words, as [{tags!r}]"
        raise InvalidInput(message)
    return list(dict.fromkeys(word(tag, "a tag") for tag in tags))


def _fits(about: dict[str, Any], wanted: set[str] | None) -> bool:
    return wanted is None or about["damaged"] is not None or not wanted.isdisjoint(about["tags"])


def _prose(text: Any, where: str) -> str:
    if text is not None and not isinstance(text, str):
        message = f"{where} is a {type(text).__name__}, expected text"
        raise InvalidInput(message)
    return str(plain(text or "", where))


def _whole(about: Any, folder: Path) -> dict[str, Any]:
    """Return the metadata of a template as it was read, if it has what it should."""
    if not isinstance(about, dict) or not isinstance(about.get("name"), str) or not isinstance(about.get("tags"), list):
        path = folder / METADATA
        message = f"{path} does not say what a template is called and tagged; delete it and save it again"
        raise CorruptError(message, path=str(path))
    # a folder that was moved by hand is where it is, not where it was
    return about | {"category": folder.parent.name}


def _require_same(folder: Path, name: str, *, overwrite: bool) -> dict[str, Any]:
    """Return what is known of the template to replace, if it may be replaced."""
    try:
        said = templates.read(folder, METADATA)
        former = {} if said is None else _whole(said[0], folder)
    except CorruptError:
        former = {}  # it may be replaced all the same
    there = former.get("name", name)
    if overwrite and there == name:
        return former
    remedy = "overwrite=True replaces it" if there == name else f"its folder is {folder.name!r}; take another name"
    message = f"there is a template {there!r} in the category {folder.parent.name!r} already; {remedy}"
    raise PathTaken(message, path=str(folder))


# ── making estimators ────────────────────────────────────────────────────────────────────────────────


def _imported(path: Any) -> Any:
    module, _, name = path.rpartition(".") if isinstance(path, str) else ("", "", "")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        message = f"{path!r} cannot be imported: {error}; install what the template was made with"
        raise InvalidInput(message) from error


def _made(kind: Any, params: dict[str, Any]) -> Any:
    try:
        return kind(**fitting(kind, {name: _number(value) for name, value in params.items()}))
    except (TypeError, ValueError) as error:
        message = f"{kind!r} does not take {params}: {error}"
        raise InvalidInput(message) from error


def _number(value: Any) -> Any:
    """Return NaN and infinities, which JSON has as text only."""
    return float(value) if isinstance(value, str) and value in {"nan", "inf", "-inf"} else value
