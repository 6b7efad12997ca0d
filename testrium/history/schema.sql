-- The history of a project: a row per run and per result, kept when the runs' folders are gone.
-- Version 3. What older versions had instead is in database.py.

CREATE TABLE IF NOT EXISTS runs (
    run          TEXT PRIMARY KEY,  -- the run's id, the name of its folder
    started      REAL NOT NULL,     -- wall time, seconds since 1970
    duration_s   REAL NOT NULL,     -- of the whole command's work
    verdict      TEXT NOT NULL,     -- the worst of its groups
    exit_code    INTEGER NOT NULL,  -- what the shell was told
    revision     TEXT,              -- git commit of the working tree; null: no git, or too slow
    dirty        INTEGER,           -- 1: tracked files differed from that commit; null as above
    command_line TEXT NOT NULL      -- what was typed, quoted for a shell
) STRICT;

CREATE TABLE IF NOT EXISTS results (
    id                INTEGER PRIMARY KEY,  -- counts in the order of appending
    run               TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    group_id          TEXT NOT NULL,        -- the group's id, with its parameters
    folder            TEXT NOT NULL,        -- the group's folder, from the project's where below it
    mode              TEXT NOT NULL,        -- log level
    params            TEXT NOT NULL,        -- JSON object: the combination of the matrix
    repeat            INTEGER NOT NULL,     -- 0: the first run of it
    verdict           TEXT NOT NULL,
    duration_s        REAL NOT NULL,
    root_code         TEXT,                 -- code of its first finding, or of the try before; null: none
    root_where        TEXT,                 -- its place
    average_latency_s REAL,                 -- mean from Send to Receive of a key; null: no pair
    machine           TEXT,                 -- figures of one class compare; null: it was not stored
    tags              TEXT NOT NULL DEFAULT '[]',  -- JSON list: those of the group
    tries             INTEGER NOT NULL DEFAULT 1   -- so often it was run; all but the last did not pass
) STRICT;

CREATE TABLE IF NOT EXISTS measures (       -- figures of a result, by the names of measures.py
    result    INTEGER NOT NULL REFERENCES results (id) ON DELETE CASCADE,
    name      TEXT NOT NULL,                -- command.p95, duration, throughput
    value     REAL NOT NULL,                -- the median of what was reported
    unit      TEXT NOT NULL,                -- what value is measured in; empty for a number
    source    TEXT NOT NULL,                -- group, circuit, hop, unit, reported
    better    TEXT NOT NULL,                -- smaller or larger
    n         INTEGER NOT NULL,             -- so many reports
    mean      REAL,                         -- of them; null: it was not reported but measured
    deviation REAL,                         -- of a sample; null: less than two reports
    details   TEXT,                         -- what was told with the last of them, JSON; or null
    PRIMARY KEY (result, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS accepted (       -- from where on earlier results are compared with
    folder TEXT PRIMARY KEY,                -- the group's, as in results
    result INTEGER NOT NULL,                -- only results with a larger id count
    at     REAL NOT NULL                    -- when that was said: seconds since 1970
) STRICT;

CREATE INDEX IF NOT EXISTS results_of_group ON results (group_id, id);
CREATE INDEX IF NOT EXISTS results_of_run ON results (run);
CREATE INDEX IF NOT EXISTS results_of_folder ON results (folder, id);
CREATE INDEX IF NOT EXISTS measures_by_name ON measures (name, result);
CREATE INDEX IF NOT EXISTS runs_by_time ON runs (started);
