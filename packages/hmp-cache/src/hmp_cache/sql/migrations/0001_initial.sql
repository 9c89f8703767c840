-- The input cache: which data there are, every version of them, and how each was obtained.
-- Every row is folded from events; `_stamp` orders the events that set it, `_stamp_<group>` those of some columns.
-- Written in what DuckDB and PostgreSQL share. Only keys and stamps are required: what was acknowledged is never
-- refused by a constraint.

-- a row is a logical input: a variable of a source at a station or over an extent, and its current version
CREATE TABLE entries (
    id UUID PRIMARY KEY,
    variable VARCHAR,
    source VARCHAR,
    station_id VARCHAR,
    bbox_xmin DOUBLE PRECISION,
    bbox_ymin DOUBLE PRECISION,
    bbox_xmax DOUBLE PRECISION,
    bbox_ymax DOUBLE PRECISION,
    crs VARCHAR,
    date_start TIMESTAMP,
    date_end TIMESTAMP,
    frequency VARCHAR,
    unit VARCHAR,
    source_unit VARCHAR,
    is_custom BOOLEAN,
    created_at TIMESTAMP,
    -- group "current"
    artifact_id UUID,
    file_path VARCHAR,
    file_mtime DOUBLE PRECISION,
    sha256 VARCHAR,
    fetch_metadata JSON,
    state VARCHAR,
    _stamp_current VARCHAR,
    _stamp VARCHAR NOT NULL
);

CREATE INDEX idx_entries_sha256 ON entries (sha256);

-- a row is one immutable version of the bytes of an entry
CREATE TABLE artifacts (
    id UUID PRIMARY KEY,
    entry_id UUID,
    variable VARCHAR,
    artifact_type VARCHAR,
    sha256 VARCHAR,
    size_bytes BIGINT,
    path VARCHAR,
    media_type VARCHAR,
    state VARCHAR,
    created_at TIMESTAMP,
    _stamp VARCHAR NOT NULL
);

CREATE INDEX idx_artifacts_sha256 ON artifacts (sha256);

-- a row says how an artifact came to be: fetched from where, or made by which tool from which parents
CREATE TABLE provenance (
    id UUID PRIMARY KEY,
    artifact_id UUID,
    entry_id UUID,
    variable VARCHAR,
    source VARCHAR,
    uri VARCHAR,
    request JSON,
    etag VARCHAR,
    last_modified VARCHAR,
    license VARCHAR,
    fetched_at TIMESTAMP,
    tool_name VARCHAR,
    tool_version VARCHAR,
    input_hash VARCHAR,
    parents JSON,
    parameters_json JSON,
    recorded_at TIMESTAMP,
    _stamp VARCHAR NOT NULL
);

-- a row is a station of a source that measures a variable
CREATE TABLE stations (
    -- two sources may call different stations by the same id
    source VARCHAR NOT NULL,
    station_id VARCHAR NOT NULL,
    variable VARCHAR NOT NULL,
    name VARCHAR,
    lat DOUBLE PRECISION,
    lon DOUBLE PRECISION,
    z DOUBLE PRECISION,
    first_valid DATE,
    last_valid DATE,
    _stamp VARCHAR NOT NULL,
    PRIMARY KEY (source, station_id, variable)
);

-- a row is a period that was asked of a source and what it had, also where it had nothing
CREATE TABLE coverage (
    id UUID PRIMARY KEY,
    variable VARCHAR,
    source VARCHAR,
    station_id VARCHAR,
    region_wkt VARCHAR,
    period_start TIMESTAMP,
    period_end TIMESTAMP,
    n_stations INTEGER,
    state VARCHAR,
    recorded_at TIMESTAMP,
    expires_at TIMESTAMP,
    _stamp VARCHAR NOT NULL
);

-- a row is what a source says it offers of a variable: where and when
CREATE TABLE api_coverage (
    id UUID PRIMARY KEY,
    variable VARCHAR,
    source VARCHAR,
    country VARCHAR,
    description VARCHAR,
    bbox_xmin DOUBLE PRECISION,
    bbox_ymin DOUBLE PRECISION,
    bbox_xmax DOUBLE PRECISION,
    bbox_ymax DOUBLE PRECISION,
    period_start TIMESTAMP,
    period_end TIMESTAMP,
    recorded_at TIMESTAMP,
    _stamp VARCHAR NOT NULL
);

-- a row is an attempt to obtain data that failed
CREATE TABLE failures (
    id UUID PRIMARY KEY,
    variable VARCHAR,
    source VARCHAR,
    source_ref VARCHAR,
    request JSON,
    error_type VARCHAR,
    message VARCHAR,
    occurred_at TIMESTAMP,
    _stamp VARCHAR NOT NULL
);

-- a row is the verdict on an artifact by the contract of its variable
CREATE TABLE validation_reports (
    id UUID PRIMARY KEY,
    artifact_id UUID,
    entry_id UUID,
    schema_name VARCHAR,
    passed BOOLEAN,
    errors_json JSON,
    validated_at TIMESTAMP,
    _stamp VARCHAR NOT NULL
);

-- a row is a variable of a source: how many entries and stations there are, and the period they span
CREATE VIEW v_entries_summary AS
SELECT
    variable,
    source,
    count(*) AS n_entries,
    count(DISTINCT nullif(station_id, '')) AS n_stations,
    min(date_start) AS earliest,
    max(date_end) AS latest,
    count(CASE WHEN is_custom THEN 1 END) AS n_custom
FROM entries
GROUP BY variable, source;
