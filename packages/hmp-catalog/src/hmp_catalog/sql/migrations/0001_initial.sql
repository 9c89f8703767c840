-- The project catalog: simulations, what went into them, what came out, and everything said of them later.
-- Every row but those of the seeded vocabularies is folded from events and manifests; `_stamp` orders the events that
-- set it, `_stamp_<group>` those of columns that are set apart from the rest.
-- Written in what DuckDB and PostgreSQL share. Only keys and stamps are required: what was acknowledged is never
-- refused by a constraint. Rows refer to vocabularies by their code, which need not be among the seeds.

-- ── vocabularies ────────────────────────────────────────────────────────────────────────────────────────────
-- Where a project may add its own, `_stamp` is null for the seeds, so that no event changes what a code means.

-- a row is a hydrological variable: its CF standard name where there is one, and a unit that agrees with it
CREATE TABLE dim_variables (
    code VARCHAR PRIMARY KEY,
    standard_name VARCHAR,
    unit VARCHAR NOT NULL,
    category VARCHAR NOT NULL,
    description VARCHAR,
    _stamp VARCHAR
);

-- a row is a measure by which simulations are compared: its unit, direction and bounds
CREATE TABLE dim_metrics (
    code VARCHAR PRIMARY KEY,
    unit VARCHAR NOT NULL,
    higher_is_better BOOLEAN,
    physical_min DOUBLE PRECISION,
    physical_max DOUBLE PRECISION,
    _stamp VARCHAR
);

-- a row is a study area of this project, as a catchment and its extent
CREATE TABLE dim_study_areas (
    code VARCHAR PRIMARY KEY,
    name VARCHAR,
    bbox_xmin DOUBLE PRECISION,
    bbox_ymin DOUBLE PRECISION,
    bbox_xmax DOUBLE PRECISION,
    bbox_ymax DOUBLE PRECISION,
    crs_epsg INTEGER,
    _stamp VARCHAR NOT NULL
);

-- a row is a program that simulates, and of what kind it is
CREATE TABLE solvers (
    code VARCHAR PRIMARY KEY,
    category VARCHAR NOT NULL,
    description VARCHAR,
    _stamp VARCHAR
);

-- a row is a state that a simulation, a calibration or a workflow step can be in
CREATE TABLE statuses (
    code VARCHAR PRIMARY KEY,
    description VARCHAR NOT NULL
);

-- a row is a way in which a simulation treats time
CREATE TABLE flow_regimes (
    code VARCHAR PRIMARY KEY,
    description VARCHAR NOT NULL
);

-- a row is a way in which a simulation divides space
CREATE TABLE mesh_topologies (
    code VARCHAR PRIMARY KEY,
    description VARCHAR NOT NULL
);

-- a row is what a metric means: enough to rank simulations by it, to explain it and to cite it
CREATE TABLE metric_definitions (
    metric_name VARCHAR PRIMARY KEY,
    -- a UDUNITS unit, or 'same' or 'square': that of the variable, or its square
    unit VARCHAR NOT NULL,
    -- null: the closer to best_value the better
    higher_is_better BOOLEAN,
    best_value DOUBLE PRECISION,
    physical_min DOUBLE PRECISION,
    physical_max DOUBLE PRECISION,
    role VARCHAR NOT NULL,
    description VARCHAR,
    metric_references VARCHAR,
    _stamp VARCHAR
);

-- ── simulations ─────────────────────────────────────────────────────────────────────────────────────────────

