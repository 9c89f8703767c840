"""The judge, shipped with ``hmp-cache[testing]``: `source_suite` (a source of inputs)."""
