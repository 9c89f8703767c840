"""What keeps databases in good order: bringing one back from a backup, and making one small again."""

from hmp_core.upkeep.restore import Restored, restore
from hmp_core.upkeep.vacuum import Vacuumed, vacuum

__all__ = ["Restored", "Vacuumed", "restore", "vacuum"]