-- a row is a simulation: what was run, where it keeps its files, how it ended, and what is said of it
CREATE TABLE simulations (
    sim_id UUID PRIMARY KEY,
    project VARCHAR,
    solver VARCHAR,
    status VARCHAR,
    flow_regime VARCHAR,
    mesh_topology VARCHAR,
    mesh_hash VARCHAR,
    n_cells INTEGER,
    n_layers INTEGER,
    n_timesteps INTEGER,
    crs_wkt VARCHAR,
    crs_epsg INTEGER,
    bbox_xmin DOUBLE PRECISION,
    bbox_ymin DOUBLE PRECISION,
    bbox_xmax DOUBLE PRECISION,
    bbox_ymax DOUBLE PRECISION,
    outlet_x DOUBLE PRECISION,
    outlet_y DOUBLE PRECISION,
    geographic_fingerprint VARCHAR,
    period_start TIMESTAMP,
    period_end TIMESTAMP,
    time_unit VARCHAR,
    config JSON,
    config_hash VARCHAR,
    config_source VARCHAR,
    seed BIGINT,
    parent_sim_id UUID,
    lineage_kind VARCHAR,
    folder VARCHAR,
    storage_basename VARCHAR,
    manifest_sha256 VARCHAR,
    zarr_path VARCHAR,
    zarr_packed BOOLEAN,
    principal_id VARCHAR,
    owner JSON,
    error VARCHAR,
    traceback VARCHAR,
    duration_s DOUBLE PRECISION,
    started_at TIMESTAMP,
    ended_at TIMESTAMP,
    created_at TIMESTAMP,
    updated_at TIMESTAMP,
    -- group "name"
    name VARCHAR,
    -- group "notes"
    notes VARCHAR,
    -- group "about"
    description VARCHAR,
    scientific_objective VARCHAR,
    contact_email VARCHAR,
    study_area_name VARCHAR,
    -- group "doi"
    doi VARCHAR,
    -- group "trash"
    trashed_at TIMESTAMP,
    _stamp_name VARCHAR,
    _stamp_notes VARCHAR,
    _stamp_about VARCHAR,
    _stamp_doi VARCHAR,
    _stamp_trash VARCHAR,
    _stamp VARCHAR NOT NULL
);

-- a row is a parameter of a simulation in a zone ('__global__' for the whole model)
CREATE TABLE parameters (
    sim_id UUID NOT NULL,
    param_name VARCHAR NOT NULL,
    zone_id VARCHAR NOT NULL,
    value DOUBLE PRECISION,
    text_value VARCHAR,
    unit VARCHAR,
    parameterization VARCHAR,
    valid_from TIMESTAMP,
    _stamp VARCHAR NOT NULL,
    PRIMARY KEY (sim_id, param_name, zone_id)
);

-- a composite key does not speed up a search by its first column: 3.2 ms becomes 0.33 ms at a million rows
CREATE INDEX idx_parameters_sim_id ON parameters (sim_id);

-- a row is a measure of how well a simulation matches what a station observed ('__outlet__' for the outlet)
CREATE TABLE metrics (
    sim_id UUID NOT NULL,
    station_id VARCHAR NOT NULL,
    variable VARCHAR NOT NULL,
    metric_name VARCHAR NOT NULL,
    value DOUBLE PRECISION,
    n_samples BIGINT,
    period_start TIMESTAMP,
    period_end TIMESTAMP,
    valid_from TIMESTAMP,
    _stamp VARCHAR NOT NULL,
    PRIMARY KEY (sim_id, station_id, variable, metric_name)
);

CREATE INDEX idx_metrics_sim_id ON metrics (sim_id);

-- a row is a word by which a simulation is found again; 'pinned' keeps it from being deleted
CREATE TABLE tags (
    sim_id UUID NOT NULL,
    tag VARCHAR NOT NULL,
    added_at TIMESTAMP,
    added_by VARCHAR,
    _stamp VARCHAR NOT NULL,
    PRIMARY KEY (sim_id, tag)
);

CREATE INDEX idx_tags_sim_id ON tags (sim_id);

-- ── where it came from ──────────────────────────────────────────────────────────────────────────────────────

-- a row is an input that a simulation consumed: which version of which cache entry, and what was loaded of it
CREATE TABLE provenance (
    sim_id UUID NOT NULL,
    variable VARCHAR NOT NULL,
    source_ref VARCHAR NOT NULL,
    source_type VARCHAR,
    -- id, hash and path are copied, so that the row still tells when the cache has purged its entry
    entry_id UUID,
    artifact_id UUID,
    file_path VARCHAR,
    source_sha256 VARCHAR,
    payload_sha256 VARCHAR,
    loader_name VARCHAR,
    loader_version VARCHAR,
    fetched_at TIMESTAMP,
    period_start TIMESTAMP,
    period_end TIMESTAMP,
    n_records BIGINT,
    stats JSON,
    license VARCHAR,
    data_provider VARCHAR,
    etag VARCHAR,
    last_modified VARCHAR,
    valid_from TIMESTAMP,
    _stamp VARCHAR NOT NULL,
    PRIMARY KEY (sim_id, variable, source_ref)
);

