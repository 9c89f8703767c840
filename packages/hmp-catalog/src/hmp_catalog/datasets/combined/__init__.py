"""Data sets become one, or two of one.

``combining`` makes one of several: ``inputs`` opens them and holds them against one another, ``overlaying`` lays
their blocks over one another and ``filling`` writes these. ``copying`` makes two of one.
"""
