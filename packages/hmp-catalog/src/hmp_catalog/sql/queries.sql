-- What the catalog asks. One statement a name; ids leave as text.

-- name: names_like
-- The simulations that a text may mean: by name, or by the head of the id; newest first, those from the future last.
SELECT CAST(sim_id AS VARCHAR), name, status
FROM simulations
WHERE (trashed_at IS NOT NULL) = $1
    AND (name = $2 OR name = $3 OR replace(CAST(sim_id AS VARCHAR), '-', '') LIKE $4)
ORDER BY CASE WHEN created_at > $5 THEN 1 ELSE 0 END, created_at DESC, sim_id DESC;

-- name: names
-- Every simulation that is not in the trash: what references are resolved against, newest first.
SELECT CAST(sim_id AS VARCHAR), name, status
FROM simulations
WHERE trashed_at IS NULL
ORDER BY created_at DESC, sim_id DESC;

-- name: finished
-- The simulations that @latest counts, newest first; one from the future (a clock was wrong) is not the latest for ever.
SELECT CAST(sim_id AS VARCHAR)
FROM simulations
WHERE trashed_at IS NULL AND status = 'completed'
ORDER BY CASE WHEN created_at > $1 THEN 1 ELSE 0 END, created_at DESC, sim_id DESC
LIMIT $2;

-- name: identical
-- The finished simulations that must have given the same, with their folders, newest first.
SELECT CAST(sim_id AS VARCHAR), storage_basename
FROM simulations
WHERE identity_hash = $1 AND trashed_at IS NULL AND status = 'completed'
ORDER BY created_at DESC, sim_id DESC;

-- name: of_identity
-- All simulations that are said to be the same, whatever became of them.
SELECT CAST(sim_id AS VARCHAR) FROM simulations WHERE identity_hash = $1;

-- name: open_runs
-- The simulations that were opened and not sealed, with the process that opened them and their folder.
SELECT CAST(sim_id AS VARCHAR), CAST(owner AS VARCHAR), storage_basename
FROM simulations
WHERE trashed_at IS NULL AND status = 'running'
ORDER BY created_at DESC, sim_id DESC;

-- name: taken
-- Whether a simulation has this id, or had it before it was purged.
SELECT 1 FROM simulations WHERE sim_id = CAST($1 AS UUID)
UNION ALL
SELECT 1 FROM _hmp_purged WHERE subject = $1;

-- name: waiting
-- The events that are in the log and cannot be told yet.
SELECT CAST(event_id AS VARCHAR) FROM _hmp_waiting;

-- name: reasons
-- Why events wait, each reason once.
SELECT DISTINCT reason FROM _hmp_waiting ORDER BY reason;

-- name: metric_names
-- The metrics one may find by: those defined and those recorded.
SELECT metric_name FROM metric_definitions
UNION
SELECT DISTINCT metric_name FROM metrics;

-- name: has_metric
-- Whether there is a metric of that name: defined, or recorded.
SELECT 1 WHERE EXISTS (SELECT 1 FROM metric_definitions WHERE metric_name = $1)
    OR EXISTS (SELECT 1 FROM metrics WHERE metric_name = $1);

-- name: directions
-- Whether more of a metric is better (NULL: the closer to its best value), and between what it can lie.
SELECT metric_name, higher_is_better, best_value, physical_min, physical_max FROM metric_definitions;

-- name: metric_of_finished
-- One metric of every finished simulation, by station and variable; numbers alone.
SELECT CAST(m.sim_id AS VARCHAR) AS sim_id, m.station_id, m.variable, m.value
FROM metrics m
JOIN simulations s ON s.sim_id = m.sim_id
WHERE m.metric_name = $1
    AND s.status = 'completed'
    AND s.trashed_at IS NULL
    AND m.value > CAST('-Infinity' AS DOUBLE)
    AND m.value < CAST('Infinity' AS DOUBLE)
ORDER BY s.created_at DESC, s.sim_id DESC;