CREATE INDEX idx_provenance_sim_id ON provenance (sim_id);

-- a row is a file that a simulation read or was configured by
CREATE TABLE tracked_files (
    sim_id UUID NOT NULL,
    role VARCHAR NOT NULL,
    canonical_path VARCHAR NOT NULL,
    category VARCHAR,
    original_path VARCHAR,
    sha256 VARCHAR,
    size_bytes BIGINT,
    portable BOOLEAN,
    entry_id UUID,
    recorded_at TIMESTAMP,
    _stamp VARCHAR NOT NULL,
    PRIMARY KEY (sim_id, role, canonical_path)
);

CREATE INDEX idx_tracked_files_sim_id ON tracked_files (sim_id);

CREATE INDEX idx_tracked_files_sha256 ON tracked_files (sha256);

-- a row is the machine, the software and the solver that a simulation ran on
CREATE TABLE runs_environment (
    sim_id UUID PRIMARY KEY,
    python_version VARCHAR,
    hydromodpy_version VARCHAR,
    platform VARCHAR,
    hostname VARCHAR,
    user_name VARCHAR,
    cpu_info JSON,
    memory_gb DOUBLE PRECISION,
    git_commit VARCHAR,
    git_dirty BOOLEAN,
    project_git_commit VARCHAR,
    solver_name VARCHAR,
    solver_binary_path VARCHAR,
    solver_binary_sha256 VARCHAR,
    solver_version_text VARCHAR,
    additional_solvers JSON,
    conda_env_hash VARCHAR,
    env_packages JSON,
    rng_seed BIGINT,
    principal_id VARCHAR,
    recorded_at TIMESTAMP,
    _stamp VARCHAR NOT NULL
);

-- ── places and measurements ─────────────────────────────────────────────────────────────────────────────────

-- a row is a station that observes a variable, known to the whole project
CREATE TABLE stations (
    station_id VARCHAR NOT NULL,
    variable_type VARCHAR NOT NULL,
    name VARCHAR,
    latitude DOUBLE PRECISION,
    longitude DOUBLE PRECISION,
    elevation DOUBLE PRECISION,
    source VARCHAR,
    active BOOLEAN,
    first_valid DATE,
    last_valid DATE,
    metadata JSON,
    _stamp VARCHAR NOT NULL,
    PRIMARY KEY (station_id, variable_type)
);

-- a row is one observed value, shared by all simulations that are compared with it
CREATE TABLE observations (
    station_id VARCHAR NOT NULL,
    variable_type VARCHAR NOT NULL,
    datetime TIMESTAMP NOT NULL,
    value DOUBLE PRECISION,
    unit VARCHAR,
    quality VARCHAR,
    valid_from TIMESTAMP,
    _stamp VARCHAR NOT NULL,
    PRIMARY KEY (station_id, variable_type, datetime)
);

-- a row is the place of a station in the mesh of a simulation
CREATE TABLE observation_points (
    sim_id UUID NOT NULL,
    station_id VARCHAR NOT NULL,
    x DOUBLE PRECISION,
    y DOUBLE PRECISION,
    cell_id BIGINT,
    layer INTEGER,
    crs_wkt VARCHAR,
    crs_epsg INTEGER,
    _stamp VARCHAR NOT NULL,
    PRIMARY KEY (sim_id, station_id)
);

-- a row is a layer of points, lines or polygons that belongs to a simulation, as the river network
CREATE TABLE geographic_features (
    sim_id UUID NOT NULL,
    feature_name VARCHAR NOT NULL,
    geometry_kind VARCHAR,
    crs_wkt VARCHAR,
    geoparquet_path VARCHAR,
    properties JSON,
    _stamp VARCHAR NOT NULL,
    PRIMARY KEY (sim_id, feature_name)
);

