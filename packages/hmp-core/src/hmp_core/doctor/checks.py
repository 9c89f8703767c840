"""What a scope adds to the examination of its database: relations, vocabularies, and a look at its files.

Entry point group ``hmp.checks``, under the name of the component.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from hmp_core.doctor.case import Case
from hmp_core.doctor.findings import Code, Finding
from hmp_core.errors import MissingPart
from hmp_core.protocols.backend import CatalogBackend


@dataclass(frozen=True, slots=True)
class Relation:
    """A column that names a row of another table: what a foreign key would have declared.

    Parameters
    ----------
    child, parent
        ``table.column``.
    required
        False where the parent may have been purged, or lie in another database.
    where
        A condition on the rows of the child ``c`` that this is meant for.
    """

    child: str
    parent: str
    required: bool = True
    where: str = ""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A column whose words are known: a vocabulary that grows lives in Python, not in a CHECK."""

    column: str
    words: frozenset[str]


def _nothing(case: Case, told: Any) -> Iterable[Finding]:  # noqa: ARG001 - the signature is the contract
    return ()


def _no_files(case: Case) -> Iterable[Path]:  # noqa: ARG001
    return ()


def _no_question(backend: CatalogBackend) -> Any:  # noqa: ARG001
    return None


@dataclass(frozen=True, slots=True)
class Checks:
    """What a scope declares about its database and its files.

    Parameters
    ----------
    component
        The scope, as "catalog".
    codes
        The kinds of findings that only it can have.
    relations, vocabularies
        What its columns name.
    outside
        Columns that are called ``*_id`` and name nothing in this database -> why.
    ask
        What its files are compared with: asked once, while the database is held. Short.
    look
        From the case and what was told (None where the database could not be read) to findings: by `stat` and
        by reading what is small.
    deep
        The same, reading every byte.
    remains
        The files that a lost database could be made from again: where there are some, there was one.
    """

    component: str
    codes: Sequence[Code] = ()
    relations: Sequence[Relation] = ()
    vocabularies: Sequence[Vocabulary] = ()
    outside: Mapping[str, str] = field(default_factory=dict)
    ask: Callable[[CatalogBackend], Any] = _no_question
    look: Callable[[Case, Any], Iterable[Finding]] = _nothing
    deep: Callable[[Case, Any], Iterable[Finding]] = _nothing
    remains: Callable[[Case], Iterable[Path]] = _no_files


def checks_of(component: str) -> Checks:
    """Return what the scope declares; nothing, where it is not installed or declares nothing.

    Raises
    ------
    MissingPart
        If it is installed and cannot be loaded.
    """
    for point in entry_points(group="hmp.checks", name=component):
        try:
            loaded: Checks = point.load()
        except (ImportError, AttributeError) as error:
            message = f"{point.value} cannot be loaded ({error}): install hmp-{component} again"
            raise MissingPart(message, install=f"hmp-{component}") from error
        return loaded
    return Checks(component)
