-- What the index asks and writes. One statement a name; ids leave as text, rows come in staged.

-- name: catalog_columns
-- The columns that an attached catalog has, of those tables that the index reads.
SELECT table_name, column_name
FROM information_schema.columns
WHERE table_catalog = current_database()
    AND lower(table_name) IN ('v_simulation_summary', 'metrics', 'parameters', 'tags');

-- name: catalog_types
-- The columns that an attached catalog has, with their types, of those tables that a live question is about.
SELECT table_name, column_name, data_type
FROM information_schema.columns
WHERE table_catalog = current_database()
    AND lower(table_name) IN ('v_simulation_summary', 'metrics', 'parameters', 'tags')
ORDER BY table_name, ordinal_position;

-- name: catalog_keeps_account
-- A row if an attached catalog keeps account of how far its log was folded.
SELECT 1
FROM information_schema.tables
WHERE table_catalog = current_database() AND table_name = '_hmp_segments';

-- name: catalog_segments
-- How far each file of its log is in the tables of an attached catalog.
SELECT name, position, packed FROM _hmp_segments;

-- name: store_journals
-- How far each journal is in the tables of an attached experiments store.
SELECT name, position FROM _hmp_journals;

-- name: store_scores
-- What the runs of an attached experiments store scored, by data set.
SELECT sim_id, metric_name, variable, lowest, highest FROM v_scores WHERE metric_name IS NOT NULL;

-- name: form
-- The form of the snapshot.
SELECT schema_version FROM index_metadata WHERE id = 1;

-- name: workspaces
-- Every workspace, as it was last looked at.
SELECT CAST(workspace_id AS VARCHAR), workspace_uri, label, status, status_detail, last_scanned_at, created_at
FROM workspaces;

-- name: projects
-- Every project, as it was last looked at.
SELECT
    CAST(workspace_id AS VARCHAR),
    CAST(project_id AS VARCHAR),
    slug,
    name,
    mark,
    status,
    status_detail,
    unfolded,
    n_simulations,
    last_run_at,
    last_refreshed_at,
    created_at
FROM projects
ORDER BY workspace_id, slug;

-- name: health
-- Every workspace with what it holds, in the order they were registered.
SELECT
    CAST(workspace_id AS VARCHAR) AS workspace_id,
    status,
    status_detail,
    last_scanned_at,
    n_projects,
    n_projects_not_ok,
    n_simulations,
    latest_simulation_at
FROM v_workspace_health;

-- name: keys_of_metrics
-- What the metrics of the snapshot are called.
SELECT DISTINCT unnest(json_keys(metrics)) FROM simulations_cache;

-- name: keys_of_parameters
-- What the parameters of the snapshot are called.
SELECT DISTINCT unnest(json_keys(parameters)) FROM simulations_cache;

-- name: hits
-- What `find` and `search` answer with; conditions and order follow.
SELECT
    CAST(s.project_id AS VARCHAR),
    CAST(s.workspace_id AS VARCHAR),
    CAST(s.sim_id AS VARCHAR),
    w.label,
    s.project,
    s.name,
    s.kind,
    s.solver,
    s.status,
    s.study_area_name,
    s.scientific_objective,
    s.description,
    s.folder,
    s.created_at,
    s.duration_s,
    -- a search puts its expression here
    CAST(NULL AS DOUBLE PRECISION) AS score,
    s.metrics,
    s.parameters,
    s.tags
FROM simulations_cache s
JOIN workspaces w ON w.workspace_id = s.workspace_id
WHERE TRUE;

-- name: snapshot
-- The whole snapshot, newest first: what `table` and `frame` give.
SELECT
    w.label AS workspace,
    s.project,
    CAST(s.sim_id AS VARCHAR) AS sim_id,
    s.name,
    s.kind,
    s.solver,
    s.solver_category,
    s.status,
    s.flow_regime,
    s.mesh_topology,
    s.study_area_name,
    s.scientific_objective,
    s.description,
    s.contact_email,
    s.principal_id,
    s.crs_epsg,
    s.bbox_xmin,
    s.bbox_ymin,
    s.bbox_xmax,
    s.bbox_ymax,
    s.period_start,
    s.period_end,
    s.parameters,
    s.metrics,
    s.tags,
    s.duration_s,
    s.created_at,
    s.updated_at,
    CAST(s.workspace_id AS VARCHAR) AS workspace_id,
    CAST(s.project_id AS VARCHAR) AS project_id,
    s.folder,
    p.status AS snapshot_status,
    p.last_refreshed_at AS snapshot_taken_at
