-- What an experiments store is asked. One statement a name; conditions and order are added to those that list.

-- name: run
-- One run.
SELECT run_id, name, config, datasets, status, created_at, completed_at, summary, error
FROM runs
WHERE run_id = $1;

-- name: runs
-- The runs; of `dataset`, which the condition is about, the names as they were given, be it as mappings or as text.
SELECT run_id, name, config, datasets, status, created_at, completed_at, summary, error
FROM runs;

-- name: pipeline
-- One pipeline.
SELECT
    pipeline_id, run_id, name, expanded_config, generator_choices, dataset_name, dataset_hash, status, created_at,
    completed_at, best_val, best_test, metric, duration_ms, error
FROM pipelines
WHERE pipeline_id = $1;

-- name: pipelines
-- The pipelines.
SELECT
    pipeline_id, run_id, name, expanded_config, generator_choices, dataset_name, dataset_hash, status, created_at,
    completed_at, best_val, best_test, metric, duration_ms, error
FROM pipelines;

-- name: chain
-- One chain.
SELECT
    chain_id, pipeline_id, steps, model_step_idx, model_class, preprocessings, fold_strategy, fold_artifacts,
    shared_artifacts, branch_path, source_index, created_at
FROM chains
WHERE chain_id = $1;

-- name: chains_of
-- The chains of a pipeline, newest first.
SELECT
    chain_id, pipeline_id, steps, model_step_idx, model_class, preprocessings, fold_strategy, fold_artifacts,
    shared_artifacts, branch_path, source_index, created_at
FROM chains
WHERE pipeline_id = $1
ORDER BY created_at DESC, chain_id DESC;

-- name: chains_of_run
-- The chains of all pipelines of a run, in the order they were made.
SELECT
    c.chain_id, c.pipeline_id, c.steps, c.model_step_idx, c.model_class, c.preprocessings, c.fold_strategy,
    c.fold_artifacts, c.shared_artifacts, c.branch_path, c.source_index, c.created_at
FROM chains c
JOIN pipelines p ON p.pipeline_id = c.pipeline_id
WHERE p.run_id = $1
ORDER BY c.created_at, c.chain_id;

-- name: artifact
-- One artefact.
SELECT
    artifact_id, artifact_path, content_hash, operator_class, artifact_type, format, size_bytes, ref_count, created_at
FROM artifacts
WHERE artifact_id = $1;

-- name: newest_artifacts
-- The artefacts saved last.
SELECT
    artifact_id, artifact_path, content_hash, operator_class, artifact_type, format, size_bytes, ref_count, created_at
FROM artifacts
ORDER BY created_at DESC
LIMIT $1;

-- name: prediction
-- One prediction.
SELECT
    prediction_id, pipeline_id, chain_id, dataset_name, model_name, model_class, fold_id, "partition", val_score,
    test_score, train_score, metric, task_type, n_samples, n_features, scores, best_params, preprocessings, branch_id,
    branch_name, exclusion_count, exclusion_rate, created_at
FROM predictions
WHERE prediction_id = $1;

-- name: predictions
-- The predictions.
SELECT
    prediction_id, pipeline_id, chain_id, dataset_name, model_name, model_class, fold_id, "partition", val_score,
    test_score, train_score, metric, task_type, n_samples, n_features, scores, best_params, preprocessings, branch_id,
    branch_name, exclusion_count, exclusion_rate, created_at
FROM predictions;

-- name: count_predictions
-- How many predictions there are.
SELECT count(*) FROM predictions;

-- name: arrays
-- The arrays of one prediction.
SELECT
    prediction_id, y_true, y_pred, y_proba, sample_indices, weights, y_true_shape, y_pred_shape, y_proba_shape, classes
FROM prediction_arrays
WHERE prediction_id = $1;

-- name: log_of
-- What the steps of a pipeline reported, step by step, in the order they did.
SELECT log_id, step_idx, operator_class, event, duration_ms, message, details, level, created_at
FROM logs
WHERE pipeline_id = $1
ORDER BY step_idx, created_at, log_id;

-- name: log_summary
-- What the steps of each pipeline of a run reported, those that reported nothing too; newest pipeline first.
SELECT
    p.pipeline_id,
    p.name AS pipeline_name,
    p.status AS pipeline_status,
    count(l.log_id) AS log_count,
    CAST(coalesce(sum(CASE WHEN l.event = 'end' THEN l.duration_ms END), 0) AS BIGINT) AS total_duration_ms,
    count(CASE WHEN l.level = 'warning' THEN 1 END) AS warning_count,
    count(CASE WHEN l.level = 'error' THEN 1 END) AS error_count
FROM pipelines p
LEFT JOIN logs l ON l.pipeline_id = p.pipeline_id
WHERE p.run_id = $1
GROUP BY p.pipeline_id, p.name, p.status, p.created_at
ORDER BY p.created_at DESC, p.pipeline_id DESC;
