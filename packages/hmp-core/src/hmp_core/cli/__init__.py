"""The ``hmp`` command: it knows no scope, it finds the verbs of whatever is installed."""
