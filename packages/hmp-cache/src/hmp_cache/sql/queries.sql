-- What the cache is asked, statement by statement.

-- name: versions
-- Each version of each input: what the input is, which bytes, and where they lie.
SELECT
    CAST(e.id AS VARCHAR) AS id,
    e.name,
    e.variable,
    e.source,
    e.station_id,
    e.bbox_xmin, e.bbox_ymin, e.bbox_xmax, e.bbox_ymax,
    e.crs,
    e.date_start,
    e.date_end,
    e.frequency,
    e.unit,
    e.source_unit,
    e.is_custom,
    a.sha256,
    a.size_bytes AS size,
    a.path AS relative_path,
    a.media_type,
    CASE WHEN a.id = e.artifact_id THEN e.state ELSE a.state END AS state,
    CAST(a.id AS VARCHAR) AS artifact_id,
    e.created_at,
    a.created_at AS stored_at,
    e.file_mtime,
    e.file_mtime_ns,
    e.file_inode,
    e.state AS entry_state,
    a.id = e.artifact_id AS is_current,
    e.id AS entry_uuid,
    a.id AS artifact_uuid
FROM artifacts a
JOIN entries e ON e.id = a.entry_id;

-- name: origins
-- The versions that were found (`hit`), each with where its bytes came from, as was said last.
SELECT hit.*, p.uri, p.license
FROM hit
LEFT JOIN (
    SELECT artifact_id, max(_stamp) AS newest
    FROM provenance
    WHERE artifact_id IN (SELECT artifact_uuid FROM hit)
    GROUP BY artifact_id
) o ON o.artifact_id = hit.artifact_uuid
LEFT JOIN provenance p ON p.artifact_id = o.artifact_id AND p._stamp = o.newest;

-- name: places
-- Where the current version of each input of a source lies.
SELECT CAST(id AS VARCHAR), file_path FROM entries WHERE variable = $1 AND source = $2;

-- name: news
-- When something last happened to each version: the clock of the newest event that says it was stored or confirmed, or
-- where it lies. A stamp is rank (1 digit), clock (16 hex digits, microseconds since 1970), id.
SELECT CAST(a.id AS VARCHAR), substr(greatest(a._stamp, a._stamp_place, coalesce(max(p._stamp), '')), 2, 16)
FROM artifacts a
LEFT JOIN provenance p ON p.artifact_id = a.id
GROUP BY a.id, a._stamp, a._stamp_place;

-- name: series
-- The versions that are made of windows that a source was asked for.
SELECT DISTINCT CAST(artifact_id AS VARCHAR)
FROM provenance
WHERE json_array_length(request, '$.windows') > 0;

-- name: fetched
-- When each version that was fetched was last fetched or confirmed.
SELECT CAST(artifact_id AS VARCHAR), max(fetched_at)
FROM provenance
WHERE fetched_at IS NOT NULL
GROUP BY artifact_id;

-- name: holders
-- The versions with these bytes that were not purged: whose they are, where they lie, whether they are current.
SELECT CAST(e.id AS VARCHAR), a.path, a.id = e.artifact_id
FROM artifacts a
JOIN entries e ON e.id = a.entry_id
WHERE a.sha256 = $1 AND coalesce(a.state, '') <> 'purged';

-- name: fitting
-- The inputs that a reference may mean: by name or path ($1), or by an id from $2 to $3; newest first.
SELECT CAST(id AS VARCHAR), name, file_path
FROM entries
WHERE coalesce(state, '') <> 'removed' AND id IN (
    -- apart: among 100,000 the three with OR take 19 ms, these 4
    SELECT id FROM entries WHERE name = $1
    UNION ALL SELECT id FROM entries WHERE file_path = $1
    UNION ALL SELECT id FROM entries WHERE id BETWEEN CAST($2 AS UUID) AND CAST($3 AS UUID)
)
ORDER BY _stamp_current DESC, id;

-- name: of_variable
-- The inputs of one variable, newest first.
SELECT CAST(id AS VARCHAR), name, file_path
FROM entries
WHERE variable = $1 AND coalesce(state, '') <> 'removed'
ORDER BY _stamp_current DESC, id;

-- name: names
-- What the newest inputs are called and their variables, for a hint to who mistyped.
SELECT name, variable
FROM entries
WHERE coalesce(state, '') <> 'removed'
ORDER BY _stamp_current DESC, id
LIMIT $1;

-- name: summary
-- A line per variable and source: how many inputs and stations, from when to when.
SELECT variable, source, n_entries, n_stations, earliest, latest, n_custom, n_purged
FROM v_entries_summary
ORDER BY variable, source;

