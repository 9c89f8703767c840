"""The lineage of a run for who has no hmp: as W3C PROV-JSON, and as a Workflow Run RO-Crate.

The map: `prov` returns a document, `ro_crate` writes a crate. Both tell the same story, which `hydromodpy.exports.told`
gathers through the doors of the catalog and the cache, and `hydromodpy.exports.discretion` keeps the machine out of it.
"""

from hydromodpy.exports.crate import ro_crate
from hydromodpy.exports.document import prov

__all__ = ["prov", "ro_crate"]
