"""A run for others: labelled arrays, a netCDF file, and the documents of the event model of Bluesky.

``arrays`` is xarray, ``netcdf`` its file, ``documents`` are those of Bluesky and ``words`` what its model calls things.
"""
