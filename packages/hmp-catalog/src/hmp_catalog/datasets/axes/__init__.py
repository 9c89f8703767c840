"""Coordinates: where labels are, what they may be, how they go on, and who keeps them.

``labels`` finds labels, ``ticks`` says what they may be and how they go on, ``joining`` makes those of several one.
``geometry`` and ``containers`` do so for geometries, ``crs`` for reference systems; ``keeping`` puts them in a store.
"""
