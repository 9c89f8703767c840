-- What a writer of a session says and asks.

-- name: identity
-- what is known of the whole session
SELECT key, value FROM session

-- name: tables_at_all
-- how many tables there are, and how many of those that every session has
SELECT count(*), coalesce(sum(name IN ('samples', 'runs', 'streams', 'events', 'image_refs')), 0)
FROM sqlite_master WHERE type = 'table'

-- name: any_frames
-- whether the session has frames
SELECT EXISTS (SELECT 1 FROM frames) OR EXISTS (SELECT 1 FROM frames_open)

-- name: say
-- put down something about the session
INSERT INTO session (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: samples_called
-- the samples of a name, the first one first
SELECT id, name, formula, serial, tags, beamline_pos, extra FROM samples WHERE name = $1 ORDER BY id

-- name: sample
-- a sample by its number
SELECT id, name, formula, serial, tags, beamline_pos, extra FROM samples WHERE id = $1

-- name: add_sample
-- a sample that was not there
INSERT INTO samples (name, formula, serial, tags, beamline_pos, extra) VALUES ($1, $2, $3, $4, $5, $6)

-- name: next_scan
-- the number that the next run has if nobody gives it one
SELECT coalesce(max(scan_id), 0) + 1 FROM runs

-- name: begin_run
-- a run begins
INSERT INTO runs (uid, sample_id, plan_name, time_start, num_events, operator, metadata, scan_id, owner, provenance)
VALUES ($1, $2, $3, $4, 0, $5, $6, $7, $8, $9)

-- name: end_run
-- a run ended
UPDATE runs SET time_stop = $1, exit_status = $2, reason = $3, num_events = $4, events_by_stream = $5 WHERE uid = $6

-- name: begin_stream
-- a stream begins
INSERT INTO streams (uid, run_uid, name, data_keys, time_created) VALUES ($1, $2, $3, $4, $5)

-- name: add_event
-- something was read
INSERT INTO events (uid, stream_uid, seq_num, time, data, timestamps) VALUES ($1, $2, $3, $4, $5, $6)

-- name: event
-- where an event of a run stands
SELECT e.stream_uid, e.seq_num FROM events e JOIN streams s ON s.uid = e.stream_uid WHERE e.uid = $1 AND s.run_uid = $2

-- name: add_open_frame
-- a frame was appended to a shard that is not full
INSERT INTO frames_open (run_uid, field_name, position, event_uid, offset, nbytes, crc32)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: close_frames
-- the frames of a field lie in closed shards now
DELETE FROM frames_open WHERE run_uid = $1 AND field_name = $2

-- name: add_range
-- a range of frames in a closed shard
INSERT INTO frames (
    run_uid, stream_uid, field_name, zarr_group, start, stop, seq_start, height, width, dtype, codec, sha256
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)

-- name: unended_runs
-- the runs that have not ended
SELECT uid, time_start, owner FROM runs WHERE exit_status IS NULL ORDER BY time_start

-- name: open_frames
-- the frames of a run in shards that are not closed, with the event of each
SELECT f.field_name, f.position, f.offset, f.nbytes, f.crc32, e.stream_uid, e.seq_num
FROM frames_open f JOIN events e ON e.uid = f.event_uid WHERE f.run_uid = $1 ORDER BY f.field_name, f.position

-- name: frames_end
-- where the last range of an array ends
SELECT coalesce(max(stop), 0) FROM frames WHERE zarr_group = $1

-- name: frames_waiting
-- how many frames of a field lie in a shard that is not closed
SELECT count(*) FROM frames_open WHERE run_uid = $1 AND field_name = $2

-- name: last_events
-- the last event of each stream of a run; no number where it has none
SELECT s.name, max(e.seq_num), e.uid FROM streams s LEFT JOIN events e ON e.stream_uid = s.uid
WHERE s.run_uid = $1 GROUP BY s.uid

-- name: counts
-- how many events each stream of a run has, and when the last of them was
SELECT s.name, count(e.uid), max(e.time) FROM streams s LEFT JOIN events e ON e.stream_uid = s.uid
WHERE s.run_uid = $1 GROUP BY s.name ORDER BY min(s.time_created)
