"""Values and the codes that a store holds: what becomes of one in the other, and nothing of any store.

``packing`` makes codes of values and values again, ``floats`` does so for those; ``plans`` says how for which type,
``marked`` knows what others mark as missing, and ``instants`` are times. ``templates`` are the coordinates and
variables that hydrology has again and again, ``scaling`` is for packing with other tools.
"""
