-- What the master index says and asks.

-- name: tables_at_all
-- how many tables there are, and whether that of the runs is one of them
SELECT count(*), coalesce(sum(name = 'runs_index'), 0) FROM sqlite_master WHERE type = 'table'

-- name: researcher_called
-- a person by name
SELECT id FROM researchers WHERE name = $1

-- name: add_researcher
-- a person who was not known
INSERT INTO researchers (name, email, orcid, affiliation, root_path) VALUES ($1, $2, $3, $4, $5)

-- name: complete_researcher
-- what was not known of a person
UPDATE researchers SET email = coalesce(email, $1), orcid = coalesce(orcid, $2), affiliation = coalesce(affiliation, $3)
WHERE id = $4

-- name: all_researchers
-- everybody, by name
SELECT name, email, orcid, affiliation FROM researchers ORDER BY name

-- name: beamtime_at
-- a session by where it lies
SELECT id FROM beamtimes WHERE db_path = $1

-- name: beamtime
-- whose a session is
SELECT researcher_id FROM beamtimes WHERE id = $1

-- name: add_beamtime
-- a session that was not known
INSERT INTO beamtimes (researcher_id, label, db_path, time_start, state) VALUES ($1, $2, $3, $4, 'ok')

-- name: all_beamtimes
-- all sessions, the latest first
SELECT b.id, r.name, b.label, b.db_path, b.time_start, b.time_stop, coalesce(b.state, 'ok')
FROM beamtimes b JOIN researchers r ON r.id = b.researcher_id
ORDER BY b.time_start IS NULL, b.time_start DESC, b.db_path

-- name: known_beamtimes
-- what is remembered of each session, and whether one of its runs goes on
SELECT b.id, b.db_path, b.store_id, b.state, b.mark, EXISTS (
    SELECT 1 FROM runs_index i WHERE i.beamtime_id = b.id AND coalesce(i.exit_status, 'running') = 'running'
), b.label, r.name
FROM beamtimes b JOIN researchers r ON r.id = b.researcher_id ORDER BY b.id

-- name: place_beamtime
-- where a session lies now
UPDATE beamtimes SET db_path = $1 WHERE id = $2

-- name: say_state
-- how a session was found
UPDATE beamtimes SET state = $1, mark = $2 WHERE id = $3

-- name: describe_beamtime
-- what a session says of itself
UPDATE beamtimes SET researcher_id = $1, label = $2, time_start = $3, time_stop = $4, description = $5, store_id = $6
WHERE id = $7

-- name: forget_runs
-- the runs of a session are read again
DELETE FROM runs_index WHERE beamtime_id = $1

-- name: forget_beamtimes
-- every session is read again
DELETE FROM beamtimes

-- name: forget_researchers
-- everybody is read again
DELETE FROM researchers

-- name: indexed_run
-- when a run began, if it is known
SELECT time_start FROM runs_index WHERE uid = $1

-- name: index_run
-- a run, as somebody registers it
INSERT INTO runs_index (uid, researcher_id, beamtime_id, plan_name, sample_name, time_start, tags)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (uid) DO UPDATE SET researcher_id = excluded.researcher_id,
    beamtime_id = excluded.beamtime_id, plan_name = excluded.plan_name, sample_name = excluded.sample_name,
    time_start = excluded.time_start, tags = excluded.tags

-- name: read_run
-- a run, as its session has it
INSERT OR REPLACE INTO runs_index (
    uid, researcher_id, beamtime_id, plan_name, sample_name, time_start, tags, exit_status, time_stop, num_events,
    operator, scan_id
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)

-- name: find
-- runs with their sessions; conditions follow
SELECT i.uid, i.plan_name, i.time_start, i.sample_name, i.time_stop, i.exit_status, i.scan_id,
    coalesce(i.num_events, 0), i.operator, i.tags, r.name, b.label, b.db_path, coalesce(b.state, 'ok')
FROM runs_index i JOIN researchers r ON r.id = i.researcher_id JOIN beamtimes b ON b.id = i.beamtime_id
