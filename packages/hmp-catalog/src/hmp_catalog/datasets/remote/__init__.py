"""A data set that is also behind a URL.

``edataset`` is the way in: ``pushing`` and ``pulling`` bring it there and here, ``clearing`` takes away there.
``remotes`` are the stores, ``manifests`` what a version there consists of, ``pieces`` how shards are cut; ``stubs``
stand for what is not here, ``fetching`` fetches it and ``missing`` does so as zarr reads; ``standing`` says on which
version there a version here stands, ``differing`` what changed since.
"""
