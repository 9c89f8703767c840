"""hmp complete: workspaces, the three doors, the bridge between them, and a demo on real data.

The map: `init` makes a workspace and `Workspace` holds one; `open` gives the catalog of a project, `index` the machine
index, ``workspace.data`` the input cache; `demo` calibrates a real catchment from download to lineage.
"""

import hydromodpy.demo  # noqa: F401 - importing this room later would put it in the place of the door of that name
from hydromodpy.doors import demo, index, init, open  # noqa: A004 - the documented names of the doors
from hydromodpy.workspace import Project, Workspace

__all__ = ["Project", "Workspace", "__version__", "demo", "index", "init", "open"]

__version__ = "0.1.0"