FROM simulations_cache s
JOIN workspaces w ON w.workspace_id = s.workspace_id
LEFT JOIN projects p ON p.project_id = s.project_id
WHERE s.trashed_at IS NULL
ORDER BY s.created_at DESC NULLS LAST, s.sim_id DESC;

-- name: forget_simulations
-- The simulations of workspaces that are no longer listed and of projects that are gone.
DELETE FROM simulations_cache
WHERE workspace_id IN (SELECT CAST(workspace_id AS UUID) FROM staged_forgotten)
    OR project_id IN (SELECT CAST(project_id AS UUID) FROM staged_gone);

-- name: forget_projects
-- The projects of workspaces that are no longer listed, and those that are gone.
DELETE FROM projects
WHERE workspace_id IN (SELECT CAST(workspace_id AS UUID) FROM staged_forgotten)
    OR project_id IN (SELECT CAST(project_id AS UUID) FROM staged_gone);

-- name: forget_workspaces
-- The workspaces that are no longer listed.
DELETE FROM workspaces
WHERE workspace_id IN (SELECT CAST(workspace_id AS UUID) FROM staged_forgotten);

-- name: mark_seen_workspaces
-- When the workspaces were looked at, those too that are as they were.
UPDATE workspaces SET last_scanned_at = $1
WHERE workspace_id IN (SELECT CAST(workspace_id AS UUID) FROM staged_seen);

-- name: merge_workspaces
-- The workspaces that are new, or differ from what they were.
INSERT INTO workspaces (workspace_id, workspace_uri, label, status, status_detail, last_scanned_at, created_at)
SELECT CAST(workspace_id AS UUID), workspace_uri, label, status, status_detail, last_scanned_at, created_at
FROM staged_workspaces
ON CONFLICT (workspace_id) DO UPDATE SET
    workspace_uri = excluded.workspace_uri,
    label = excluded.label,
    status = excluded.status,
    status_detail = excluded.status_detail,
    last_scanned_at = excluded.last_scanned_at,
    created_at = excluded.created_at;

-- name: merge_projects
-- The projects that were looked into.
INSERT INTO projects (
    project_id, workspace_id, slug, name, root_relative, catalog_path, mark, status, status_detail, unfolded,
    n_simulations, last_run_at, last_refreshed_at, created_at
)
SELECT
    CAST(project_id AS UUID), CAST(workspace_id AS UUID), slug, name, root_relative, catalog_path, mark, status,
    status_detail, unfolded, n_simulations, last_run_at, last_refreshed_at, created_at
FROM staged_projects
ON CONFLICT (project_id) DO UPDATE SET
    slug = excluded.slug,
    name = excluded.name,
    root_relative = excluded.root_relative,
    catalog_path = excluded.catalog_path,
    mark = excluded.mark,
    status = excluded.status,
    status_detail = excluded.status_detail,
    unfolded = excluded.unfolded,
    n_simulations = excluded.n_simulations,
    last_run_at = excluded.last_run_at,
    last_refreshed_at = excluded.last_refreshed_at,
    created_at = excluded.created_at;

-- name: drop_simulations
-- The simulations, or the experiments and acquisitions, that a project of which these were read now does not have any more. That the
-- project is one of them is asked first: of 100,000 rows 2 ms instead of 7.
DELETE FROM simulations_cache
WHERE project_id IN (SELECT CAST(project_id AS UUID) FROM staged_read)
    AND EXISTS (
        SELECT 1
        FROM staged_read r
        WHERE CAST(r.project_id AS UUID) = simulations_cache.project_id
            AND r.experiments = (simulations_cache.kind IN ('experiment', 'acquisition'))
    )
    AND NOT EXISTS (
        SELECT 1
        FROM staged_simulations n
        WHERE CAST(n.project_id AS UUID) = simulations_cache.project_id
            AND CAST(n.sim_id AS UUID) = simulations_cache.sim_id
    );

