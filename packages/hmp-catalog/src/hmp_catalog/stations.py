"""The stations of a project: where they are and what they are called, and over which period they observed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hmp_catalog import queries
from hmp_catalog.plain import mapping, plain, real, text, word
from hmp_core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from hmp_core.events import EventStore


class Stations:
    """The stations that a project knows, one for each variable they observe; `SimulationCatalog.stations` gives it.

    A station of which only observations were added is listed too.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store

    def add(
        self,
        station: str,
        variable: str,
        *,
        name: str | None = None,
        latitude: float | None = None,
        longitude: float | None = None,
        elevation: float | None = None,
        source: str | None = None,
        active: bool = True,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Describe a station; said again, what was said before is replaced as a whole.

        Parameters
        ----------
        station, variable
            By what its observations go: "H5920010", "discharge".
        name
            What people call it.
        latitude, longitude
            Degrees north and east (WGS 84).
        elevation
            Metres above the vertical datum.
        source
            Who runs it.
        active
            Whether it still observes.
        metadata
            What else is known, as plain values.

        Raises
        ------
        InvalidInput
            For a value that cannot be kept, or a place that is not on Earth.
        """
        facts = {
            "station": word(station, "station"),
            "variable": word(variable, "variable"),
            "name": text(name, "name"),
            "latitude": _degrees(latitude, 90.0, "latitude"),
            "longitude": _degrees(longitude, 360.0, "longitude"),
            "elevation": None if elevation is None else plain(real(elevation, "elevation")),
            "source": text(source, "source"),
            "active": bool(active),
            "metadata": None if metadata is None else plain(mapping(metadata, "metadata"), "metadata"),
        }
        self._store.authorize(write=True, what=f"describe station {station}")
        self._store.append("station.described", facts)

    def __getitem__(self, station: str) -> list[dict[str, Any]]:
        """Return what is known of a station, a mapping for each variable."""
        rows = self.table.to_pylist()
        found = [row for row in rows if row["station"] == station]
        if not found:
            known = sorted({row["station"] for row in rows})
            message = f"no station {station!r} is known here; there is {', '.join(known) or 'none'}"
            raise NotFound(message, reference=str(station), candidates=known)
        return found

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.table.to_pylist())

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def table(self) -> pa.Table:
        """All stations, a row for each variable they observe, with the period and number of their values."""
        with self._store.reading() as backend:
            return queries.stations(backend)

    @property
    def frame(self) -> pd.DataFrame:
        """All stations as a pandas DataFrame (see `table`)."""
        return self.table.to_pandas()

    def __repr__(self) -> str:
        return f"<Stations of {self._store.path.parent.name}>"


def _degrees(value: Any, most: float, where: str) -> float | None:
    if value is None:
        return None
    found = real(value, where)
    if not -most <= found <= most:
        message = f"{where} is {value!r}, expected degrees from {-most:g} to {most:g}; project coordinates first"
        raise InvalidInput(message)
    return found
