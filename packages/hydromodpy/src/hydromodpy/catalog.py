"""``hydromodpy.catalog``: the three doors."""

from hmp_cache import InputsNamespace
from hydromodpy.doors import index, open  # noqa: A004 - the documented name of the door

__all__ = ["InputsNamespace", "index", "open"]