-- name: all_tags
-- The tags that simulations have.
SELECT DISTINCT tag FROM tags;

-- name: all_parameter_names
-- The parameters that simulations have.
SELECT DISTINCT param_name FROM parameters;

-- name: tags_of
-- The tags of a simulation.
SELECT tag FROM tags WHERE sim_id = CAST($1 AS UUID) ORDER BY tag;

-- name: provenance_of
-- What a simulation consumed, a row per input.
SELECT
    CAST(entry_id AS VARCHAR) AS entry_id,
    CAST(artifact_id AS VARCHAR) AS artifact_id,
    variable,
    source_ref,
    source_type,
    source_sha256,
    file_path,
    license,
    data_provider
FROM provenance
WHERE sim_id = CAST($1 AS UUID)
ORDER BY variable, source_ref;

-- name: all_parameters
-- Every parameter of every simulation.
SELECT CAST(sim_id AS VARCHAR) AS sim_id, param_name, zone_id, value, text_value
FROM parameters;

-- name: all_metrics
-- Every metric of every simulation.
SELECT CAST(sim_id AS VARCHAR) AS sim_id, metric_name, station_id, variable, value
FROM metrics;

-- name: long_parameters
-- The parameters of the simulations in a staged table, which says the place of each: a row a value.
SELECT
    f.n,
    CASE WHEN p.zone_id = '__global__' THEN p.param_name ELSE p.param_name || '::' || p.zone_id END AS key,
    p.value,
    p.text_value
FROM _hmp_asked f
JOIN parameters p ON p.sim_id = CAST(f.sim_id AS UUID);

-- name: long_metrics
-- The metrics of the simulations in a staged table, which says the place of each: a row a value.
SELECT
    f.n,
    CASE
        WHEN m.station_id IN ('__outlet__', 'outlet') THEN m.metric_name ELSE m.metric_name || '@' || m.station_id
    END AS key,
    m.value
FROM _hmp_asked f
JOIN metrics m ON m.sim_id = CAST(f.sim_id AS UUID);

-- name: calibrations
-- The calibration sessions, newest first; trials are counted as they are, also of a session that never ended. The best is
-- the one that `top_trials` gives first.
SELECT
    CAST(c.session_id AS VARCHAR) AS session_id,
    c.project,
    c.method,
    c.objective_name,
    c.status,
    coalesce(i.n, 0) AS n_iterations,
    i.best AS best_objective,
    CAST(c.best_sim_id AS VARCHAR) AS best_sim_id,
    c.seed,
    c.started_at,
    c.ended_at,
    c.duration_s,
    c.error_message,
    CAST(c.owner AS VARCHAR) AS owner
FROM calibration_sessions c
LEFT JOIN (
    SELECT
        session_id,
        count(*) AS n,
        min(
            CASE
                WHEN status = 'completed'
                    AND objective_value > CAST('-Infinity' AS DOUBLE)
                    AND objective_value < CAST('Infinity' AS DOUBLE)
                    THEN objective_value
            END
        ) AS best
    FROM calibration_iterations
    GROUP BY session_id
) i ON i.session_id = c.session_id
ORDER BY c.started_at DESC, c.session_id DESC;

-- name: trials_of
-- The trials of a session, in the order they were made.
SELECT
    CAST(trial_id AS VARCHAR) AS trial_id,
    iteration,
    objective_value,
    status,
    CAST(parameters AS VARCHAR) AS parameters,
    CAST(metrics AS VARCHAR) AS metrics,
    CAST(sim_id AS VARCHAR) AS sim_id
FROM calibration_iterations
WHERE session_id = CAST($1 AS UUID)
-- the head of the id of a trial is the millisecond in which it was made
ORDER BY left(CAST(trial_id AS VARCHAR), 13), iteration, trial_id;

