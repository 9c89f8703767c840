-- The gauges of a river: a small scope that the judges of the event log fold.

-- a row is a gauge
CREATE TABLE gauges (
    gauge_id UUID PRIMARY KEY,
    river VARCHAR NOT NULL,
    opened_at TIMESTAMP,
    elevation DOUBLE,
    name VARCHAR,
    hidden BOOLEAN NOT NULL DEFAULT FALSE,
    _stamp VARCHAR NOT NULL,
    _stamp_name VARCHAR,
    _stamp_hidden VARCHAR
);

CREATE INDEX gauges_by_name ON gauges (name);

-- a row is the water level at a gauge at a time
CREATE TABLE levels (
    gauge_id UUID NOT NULL,
    taken_at TIMESTAMP NOT NULL,
    level DOUBLE,
    remarks JSON,
    _stamp VARCHAR NOT NULL,
    PRIMARY KEY (gauge_id, taken_at)
);

CREATE INDEX levels_by_gauge ON levels (gauge_id);

-- a row is an observer, who may leave
CREATE TABLE observers (
    code VARCHAR PRIMARY KEY,
    called VARCHAR,
    _stamp VARCHAR NOT NULL
);

-- a row is a visit of an observer to a gauge
CREATE TABLE visits (
    event_id UUID PRIMARY KEY,
    gauge_id UUID NOT NULL,
    code VARCHAR NOT NULL,
    _stamp VARCHAR NOT NULL
);

-- a row is a name that was given to a gauge; of one that was purged it is not known any more
CREATE TABLE namings (
    event_id UUID PRIMARY KEY,
    gauge_id UUID NOT NULL,
    name VARCHAR,
    _stamp VARCHAR NOT NULL
);