-- a row is a figure or a word about the catchment of a simulation, as its area
CREATE TABLE geographic_metadata (
    sim_id UUID NOT NULL,
    key VARCHAR NOT NULL,
    value VARCHAR,
    value_type VARCHAR,
    unit VARCHAR,
    _stamp VARCHAR NOT NULL,
    PRIMARY KEY (sim_id, key)
);

-- a row is a Parquet file of a simulation, by the name under which its table is asked for
CREATE TABLE parquet_files (
    sim_id UUID NOT NULL,
    view_name VARCHAR NOT NULL,
    path VARCHAR,
    n_rows BIGINT,
    bytes BIGINT,
    sha256 VARCHAR,
    written_at TIMESTAMP,
    _stamp VARCHAR NOT NULL,
    PRIMARY KEY (sim_id, view_name)
);

-- ── calibration and workflow ────────────────────────────────────────────────────────────────────────────────

-- a row is a calibration: by which method, towards which objective, and how it ended
CREATE TABLE calibration_sessions (
    session_id UUID PRIMARY KEY,
    project VARCHAR,
    method VARCHAR,
    objective_name VARCHAR,
    config JSON,
    config_path VARCHAR,
    seed BIGINT,
    hydromodpy_version VARCHAR,
    python_version VARCHAR,
    hostname VARCHAR,
    optimizer_storage VARCHAR,
    started_at TIMESTAMP,
    -- group "end"
    n_iterations INTEGER,
    best_sim_id UUID,
    best_objective DOUBLE PRECISION,
    best_params_hash VARCHAR,
    ended_at TIMESTAMP,
    duration_s DOUBLE PRECISION,
    status VARCHAR,
    error_message VARCHAR,
    _stamp_end VARCHAR,
    _stamp VARCHAR NOT NULL
);

-- a row is a trial of a calibration: a set of parameters and what it scored
CREATE TABLE calibration_iterations (
    session_id UUID NOT NULL,
    -- two processes may both count to 17: the number of a trial cannot be its key
    trial_id UUID NOT NULL,
    iteration INTEGER,
    sim_id UUID,
    params_hash VARCHAR,
    parameters JSON,
    objective_value DOUBLE PRECISION,
    metrics JSON,
    status VARCHAR,
    from_cache BOOLEAN,
    duration_s DOUBLE PRECISION,
    _stamp VARCHAR NOT NULL,
    PRIMARY KEY (session_id, trial_id)
);

-- a row is a step of one run of a workflow: what went in, what came out, and whether it can be skipped next time
CREATE TABLE workflow_steps (
    step_id UUID PRIMARY KEY,
    run_id VARCHAR,
    step_order INTEGER,
    step_name VARCHAR,
    started_at TIMESTAMP,
    checkpoint_path VARCHAR,
    inputs_hash VARCHAR,
    -- group "end"
    status VARCHAR,
    ended_at TIMESTAMP,
    duration_s DOUBLE PRECISION,
    outputs_hash VARCHAR,
    error_message VARCHAR,
    artifact_uris JSON,
    _stamp_end VARCHAR,
    _stamp VARCHAR NOT NULL
);

-- ── who did what ────────────────────────────────────────────────────────────────────────────────────────────

-- a row is something that was done to the catalog, and by whom; the chain hash ties it to the one before
CREATE TABLE audit_log (
    event_id UUID PRIMARY KEY,
    seq BIGINT,
    occurred_at TIMESTAMP,
    actor VARCHAR,
    actor_kind VARCHAR,
    event_type VARCHAR,
    sim_id UUID,
    project VARCHAR,
    payload JSON,
    git_commit VARCHAR,
    hostname VARCHAR,
    chain_hash VARCHAR,
    _stamp VARCHAR NOT NULL
);

-- a row is a simulation that was purged: that it existed, who removed it and why, and nothing more
CREATE TABLE deletions (
    sim_id UUID PRIMARY KEY,
    deleted_at TIMESTAMP,
    deleted_by VARCHAR,
    reason VARCHAR,
    components JSON,
    sha256_snapshot VARCHAR,
    _stamp VARCHAR NOT NULL
);

-- ── views ───────────────────────────────────────────────────────────────────────────────────────────────────

