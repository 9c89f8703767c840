-- The experiments store: training runs, the pipelines each of them tried, the chains that came out, what they predict.
-- Written in what DuckDB and PostgreSQL share; every value is given by the writer, none by a default.
-- No foreign keys, and no index but those of the keys: DuckDB can neither delete parent and child in one transaction
-- nor update indexed columns of a row that is referenced; questions scan columns, which takes less than a millisecond.

-- a row is a session of training
CREATE TABLE runs (
    run_id VARCHAR PRIMARY KEY,
    name VARCHAR NOT NULL,
    config JSON,
    datasets JSON,
    status VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    completed_at TIMESTAMP,
    summary JSON,
    error VARCHAR
);

-- a row is one fully resolved pipeline that a run tried on one dataset
CREATE TABLE pipelines (
    pipeline_id VARCHAR PRIMARY KEY,
    run_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    expanded_config JSON,
    generator_choices JSON,
    dataset_name VARCHAR NOT NULL,
    dataset_hash VARCHAR,
    status VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    completed_at TIMESTAMP,
    best_val DOUBLE PRECISION,
    best_test DOUBLE PRECISION,
    metric VARCHAR,
    duration_ms BIGINT,
    error VARCHAR
);

-- a row is a preprocessing-to-model chain with the artefacts that were fitted: the unit of replay and export
CREATE TABLE chains (
    chain_id VARCHAR PRIMARY KEY,
    pipeline_id VARCHAR NOT NULL,
    steps JSON NOT NULL,
    model_step_idx INTEGER NOT NULL,
    model_class VARCHAR NOT NULL,
    preprocessings VARCHAR NOT NULL,
    fold_strategy VARCHAR NOT NULL,
    fold_artifacts JSON,
    shared_artifacts JSON,
    branch_path JSON,
    source_index INTEGER,
    created_at TIMESTAMP NOT NULL
);

-- a row is what one chain scored on one fold and partition; a score that was not measured is NULL
CREATE TABLE predictions (
    prediction_id VARCHAR PRIMARY KEY,
    pipeline_id VARCHAR NOT NULL,
    chain_id VARCHAR,
    dataset_name VARCHAR NOT NULL,
    model_name VARCHAR NOT NULL,
    model_class VARCHAR NOT NULL,
    fold_id VARCHAR NOT NULL,
    "partition" VARCHAR NOT NULL,
    val_score DOUBLE PRECISION,
    test_score DOUBLE PRECISION,
    train_score DOUBLE PRECISION,
    metric VARCHAR NOT NULL,
    task_type VARCHAR NOT NULL,
    n_samples BIGINT,
    n_features BIGINT,
    scores JSON,
    best_params JSON,
    preprocessings VARCHAR NOT NULL,
    branch_id INTEGER,
    branch_name VARCHAR,
    exclusion_count BIGINT NOT NULL,
    exclusion_rate DOUBLE PRECISION NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- a row is the dense arrays of one prediction, in row-major order; a shape is kept of what has more than one dimension
CREATE TABLE prediction_arrays (
    prediction_id VARCHAR PRIMARY KEY,
    y_true DOUBLE PRECISION[],
    y_pred DOUBLE PRECISION[],
    y_proba DOUBLE PRECISION[],
    sample_indices BIGINT[],
    weights DOUBLE PRECISION[],
    y_true_shape BIGINT[],
    y_pred_shape BIGINT[],
    y_proba_shape BIGINT[],
    -- where y_true and y_pred are positions in it: labels that are text
    classes VARCHAR[]
);

-- a row is a fitted object; its id follows from its content, its file is artifacts/<artifact_path>
CREATE TABLE artifacts (
    artifact_id VARCHAR PRIMARY KEY,
    artifact_path VARCHAR NOT NULL,
    content_hash VARCHAR NOT NULL,
    operator_class VARCHAR,
    artifact_type VARCHAR,
    format VARCHAR NOT NULL,
    size_bytes BIGINT NOT NULL,
    -- how many chains name it
    ref_count INTEGER NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- a row is something that a step of a pipeline reported
CREATE TABLE logs (
    log_id VARCHAR PRIMARY KEY,
    pipeline_id VARCHAR NOT NULL,
    step_idx INTEGER NOT NULL,
    operator_class VARCHAR,
    event VARCHAR NOT NULL,
    duration_ms BIGINT,
    message VARCHAR,
    details JSON,
    level VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- Bookkeeping, never part of a comparison.

-- a row says that a chain names an artefact: what ref_count counts
CREATE TABLE _hmp_references (
    chain_id VARCHAR NOT NULL,
    artifact_id VARCHAR NOT NULL,
    PRIMARY KEY (chain_id, artifact_id)
);

-- a row is an artefact that a writer saved and that no chain named since: garbage only once that writer is gone
CREATE TABLE _hmp_held (
    artifact_id VARCHAR NOT NULL,
    writer VARCHAR NOT NULL,
    PRIMARY KEY (artifact_id, writer)
);

-- a row is a journal of a writer, and how many of its bytes are in the tables
CREATE TABLE _hmp_journals (
    name VARCHAR PRIMARY KEY,
    position BIGINT NOT NULL
);

-- a row is a run as the machine index lists it, beside simulations and acquisitions
CREATE VIEW v_simulation_summary AS
SELECT
    r.run_id AS sim_id,
    'experiment' AS kind,
    r.name,
    p.models AS solver,
    'machine learning' AS solver_category,
    r.status,
    p.dataset_names AS description,
    r.created_at,
    coalesce(r.completed_at, r.created_at) AS updated_at
FROM runs r
LEFT JOIN (
    SELECT
        q.run_id,
        string_agg(DISTINCT c.model_class, ' ') AS models,
        string_agg(DISTINCT q.dataset_name, ' ') AS dataset_names
    FROM pipelines q
    LEFT JOIN chains c ON c.pipeline_id = q.pipeline_id
    GROUP BY q.run_id
) p ON p.run_id = r.run_id;

-- a row is the best validation score of a run on a dataset, by the pipelines that ended well
CREATE VIEW v_scores AS
SELECT
    run_id AS sim_id,
    metric AS metric_name,
    dataset_name AS variable,
    min(best_val) AS lowest,
    max(best_val) AS highest
FROM pipelines
WHERE status = 'completed' AND metric IS NOT NULL AND best_val IS NOT NULL
GROUP BY run_id, metric, dataset_name;
