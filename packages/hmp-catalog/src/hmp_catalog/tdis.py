"""When the steps of a MODFLOW model are: its start and unit of time, as the caller or the TDIS file says them.

Source: MODFLOW 6, Description of Input and Output (TDIS).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Units of time of TDIS -> seconds, and how UDUNITS calls them. A year of MODFLOW has 365.25 days.
_UNITS = {"seconds": (1.0, "s"), "minutes": (60.0, "min"), "hours": (3600.0, "h"), "days": (86400.0, "d"),
          "years": (31557600.0, "a")}  # fmt: skip


@dataclass(frozen=True)
class Clock:
    """When the model's time 0 is, and what it counts in; without a start, times stay what has passed since."""

    start: Any
    #: seconds of a unit; None where nobody said the unit
    seconds: float | None
    unit: str | None

    def instants(self, elapsed: Sequence[float]) -> NDArray[np.datetime64]:
        """Return when the ends of steps are, to the microsecond."""
        import numpy as np

        from hmp_catalog.fields.times import instant

        passed = np.round(np.asarray(elapsed, dtype="f8") * (self.seconds or 1.0) * 1e6).astype("i8")
        found: NDArray[np.datetime64] = instant(self.start) + passed.astype("timedelta64[us]")
        return found


def clock_of(tdis: Path | None, start: Any, units: str | None) -> Clock:
    """Return what the times of a model mean: by the word of the caller, else by the TDIS, else nobody knows.

    Raises
    ------
    InvalidInput
        For a unit that there is not, or a start without a unit.
    """
    said = {} if tdis is None else _options(tdis)
    start = start if start is not None else said.get("START_DATE_TIME")
    word = (units or said.get("TIME_UNITS") or "unknown").lower()
    seconds, unit = _UNITS.get(word, (None, None))
    if units is not None and seconds is None:
        message = f"time_units is {units!r}, expected one of {', '.join(_UNITS)}"
        raise InvalidInput(message)
    if start is not None and seconds is None:
        message = "there is a start and no unit of time; say it, as time_units='days'"
        raise InvalidInput(message)
    return Clock(start, seconds, unit)


def _options(tdis: Path) -> dict[str, str]:
    """Return the options of a TDIS file: TIME_UNITS and START_DATE_TIME."""
    text = tdis.read_text(encoding="utf-8", errors="replace")
    block = re.search(r"^\s*BEGIN\s+OPTIONS\b(.*?)^\s*END\s+OPTIONS\b", text, re.IGNORECASE | re.MULTILINE | re.DOTALL)
    lines = (line.split("#")[0].split(None, 1) for line in (block[1] if block else "").splitlines())
    return {words[0].upper(): words[1].strip() for words in lines if len(words) == 2}
