"""How the manual is built: MyST pages, the pydata theme, the reference from docstrings."""

from __future__ import annotations

project = "hmp"
author = "The hmp developers"
copyright = "The hmp developers"  # noqa: A001 - the name Sphinx asks for

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False

html_theme = "pydata_sphinx_theme"
html_title = "hmp"
html_show_sourcelink = False
html_theme_options = {"show_toc_level": 2, "navigation_depth": 2}
