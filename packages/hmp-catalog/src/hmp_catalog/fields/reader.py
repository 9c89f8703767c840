"""Fields coming out of a finished store: lazily as a dataset, or the piece that is asked for as an array."""

from __future__ import annotations

import contextlib
import difflib
import json
import operator
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.fields import schema
from hmp_catalog.fields.finalizer import ROOT, missing_files
from hmp_catalog.fields.mesh import structure_names
from hmp_catalog.fields.place import zarr_store
from hmp_catalog.fields.times import bounds, decode, instant
from hmp_core.errors import CorruptError, InvalidInput, NotFound, PathNotFound, SchemaTooNewError

if TYPE_CHECKING:
    import xarray as xr
    import zarr
    from numpy.typing import NDArray

    from hmp_catalog.fields.times import Instants
    from hmp_catalog.packs import Packed


class StoreReader:
    """Reads one finished store.

    Raises
    ------
    PathNotFound
        If there is no folder at ``path``.
    SchemaTooNewError
        If a newer hmp wrote it.
    CorruptError
        If it was never finished, or a file of it is missing or damaged; names the file.
    """

    def __init__(self, path: Path | Packed) -> None:
        self.path = path
        if not path.is_dir():
            message = f"{path}: no field store there; a run has one if it wrote fields"
            raise PathNotFound(message, path=str(path))
        root = _document(path / ROOT)
        self.attributes: dict[str, Any] = dict(root.get("attributes", {}))
        self._check_version()
        self.documents = self._consolidated(root)
        self._refuse_missing(self.documents)

    def fields(self) -> list[str]:
        """Return the names of the fields, sorted."""
        return sorted(self.documents.keys() - schema.coordinate_names(self.documents) - structure_names(self.documents))

    def time(self, dim: str) -> Instants:
        """Return the instants of a time axis.

        Raises
        ------
        NotFound
            If there is no such axis; the message lists those there are.
        """
        if dim not in self.documents or not schema.is_time(dim):
            raise _not_found(self.path, "time axis", dim, [name for name in self.documents if schema.is_time(name)])
        try:
            return decode(self._values(dim), self.documents[dim]["attributes"].get("units", ""))
        except InvalidInput as error:
            message = f"{self.path / dim / ROOT}: {error}"
            raise CorruptError(message, path=str(self.path / dim / ROOT)) from error

    def read(self, name: str, where: Mapping[str, Any]) -> NDArray[Any]:
        """Return the values of a field at ``where``: dimension -> position, label, or a slice of either."""
        import numpy as np

        if name not in self.fields():
            raise _not_found(self.path, "field", name, self.fields())
        document = self.documents[name]
        sizes = dict(zip(document["dimension_names"], document["shape"], strict=True))
        unknown = [dim for dim in where if dim not in sizes]
        if unknown:
            message = f"{name}: no dimension {unknown[0]!r}; it has {', '.join(sizes) or 'none'}"
            raise InvalidInput(message)
        index = tuple(self._position(dim, size, where.get(dim)) for dim, size in sizes.items())
        self._refuse_missing({name: document})
        with self._border(name):
            return np.asarray(self._array(name)[index or ...])

    def dataset(self) -> xr.Dataset:
        """Return the store as a lazy dataset, as ``xarray.open_zarr`` gives it: in chunks of dask, if that is there."""
        import xarray as xr

        dask = find_spec("dask")  # a folder of that name is found too, and has no origin
        chunks: dict[str, int] | None = {} if dask is not None and dask.origin is not None else None
        with self._border(ROOT):
            found: xr.Dataset = xr.open_zarr(zarr_store(self.path), consolidated=True, chunks=chunks)
            return found

    def verify(self) -> None:
        """Read every byte of the store.

        Raises
        ------
        CorruptError
            A file that is missing, cannot be decoded, or fails its checksum.
        """
        for name, document in self.documents.items():
            file = self.path / name / ROOT
            if _document(file) != document:
                message = f"{file}: differs from the metadata in {self.path / ROOT}; one of them was changed"
                raise CorruptError(message, path=str(file))
        self._refuse_missing(self.documents)
        for name, document in self.documents.items():
            for slab in _slabs(document):
                with self._border(name):
                    self._array(name)[slab]

    # ── selection ────────────────────────────────────────────────────────────────────────────────────

    def _position(self, dim: str, size: int, wanted: Any) -> Any:
        """Return the position or the slice of positions that a caller means."""
        if wanted is None or wanted is ...:
            return slice(None)
        if not isinstance(wanted, slice):
            return self._single(dim, size, wanted)
        ends = (wanted.start, wanted.stop)
        if all(end is None or _is_integer(end) for end in ends):
            return wanted
        if wanted.step is not None or any(_is_integer(end) for end in ends) or not schema.is_time(dim):
            message = f"{dim}: {wanted}: a slice is of positions, or of times without a step; labels go one by one"
            raise InvalidInput(message)
        first, last = bounds(*ends)
        times = self.time(dim)
        start = 0 if first is None else int(times.searchsorted(first, "left"))
        return slice(start, size if last is None else int(times.searchsorted(last, "right")))

    def _single(self, dim: str, size: int, wanted: Any) -> int:
        if _is_integer(wanted):
            position = operator.index(wanted)
            if -size <= position < size:
                return position
            message = f"{dim}: position {position} of {size}; the last is {size - 1}"
            raise InvalidInput(message)
        if schema.is_time(dim):
            return self._label(dim, instant(wanted), self.time(dim).tolist())
        labels = self._values(dim).tolist() if dim in self.documents else []
        if not isinstance(wanted, str) or not all(isinstance(label, str) for label in labels):
            message = f"{dim}: {wanted!r}: this dimension takes positions from 0 to {size - 1}, or slices of them"
            raise InvalidInput(message)
        return self._label(dim, wanted, labels)

    def _label(self, dim: str, wanted: Any, labels: list[Any]) -> int:
        sought = wanted if isinstance(wanted, str) else wanted.tolist()
        if sought in labels:
            return labels.index(sought)
        near = sorted(labels, key=lambda label: abs(label - sought))[:2] if not isinstance(sought, str) else labels
        raise _not_found(self.path, dim, str(wanted), [str(label) for label in near])

    # ── the border to zarr and xarray ────────────────────────────────────────────────────────────────

    def _array(self, name: str) -> zarr.Array[Any]:
        import zarr

        return zarr.open_array(zarr_store(self.path), path=name, mode="r", zarr_format=3)

    def _values(self, name: str) -> NDArray[Any]:
        import numpy as np

        with self._border(name):
            return np.asarray(self._array(name)[...])

    @contextlib.contextmanager
    def _border(self, name: str) -> Iterator[None]:
        """Turn what zarr and xarray say about damaged files into an error of hmp."""
        try:
            yield
        except PermissionError:
            raise
        # damage shows as KeyError, ValueError, TypeError, RuntimeError (Blosc) or OSError, depending on the byte
        except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, OSError, ArithmeticError) as error:
            where = self.path / name
            message = f"{where}: cannot be read: {type(error).__name__}: {error}; restore it from a copy of the run"
            raise CorruptError(message, path=str(where)) from error

    def _check_version(self) -> None:
        found = self.attributes.get("hmp_schema_version")
        if not isinstance(found, str) or not found.isdecimal():
            message = f"{self.path / ROOT}: hmp_schema_version is {found!r}; expected a number: hmp did not write this"
            raise CorruptError(message, path=str(self.path / ROOT))
        if int(found) > schema.SCHEMA_VERSION:
            message = (
                f"{self.path}: written by a newer hmp (schema {found}, this one knows {schema.SCHEMA_VERSION}); "
                "upgrade hmp-catalog"
            )
            raise SchemaTooNewError(message, path=str(self.path), found=int(found), known=schema.SCHEMA_VERSION)

    def _consolidated(self, root: dict[str, Any]) -> dict[str, dict[str, Any]]:
        try:
            documents = root["consolidated_metadata"]["metadata"]
            for name, document in documents.items():
                list(zip(document["shape"], document["dimension_names"], strict=True))
                _ = (document["attributes"], document["chunk_grid"]["configuration"]["chunk_shape"], self.path / name)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            message = f"{self.path / ROOT}: without the metadata of its arrays ({error!r}): never finished, or damaged"
            raise CorruptError(message, path=str(self.path / ROOT)) from error
        return dict(documents)

    def _refuse_missing(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        lost = missing_files(self.path, documents)
        if lost:
            message = f"{self.path / lost[0]}: missing, {len(lost)} in all; restore them from a copy of the run"
            raise CorruptError(message, path=str(self.path / lost[0]))


def _document(file: Path | Packed) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except PermissionError:
        raise
    except (OSError, ValueError) as error:
        message = f"{file}: not the metadata of a Zarr store: {error}; restore it from a copy of the run"
        raise CorruptError(message, path=str(file)) from error
    if isinstance(found, dict):
        return found
    message = f"{file}: not the metadata of a Zarr store: expected an object, got {type(found).__name__}"
    raise CorruptError(message, path=str(file))


def _slabs(document: Mapping[str, Any]) -> Iterator[Any]:
    """Return the selections that read an array file row by file row."""
    shape = document["shape"]
    if not shape:
        yield ...
        return
    stride = document["chunk_grid"]["configuration"]["chunk_shape"][0]
    for start in range(0, shape[0], stride):
        yield slice(start, start + stride)


def _is_integer(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def _not_found(path: Path | Packed, what: str, name: str, known: list[str]) -> NotFound:
    near = difflib.get_close_matches(name, known, n=3) or known[:10]
    message = f"{path}: no {what} {name!r}; there is {', '.join(near) or 'none'}"
    return NotFound(message, reference=name, candidates=near)