-- name: merge_simulations
-- The simulations of the projects that were read now; what is there as it is stays as it is. A row that is written
-- again makes the engine write all the rows about it again: 0.4 s of 0.6 s after one change among 100,000 simulations.
INSERT INTO simulations_cache (
    workspace_id, project_id, sim_id, kind, name, project, solver, solver_category, status, flow_regime,
    mesh_topology, study_area_name, scientific_objective, description, contact_email, principal_id, crs_epsg,
    bbox_xmin, bbox_ymin, bbox_xmax, bbox_ymax, period_start, period_end, parameters, metrics, tags, search_text,
    folder, duration_s, created_at, updated_at, trashed_at, snapshot_taken_at
)
SELECT
    CAST(workspace_id AS UUID), CAST(project_id AS UUID), CAST(sim_id AS UUID), kind, name, project, solver,
    solver_category, status, flow_regime, mesh_topology, study_area_name, scientific_objective, description,
    contact_email, principal_id, crs_epsg, bbox_xmin, bbox_ymin, bbox_xmax, bbox_ymax, period_start, period_end,
    parameters, metrics, tags, search_text, folder, duration_s, created_at, updated_at, trashed_at,
    snapshot_taken_at
FROM staged_simulations n
WHERE NOT EXISTS (
    SELECT 1
    FROM simulations_cache c
    WHERE c.project_id = CAST(n.project_id AS UUID)
        AND c.sim_id = CAST(n.sim_id AS UUID)
        AND c.workspace_id = CAST(n.workspace_id AS UUID)
        AND (
            c.kind, c.name, c.project, c.solver, c.solver_category, c.status, c.flow_regime, c.mesh_topology,
            c.study_area_name, c.scientific_objective, c.description, c.contact_email, c.principal_id, c.crs_epsg,
            c.bbox_xmin, c.bbox_ymin, c.bbox_xmax, c.bbox_ymax, c.period_start, c.period_end,
            CAST(c.parameters AS VARCHAR), CAST(c.metrics AS VARCHAR), CAST(c.tags AS VARCHAR), c.search_text,
            c.folder, c.duration_s, c.created_at, c.updated_at, c.trashed_at
        ) IS NOT DISTINCT FROM (
            n.kind, n.name, n.project, n.solver, n.solver_category, n.status, n.flow_regime, n.mesh_topology,
            n.study_area_name, n.scientific_objective, n.description, n.contact_email, n.principal_id, n.crs_epsg,
            n.bbox_xmin, n.bbox_ymin, n.bbox_xmax, n.bbox_ymax, n.period_start, n.period_end,
            n.parameters, n.metrics, n.tags, n.search_text,
            n.folder, n.duration_s, n.created_at, n.updated_at, n.trashed_at
        )
)
ON CONFLICT (workspace_id, project_id, sim_id) DO UPDATE SET
    kind = excluded.kind,
    name = excluded.name,
    project = excluded.project,
    solver = excluded.solver,
    solver_category = excluded.solver_category,
    status = excluded.status,
    flow_regime = excluded.flow_regime,
    mesh_topology = excluded.mesh_topology,
    study_area_name = excluded.study_area_name,
    scientific_objective = excluded.scientific_objective,
    description = excluded.description,
    contact_email = excluded.contact_email,
    principal_id = excluded.principal_id,
    crs_epsg = excluded.crs_epsg,
    bbox_xmin = excluded.bbox_xmin,
    bbox_ymin = excluded.bbox_ymin,
    bbox_xmax = excluded.bbox_xmax,
    bbox_ymax = excluded.bbox_ymax,
    period_start = excluded.period_start,
    period_end = excluded.period_end,
    parameters = excluded.parameters,
    metrics = excluded.metrics,
    tags = excluded.tags,
    search_text = excluded.search_text,
    folder = excluded.folder,
    duration_s = excluded.duration_s,
    created_at = excluded.created_at,
    updated_at = excluded.updated_at,
    trashed_at = excluded.trashed_at,
    snapshot_taken_at = excluded.snapshot_taken_at;

-- name: merge_metadata
-- When the index was refreshed, and the form of its snapshot.
INSERT INTO index_metadata (id, scanned_at, schema_version)
VALUES (1, $1, $2)
ON CONFLICT (id) DO UPDATE SET scanned_at = excluded.scanned_at, schema_version = excluded.schema_version;
