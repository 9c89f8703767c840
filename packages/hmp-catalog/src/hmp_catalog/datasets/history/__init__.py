"""How a data set changes: all of a session or nothing, in folders that keep versions of themselves.

``versions`` is the way in. ``work`` is the tree of a session and ``merging`` puts together what two of them did;
``layout`` knows where everything is, ``adopting`` takes over what others wrote, ``copies`` tells those that lost
something, ``documents`` what each ``zarr.json`` says; ``trees`` are the folders of files that versions are made of,
``stores`` is what reads and writes them, ``holding`` is the kernel's locks on them.
"""
