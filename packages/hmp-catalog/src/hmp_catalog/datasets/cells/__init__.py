"""Stored arrays: how they are cut and compressed, what a key means, how their cells are read and written.

``arrays`` are stored arrays and what their cells mean; ``direct`` reads our own ones without zarr, ``laying`` writes
them, and ``pouring`` writes a file chunk by chunk. ``selecting`` says what a key means, ``blocks`` and ``chunking`` how
arrays are cut, ``codecs`` how they are compressed.
"""
