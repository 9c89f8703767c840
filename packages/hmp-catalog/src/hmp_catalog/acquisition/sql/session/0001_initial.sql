-- A measuring session: its samples, runs, streams, events, and where the frames of its detectors lie.

-- a row is a thing that is measured; a name may occur more than once
CREATE TABLE IF NOT EXISTS samples (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    formula TEXT,
    serial TEXT,
    tags TEXT,
    beamline_pos TEXT,
    extra TEXT
);
CREATE INDEX IF NOT EXISTS idx_samples_name ON samples (name);

-- a row is one execution of a plan; times are seconds since 1970
CREATE TABLE IF NOT EXISTS runs (
    uid TEXT PRIMARY KEY,
    sample_id INTEGER REFERENCES samples (id) ON DELETE SET NULL,
    plan_name TEXT NOT NULL,
    time_start REAL NOT NULL,
    time_stop REAL,
    exit_status TEXT,
    num_events INTEGER DEFAULT 0,
    operator TEXT,
    metadata TEXT
);
CREATE INDEX IF NOT EXISTS idx_runs_sample ON runs (sample_id);
CREATE INDEX IF NOT EXISTS idx_runs_plan ON runs (plan_name);
CREATE INDEX IF NOT EXISTS idx_runs_tstart ON runs (time_start);

-- a row is a series of events of one run that have the same keys
CREATE TABLE IF NOT EXISTS streams (
    uid TEXT PRIMARY KEY,
    run_uid TEXT NOT NULL REFERENCES runs (uid) ON DELETE CASCADE,
    name TEXT NOT NULL,
    data_keys TEXT NOT NULL,
    time_created REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_streams_run ON streams (run_uid);
CREATE UNIQUE INDEX IF NOT EXISTS idx_streams_run_name ON streams (run_uid, name);

-- a row is what was read at one moment, numbered from 1 in its stream
CREATE TABLE IF NOT EXISTS events (
    uid TEXT PRIMARY KEY,
    stream_uid TEXT NOT NULL REFERENCES streams (uid) ON DELETE CASCADE,
    seq_num INTEGER NOT NULL,
    time REAL NOT NULL,
    data TEXT NOT NULL,
    timestamps TEXT
);
CREATE INDEX IF NOT EXISTS idx_events_stream ON events (stream_uid);
CREATE UNIQUE INDEX IF NOT EXISTS idx_events_seq ON events (stream_uid, seq_num);

-- a row is one frame, as the first versions kept them; shape_x is its height, shape_y its width
CREATE TABLE IF NOT EXISTS image_refs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_uid TEXT NOT NULL REFERENCES events (uid) ON DELETE CASCADE,
    field_name TEXT NOT NULL,
    zarr_group TEXT NOT NULL,
    index_in_stack INTEGER NOT NULL,
    shape_x INTEGER NOT NULL,
    shape_y INTEGER NOT NULL,
    dtype TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_image_refs_event ON image_refs (event_uid);
