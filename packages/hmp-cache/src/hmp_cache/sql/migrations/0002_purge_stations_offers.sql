-- What was purged stays on record; what is known of a station apart from its data; what a source offers; when to try again.

-- the name, which was kept among the facts of the fetch; how the file looked when it was last seen to be these bytes
ALTER TABLE entries ADD COLUMN name VARCHAR;
ALTER TABLE entries ADD COLUMN file_mtime_ns BIGINT;
ALTER TABLE entries ADD COLUMN file_inode BIGINT;
-- group "state"
ALTER TABLE entries ADD COLUMN _stamp_state VARCHAR;
-- group "sighted"
ALTER TABLE entries ADD COLUMN _stamp_sighted VARCHAR;
UPDATE entries
SET name = fetch_metadata ->> 'name', _stamp_state = _stamp_current, _stamp_sighted = _stamp_current;

-- group "place": where the bytes lie, and whether they do
ALTER TABLE artifacts ADD COLUMN _stamp_place VARCHAR;
UPDATE artifacts SET _stamp_place = _stamp;

-- a row is a station of a source that measures a variable
CREATE TABLE stations_described (
    -- <source>/<variable>/<station_id>: two sources may call different stations by the same id
    id VARCHAR PRIMARY KEY,
    source VARCHAR,
    variable VARCHAR,
    station_id VARCHAR,
    -- group "described"
    name VARCHAR,
    lat DOUBLE PRECISION,
    lon DOUBLE PRECISION,
    z DOUBLE PRECISION,
    _stamp_described VARCHAR,
    -- group "valid": of the data that are held
    first_valid DATE,
    last_valid DATE,
    _stamp_valid VARCHAR,
    _stamp VARCHAR NOT NULL
);
INSERT INTO stations_described (id, source, variable, station_id, first_valid, last_valid, _stamp_valid, _stamp)
SELECT source || '/' || variable || '/' || station_id, source, variable, station_id, first_valid, last_valid, _stamp, _stamp
FROM stations;
DROP TABLE stations;
ALTER TABLE stations_described RENAME TO stations;

ALTER TABLE coverage ADD COLUMN entry_id UUID;
ALTER TABLE coverage ADD COLUMN n_records BIGINT;

ALTER TABLE api_coverage ADD COLUMN unit VARCHAR;
ALTER TABLE api_coverage ADD COLUMN frequency VARCHAR;
ALTER TABLE api_coverage ADD COLUMN license VARCHAR;

ALTER TABLE failures ADD COLUMN entry_id UUID;
ALTER TABLE failures ADD COLUMN status INTEGER;
ALTER TABLE failures ADD COLUMN attempts INTEGER;
ALTER TABLE failures ADD COLUMN next_retry TIMESTAMP;

DROP VIEW v_entries_summary;

-- a row is a variable of a source: how many entries and stations there are, and the period they span
CREATE VIEW v_entries_summary AS
SELECT
    variable,
    source,
    count(*) AS n_entries,
    count(DISTINCT nullif(station_id, '')) AS n_stations,
    min(date_start) AS earliest,
    max(date_end) AS latest,
    count(CASE WHEN is_custom THEN 1 END) AS n_custom,
    count(CASE WHEN state = 'purged' THEN 1 END) AS n_purged
FROM entries
WHERE coalesce(state, '') <> 'removed'
GROUP BY variable, source;
