-- What pending entries become, and what is undone: each in the one transaction of its verb, under the lock.
-- `incoming` is the staged table of the step.

-- name: positions
-- how far each journal is in the tables
SELECT name, position FROM _hmp_journals

-- name: set_positions
-- remember how far journals are in the tables now
INSERT INTO _hmp_journals (name, position) SELECT i.name, i.position FROM incoming i
ON CONFLICT (name) DO UPDATE SET position = excluded.position

-- name: forget_journals
-- forget all journals but those that are there
DELETE FROM _hmp_journals WHERE name NOT IN (SELECT name FROM incoming)

-- name: forget_writers
-- what a writer held is held no more once its journal is left
DELETE FROM _hmp_held WHERE writer NOT IN (SELECT name FROM incoming)

-- name: drop_arrays
-- arrays that are given again replace the former ones
DELETE FROM prediction_arrays WHERE prediction_id IN (SELECT prediction_id FROM incoming)

-- name: end_pipelines
-- pipelines that ended well; one that failed stays failed
UPDATE pipelines SET status = i.status, completed_at = i.completed_at, best_val = i.best_val, best_test = i.best_test,
    metric = i.metric, duration_ms = i.duration_ms
FROM incoming i WHERE pipelines.pipeline_id = i.pipeline_id AND pipelines.status <> 'failed'

-- name: end_runs
-- runs that ended well; one that failed stays failed
UPDATE runs SET status = i.status, completed_at = i.completed_at, summary = i.summary
FROM incoming i WHERE runs.run_id = i.run_id AND runs.status <> 'failed'

-- name: interrupt_runs
-- runs whose writer died
UPDATE runs SET status = 'interrupted' WHERE status = 'running' AND run_id IN (SELECT id FROM incoming)

-- name: interrupt_pipelines
-- pipelines whose writer died
UPDATE pipelines SET status = 'interrupted' WHERE status = 'running' AND pipeline_id IN (SELECT id FROM incoming)

-- name: add_references
-- what the chains that are there name
INSERT INTO _hmp_references (chain_id, artifact_id)
SELECT i.chain_id, i.artifact_id FROM incoming i WHERE i.chain_id IN (SELECT chain_id FROM chains) ON CONFLICT DO NOTHING

-- name: hold
-- what writers saved and no chain of theirs named since
INSERT INTO _hmp_held (artifact_id, writer) SELECT i.artifact_id, i.writer FROM incoming i ON CONFLICT DO NOTHING

-- name: release
-- what a chain of its writer names now
DELETE FROM _hmp_held WHERE EXISTS (
    SELECT 1 FROM incoming i WHERE i.artifact_id = _hmp_held.artifact_id AND i.writer = _hmp_held.writer
)

-- name: count_references
-- ref_count is how many chains name an artefact
UPDATE artifacts SET ref_count = (
    SELECT count(*) FROM _hmp_references r WHERE r.artifact_id = artifacts.artifact_id
) WHERE artifact_id IN (SELECT artifact_id FROM incoming)

-- name: named_by
-- the artefacts that chains of pipelines name
SELECT DISTINCT r.artifact_id FROM _hmp_references r JOIN chains c ON c.chain_id = r.chain_id
WHERE c.pipeline_id IN (SELECT id FROM incoming)

-- name: count_logs
-- rows that go with pipelines
SELECT count(*) FROM logs WHERE pipeline_id IN (SELECT id FROM incoming)

-- name: count_predictions
-- rows that go with pipelines
SELECT count(*) FROM predictions WHERE pipeline_id IN (SELECT id FROM incoming)

-- name: count_chains
-- rows that go with pipelines
SELECT count(*) FROM chains WHERE pipeline_id IN (SELECT id FROM incoming)

-- name: count_arrays
-- rows that go with pipelines
SELECT count(*) FROM prediction_arrays a JOIN predictions p ON p.prediction_id = a.prediction_id
WHERE p.pipeline_id IN (SELECT id FROM incoming)

-- name: delete_arrays
-- the arrays of the predictions of pipelines
DELETE FROM prediction_arrays WHERE prediction_id IN (
    SELECT prediction_id FROM predictions WHERE pipeline_id IN (SELECT id FROM incoming)
)

-- name: delete_predictions
-- the predictions of pipelines
DELETE FROM predictions WHERE pipeline_id IN (SELECT id FROM incoming)

-- name: delete_references
-- what the chains of pipelines name
DELETE FROM _hmp_references WHERE chain_id IN (
    SELECT chain_id FROM chains WHERE pipeline_id IN (SELECT id FROM incoming)
)

-- name: delete_chains
-- the chains of pipelines
DELETE FROM chains WHERE pipeline_id IN (SELECT id FROM incoming)

-- name: delete_logs
-- what the steps of pipelines reported
DELETE FROM logs WHERE pipeline_id IN (SELECT id FROM incoming)

-- name: delete_pipelines
-- the pipelines themselves
DELETE FROM pipelines WHERE pipeline_id IN (SELECT id FROM incoming)

-- name: fail_pipelines
-- pipelines that failed
UPDATE pipelines SET status = 'failed', error = $1, completed_at = $2, best_val = NULL, best_test = NULL
WHERE pipeline_id IN (SELECT id FROM incoming)

-- name: unreferenced
-- artefacts that no chain names and no writer holds
SELECT artifact_id, artifact_path FROM artifacts a
WHERE NOT EXISTS (SELECT 1 FROM _hmp_references r WHERE r.artifact_id = a.artifact_id)
    AND NOT EXISTS (SELECT 1 FROM _hmp_held h WHERE h.artifact_id = a.artifact_id AND h.writer <> $1)
ORDER BY artifact_id

-- name: delete_artifacts
-- artefacts whose files go
DELETE FROM artifacts WHERE artifact_id IN (SELECT id FROM incoming)

-- name: delete_held
-- nothing is held of artefacts that go
DELETE FROM _hmp_held WHERE artifact_id IN (SELECT id FROM incoming)
