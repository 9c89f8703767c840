"""Values of a variable elsewhere: on other grids, at points, in its gaps and on other levels.

``interpolation`` takes the values of grids elsewhere and ``stations`` those of stations: ``places`` and ``targets``
are where, ``roles`` what dimensions mean; ``regridding``, ``triangles`` and ``levels`` are how.
"""
