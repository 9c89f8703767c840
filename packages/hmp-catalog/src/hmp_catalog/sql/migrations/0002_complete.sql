-- What was recorded is kept: audited facts are under a hash that outlives a purge.

-- ── lifecycle and audit ─────────────────────────────────────────────────────────────────────────────────────

-- the SHA-256 of what the row says: chain_hash is made of it, so that a purge can empty the payload and the chain holds
ALTER TABLE audit_log ADD COLUMN content_sha256 VARCHAR;

-- ── observations and stations ───────────────────────────────────────────────────────────────────────────────
-- Nothing ever wrote these two. As rows with a key, 30 years of hourly values took 45 MB and slowed every later fold by
-- 30 ms; as a Parquet file they take 4 MB, are read as fast, and the database keeps a row for the whole.

DROP TABLE observations;

-- a row is one addition to what a station observed of a variable: where its values lie, and where they came from
CREATE TABLE observations (
    addition_id UUID PRIMARY KEY,
    station_id VARCHAR,
    variable_type VARCHAR,
    unit VARCHAR,
    -- relative to the project
    path VARCHAR,
    sha256 VARCHAR,
    size_bytes BIGINT,
    n_rows BIGINT,
    first_time TIMESTAMP,
    last_time TIMESTAMP,
    source VARCHAR,
    -- of the input that the values come from, if they come from one
    entry_id UUID,
    artifact_id UUID,
    source_path VARCHAR,
    source_sha256 VARCHAR,
    license VARCHAR,
    added_at TIMESTAMP,
    added_by VARCHAR,
    _stamp VARCHAR NOT NULL
);

DROP TABLE stations;

-- a row is a station that observes a variable, known to the whole project; its period is that of its observations
CREATE TABLE stations (
    station_id VARCHAR NOT NULL,
    variable_type VARCHAR NOT NULL,
    name VARCHAR,
    latitude DOUBLE PRECISION,
    longitude DOUBLE PRECISION,
    elevation DOUBLE PRECISION,
    source VARCHAR,
    active BOOLEAN,
    metadata JSON,
    _stamp VARCHAR NOT NULL,
    PRIMARY KEY (station_id, variable_type)
);

-- ── workflow ────────────────────────────────────────────────────────────────────────────────────────────────
-- Step 0 stands for the run of the workflow as a whole.

-- where a step keeps its state is among its artefacts
ALTER TABLE workflow_steps DROP COLUMN checkpoint_path;
ALTER TABLE workflow_steps ADD COLUMN workflow VARCHAR;
ALTER TABLE workflow_steps ADD COLUMN owner JSON;
-- group "end": what the step returned, and the step of an earlier run whose result it took
ALTER TABLE workflow_steps ADD COLUMN result JSON;
ALTER TABLE workflow_steps ADD COLUMN reused_step_id UUID;

-- ── portability ─────────────────────────────────────────────────────────────────────────────────────────────
-- group "packed": whether the files of the simulation lie in one (zarr_packed), and the SHA-256 of that file

ALTER TABLE simulations ADD COLUMN pack_sha256 VARCHAR;
ALTER TABLE simulations ADD COLUMN _stamp_packed VARCHAR;

-- ── calibration ─────────────────────────────────────────────────────────────────────────────────────────────
-- who opened the session: one that nobody closed and whose process is dead was abandoned

ALTER TABLE calibration_sessions ADD COLUMN owner JSON;

-- ── reuse ───────────────────────────────────────────────────────────────────────────────────────────────────
-- what two simulations have in common that must give the same results; null for those of 0.1

ALTER TABLE simulations ADD COLUMN identity_hash VARCHAR;
