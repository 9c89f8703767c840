-- The machine index: which workspaces exist, and a searchable snapshot of what their projects hold.
-- Everything here is derived from workspaces.toml and the workspaces themselves; nothing is event-logged.
-- Written in what DuckDB and PostgreSQL share; every value is given by the writer, none by a default.

-- a row is a workspace that was registered on this machine
CREATE TABLE workspaces (
    workspace_id UUID PRIMARY KEY,
    workspace_uri VARCHAR NOT NULL,
    label VARCHAR,
    status VARCHAR NOT NULL,
    status_detail VARCHAR,
    last_scanned_at TIMESTAMP,
    created_at TIMESTAMP
);

-- a row is a project of a registered workspace: how its catalog was found, and when it was last read
CREATE TABLE projects (
    project_id UUID PRIMARY KEY,
    workspace_id UUID NOT NULL,
    slug VARCHAR NOT NULL,
    name VARCHAR,
    root_relative VARCHAR NOT NULL,
    catalog_path VARCHAR,
    -- what the catalog and its log looked like when they were read; empty: read them again
    mark VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    status_detail VARCHAR,
    unfolded INTEGER,
    n_simulations INTEGER,
    last_run_at TIMESTAMP,
    last_refreshed_at TIMESTAMP,
    created_at TIMESTAMP
);

-- a row is a simulation, acquisition or experiment as its project described it when it was last read
CREATE TABLE simulations_cache (
    workspace_id UUID NOT NULL,
    -- a copied project has the same simulations as the original: the project is part of the key
    project_id UUID NOT NULL,
    sim_id UUID NOT NULL,
    kind VARCHAR NOT NULL,
    name VARCHAR,
    project VARCHAR,
    solver VARCHAR,
    solver_category VARCHAR,
    status VARCHAR,
    flow_regime VARCHAR,
    mesh_topology VARCHAR,
    study_area_name VARCHAR,
    scientific_objective VARCHAR,
    description VARCHAR,
    contact_email VARCHAR,
    principal_id VARCHAR,
    crs_epsg INTEGER,
    bbox_xmin DOUBLE PRECISION,
    bbox_ymin DOUBLE PRECISION,
    bbox_xmax DOUBLE PRECISION,
    bbox_ymax DOUBLE PRECISION,
    period_start TIMESTAMP,
    period_end TIMESTAMP,
    parameters JSON,
    metrics JSON,
    tags JSON,
    -- the words of all texts, without accents and in lower case, each after a blank
    search_text VARCHAR NOT NULL,
    folder VARCHAR,
    duration_s DOUBLE PRECISION,
    created_at TIMESTAMP,
    updated_at TIMESTAMP,
    trashed_at TIMESTAMP,
    snapshot_taken_at TIMESTAMP NOT NULL,
    PRIMARY KEY (workspace_id, project_id, sim_id)
);

-- the one row says when this index was last refreshed, and by which form of snapshot
CREATE TABLE index_metadata (
    id INTEGER PRIMARY KEY,
    scanned_at TIMESTAMP NOT NULL,
    schema_version INTEGER NOT NULL
);

-- a row is a registered workspace: whether it can be read, what it holds, how old the oldest snapshot of it is
CREATE VIEW v_workspace_health AS
SELECT
    w.workspace_id,
    w.workspace_uri,
    w.label,
    w.status,
    w.status_detail,
    w.last_scanned_at,
    w.created_at,
    coalesce(p.n_projects, 0) AS n_projects,
    coalesce(p.n_projects_not_ok, 0) AS n_projects_not_ok,
    coalesce(p.unfolded, 0) AS unfolded,
    p.oldest_refresh_at,
    coalesce(s.n_simulations, 0) AS n_simulations,
    s.latest_simulation_at
FROM workspaces w
LEFT JOIN (
    SELECT
        workspace_id,
        count(*) AS n_projects,
        count(CASE WHEN status <> 'ok' THEN 1 END) AS n_projects_not_ok,
        -- the sum is a 128-bit integer in DuckDB, which Arrow knows only as a decimal
        CAST(sum(unfolded) AS BIGINT) AS unfolded,
        min(last_refreshed_at) AS oldest_refresh_at
    FROM projects
    GROUP BY workspace_id
) p ON p.workspace_id = w.workspace_id
LEFT JOIN (
    SELECT
        workspace_id,
        count(DISTINCT sim_id) AS n_simulations,
        max(created_at) AS latest_simulation_at
    FROM simulations_cache
    WHERE kind = 'simulation' AND trashed_at IS NULL
    GROUP BY workspace_id
) s ON s.workspace_id = w.workspace_id;
