-- The history of a project: a row per run and per result, kept when the runs' folders are gone.

CREATE TABLE runs (
    run          TEXT PRIMARY KEY,  -- the run's id, the name of its folder
    started      REAL NOT NULL,     -- wall time, seconds since 1970
    duration_s   REAL NOT NULL,     -- of the whole command's work
    verdict      TEXT NOT NULL,     -- the worst of its groups
    exit_code    INTEGER NOT NULL,  -- what the shell was told
    revision     TEXT,              -- git commit of the working tree; null: no git, or too slow
    dirty        INTEGER,           -- 1: tracked files differed from that commit; null as above
    command_line TEXT NOT NULL      -- what was typed, quoted for a shell
) STRICT;

CREATE TABLE results (
    id                INTEGER PRIMARY KEY,  -- counts in the order of appending
    run               TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    group_id          TEXT NOT NULL,        -- the group's id, with its parameters
    folder            TEXT NOT NULL,        -- the group's folder, from the project's where below it
    mode              TEXT NOT NULL,        -- log level
    params            TEXT NOT NULL,        -- JSON object: the combination of the matrix
    repeat            INTEGER NOT NULL,     -- 0: the first run of it
    verdict           TEXT NOT NULL,
    duration_s        REAL NOT NULL,
    root_code         TEXT,                 -- code of the first finding; null: none
    root_where        TEXT,                 -- its place
    average_latency_s REAL,                 -- mean from Send to Receive of a key; null: no pair
    percentiles       TEXT NOT NULL         -- JSON object: circuit -> p50_ms, p95_ms, p99_ms, max_ms
) STRICT;

CREATE INDEX results_of_group ON results (group_id, id);
CREATE INDEX results_of_run ON results (run);
CREATE INDEX runs_by_time ON runs (started);
