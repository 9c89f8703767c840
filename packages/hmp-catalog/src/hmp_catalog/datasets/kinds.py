"""The four kinds of data sets: which coordinates each may have, and what CF calls it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from hmp_catalog.datasets.dtypes import DataType
from hmp_core.errors import InvalidInput

_SERIES = MappingProxyType({"featureType": "timeSeries"})


@dataclass(frozen=True)
class Kind:
    """What is meant by a type of data set.

    ``geometries`` says whether places are labels of one coordinate (stations), or ``x`` and ``y`` of a grid.
    """

    name: str
    geometries: bool
    attributes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def check(self, name: str, of: DataType, axis: str | None) -> None:
        """Refuse a coordinate that does not belong into such a data set.

        Raises
        ------
        InvalidInput
            Geometries in a grid, or the axes of a grid among stations.
        """
        if of.kind == "geometry" and not self.geometries:
            message = (
                f"{name}: geometries are labels of stations; in a {self.name!r} places have an x and a y. {_OTHER}"
            )
            raise InvalidInput(message)
        if axis in {"x", "y"} and self.geometries:
            message = f"{name}: an {axis} axis; in a {self.name!r} places are the labels of one coordinate. {_OTHER}"
            raise InvalidInput(message)


_OTHER = "Make the data set with another dataset_type"

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "grid": Kind("grid", geometries=False),
        "ts_ortho": Kind("ts_ortho", geometries=True, attributes=_SERIES),
        "ts_forecast": Kind("ts_forecast", geometries=True),
        "grid_forecast": Kind("grid_forecast", geometries=False),
    }
)


def kind(name: str) -> Kind:
    """Return what is meant by a type of data set.

    Raises
    ------
    InvalidInput
        Another than the four.
    """
    if name in KINDS:
        return KINDS[name]
    message = f"dataset_type={name!r}; expected one of {', '.join(KINDS)}"
    raise InvalidInput(message)
