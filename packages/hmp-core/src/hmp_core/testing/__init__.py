"""The judges, shipped with ``hmp-core[testing]``: subclass a suite in your tests and supply what it asks for.

`backend_suite` (a database adapter), `auth_suite` (an authority), `migration_suite` (a folder of migrations),
`door_suite` (how one gets into a scope); `children` and `faults` (real processes that die where they are told),
`damage` (files that are spoilt), `gauges` (a small scope to try the event log on).
"""
