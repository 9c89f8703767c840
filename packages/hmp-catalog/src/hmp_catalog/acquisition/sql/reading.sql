-- What a session is asked by those who only read it. Files of before version 3 have fewer columns and tables.

-- name: tables
-- how many of the tables are there that every version has
SELECT count(*) FROM sqlite_master
WHERE type = 'table' AND name IN ('samples', 'runs', 'streams', 'events', 'image_refs')

-- name: runs
-- the runs, each with its sample; conditions and order are added
SELECT * FROM (
    SELECT
        r.uid, r.plan_name, r.time_start, r.time_stop, r.exit_status, r.num_events, r.operator, r.metadata,
        r.sample_id, s.name AS sample_name, s.tags AS tags, r.scan_id, r.reason, r.owner, r.provenance,
        r.rowid AS place
    FROM runs r LEFT JOIN samples s ON s.id = r.sample_id
)

-- name: runs_before_3
-- as `runs`, of a file that does not know the later columns
SELECT * FROM (
    SELECT
        r.uid, r.plan_name, r.time_start, r.time_stop, r.exit_status, r.num_events, r.operator, r.metadata,
        r.sample_id, s.name AS sample_name, s.tags AS tags, NULL AS scan_id, NULL AS reason, NULL AS owner,
        NULL AS provenance, r.rowid AS place
    FROM runs r LEFT JOIN samples s ON s.id = r.sample_id
)

-- name: count_runs
-- how many runs there are
SELECT count(*) FROM runs

-- name: uids
-- all runs, oldest first
SELECT uid FROM runs ORDER BY time_start, rowid

-- name: one_run
-- whether there is a run
SELECT uid FROM runs WHERE uid = $1

-- name: uids_between
-- the runs whose uid begins in some way, a few of them
SELECT uid FROM runs WHERE uid >= $1 AND uid < $2 ORDER BY uid LIMIT 6

-- name: statuses
-- how runs ended
SELECT DISTINCT exit_status FROM runs WHERE exit_status IS NOT NULL

-- name: count_events
-- how many events a run has
SELECT count(*) FROM events WHERE stream_uid IN (SELECT uid FROM streams WHERE run_uid = $1)

-- name: sample_of_run
-- the sample of a run
SELECT id, name, formula, serial, tags, beamline_pos, extra FROM samples
WHERE id = (SELECT sample_id FROM runs WHERE uid = $1)

-- name: streams_of
-- the streams of a run, in the order in which they began
SELECT uid, name, data_keys, time_created FROM streams WHERE run_uid = $1 ORDER BY time_created, rowid

-- name: events_of_stream
-- the events of the streams of a run that have a name
SELECT e.seq_num, e.time, e.data, e.timestamps FROM events e JOIN streams s ON s.uid = e.stream_uid
WHERE s.run_uid = $1 AND s.name = $2 ORDER BY e.seq_num, e.rowid

-- name: before_first_event
-- the place before the first event of a run
SELECT coalesce(min(e.rowid), 1) - 1 FROM events e WHERE e.stream_uid IN (SELECT uid FROM streams WHERE run_uid = $1)

-- name: last_event
-- the place of the last event of all
SELECT coalesce(max(rowid), 0) FROM events

-- name: events_after
-- the events of a run behind a place, as they came; the plus keeps the engine from sorting them all
SELECT e.rowid AS place, e.uid, e.stream_uid, e.seq_num, e.time, e.data, e.timestamps FROM events e
WHERE e.rowid > $2 AND +e.stream_uid IN (SELECT uid FROM streams WHERE run_uid = $1)
ORDER BY e.rowid LIMIT $3

-- name: counts_by_stream
-- how many events each stream of a run has, and when the last of them was
SELECT s.name, count(e.uid), max(e.time) FROM streams s LEFT JOIN events e ON e.stream_uid = s.uid
WHERE s.run_uid = $1 GROUP BY s.name ORDER BY min(s.time_created)

-- name: fields
-- the fields of a run that have frames
SELECT field_name FROM frames WHERE run_uid = $1
UNION SELECT field_name FROM frames_open WHERE run_uid = $1
UNION SELECT i.field_name FROM image_refs i JOIN events e ON e.uid = i.event_uid
JOIN streams s ON s.uid = e.stream_uid WHERE s.run_uid = $1
ORDER BY 1

-- name: fields_before_3
-- as `fields`, of a file that does not know the later tables
SELECT DISTINCT i.field_name FROM image_refs i JOIN events e ON e.uid = i.event_uid
JOIN streams s ON s.uid = e.stream_uid WHERE s.run_uid = $1
ORDER BY 1

-- name: ranges_of
-- the ranges of frames of a field in closed shards
SELECT zarr_group, start, stop, seq_start, stream_uid, height, width, dtype FROM frames
WHERE run_uid = $1 AND field_name = $2 ORDER BY start

-- name: open_of
-- the frames of a field in a shard that is not closed, with the event of each
SELECT f.position, f.offset, f.nbytes, f.crc32, e.stream_uid, e.seq_num
FROM frames_open f JOIN events e ON e.uid = f.event_uid
WHERE f.run_uid = $1 AND f.field_name = $2 ORDER BY f.position

-- name: refs_of
-- the frames of a field as the first versions kept them
SELECT i.zarr_group, i.index_in_stack, i.shape_x, i.shape_y, i.dtype, e.stream_uid, e.seq_num
FROM image_refs i JOIN events e ON e.uid = i.event_uid JOIN streams s ON s.uid = e.stream_uid
WHERE s.run_uid = $1 AND i.field_name = $2 ORDER BY e.seq_num, i.index_in_stack

-- name: identity
-- what is known of the whole session
SELECT key, value FROM session

-- name: identity_before_3
-- as `identity`, of a file that does not know that table
SELECT NULL, NULL WHERE 0

-- name: all_ranges
-- all ranges of frames in closed shards, with the run that each is of
SELECT run_uid, field_name, start, stop, height, width, dtype, sha256 FROM frames ORDER BY run_uid, field_name, start

-- name: all_ranges_before_3
-- as `all_ranges`, of a file that has none
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE 0

-- name: all_open
-- all frames in shards that are not closed
SELECT run_uid, field_name, position, offset, nbytes, crc32 FROM frames_open ORDER BY run_uid, field_name, position

-- name: all_open_before_3
-- as `all_open`, of a file that has none
SELECT NULL, NULL, NULL, NULL, NULL, NULL WHERE 0

-- name: all_refs
-- the arrays of the first versions, and how many frames of each there are to be
SELECT s.run_uid, i.field_name, i.zarr_group, max(i.index_in_stack) + 1
FROM image_refs i JOIN events e ON e.uid = i.event_uid JOIN streams s ON s.uid = e.stream_uid
GROUP BY s.run_uid, i.field_name, i.zarr_group ORDER BY s.run_uid, i.field_name

-- name: holes
-- streams whose events are not numbered from 1 without a gap
SELECT s.run_uid, s.name, count(*), max(e.seq_num) FROM events e JOIN streams s ON s.uid = e.stream_uid
GROUP BY s.uid HAVING max(e.seq_num) <> count(*) ORDER BY s.run_uid, s.name

-- name: whole
-- whether the engine finds the file in order
PRAGMA integrity_check(20)