-- name: trial
-- One trial of a session, as its event told it.
SELECT
    CAST(trial_id AS VARCHAR) AS trial_id,
    iteration,
    params_hash,
    CAST(parameters AS VARCHAR) AS parameters,
    CAST(metrics AS VARCHAR) AS metrics,
    objective_value AS objective,
    status
FROM calibration_iterations
WHERE session_id = CAST($1 AS UUID) AND CAST(trial_id AS VARCHAR) = $2;

-- name: count_trials
-- How many trials a session has.
SELECT count(*) FROM calibration_iterations WHERE session_id = CAST($1 AS UUID);

-- name: top_trials
-- The best trials of a session: completed, with a finite number, lowest objective first.
SELECT
    CAST(trial_id AS VARCHAR) AS trial_id,
    iteration,
    objective_value AS objective,
    params_hash,
    CAST(parameters AS VARCHAR) AS parameters,
    CAST(metrics AS VARCHAR) AS metrics
FROM calibration_iterations
WHERE session_id = CAST($1 AS UUID)
    AND status = 'completed'
    AND objective_value > CAST('-Infinity' AS DOUBLE)
    AND objective_value < CAST('Infinity' AS DOUBLE)
-- the head of the id of a trial is the millisecond in which it was made
ORDER BY objective_value, left(CAST(trial_id AS VARCHAR), 13), iteration, trial_id
LIMIT $2;

-- name: folders
-- Every simulation with its folder, its manifest as it was folded, and who opened it: what the folders are compared with.
SELECT
    CAST(sim_id AS VARCHAR),
    name,
    status,
    storage_basename,
    manifest_sha256,
    CAST(owner AS VARCHAR),
    trashed_at IS NOT NULL
FROM simulations
ORDER BY storage_basename, sim_id;

-- name: additions
-- What was added to the observations, oldest first: later additions win over earlier ones.
SELECT
    CAST(addition_id AS VARCHAR) AS addition_id,
    station_id AS station,
    variable_type AS variable,
    unit,
    first_time,
    last_time,
    n_rows,
    size_bytes,
    path,
    sha256,
    source,
    CAST(entry_id AS VARCHAR) AS entry_id,
    source_path,
    source_sha256,
    license,
    added_at,
    added_by
FROM observations
WHERE (CAST($1 AS VARCHAR) IS NULL OR variable_type = $1) AND (CAST($2 AS VARCHAR) IS NULL OR station_id = $2)
ORDER BY _stamp;

-- name: stations
-- Every station by the variable it observes, with the period and the number of its values.
SELECT
    s.station_id AS station,
    s.variable_type AS variable,
    s.name,
    s.latitude,
    s.longitude,
    s.elevation,
    s.source,
    s.active,
    CAST(s.metadata AS VARCHAR) AS metadata,
    o.first_time,
    o.last_time,
    o.n_additions
FROM stations s
LEFT JOIN (
    SELECT
        station_id,
        variable_type,
        min(first_time) AS first_time,
        max(last_time) AS last_time,
        count(*) AS n_additions
    FROM observations
    GROUP BY station_id, variable_type
) o ON o.station_id = s.station_id AND o.variable_type = s.variable_type
ORDER BY s.station_id, s.variable_type;

-- name: completed_steps
-- The completed steps of all runs of a workflow, oldest first: what the next run may take over.
SELECT
    inputs_hash,
    CAST(step_id AS VARCHAR) AS step_id,
    outputs_hash,
    CAST(artifact_uris AS VARCHAR) AS artifacts,
    CAST(result AS VARCHAR) AS result
FROM workflow_steps
WHERE workflow = $1 AND status = 'completed' AND step_order > 0
ORDER BY _stamp_end;

-- name: workflow_steps
-- Every step of every run of a workflow, or of one run, newest run first; step 0 is the run as a whole.
SELECT
    run_id,
    workflow,
    step_order,
    step_name AS step,
    status,
    started_at,
    ended_at,
    duration_s,
    CAST(reused_step_id AS VARCHAR) AS reused_step_id,
    CAST(artifact_uris AS VARCHAR) AS artifacts,
    CAST(result AS VARCHAR) AS result,
    inputs_hash,
    outputs_hash,
    error_message,
    CAST(owner AS VARCHAR) AS owner,
    CAST(step_id AS VARCHAR) AS step_id