-- a row is a simulation with the words for its codes and its scores at the outlet
CREATE VIEW v_simulation_summary AS
WITH placed AS (
    SELECT
        sim_id,
        metric_name,
        value,
        CASE
            WHEN station_id NOT IN ('__outlet__', 'outlet') THEN 2
            WHEN variable <> 'discharge' THEN 1
            ELSE 0
        END AS distance
    FROM metrics
    WHERE metric_name IN ('nse', 'kge', 'rmse', 'r2')
),

-- discharge at the outlet, else the only series scored there, else the only series scored anywhere, else nothing
chosen AS (
    SELECT
        sim_id,
        metric_name,
        CASE
            WHEN min(distance) = 0 AND count(CASE WHEN distance = 0 THEN 1 END) = 1
                THEN max(CASE WHEN distance = 0 THEN value END)
            WHEN min(distance) = 1 AND count(CASE WHEN distance = 1 THEN 1 END) = 1
                THEN max(CASE WHEN distance = 1 THEN value END)
            WHEN min(distance) = 2 AND count(*) = 1
                THEN max(value)
        END AS value
    FROM placed
    GROUP BY sim_id, metric_name
),

scored AS (
    SELECT
        sim_id,
        max(CASE WHEN metric_name = 'nse' THEN value END) AS nse,
        max(CASE WHEN metric_name = 'kge' THEN value END) AS kge,
        max(CASE WHEN metric_name = 'rmse' THEN value END) AS rmse,
        max(CASE WHEN metric_name = 'r2' THEN value END) AS r2
    FROM chosen
    WHERE value <> CAST('NaN' AS DOUBLE PRECISION)
    GROUP BY sim_id
)

SELECT
    s.sim_id,
    s.name,
    s.project,
    s.solver,
    v.category AS solver_category,
    s.status,
    s.flow_regime,
    s.mesh_topology,
    s.study_area_name,
    s.scientific_objective,
    s.description,
    s.contact_email,
    s.principal_id,
    s.notes,
    s.doi,
    s.n_cells,
    s.n_layers,
    s.n_timesteps,
    s.crs_epsg,
    s.bbox_xmin,
    s.bbox_ymin,
    s.bbox_xmax,
    s.bbox_ymax,
    s.geographic_fingerprint,
    s.period_start,
    s.period_end,
    s.config_hash,
    s.seed,
    s.parent_sim_id,
    s.folder,
    s.duration_s,
    s.started_at,
    s.ended_at,
    s.created_at,
    s.updated_at,
    s.trashed_at,
    m.nse,
    m.kge,
    m.rmse,
    m.r2
FROM simulations s
LEFT JOIN solvers v ON v.code = s.solver
LEFT JOIN scored m ON m.sim_id = s.sim_id;

-- a row is a simulation with the best value of each metric over its stations and variables, NaN left out
CREATE VIEW v_metrics_pivot AS
WITH directed AS (
    SELECT
        m.sim_id,
        m.metric_name,
        m.value,
        d.higher_is_better,
        coalesce(d.best_value, 0) AS best_value
    FROM metrics m
    JOIN metric_definitions d ON d.metric_name = m.metric_name
    WHERE m.value <> CAST('NaN' AS DOUBLE PRECISION)
),

-- aggregates, not window functions: these take twice the time (11,000 simulations)
ranged AS (
    SELECT
        sim_id,
        metric_name,
        higher_is_better,
        best_value,
        max(value) AS highest,
        min(value) AS lowest,
        min(CASE WHEN value >= best_value THEN value END) AS next_above,
        max(CASE WHEN value < best_value THEN value END) AS next_below
    FROM directed
    GROUP BY sim_id, metric_name, higher_is_better, best_value
),

best AS (
    SELECT
        sim_id,
        metric_name,
        CASE
            WHEN higher_is_better THEN highest
            WHEN NOT higher_is_better THEN lowest
            WHEN next_below IS NULL OR next_above - best_value <= best_value - next_below THEN next_above
            ELSE next_below
        END AS value
    FROM ranged
)

