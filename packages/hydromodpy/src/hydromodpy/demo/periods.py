"""The years of a record: those that fill the stores, those a model is fitted on, those that judge it.

Judging a model on years it has not seen is the split-sample test of Klemeš, V. (1986): Operational testing
of hydrological simulation models. Hydrol. Sci. J. 31, 13-24, doi:10.1080/02626668609491024.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Period:
    """Some days of a record, first and last included."""

    name: str
    start: date
    end: date

    def mask(self, dates: pd.DatetimeIndex) -> NDArray[np.bool_]:
        """Return which of `dates` are within."""
        days = dates.to_numpy().astype("datetime64[D]")
        inside: NDArray[np.bool_] = (days >= np.datetime64(self.start)) & (days <= np.datetime64(self.end))
        return inside


@dataclass(frozen=True, slots=True)
class Split:
    """A record in its three parts, one after the other."""

    warm_up: Period
    calibration: Period
    validation: Period


def split(dates: pd.DatetimeIndex, *, warm_up_years: int = 1, calibration_years: int = 5) -> Split:
    """Return the record's warm-up, its calibration years, and the rest as validation.

    Parameters
    ----------
    dates : pandas.DatetimeIndex, shape (n,)
        Days of the record, ascending.
    warm_up_years, calibration_years : int
        Lengths in years, at least one each.

    Returns
    -------
    Split
        Three periods without gap or overlap.

    Raises
    ------
    InvalidInput
        A length below one year, or nothing left to validate on.

    Examples
    --------
    >>> import pandas as pd
    >>> split(pd.date_range("1979-01-01", "1988-12-31")).validation
    Period(name='validation', start=datetime.date(1985, 1, 1), end=datetime.date(1988, 12, 31))
    """
    import pandas as pd

    for name, years in (("warm_up_years", warm_up_years), ("calibration_years", calibration_years)):
        if years < 1:
            message = f"{name} is {years}: expected at least 1"
            raise InvalidInput(message)
    wanted = warm_up_years + calibration_years
    last = dates[-1] if len(dates) else pd.Timestamp.min
    starts = [dates[0] + pd.DateOffset(years=n) for n in (0, warm_up_years, wanted)] if len(dates) else []
    if not starts or starts[-1] > last:
        message = (
            f"the record has {len(dates)} days: expected more than {wanted} years, that is {warm_up_years} "
            f"of warm-up, {calibration_years} of calibration and at least one day to validate on"
        )
        raise InvalidInput(message)
    ends = [*(start - pd.Timedelta(days=1) for start in starts[1:]), last]
    names = ("warm-up", "calibration", "validation")
    return Split(*(Period(n, a.date(), b.date()) for n, a, b in zip(names, starts, ends, strict=True)))