FROM workflow_steps
WHERE CAST($1 AS VARCHAR) IS NULL OR run_id = $1
ORDER BY run_id DESC, step_order, started_at;

-- name: chained
-- How many rows the audit trail has, how many of them are chained, and the number of the last.
SELECT count(*), count(seq), max(seq) FROM audit_log;

-- name: unchained
-- The rows of the audit trail that are not chained yet, in the order in which they happened.
SELECT
    CAST(event_id AS VARCHAR) AS event_id,
    occurred_at,
    actor,
    actor_kind,
    event_type,
    CAST(sim_id AS VARCHAR) AS sim_id,
    project,
    CAST(payload AS VARCHAR) AS payload,
    git_commit,
    hostname,
    content_sha256
FROM audit_log
WHERE seq IS NULL
ORDER BY _stamp;

-- name: links
-- The chain after a number, as the rows tell it.
SELECT seq, CAST(event_id AS VARCHAR) AS event_id, content_sha256 AS content, chain_hash AS hash
FROM audit_log
WHERE seq > $1
ORDER BY seq;

-- name: trail
-- The audit trail, newest first; what is not chained yet comes first.
SELECT
    seq,
    CAST(event_id AS VARCHAR) AS event_id,
    occurred_at,
    actor,
    actor_kind,
    event_type,
    CAST(sim_id AS VARCHAR) AS sim_id,
    project,
    CAST(payload AS VARCHAR) AS payload,
    git_commit,
    hostname,
    content_sha256,
    chain_hash
FROM audit_log
WHERE (CAST($1 AS VARCHAR) IS NULL OR CAST(sim_id AS VARCHAR) = $1)
    AND (CAST($2 AS TIMESTAMP) IS NULL OR occurred_at >= CAST($2 AS TIMESTAMP))
ORDER BY _stamp DESC
LIMIT $3;

-- name: deleted
-- The simulations that were purged, newest first.
SELECT
    CAST(sim_id AS VARCHAR) AS sim_id,
    deleted_at,
    deleted_by,
    reason,
    CAST(components AS VARCHAR) AS components,
    sha256_snapshot
FROM deletions
ORDER BY deleted_at DESC, sim_id;

-- name: names_in_trash
-- Every simulation that is in the trash, newest first.
SELECT CAST(sim_id AS VARCHAR), name, status
FROM simulations
WHERE trashed_at IS NOT NULL
ORDER BY created_at DESC, sim_id DESC;

-- name: trashed
-- What is in the trash, longest first.
SELECT
    CAST(s.sim_id AS VARCHAR),
    s.trashed_at,
    EXISTS (SELECT 1 FROM tags t WHERE t.sim_id = s.sim_id AND t.tag = 'pinned')
FROM simulations s
WHERE s.trashed_at IS NOT NULL
ORDER BY s.trashed_at, s.sim_id;

-- name: to_delete
-- What must be known of a simulation before it is moved, restored or purged.
SELECT
    CAST(s.sim_id AS VARCHAR),
    s.name,
    s.status,
    CAST(s.owner AS VARCHAR),
    s.storage_basename,
    s.manifest_sha256,
    s.trashed_at IS NOT NULL,
    EXISTS (SELECT 1 FROM tags t WHERE t.sim_id = s.sim_id AND t.tag = 'pinned')
FROM simulations s
WHERE s.sim_id = CAST($1 AS UUID);

-- name: pinned
-- The simulations that are kept from being deleted.
SELECT CAST(sim_id AS VARCHAR) FROM tags WHERE tag = 'pinned';

-- name: names_ever
-- The names that simulations have, also those in the trash: a version is never numbered twice.
SELECT name FROM simulations WHERE name IS NOT NULL;
