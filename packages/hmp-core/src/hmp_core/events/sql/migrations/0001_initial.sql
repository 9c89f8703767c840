-- How far the log was folded into this database. Bookkeeping: never part of a comparison of databases.

-- a row is a file of events, and how many of its bytes are in the tables
CREATE TABLE _hmp_segments (
    name VARCHAR PRIMARY KEY,
    position BIGINT NOT NULL,
    packed BOOLEAN NOT NULL
);

-- a row is an event that waits for its parent, for a file, or for a newer hmp
CREATE TABLE _hmp_waiting (
    event_id UUID PRIMARY KEY,
    reason VARCHAR NOT NULL,
    event JSON NOT NULL
);

-- a row is a row of another table that was deleted, and when
CREATE TABLE _hmp_tombstones (
    table_name VARCHAR NOT NULL,
    row_key VARCHAR NOT NULL,
    stamp VARCHAR NOT NULL,
    PRIMARY KEY (table_name, row_key)
);

-- a row is a subject (a simulation, an entry) that was purged: it beats every event, earlier or later
CREATE TABLE _hmp_purged (
    subject VARCHAR PRIMARY KEY
);

-- the greatest clock that was folded; one row
CREATE TABLE _hmp_clock (
    id INTEGER PRIMARY KEY,
    seen BIGINT NOT NULL
);