SELECT
    s.sim_id,
    max(CASE WHEN b.metric_name = 'nse' THEN b.value END) AS nse,
    max(CASE WHEN b.metric_name = 'log_nse' THEN b.value END) AS log_nse,
    max(CASE WHEN b.metric_name = 'kge' THEN b.value END) AS kge,
    max(CASE WHEN b.metric_name = 'kge_2012' THEN b.value END) AS kge_2012,
    max(CASE WHEN b.metric_name = 'r2' THEN b.value END) AS r2,
    max(CASE WHEN b.metric_name = 'rmse' THEN b.value END) AS rmse,
    max(CASE WHEN b.metric_name = 'mae' THEN b.value END) AS mae,
    max(CASE WHEN b.metric_name = 'mse' THEN b.value END) AS mse,
    max(CASE WHEN b.metric_name = 'bias' THEN b.value END) AS bias,
    max(CASE WHEN b.metric_name = 'pbias' THEN b.value END) AS pbias
FROM simulations s
LEFT JOIN best b ON b.sim_id = s.sim_id
GROUP BY s.sim_id;

-- ── seeds ───────────────────────────────────────────────────────────────────────────────────────────────────

INSERT INTO solvers (code, category, description) VALUES
    ('modflow6', 'distributed', 'MODFLOW 6, groundwater flow by control-volume finite differences'),
    ('modflow_nwt', 'distributed', 'MODFLOW-NWT, groundwater flow with a Newton solver for unconfined cells'),
    ('boussinesq', 'integrated', 'hillslope or catchment groundwater by the Boussinesq equation'),
    ('gr4j', 'lumped', 'GR4J, daily rainfall-runoff model with four parameters'),
    ('mt3dms', 'transport', 'MT3DMS, transport of solutes in groundwater'),
    ('modpath', 'particle_tracking', 'MODPATH, path lines and travel times in groundwater');

INSERT INTO statuses (code, description) VALUES
    ('pending', 'registered, not begun'),
    ('running', 'begun, and its process is alive'),
    ('completed', 'finished, and everything it should have written is there'),
    ('partial', 'finished, but something it should have written is missing'),
    ('failed', 'ended with an error'),
    ('aborted', 'ended on purpose before it was finished'),
    ('resumed', 'begun again where an earlier attempt had stopped'),
    ('interrupted', 'begun, and its process is dead');

INSERT INTO flow_regimes (code, description) VALUES
    ('steady', 'one state in equilibrium'),
    ('transient', 'states that follow one another in time'),
    ('steady_then_transient', 'a state in equilibrium from which a transient simulation starts');

INSERT INTO mesh_topologies (code, description) VALUES
    ('structured_2d', 'rows and columns'),
    ('structured_3d', 'layers, rows and columns'),
    ('unstructured_2d', 'polygons in one layer'),
    ('unstructured_3d', 'polygons in layers, or polyhedra'),
    ('lumped', 'the catchment as a whole'),
    ('network_1d', 'reaches of a network');

