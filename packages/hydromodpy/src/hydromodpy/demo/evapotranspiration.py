"""Potential evapotranspiration where only the temperature is known: Oudin's formula.

Oudin, L. et al. (2005): Which potential evapotranspiration input for a lumped rainfall-runoff model?
Part 2. J. Hydrol. 303, 290-306, doi:10.1016/j.jhydrol.2004.08.026. The radiation at the top of the
atmosphere is that of Allen, R. G. et al. (1998): Crop evapotranspiration, FAO Irrigation and Drainage
Paper 56, equations 21-25.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float64]

#: Solar constant [MJ m-2 min-1] and latent heat of vaporisation [MJ kg-1] as FAO-56 gives them.
SOLAR_CONSTANT = 0.0820
LATENT_HEAT = 2.45


def extraterrestrial_radiation(day_of_year: ArrayLike, latitude: float) -> FloatArray:
    """Return the daily radiation at the top of the atmosphere.

    Parameters
    ----------
    day_of_year : array_like, shape (n,)
        1 is the first of January, 366 the last day of a leap year.
    latitude : float
        Degrees, north positive, in [-90, 90].

    Returns
    -------
    ndarray, shape (n,)
        Radiation [MJ m-2 d-1]; zero in the polar night.

    Raises
    ------
    InvalidInput
        A latitude or a day outside its range.

    References
    ----------
    Allen, R. G. et al. (1998), FAO-56, equations 21 (radiation), 23 (distance), 24 (declination), 25
    (sunset hour angle).

    Examples
    --------
    Example 8 of FAO-56: 3 September at 20 degrees south.

    >>> extraterrestrial_radiation([246], -20.0).round(1)
    array([32.2])
    """
    if not -90.0 <= latitude <= 90.0:
        message = f"latitude is {latitude}: expected degrees in [-90, 90], north positive"
        raise InvalidInput(message)
    day = np.asarray(day_of_year, dtype=np.float64)
    if not ((day >= 1) & (day <= 366)).all():
        message = f"day_of_year goes from {day.min()} to {day.max()}: expected days in [1, 366]"
        raise InvalidInput(message)
    phi = np.radians(latitude)
    distance = 1.0 + 0.033 * np.cos(2.0 * np.pi / 365.0 * day)
    declination = 0.409 * np.sin(2.0 * np.pi / 365.0 * day - 1.39)
    # Beyond the polar circles the sun may not set or not rise: the angle is then pi or 0.
    sunset = np.arccos(np.clip(-np.tan(phi) * np.tan(declination), -1.0, 1.0))
    height = sunset * np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.sin(sunset)
    radiation: FloatArray = 24.0 * 60.0 / np.pi * SOLAR_CONSTANT * distance * height
    return np.maximum(radiation, 0.0)


def oudin(air_temperature: ArrayLike, day_of_year: ArrayLike, latitude: float) -> FloatArray:
    r"""Return potential evapotranspiration from the mean temperature of the day.

    Parameters
    ----------
    air_temperature : array_like, shape (n,)
        Daily means [degC]. A missing one gives a missing answer.
    day_of_year : array_like, shape (n,)
        1 is the first of January.
    latitude : float
        Degrees, north positive.

    Returns
    -------
    ndarray, shape (n,)
        Potential evapotranspiration [mm d-1]; zero at and below -5 degC.

    Raises
    ------
    InvalidInput
        Shapes differ, a latitude or a day outside its range, or temperatures that cannot be degrees
        Celsius.

    Notes
    -----
    .. math:: PE = \frac{R_a}{\lambda \rho} \, \frac{T + 5}{100} \quad \text{if } T + 5 > 0

    with :math:`R_a` from `extraterrestrial_radiation`, :math:`\lambda` = 2.45 MJ/kg; dividing by the
    density of water turns kg m-2 into mm.

    References
    ----------
    Oudin, L. et al. (2005), J. Hydrol. 303, 290-306, doi:10.1016/j.jhydrol.2004.08.026.

    Examples
    --------
    >>> oudin([18.0, -7.5], [172, 15], 50.8).round(2)
    array([3.92, 0.  ])
    """
    temperature = np.asarray(air_temperature, dtype=np.float64)
    day = np.asarray(day_of_year, dtype=np.float64)
    if temperature.shape != day.shape:
        message = f"air_temperature has shape {temperature.shape}, day_of_year {day.shape}: expected the same"
        raise InvalidInput(message)
    # 90 is beyond any air temperature on Earth: such values are kelvin or Fahrenheit.
    if (np.abs(temperature) > 90.0).any():
        message = f"air_temperature reaches {np.nanmax(np.abs(temperature))}: expected degrees Celsius"
        raise InvalidInput(message)
    warmth = np.maximum(temperature + 5.0, 0.0) / 100.0
    potential: FloatArray = extraterrestrial_radiation(day, latitude) / LATENT_HEAT * warmth
    return potential
