"""The verbs of ``hmp experiment``, by what one wants: ask, keep, shelve."""
