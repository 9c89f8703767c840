-- Frames are kept by ranges, runs say who ran them and why they ended, the session says what it is.

ALTER TABLE runs ADD COLUMN scan_id INTEGER;
ALTER TABLE runs ADD COLUMN reason TEXT;
ALTER TABLE runs ADD COLUMN owner TEXT;
ALTER TABLE runs ADD COLUMN events_by_stream TEXT;
ALTER TABLE runs ADD COLUMN provenance TEXT;

-- a row is something that is known of the whole session
CREATE TABLE session (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- a row is a range of frames of one array: start..stop are those of the events seq_start.. of the stream, one each
CREATE TABLE frames (
    id INTEGER PRIMARY KEY,
    run_uid TEXT NOT NULL REFERENCES runs (uid) ON DELETE CASCADE,
    stream_uid TEXT NOT NULL REFERENCES streams (uid) ON DELETE CASCADE,
    field_name TEXT NOT NULL,
    zarr_group TEXT NOT NULL,
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    seq_start INTEGER NOT NULL,
    height INTEGER NOT NULL,
    width INTEGER NOT NULL,
    dtype TEXT NOT NULL,
    codec TEXT NOT NULL,
    -- over the bytes of the frames, little-endian and row by row
    sha256 TEXT NOT NULL
);
CREATE UNIQUE INDEX idx_frames_start ON frames (zarr_group, start);
CREATE INDEX idx_frames_run ON frames (run_uid, field_name);

-- a row is a frame of a shard that is not full yet: where its encoded bytes lie in the shard's file
CREATE TABLE frames_open (
    run_uid TEXT NOT NULL REFERENCES runs (uid) ON DELETE CASCADE,
    field_name TEXT NOT NULL,
    position INTEGER NOT NULL,
    event_uid TEXT NOT NULL REFERENCES events (uid) ON DELETE CASCADE,
    offset INTEGER NOT NULL,
    nbytes INTEGER NOT NULL,
    crc32 INTEGER NOT NULL,
    PRIMARY KEY (run_uid, field_name, position)
);
