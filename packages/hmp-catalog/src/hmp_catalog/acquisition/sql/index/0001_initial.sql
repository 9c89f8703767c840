-- The master index: which researchers have which sessions, and what was run in them.

-- a row is a person whose sessions lie under one folder
CREATE TABLE IF NOT EXISTS researchers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    email TEXT,
    orcid TEXT,
    affiliation TEXT,
    root_path TEXT NOT NULL,
    extra TEXT
);
CREATE UNIQUE INDEX IF NOT EXISTS idx_researchers_name ON researchers (name);

-- a row is a session; its path is relative to the folder of the index
CREATE TABLE IF NOT EXISTS beamtimes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    researcher_id INTEGER NOT NULL REFERENCES researchers (id) ON DELETE CASCADE,
    label TEXT NOT NULL,
    db_path TEXT NOT NULL,
    time_start REAL,
    time_stop REAL,
    description TEXT,
    extra TEXT
);
CREATE UNIQUE INDEX IF NOT EXISTS idx_beamtimes_db_path ON beamtimes (db_path);
CREATE INDEX IF NOT EXISTS idx_beamtimes_researcher ON beamtimes (researcher_id);
CREATE INDEX IF NOT EXISTS idx_beamtimes_start ON beamtimes (time_start);

-- a row is a run of a session, by the uid that it has there
CREATE TABLE IF NOT EXISTS runs_index (
    uid TEXT PRIMARY KEY,
    researcher_id INTEGER NOT NULL REFERENCES researchers (id) ON DELETE CASCADE,
    beamtime_id INTEGER NOT NULL REFERENCES beamtimes (id) ON DELETE CASCADE,
    plan_name TEXT NOT NULL,
    sample_name TEXT,
    time_start REAL NOT NULL,
    tags TEXT
);
CREATE INDEX IF NOT EXISTS idx_runs_index_plan ON runs_index (plan_name);
CREATE INDEX IF NOT EXISTS idx_runs_index_sample ON runs_index (sample_name);
CREATE INDEX IF NOT EXISTS idx_runs_index_time ON runs_index (time_start);
