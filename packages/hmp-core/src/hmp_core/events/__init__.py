"""The event log and the fold: a write is a line on the disk first, and rows of a database later."""

from hmp_core.events.fold import Fold, NotYet, Row, Table
from hmp_core.events.log import EventLog
from hmp_core.events.record import Event
from hmp_core.events.store import EventStore

__all__ = ["Event", "EventLog", "EventStore", "Fold", "NotYet", "Row", "Table"]
