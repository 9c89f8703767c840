"""The verbs of ``hmp experiment``, by what one wants: ask, keep, shelve.

They stand outside the room of experiments, which brings NumPy along: a verb imports it when it is used.
"""
