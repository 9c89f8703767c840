"""Samplers of spotpy that record themselves: a database whose rows are the trials of a session."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np

    from hmp_catalog.calibration.session import CalibrationSession


class Database:
    """What a sampler of spotpy writes to; `attach` puts it in the place of its own.

    spotpy is not imported: it calls ``save``, ``finalize`` and ``getdata``.

    Parameters
    ----------
    session
        Where trials go. It minimises.
    names
        Of the parameters, in spotpy's order.
    objective
        From what spotpy's objective function returned to the number that is minimised, as ``lambda like: 1 - like``
        for an efficiency; by default that value.
    """

    def __init__(
        self, session: CalibrationSession, names: Sequence[str], objective: Callable[[float], float] | None = None
    ) -> None:
        self._session = session
        self._names = [str(name) for name in names]
        self._objective = objective
        self._rows: list[tuple[float, ...]] = []

    def save(self, like: Any, parameters: Any, simulations: Any = None, chains: int = 1) -> None:
        """Record one trial; spotpy calls it. Simulations are not kept: the best are recorded as runs.

        Raises
        ------
        InvalidInput
            For several objectives.
        """
        values = [float(one) for one in (like if hasattr(like, "__len__") else [like])]
        if len(values) != 1:
            message = f"spotpy gave {len(values)} objectives; a calibration session minimises one"
            raise InvalidInput(message)
        given = [float(one) for one in parameters]
        objective = values[0] if self._objective is None else float(self._objective(values[0]))
        status = "completed" if math.isfinite(objective) else "diverged"
        said = dict(zip(self._names, given, strict=True))
        self._session.trial(said, objective, {"like": values[0]}, status=status)
        self._rows.append((values[0], *given, float(chains)))

    def finalize(self) -> None:
        """Put what waits on the disk."""
        self._session.flush()

    def getdata(self) -> np.ndarray:
        """Return what was saved as spotpy's own databases do: ``like1``, ``par<name>`` and ``chain``."""
        import numpy as np

        names = ["like1", *(f"par{name}" for name in self._names), "chain"]
        return np.array(self._rows, dtype=[(name, float) for name in names])


def attach(sampler: Any, session: CalibrationSession, objective: Callable[[float], float] | None = None) -> Database:
    """Make a sampler of spotpy record its trials in a session, and return the database it writes to.

    ``sampler.sample(...)`` then needs no ``dbname``; ``sampler.getdata()`` answers as before. See `Database`.
    """
    names = sampler.parameter()["name"]
    database = Database(session, list(names), objective)
    sampler.datawriter, sampler.dbinit = database, False
    return database
