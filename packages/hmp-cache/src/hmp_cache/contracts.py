"""What the values of each variable may be: names of its columns, and what is physically possible in which unit.

The limits are wide: they catch a wrong unit, a sign, a ``-9999`` that stands for nothing, never an extreme event.
Where a negative value is possible and rare (tides and backwater turn rivers round, and gauges publish that), the
numbers that stand for a missing value are looked for by themselves.
World records behind them: rain 1825 mm in a day and 401 mm in an hour, wind 113 m/s, air -89.2 to 56.7 degC (WMO
World Weather and Climate Extremes Archive); the Amazon at Obidos has been gauged at 3.7e5 m3/s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Spelling -> (canonical unit, factor, offset): canonical = factor * value + offset.
UNITS: dict[str, tuple[str, float, float]] = {
    "m3 s-1": ("m3 s-1", 1.0, 0.0),
    "m3/s": ("m3 s-1", 1.0, 0.0),
    "m³/s": ("m3 s-1", 1.0, 0.0),
    "l s-1": ("m3 s-1", 1e-3, 0.0),
    "l/s": ("m3 s-1", 1e-3, 0.0),
    "ft3 s-1": ("m3 s-1", 0.3048**3, 0.0),
    "ft3/s": ("m3 s-1", 0.3048**3, 0.0),
    "mm d-1": ("mm d-1", 1.0, 0.0),
    "mm day-1": ("mm d-1", 1.0, 0.0),
    "mm/d": ("mm d-1", 1.0, 0.0),
    "mm/day": ("mm d-1", 1.0, 0.0),
    "m d-1": ("mm d-1", 1e3, 0.0),
    "m/d": ("mm d-1", 1e3, 0.0),
    "m/day": ("mm d-1", 1e3, 0.0),
    "mm h-1": ("mm h-1", 1.0, 0.0),
    "mm/h": ("mm h-1", 1.0, 0.0),
    "kg m-2 s-1": ("mm h-1", 3600.0, 0.0),
    "degC": ("degC", 1.0, 0.0),
    "°C": ("degC", 1.0, 0.0),
    "celsius": ("degC", 1.0, 0.0),
    "K": ("degC", 1.0, -273.15),
    "m": ("m", 1.0, 0.0),
    "cm": ("m", 1e-2, 0.0),
    "mm": ("m", 1e-3, 0.0),
    "W m-2": ("W m-2", 1.0, 0.0),
    "W/m2": ("W m-2", 1.0, 0.0),
    "m s-1": ("m s-1", 1.0, 0.0),
    "m/s": ("m s-1", 1.0, 0.0),
    "%": ("%", 1.0, 0.0),
    "1": ("%", 100.0, 0.0),
}


@dataclass(frozen=True, slots=True)
class Contract:
    """What a variable's values may be.

    Parameters
    ----------
    name
        As kept in validation reports; the number counts its versions.
    columns
        What the column of values is called, in lower case.
    ranges
        Canonical unit -> least and greatest possible value. Empty: nothing is asked of columns, times and values.
    usual
        Least and greatest value that is usual, where that is less than what is possible.
    """

    name: str
    columns: frozenset[str] = frozenset()
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    usual: tuple[float, float] | None = None

    def limits(self, unit: str | None) -> tuple[float, float] | None:
        """Return the least and greatest value possible in ``unit``.

        Without a unit, or in one that is not known, the widest of all units: only what is impossible in each.

        Examples
        --------
        >>> contract_for("discharge").limits("l s-1")
        (-50000000.0, 500000000.0)
        """
        spelled = UNITS.get(unit or "")
        if spelled is not None and spelled[0] in self.ranges:
            return _in_unit(self.ranges[spelled[0]], spelled)
        every = [_in_unit(self.ranges[u[0]], u) for u in UNITS.values() if u[0] in self.ranges]
        return (min(low for low, _ in every), max(high for _, high in every)) if every else None


def _in_unit(range_: tuple[float, float], spelled: tuple[str, float, float]) -> tuple[float, float]:
    _, factor, offset = spelled
    low, high = ((limit - offset) / factor for limit in range_)
    return low, high


def _contract(
    name: str, columns: str, *, usual: tuple[float, float] | None = None, **ranges: tuple[float, float]
) -> Contract:
    known = frozenset(columns.split()) | {name, "value", "val", "valeur"}
    return Contract(f"{name}/1", known, {_SHORT[short]: limits for short, limits in ranges.items()}, usual)


_SHORT = {
    "m3s": "m3 s-1", "mmd": "mm d-1", "mmh": "mm h-1", "degc": "degC", "m": "m",
    "wm2": "W m-2", "ms": "m s-1", "percent": "%",
}  # fmt: skip

#: The contract of every variable that has none of its own.
GENERIC = Contract("generic/1")

_ALL = (
    _contract(
        "discharge",
        "q qobs q_obs flow streamflow runoff debit",
        m3s=(-5e4, 5e5),
        mmd=(-200, 2e3),
        mmh=(-50, 5e2),
        usual=(0, 5e5),
    ),
    _contract("precipitation", "p prec precip pr rain rainfall tp pluie", mmd=(0, 2e3), mmh=(0, 6e2), m=(0, 30)),
    _contract("air_temperature", "t temp temperature tas t2m tmean tmin tmax", degc=(-95, 65)),
    _contract("water_temperature", "t temp temperature", degc=(-5, 100)),
    _contract("evapotranspiration", "e et etp etr evap evaporation pet et0 eto", mmd=(-10, 60), mmh=(-5, 20)),
    _contract("recharge", "r rch", mmd=(-100, 1e3), mmh=(-50, 300)),
    _contract("water_level", "h level stage hauteur niveau", m=(-500, 9e3)),
    _contract("groundwater_level", "head h level depth niveau piezo", m=(-2e3, 9e3)),
    _contract("radiation", "rad rs rn swdown lwdown ssrd", wm2=(-500, 2e3)),
    _contract("relative_humidity", "rh humidity hurs", percent=(0, 110)),
    _contract("wind_speed", "wind ws u2 ff sfcwind", ms=(0, 120)),
    _contract("soil_moisture", "sm swc theta", percent=(0, 100)),
)

_ALIASES = {
    "streamflow": "discharge",
    "runoff": "discharge",
    "rainfall": "precipitation",
    "temperature": "air_temperature",
    "potential_evapotranspiration": "evapotranspiration",
    "pet": "evapotranspiration",
    "etp": "evapotranspiration",
    "stage": "water_level",
    "hydraulic_head": "groundwater_level",
    "head": "groundwater_level",
    "piezometry": "groundwater_level",
    "humidity": "relative_humidity",
    "wind": "wind_speed",
}

#: Variable -> contract.
CONTRACTS: dict[str, Contract] = {contract.name.partition("/")[0]: contract for contract in _ALL}
CONTRACTS |= {alias: CONTRACTS[name] for alias, name in _ALIASES.items()}


def contract_for(variable: str) -> Contract:
    """Return the contract of a variable, else the generic one."""
    return CONTRACTS.get(variable.lower(), GENERIC)
