"""Between data sets and what others have: netCDF files and data sets of xarray.

``netcdf`` writes files; ``given`` says how what others have is kept, and ``intake`` takes it. ``xarrays`` shows data
sets to xarray.
"""