INSERT INTO metric_definitions (
    metric_name, unit, higher_is_better, best_value, physical_min, physical_max, role, description, metric_references
) VALUES
    (
        'nse', '1', TRUE, 1.0, NULL, 1.0, 'target',
        'Nash-Sutcliffe efficiency: 1 minus squared error over observed variance',
        'Nash & Sutcliffe (1970), J. Hydrol. 10, 282-290'
    ),
    (
        'log_nse', '1', TRUE, 1.0, NULL, 1.0, 'target',
        'Nash-Sutcliffe efficiency of logarithms: weighs low flows',
        'Pushpalatha et al. (2012), J. Hydrol. 420-421, 171-182'
    ),
    (
        'kge', '1', TRUE, 1.0, NULL, 1.0, 'target',
        'Kling-Gupta efficiency: correlation, ratio of standard deviations, ratio of means',
        'Gupta et al. (2009), J. Hydrol. 377, 80-91'
    ),
    (
        'kge_2012', '1', TRUE, 1.0, NULL, 1.0, 'target',
        'Kling-Gupta efficiency: correlation, ratio of coefficients of variation, ratio of means',
        'Kling et al. (2012), J. Hydrol. 424-425, 264-277'
    ),
    (
        'r2', '1', TRUE, 1.0, 0.0, 1.0, 'diagnostic',
        'square of Pearson''s correlation',
        'Moriasi et al. (2007), Trans. ASABE 50, 885-900'
    ),
    (
        'rmse', 'same', FALSE, 0.0, 0.0, NULL, 'target',
        'root mean squared error',
        'Moriasi et al. (2007), Trans. ASABE 50, 885-900'
    ),
    (
        'mse', 'square', FALSE, 0.0, 0.0, NULL, 'target',
        'mean squared error',
        'Moriasi et al. (2007), Trans. ASABE 50, 885-900'
    ),
    (
        'mae', 'same', FALSE, 0.0, 0.0, NULL, 'target',
        'mean absolute error',
        'Willmott & Matsuura (2005), Clim. Res. 30, 79-82'
    ),
    (
        'bias', 'same', NULL, 0.0, NULL, NULL, 'diagnostic',
        'mean of simulated minus observed',
        'Willmott & Matsuura (2005), Clim. Res. 30, 79-82'
    ),
    (
        'pbias', '%', NULL, 0.0, NULL, NULL, 'diagnostic',
        'sum of simulated minus observed, in per cent of the observed sum',
        'Gupta et al. (1999), J. Hydrol. Eng. 4, 135-143 (with the other sign)'
    );

INSERT INTO dim_metrics (code, unit, higher_is_better, physical_min, physical_max)
SELECT
    metric_name,
    unit,
    higher_is_better,
    physical_min,
    physical_max
FROM metric_definitions;