-- name: failures
-- Attempts that failed, newest first.
SELECT CAST(id AS VARCHAR) AS id, variable, source, source_ref, error_type, status, attempts, message, request,
    occurred_at, next_retry, CAST(entry_id AS VARCHAR) AS entry_id
FROM failures
ORDER BY occurred_at DESC, id
LIMIT $1;

-- name: failing
-- Inputs whose last fetch failed and that were not had since: how often in a row, when to try again, and why.
SELECT CAST(f.entry_id AS VARCHAR), f.attempts, f.next_retry, f.error_type, f.message, f.status
FROM failures f
JOIN (
    SELECT entry_id, max(_stamp) AS newest
    FROM failures
    WHERE next_retry IS NOT NULL AND occurred_at > $1
    GROUP BY entry_id
) n ON n.entry_id = f.entry_id AND n.newest = f._stamp
WHERE NOT EXISTS (SELECT 1 FROM provenance p WHERE p.entry_id = f.entry_id AND p._stamp > f._stamp)
    AND NOT EXISTS (SELECT 1 FROM coverage c WHERE c.entry_id = f.entry_id AND c._stamp > f._stamp);

-- name: reports
-- What was found when the versions of one input were validated, newest first.
SELECT CAST(artifact_id AS VARCHAR) AS artifact_id, schema_name, passed, errors_json, validated_at
FROM validation_reports
WHERE entry_id = $1
ORDER BY validated_at DESC, id;

-- name: provenance
-- How the versions of one input were obtained, newest first.
SELECT
    CAST(artifact_id AS VARCHAR) AS artifact_id, uri, request, etag, last_modified, license, fetched_at,
    tool_name, tool_version, parents, parameters_json, recorded_at
FROM provenance
WHERE entry_id = $1
ORDER BY recorded_at DESC, id;

-- name: offers
-- What sources offered when it was put on record last.
SELECT
    source, variable, unit, frequency, country, description, license, bbox_xmin, bbox_ymin, bbox_xmax, bbox_ymax,
    period_start, period_end, recorded_at
FROM api_coverage
ORDER BY source, variable, frequency;

-- name: table_names
-- The tables of the cache, without those that keep the books of the log and the migrations.
SELECT table_name
FROM information_schema.tables
WHERE table_type = 'BASE TABLE' AND table_catalog = current_database()
    AND table_name NOT LIKE '\_hmp%' ESCAPE '\' AND table_name <> 'schema_migrations'
ORDER BY table_name;

-- name: held
-- Every version of every input, with where it lies and whether it is current: what the files are compared with.
SELECT
    CAST(e.id AS VARCHAR),
    e.name,
    e.state,
    e.file_mtime,
    a.path,
    a.sha256,
    a.size_bytes,
    a.id = e.artifact_id,
    a.state
FROM entries e
LEFT JOIN artifacts a ON a.entry_id = e.id
ORDER BY a.path, a.created_at, a.id;

-- name: empty
-- In which windows a source has nothing of one input, as far as is remembered, and until when.
SELECT period_start, period_end, expires_at
FROM coverage
WHERE entry_id = $1 AND state = 'empty' AND expires_at > $2
ORDER BY period_start NULLS FIRST, period_end;

-- name: requests
-- What was asked for the current version of each input of a source that was asked for it; of one variable, source or
-- station, where that is named.
SELECT CAST(e.id AS VARCHAR), p.request
FROM entries e
JOIN (
    SELECT artifact_id, max(_stamp) AS newest FROM provenance GROUP BY artifact_id
) o ON o.artifact_id = e.artifact_id
JOIN provenance p ON p.artifact_id = e.artifact_id AND p._stamp = o.newest
WHERE p.request IS NOT NULL AND NOT e.is_custom
    AND coalesce(CAST($1 AS VARCHAR), e.variable) = e.variable
    AND coalesce(CAST($2 AS VARCHAR), e.source) = e.source
    AND coalesce(CAST($3 AS VARCHAR), e.station_id, '') = coalesce(e.station_id, '');

-- name: answered
-- What sources were asked for and had not, as far as it is remembered.
SELECT
    CAST(entry_id AS VARCHAR) AS entry_id, variable, source, station_id, period_start, period_end, expires_at
FROM coverage
WHERE entry_id IS NOT NULL AND state = 'empty' AND expires_at > $1
ORDER BY period_start NULLS FIRST, period_end, _stamp;

-- name: stations
-- The stations that are known: by their source, or from inputs that were added.
SELECT source, variable, station_id, name, lat, lon, z, first_valid, last_valid FROM stations;
