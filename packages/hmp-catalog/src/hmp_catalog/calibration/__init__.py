"""Calibrations: every trial on record as it happens, from one process or many.

The map: `CalibrationSession` records trials; `hmp_catalog.calibration.optuna` and `hmp_catalog.calibration.spotpy` let
studies of these record themselves (each needs its library, and imports it when it is called).
"""

from hmp_catalog.calibration.session import STATUSES, CalibrationSession

__all__ = ["STATUSES", "CalibrationSession"]
