"""The geography of a run: where its stations lie in the mesh, what its catchment is like, its layers of features.

Features are kept as GeoParquet 1.1, which GIS software opens: one row a feature, its geometry as WKB. Neither
geopandas nor pyproj is needed; the coordinate system is kept as it was given.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog import wkb
from hmp_catalog.plain import fingerprint, mapping, plain, real, text, whole, word
from hmp_catalog.records import FileRecord
from hmp_core.durable import fsync_folder, make_folder, translated, write_atomic
from hmp_core.errors import CorruptError, InvalidInput
from hmp_core.identity import sha256_bytes

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_catalog.packs import Packed
    from hmp_catalog.said import Said

FOLDER = "geography"
KIND = "feature"
_EPSG = re.compile(r"\s*EPSG:{1,2}(\d{4,6})\s*", re.IGNORECASE)
#: What GeoParquet means where it does not name a coordinate system.
_LONGITUDE_LATITUDE = {"EPSG:4326", "OGC:CRS84"}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class RunGeography:
    """What is said of the geography of one run while it is recorded.

    Parameters
    ----------
    folder
        Of the run; features go to ``geography/`` in it.
    said
        What is said of the run: its coordinate system holds where none is named.
    """

    def __init__(self, folder: Path, said: Said) -> None:
        self._folder = folder
        self._said = said
        self._points: dict[str, dict[str, Any]] = {}
        self._metadata: dict[str, dict[str, Any]] = {}
        self._features: dict[str, dict[str, Any]] = {}
        self.files: list[FileRecord] = []

    def point(self, station: str, x: float, y: float, where: Mapping[str, Any]) -> None:
        """Say where a station lies in the mesh; see `Recorder.observation_point`."""
        name = word(station, "station")
        crs = self._said.spec.crs if where.get("crs") is None else where["crs"]
        self._points[name] = {
            "station": name,
            "x": plain(_finite(x, f"x of {name}")),
            "y": plain(_finite(y, f"y of {name}")),
            "cell": whole(where.get("cell"), f"cell of {name}"),
            "layer": whole(where.get("layer"), f"layer of {name}"),
            **_named(crs),
        }

    def say(self, key: str, value: Any, unit: str | None = None) -> None:
        """Say a figure or a word about the catchment; see `Recorder.geographic_metadata`."""
        name = word(key, "key")
        kept = plain(value, f"geographic metadata {name}")
        if kept is None or isinstance(kept, (dict, list)):
            message = f"geographic metadata {name} is a {type(value).__name__}; expected a number, text or a bool"
            raise InvalidInput(message)
        kind = next(k for k, t in (("bool", bool), ("int", int), ("double", float), ("string", str)) if type(kept) is t)
        unit = None if unit is None else word(unit, f"unit of {name}")
        self._metadata[name] = {"key": name, "value": kept, "type": kind, "unit": unit}

    def feature(self, name: str, features: Any, crs: Any = None) -> None:
        """Keep a layer of features; see `Recorder.geographic_feature`."""
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in self._features:
            message = f"{name!r} cannot name a layer of features: expected a new name of lower-case letters, digits, _"
            raise InvalidInput(message)
        table, said = _rows(features)
        given = said if crs is None else crs
        data, told = _geoparquet(table, self._said.spec.crs if given is None else given)
        make_folder(self._folder / FOLDER)
        file = self._folder / FOLDER / f"{name}.parquet"
        write_atomic(file, data)
        record = FileRecord(f"{FOLDER}/{name}.parquet", len(data), sha256_bytes(data), KIND, table.num_rows)
        self._features[name] = {"name": name, "path": record.path, "sha256": record.sha256, **told}
        self.files.append(record)

    def flush(self) -> None:
        """See to it that the names of the files survive a power cut."""
        if self.files:
            with translated(self._folder):
                fsync_folder(self._folder)

    def facts(self) -> dict[str, Any]:
        """Return what the manifest keeps."""
        return {
            "points": list(self._points.values()),
            "metadata": list(self._metadata.values()),
            "features": list(self._features.values()),
        }

    def fingerprint(self, *more: Any) -> str | None:
        """Return the hash by which two runs of the same place are told; None where nothing is known of it."""
        known = [each for each in (self._metadata, self._features, *more) if each]
        layers = {name: layer["sha256"] for name, layer in sorted(self._features.items())}
        return fingerprint([dict(sorted(self._metadata.items())), layers, *more]) if known else None


def _finite(value: Any, where: str) -> float:
    found = real(value, where)
    if not math.isfinite(found):
        message = f"{where} is {value!r}, expected a coordinate"
        raise InvalidInput(message)
    return found


def epsg(crs: str | None) -> int | None:
    """Return the EPSG code of a coordinate system that is named by it: ``"EPSG:2154"``."""
    found = _EPSG.fullmatch(crs or "")
    return int(found[1]) if found else None


def _named(crs: Any) -> dict[str, Any]:
    """Return how a coordinate system is kept: as text, and by its code where that is known."""
    if isinstance(crs, bool) or (isinstance(crs, int) and not 1000 <= crs <= 999_999):
        message = f"crs is {crs!r}, expected WKT, or an EPSG code as 2154 or 'EPSG:2154'"
        raise InvalidInput(message)
    if isinstance(crs, int):
        crs = f"EPSG:{crs}"
    if crs is not None and hasattr(crs, "to_wkt"):  # of pyproj, as geopandas has it
        code = crs.to_epsg()
        return {"crs": crs.to_wkt(), "crs_epsg": None if code is None else int(code)}
    return {"crs": text(crs, "crs"), "crs_epsg": epsg(crs)}


# ── features in ──────────────────────────────────────────────────────────────────────────────────────


def _rows(given: Any) -> tuple[pa.Table, Any]:
    """Return a table whose column ``geometry`` is WKB, and the coordinate system that the features say they are in."""
    import pyarrow as pa

    if hasattr(given, "to_wkb") and hasattr(given, "crs"):  # a GeoDataFrame, or a GeoSeries
        geometry = given.geometry
        frame = given.drop(columns=geometry.name) if hasattr(given, "columns") else None
        others = None if frame is None or not len(frame.columns) else pa.Table.from_pandas(frame, preserve_index=False)
        return _table(list(geometry.to_wkb()), others), given.crs
    if isinstance(given, pa.Table):
        if "geometry" not in given.column_names or not _is_binary(given.schema.field("geometry").type):
            message = f"features: columns {given.column_names}; expected 'geometry' with WKB among them"
            raise InvalidInput(message)
        return _table(given["geometry"].to_pylist(), given.drop_columns("geometry")), None
    found = list(_geojson(given))
    properties = [mapping(feature.get("properties") or {}, "properties of a feature") for feature in found]
    names = list(dict.fromkeys(name for each in properties for name in each))
    columns = {name: [plain(each.get(name), name) for each in properties] for name in names}
    try:
        others = pa.table(columns) if columns else None
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        message = f"features: properties that are not of one kind: {error}"
        raise InvalidInput(message) from error
    return _table([_geometry(feature) for feature in found], others), None


def _is_binary(kind: pa.DataType) -> bool:
    return str(kind) in {"binary", "large_binary", "extension<geoarrow.wkb>"}


def _geojson(given: Any) -> Iterable[Mapping[str, Any]]:
    if isinstance(given, Mapping):
        if given.get("type") == "FeatureCollection":
            return list(given["features"])
        return [given] if given.get("type") == "Feature" else [{"type": "Feature", "geometry": given}]
    if isinstance(given, (list, tuple)):
        return [feature for each in given for feature in _geojson(each)]
    if hasattr(given, "__geo_interface__"):
        return _geojson(given.__geo_interface__)
    message = f"features: {type(given).__name__}; expected a GeoDataFrame, a table with WKB, or GeoJSON"
    raise InvalidInput(message)


def _geometry(feature: Mapping[str, Any]) -> bytes | None:
    geometry = feature.get("geometry")
    return None if geometry is None else wkb.encode(geometry)


def _table(geometries: list[bytes | None], others: pa.Table | None) -> pa.Table:
    import pyarrow as pa

    from hmp_catalog.tables import schema

    if not geometries:
        message = "features: none; a layer has at least one"
        raise InvalidInput(message)
    # through our own form, so that flags and byte orders of other tools do not show
    plain_wkb = [None if one is None else wkb.encode(wkb.decode(one)) for one in geometries]
    column = pa.array(plain_wkb, pa.binary())
    if others is None:
        return pa.table({"geometry": column})
    return schema.as_table(others, "features").append_column("geometry", column)


# ── features out ─────────────────────────────────────────────────────────────────────────────────────


def _geoparquet(table: pa.Table, crs: Any) -> tuple[bytes, dict[str, Any]]:
    """Return the bytes of the file, and what the manifest says of it. Source: GeoParquet 1.1.0."""
    import pyarrow.parquet as pq

    shapes = [wkb.decode(one) for one in table["geometry"].to_pylist() if one is not None]
    kinds = sorted({shape["type"] + (" Z" if _is_deep(shape) else "") for shape in shapes})
    box = _box(shapes)
    named = _named(crs)
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": kinds} | ({"bbox": box} if box else {})
    if named["crs"] not in _LONGITUDE_LATITUDE:
        column["crs"] = json.loads(crs.to_json()) if hasattr(crs, "to_json") else None
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    facts = {"geo": json.dumps(geo, sort_keys=True)} | ({"hmp.crs": named["crs"]} if named["crs"] else {})
    sink = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata(facts), sink, version="2.6", compression="zstd", write_page_checksum=True
    )
    single = {kind.removesuffix(" Z").lower() for kind in kinds}
    told = {"kind": single.pop() if len(single) == 1 else "mixed", "rows": table.num_rows, "bbox": box or None}
    return sink.getvalue(), told | named | {"columns": table.column_names[:-1]}


def _is_deep(shape: Mapping[str, Any]) -> bool:
    return any(len(position) == 3 for position in wkb.positions(shape))


def _box(shapes: Iterable[Mapping[str, Any]]) -> list[float]:
    """Return the extent as GeoParquet has it: least x and y, greatest x and y; empty where there is no position."""
    flat = [position[:2] for shape in shapes for position in wkb.positions(shape)]
    if not flat:
        return []
    xs, ys = zip(*flat, strict=True)
    return [min(xs), min(ys), max(xs), max(ys)]


def read(file: Path | Packed) -> pa.Table:
    """Return the features of a file.

    Raises
    ------
    CorruptError
        If it is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with file.open("rb") as source:
            return pq.read_table(source, use_threads=False, pre_buffer=False, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        message = f"{file} cannot be read as GeoParquet: {error}; restore it from a backup"
        raise CorruptError(message, path=str(file)) from error


def collection(table: pa.Table) -> dict[str, Any]:
    """Return the features of a table with a ``geometry`` of WKB as a FeatureCollection of GeoJSON."""
    features = []
    for row in table.to_pylist():
        geometry = row.pop("geometry")
        shape = None if geometry is None else wkb.decode(geometry)
        features.append({"type": "Feature", "geometry": shape, "properties": row})
    return {"type": "FeatureCollection", "features": features}
