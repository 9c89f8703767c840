"""What MODFLOW 6 left in a folder, read with flopy: heads, budgets and the grid become fields and a table of a run.

A structured grid keeps its rows and columns, a grid of vertices becomes a mesh (see `hmp_catalog.fields.mesh`), as does
an unstructured one whose vertices are known. Values are those that flopy gives; what the model marks as dry or
inactive is NaN. Sources: MODFLOW 6, Description of Input and Output (binary grid, head and budget files; TDIS).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from hmp_catalog.tdis import Clock, clock_of
from hmp_core.errors import AmbiguousReference, CorruptError, HmpError, InvalidInput, MissingPart, PathNotFound
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

#: How the files of a model end, and what they are.
_ENDINGS = {"grid": (".grb",), "heads": (".hds", ".hed"), "budget": (".cbc", ".bud"), "tdis": (".tdis",)}

_CONNECTIONS = "FLOW-JA-FACE"


class Target(Protocol):
    """Where what is read goes; a `Recorder` is one."""

    def field(self, name: str, array: Any, *, dims: Any = None, time: Any = None, **more: Any) -> None:
        """Keep a field."""

    @property
    def fields(self) -> Any:
        """Where a mesh is kept."""
        ...

    def table(self, kind: str, frame: Any, **more: Any) -> None:
        """Keep a table."""


def import_folder(
    target: Target,
    folder: Any,
    *,
    model: str | None = None,
    start: Any = None,
    time_units: str | None = None,
    length_unit: str = "m",
    missing: Sequence[float] = (),
) -> list[str]:
    """Read the outputs of a model into a run and return the names of its fields; see `Recorder.import_modflow`."""
    with Output(to_local(folder), model, missing=tuple(missing), length=length_unit) as output:
        clock = clock_of(output.files.get("tdis"), start, time_units)
        output.open()
        output.grid.tell(target)
        told = list(output.grid.fields)
        axes: dict[str, Sequence[float]] = {}
        for part, keep in (("heads", _heads), ("budget", _budget)):
            if part in output.files:
                with output.reading(part):
                    told += keep(target, output, clock, axes)
    return told


def _flopy() -> ModuleType:
    try:
        import flopy
    except ImportError as error:
        message = "reading MODFLOW needs flopy: pip install 'hmp-catalog[modflow]'"
        raise MissingPart(message, install="hmp-catalog[modflow]") from error
    return flopy  # type: ignore[no-any-return]


class Output:
    """The files of one model in a folder.

    Raises
    ------
    PathNotFound
        If there is no grid, or neither heads nor budget.
    AmbiguousReference
        If there is more than one model and nobody said which.
    """

    def __init__(self, folder: Path, model: str | None, *, missing: tuple[float, ...], length: str) -> None:
        self.flopy = _flopy()
        self.folder, self.missing, self.length = folder, missing, length
        self.files = _located(folder, model)

    def open(self) -> None:
        """Open every part: what cannot be read is refused before anything is kept."""
        _ = self.grid, self.heads if "heads" in self.files else None, self.budget if "budget" in self.files else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for part in ("heads", "budget"):
            if part in self.__dict__:
                self.__dict__[part].close()

    @cached_property
    def grid(self) -> Grid:
        """The grid that heads and budgets refer to."""
        from flopy.mf6.utils import MfGrdFile

        return Grid(self._read(MfGrdFile, "grid"), self.length)

    @cached_property
    def heads(self) -> Any:
        """The heads, as flopy opens them."""
        return self._read(self.flopy.utils.HeadFile, "heads")

    @cached_property
    def budget(self) -> Any:
        """The budget, as flopy opens it."""
        return self._read(self.flopy.utils.CellBudgetFile, "budget")

    def _read(self, kind: Any, part: str) -> Any:
        with self.reading(part):
            return kind(str(self.files[part]))

    @contextlib.contextmanager
    def reading(self, part: str) -> Iterator[None]:
        """Turn what flopy says about a damaged file into an error of hmp."""
        try:
            yield
        except HmpError:
            raise
        # flopy says so in many ways, depending on where a file ends
        except (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, ArithmeticError) as error:
            message = f"{self.files[part]} cannot be read as the {part} of MODFLOW 6: {error}"
            raise CorruptError(message, path=str(self.files[part])) from error


def _located(folder: Path, model: str | None) -> dict[str, Path]:
    """Return the file of each part of a model; its name is what its files begin with, in whatever case."""
    if not folder.is_dir():
        message = f"{folder}: no such folder"
        raise PathNotFound(message, path=str(folder))
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        for part, endings in _ENDINGS.items():
            mine = model is None or part == "tdis" or file.name.split(".")[0].casefold() == model.casefold()
            if file.suffix.lower() in endings and mine:
                found.setdefault(part, []).append(file)
    several = [files for part, files in found.items() if len(files) > 1 and part != "tdis"]
    if several:
        names = sorted({file.name.split(".")[0] for files in several for file in files})
        message = f"{folder} holds several models ({', '.join(names)}); say which, as model={names[0]!r}"
        raise AmbiguousReference(message, reference=str(model), candidates=names)
    if "grid" not in found or not found.keys() & {"heads", "budget"}:
        message = f"{folder} has no {'outputs' if 'grid' in found else 'binary grid file (.grb)'}" + (
            f" of {model}" if model else ""
        )
        raise PathNotFound(message, path=str(folder))
    return {part: files[0] for part, files in found.items()}


# ── the grid ─────────────────────────────────────────────────────────────────────────────────────────


class Grid:
    """The grid of a model: the dimensions of its fields, and where its cells lie."""

    def __init__(self, grb: Any, length: str) -> None:
        self.model, self.length = grb.modelgrid, length
        self._grb = grb
        self.kind = str(grb.grid_type)
        if self.kind not in {"DIS", "DISV", "DISU"}:
            message = f"a grid of type {self.kind}: expected DIS, DISV or DISU"
            raise InvalidInput(message)
        turned = self.kind == "DIS" and bool(self.model.angrot)
        flat = {"DIS": ("row", "column") if turned else ("y", "x"), "DISV": ("cell",), "DISU": ("cell",)}[self.kind]
        self.flat = flat
        self.dims = flat if self.kind == "DISU" else ("layer", *flat)
        sizes = {"DIS": ("nlay", "nrow", "ncol"), "DISV": ("nlay", "ncpl"), "DISU": ("nodes",)}[self.kind]
        self.shape = tuple(int(getattr(grb, name)) for name in sizes)
        self.fields = ("top", "bottom", *(("idomain",) if self._domain is not None else ()))

    @property
    def _domain(self) -> NDArray[Any] | None:
        import numpy as np

        found = getattr(self._grb, "idomain", None)
        return None if found is None else np.asarray(found)

    @cached_property
    def coords(self) -> dict[str, Any]:
        """The coordinates of the fields along `dims`."""
        found: dict[str, Any] = {}
        if "layer" in self.dims:
            found["layer"] = range(1, self.shape[0] + 1)
        said = {"units": self.length} if self.length != "m" else {}
        if self.kind != "DIS":
            return found
        x, y = self.model.xcellcenters, self.model.ycellcenters
        if self.flat == ("y", "x"):
            return found | {"x": ("x", x[0], said), "y": ("y", y[:, 0], said)}
        return found | {"x": (self.flat, x, said), "y": (self.flat, y, said)}

    def tell(self, target: Target) -> None:
        """Keep mesh, top, bottom and domain of the grid."""
        import numpy as np

        self._tell_mesh(target)
        top = np.asarray(self._grb.top, dtype="f8").reshape(self.shape if self.kind == "DISU" else self.shape[1:])
        about = {"units": self.length, "coords": self._along(self.flat)}
        target.field("top", top, dims=self.flat, attributes={"long_name": "top of the uppermost layer"}, **about)
        about = {"units": self.length, "coords": self.coords}
        bottom = np.asarray(self._grb.bot, dtype="f8").reshape(self.shape)
        target.field("bottom", bottom, dims=self.dims, attributes={"long_name": "bottom of the cell"}, **about)
        if self._domain is not None:
            said = {"long_name": "1 active, 0 inactive, -1 vertical pass-through"}
            domain = self._domain.reshape(self.shape).astype("i4")
            target.field("idomain", domain, dims=self.dims, attributes=said, units="1", coords=self.coords)

    def _along(self, dims: tuple[str, ...]) -> dict[str, Any]:
        return {name: given for name, given in self.coords.items() if name != "layer" or "layer" in dims}

    def _tell_mesh(self, target: Target) -> None:
        import numpy as np

        if self.kind == "DIS" or not self.model.iverts or self.model.verts is None:
            return
        corners = [[node for node in cell if node is not None] for cell in self.model.iverts]
        # MODFLOW closes its polygons: the first corner comes again at the end
        corners = [cell[:-1] if len(cell) > 1 and cell[0] == cell[-1] else cell for cell in corners]
        nodes = np.asarray(self.model.verts, dtype="f8").T
        if self.model.angrot or self.model.xoffset or self.model.yoffset:
            nodes = np.array(self.model.get_coords(nodes[0], nodes[1]))
        cells = self.shape[-1]
        centres = np.array([np.ravel(self.model.xcellcenters)[:cells], np.ravel(self.model.ycellcenters)[:cells]])
        target.fields.write_mesh(nodes, corners[:cells], centres=centres)


# ── steps ────────────────────────────────────────────────────────────────────────────────────────────


class Steps:
    """The steps of a field as an array that reads those it is asked for: a file may be larger than memory."""

    def __init__(self, elapsed: Sequence[float], read: Callable[[float], NDArray[Any]]) -> None:
        first = read(elapsed[0])
        self.elapsed, self._read = elapsed, read
        self.shape, self.dtype = (len(elapsed), *first.shape), first.dtype

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        import numpy as np

        asked = [self._read(time) for time in self.elapsed[index[0]]]
        found: NDArray[Any] = np.stack(asked)[(slice(None), *index[1:])]
        return found


def _put(
    target: Target, name: str, steps: Steps, *, dims: tuple[str, ...], clock: Clock, axes: dict[str, Sequence[float]],
    **more: Any,
) -> None:  # fmt: skip
    """Keep a field that has one array per step: along time where the start is known, else along steps."""
    import numpy as np

    base, elapsed = "time" if clock.start is not None else "step", steps.elapsed
    axis = base if list(axes.setdefault(base, elapsed)) == list(elapsed) else f"{base}_budget"
    if clock.start is not None:
        target.field(name, steps, dims=(axis, *dims), time=clock.instants(elapsed), **more)
        return
    said = {"long_name": "time since the start of the simulation"} | ({"units": clock.unit} if clock.unit else {})
    own = {axis: np.arange(1, len(elapsed) + 1), f"elapsed_{axis}": (axis, np.asarray(elapsed, dtype="f8"), said)}
    target.field(name, steps, dims=(axis, *dims), **more | {"coords": {**more.get("coords", {}), **own}})


# ── heads ────────────────────────────────────────────────────────────────────────────────────────────


def _heads(target: Target, output: Output, clock: Clock, axes: dict[str, Sequence[float]]) -> list[str]:
    heads, grid = output.heads, output.grid
    elapsed = [float(t) for t in heads.get_times()]
    steps = Steps(elapsed, lambda time: heads.get_data(totim=time).reshape(grid.shape))
    about = {"units": output.length, "missing": output.missing, "coords": grid.coords}
    _put(target, "head", steps, dims=grid.dims, clock=clock, axes=axes, **about)
    return ["head"]


# ── budgets ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Entry:
    """A record of the budget: what it is of, when, and where it stands in the file."""

    at: int
    text: str
    package: str
    elapsed: float
    period: int
    step: int


def _budget(target: Target, output: Output, clock: Clock, axes: dict[str, Sequence[float]]) -> list[str]:
    entries = _entries(output.budget)
    elapsed = sorted({each.elapsed for each in entries})
    rate = f"{output.length}3 {clock.unit}-1" if clock.unit else None
    told = []
    for name, column, group in _series(output.budget, entries):
        when = {each.elapsed: each for each in group}
        steps = Steps(elapsed, partial(_at, output, when, column))
        connections = group[0].text == _CONNECTIONS
        dims = ("connection",) if connections else output.grid.dims
        said = {"long_name": f"{group[0].text} {group[0].package}".strip().lower()}
        about = {"attributes": said} | ({"units": rate} if rate and column == "q" else {})
        coords = {} if connections else {"coords": output.grid.coords}
        _put(target, name, steps, dims=dims, clock=clock, axes=axes, **about, **coords)
        told.append(name)
    units = dict.fromkeys(("inflow", "outflow"), rate) if rate else {}
    target.table("budget", _rows(output, entries, elapsed, clock), units=units)
    return told


def _entries(budget: Any) -> list[Entry]:
    rows = enumerate(budget.recordarray)
    return [
        Entry(n, row["text"].decode().strip(), row["paknam2"].decode().strip(), float(row["totim"]),
              int(row["kper"]), int(row["kstp"]))
        for n, row in rows
    ]  # fmt: skip


def _series(budget: Any, entries: Sequence[Entry]) -> Iterator[tuple[str, str, list[Entry]]]:
    """Yield each field of the budget: its name, the column that holds it, its records."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for each in entries:
        groups.setdefault((each.text, each.package), []).append(each)
    texts = [text for text, _ in groups]
    for (text, package), group in groups.items():
        own = f"_{package}" if texts.count(text) > 1 else ""
        if not text.startswith("DATA-"):
            yield _name(f"budget_{text}{own}"), "q", group
            continue
        columns = budget.get_data(idx=group[0].at)[0].dtype.names
        yield from ((_name(f"{text[5:]}{own}_{c}"), c, group) for c in columns if c not in {"node", "node2", "q"})


