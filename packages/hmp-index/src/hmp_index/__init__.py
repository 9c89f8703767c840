"""The machine index of hmp: which workspaces exist on this machine, and what simulations they hold.

>>> from hmp_core.layout import init_workspace
>>> root = init_workspace("fulda")
>>> with index() as machine:
...     print([machine.register("fulda").label, machine.find(solver="gr4j")])
['fulda', []]
"""

from hmp_index.door import GlobalIndex, index
from hmp_index.errors import OtherWorkspace, WorkspaceListCorrupt
from hmp_index.records import Health, Hit, Notice, Project, Pruned, Skipped, Workspace

__all__ = [
    "GlobalIndex",
    "Health",
    "Hit",
    "Notice",
    "OtherWorkspace",
    "Project",
    "Pruned",
    "Skipped",
    "Workspace",
    "WorkspaceListCorrupt",
    "index",
]

__version__ = "0.1.0"