-- Standard names of the CF table, version 93. Where CF gives a mass flux the unit is kg m-2 d-1: 1 mm d-1 of water.
INSERT INTO dim_variables (code, standard_name, unit, category, description) VALUES
    ('precipitation', 'lwe_precipitation_rate', 'mm d-1', 'forcing', 'rain and snow, as water'),
    ('rainfall', 'rainfall_rate', 'mm d-1', 'forcing', 'rain alone'),
    ('snowfall', 'lwe_snowfall_rate', 'mm d-1', 'forcing', 'snow alone, as water'),
    ('air_temperature', 'air_temperature', 'degC', 'forcing', 'mean over the time step'),
    ('air_temperature_min', 'air_temperature', 'degC', 'forcing', 'minimum over the time step'),
    ('air_temperature_max', 'air_temperature', 'degC', 'forcing', 'maximum over the time step'),
    ('dew_point_temperature', 'dew_point_temperature', 'degC', 'forcing', 'at which the air would be saturated'),
    ('relative_humidity', 'relative_humidity', '%', 'forcing', 'of saturation'),
    ('specific_humidity', 'specific_humidity', '1', 'forcing', 'mass of vapour per mass of moist air'),
    ('wind_speed', 'wind_speed', 'm s-1', 'forcing', 'at the height of measurement'),
    ('surface_air_pressure', 'surface_air_pressure', 'Pa', 'forcing', 'at the ground'),
    ('shortwave_radiation', 'surface_downwelling_shortwave_flux_in_air', 'W m-2', 'forcing', 'from sun and sky'),
    ('longwave_radiation', 'surface_downwelling_longwave_flux_in_air', 'W m-2', 'forcing', 'from the atmosphere'),
    ('net_radiation', 'surface_net_downward_radiative_flux', 'W m-2', 'forcing', 'what the ground keeps'),
    ('sunshine_duration', 'duration_of_sunshine', 'h', 'forcing', 'in the time step'),
    (
        'potential_evapotranspiration', 'water_potential_evaporation_flux', 'kg m-2 d-1', 'forcing',
        'where water is not short'
    ),
    (
        'recharge', 'downward_liquid_water_mass_flux_into_groundwater', 'kg m-2 d-1', 'forcing',
        'what reaches the water table'
    ),
    ('leaf_area_index', 'leaf_area_index', '1', 'forcing', 'area of leaves per area of ground'),
    ('sea_level', 'sea_surface_height_above_mean_sea_level', 'm', 'forcing', 'at a coastal boundary'),
    ('groundwater_abstraction', NULL, 'm3 d-1', 'forcing', 'pumped from wells; positive leaves the aquifer'),
    ('surface_water_abstraction', NULL, 'm3 d-1', 'forcing', 'taken from rivers and lakes'),
    ('actual_evapotranspiration', 'water_evapotranspiration_flux', 'kg m-2 d-1', 'budget', 'from soil, plants, lakes'),
    ('transpiration', 'transpiration_flux', 'kg m-2 d-1', 'budget', 'through plants'),
    ('interception_evaporation', 'water_evaporation_flux_from_canopy', 'kg m-2 d-1', 'budget', 'from wet leaves'),
    ('snowmelt', 'surface_snow_melt_flux', 'kg m-2 d-1', 'budget', 'water released by snow'),
    ('runoff', 'runoff_flux', 'kg m-2 d-1', 'budget', 'all water that leaves over and below ground'),
    ('surface_runoff', 'surface_runoff_flux', 'kg m-2 d-1', 'budget', 'over ground'),
    ('subsurface_runoff', 'subsurface_runoff_flux', 'kg m-2 d-1', 'budget', 'below ground'),
    ('infiltration', NULL, 'mm d-1', 'budget', 'from the surface into the soil'),
    ('percolation', NULL, 'mm d-1', 'budget', 'from one soil store to the next'),
    ('groundwater_exchange', NULL, 'mm d-1', 'budget', 'with neighbouring catchments; positive is a gain'),
    ('river_leakage', NULL, 'm3 d-1', 'budget', 'between river and aquifer; positive enters the aquifer'),
    ('drainage', NULL, 'm3 d-1', 'budget', 'from the aquifer through drains'),
    ('storage_change', NULL, 'm3 d-1', 'budget', 'positive is water released from storage'),
    ('discharge', 'water_volume_transport_in_river_channel', 'm3 s-1', 'state', 'of a river through a section'),
    ('head', NULL, 'm', 'state', 'hydraulic head above the vertical datum'),
    ('soil_moisture', 'volume_fraction_of_condensed_water_in_soil', '1', 'state', 'water and ice per volume of soil'),
    ('soil_water_storage', 'lwe_thickness_of_soil_moisture_content', 'mm', 'state', 'in the soil column'),
    ('snow_water_equivalent', 'lwe_thickness_of_surface_snow_amount', 'mm', 'state', 'snow on the ground, as water'),
    ('snow_depth', 'surface_snow_thickness', 'm', 'state', 'height of the snow on the ground'),
    ('canopy_water', 'lwe_thickness_of_canopy_water_amount', 'mm', 'state', 'held by leaves'),
    ('groundwater_storage', 'groundwater_amount', 'kg m-2', 'state', 'in the aquifer'),
    ('total_water_storage', 'land_water_amount', 'kg m-2', 'state', 'on, in and below the ground'),
    ('soil_temperature', 'soil_temperature', 'degC', 'state', 'at the depth of measurement'),
    ('lake_level', 'water_surface_height_above_reference_datum', 'm', 'state', 'of a lake or reservoir'),
    ('concentration', NULL, 'mg L-1', 'state', 'of a solute in water'),
    ('water_table_depth', 'water_table_depth', 'm', 'derived', 'below ground, positive downwards'),
    ('drawdown', NULL, 'm', 'derived', 'fall of the head since a reference time'),
    ('specific_discharge', NULL, 'mm d-1', 'derived', 'discharge over the area of the catchment'),
    ('baseflow', NULL, 'm3 s-1', 'derived', 'part of the discharge that comes from storage'),
    ('river_stage', 'water_surface_height_above_reference_datum', 'm', 'observation', 'at a gauge'),
    ('groundwater_level', 'water_surface_height_above_reference_datum', 'm', 'observation', 'in a well or piezometer'),
    ('water_temperature', NULL, 'degC', 'observation', 'of a river, a lake or groundwater'),
    ('electrical_conductivity', NULL, 'uS cm-1', 'observation', 'of water at 25 degC'),
    ('nitrate', NULL, 'mg L-1', 'observation', 'concentration of NO3 in water'),
    ('flow_intermittency', NULL, '1', 'observation', 'part of the time or of the network without flow');