def _name(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:64]


def _at(output: Output, when: Mapping[float, Entry], column: str, time: float) -> NDArray[Any]:
    return _cells(output, when.get(time), column)


def _cells(output: Output, entry: Entry | None, column: str) -> NDArray[Any]:
    """Return a record on the cells of the grid; NaN where it says nothing."""
    import numpy as np

    shape = output.grid.shape
    if entry is None:
        return np.full(shape, np.nan)
    found = output.budget.get_data(idx=entry.at)[0]
    if found.dtype.names is None:
        return np.asarray(found, dtype="f8").reshape(-1 if entry.text == _CONNECTIONS else shape)
    cells = np.full(int(np.prod(shape)), np.nan)
    nodes = np.asarray(found["node"]) - 1
    cells[nodes] = 0.0
    np.add.at(cells, nodes, np.asarray(found[column], dtype="f8"))
    return cells.reshape(shape)


def _rows(output: Output, entries: Sequence[Entry], elapsed: Sequence[float], clock: Clock) -> Mapping[str, Any]:
    """Return what went in and out by package and step; both are positive."""
    import numpy as np

    shown = [each for each in entries if each.text != _CONNECTIONS and not each.text.startswith("DATA-")]
    flows = []
    for each in shown:
        found = output.budget.get_data(idx=each.at)[0]
        q = np.asarray(found["q"] if found.dtype.names else found, dtype="f8")
        flows.append((float(q[q > 0].sum()), float(-q[q < 0].sum())))
    table: dict[str, Any] = {
        "step": [elapsed.index(each.elapsed) + 1 for each in shown],
        "stress_period": [each.period for each in shown],
        "time_step": [each.step for each in shown],
        "elapsed": [each.elapsed for each in shown],
        "component": [each.text for each in shown],
        "package": [each.package for each in shown],
        "inflow": [inflow for inflow, _ in flows],
        "outflow": [outflow for _, outflow in flows],
    }
    if clock.start is not None:
        table["time"] = clock.instants(table["elapsed"])
    return table
