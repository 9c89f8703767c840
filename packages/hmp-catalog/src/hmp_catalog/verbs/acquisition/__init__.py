"""The verbs of ``hmp acquisition``, by what one wants: ask, keep.

They stand outside the room of sessions, which brings NumPy along: a verb imports it when it is used.
"""
