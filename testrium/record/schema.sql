-- One file per group run, or per folder where the classic API is used alone.
-- `_ns` columns are nanoseconds of CLOCK_MONOTONIC unless said otherwise.

CREATE TABLE IF NOT EXISTS Events (
    ID            INTEGER PRIMARY KEY, -- counts in the order of storing
    Unit          TEXT,                -- whose event it is
    StepCompleted TEXT,                -- the probe's step
    EventType     TEXT,                -- Default, Exception, Send, Receive
    EventKey      TEXT,                -- what it belongs to; NULL without a key
    Time          REAL,                -- when it was emitted: seconds since 1970
    Metadata      TEXT,                -- a JSON object; NULL when there is none
    Cause         TEXT,                -- a JSON list of keys that led to it; NULL when there is none
    TimeNs        INTEGER,             -- when it was emitted; without a time of its own, when it was read
    TimeLowNs     INTEGER,             -- without a time of its own: it was emitted after this; else NULL
    WallNs        INTEGER,             -- as Time, in whole nanoseconds since 1970
    Domain        TEXT,                -- the clock of TimeNs; only times of one clock compare
    Pid           INTEGER,             -- the process that emitted it; 0 when it did not say; -1, -2: a line
                                       -- of its output (stdout, stderr) told it; -3: a
                                       -- span or a log record did, whose lines have no order
    Seq           INTEGER,             -- counts the probes of that process from 1; NULL when it does not count
    Start         INTEGER,             -- incarnation: counts the starts of the unit from 1
    Attempt       INTEGER,             -- counts the starts of the whole circuit from 1
    Owner         TEXT                 -- the unit in whose probe file it stood
);

-- Waits ask for past events of a step, mostly of one unit and with a key. The last two columns let
-- Send and Receive be paired from the index alone.
CREATE INDEX IF NOT EXISTS EventsByPlace ON Events (
    StepCompleted, Unit, EventKey, EventType, TimeNs
);

CREATE TABLE IF NOT EXISTS Domains (   -- the clocks that Events.Domain names
    Name TEXT PRIMARY KEY
);

CREATE TABLE IF NOT EXISTS UnitStatus (
    Unit      TEXT PRIMARY KEY,        -- the unit's name
    Status    TEXT,                    -- created, starting, ready, running, finished, failed, stopped
    UpdatedAt REAL                     -- seconds since 1970
);

CREATE TABLE IF NOT EXISTS Results (   -- what user code stored with Results_Manager
    ID             INTEGER PRIMARY KEY,
    TestGroup      TEXT,
    Passed         INTEGER,            -- 0 or 1
    Duration       REAL,               -- seconds
    AverageLatency REAL,               -- seconds; NULL where there is none
    Summary        TEXT,               -- JSON
    Time           REAL                -- when it was stored: seconds since 1970
);

CREATE TABLE IF NOT EXISTS Files (     -- how far each probe file was read
    Path    TEXT PRIMARY KEY,          -- relative to this file's folder
    Unit    TEXT,                      -- whose file it is
    Start   INTEGER,                   -- which start of the unit writes it
    Attempt INTEGER,                   -- which start of the circuit that was in
    Offset  INTEGER,                   -- bytes that are stored
    LowNs   INTEGER                    -- what is read next was emitted after this
);

CREATE TABLE IF NOT EXISTS Damages (   -- lines of probe files that are no probes
    ID      INTEGER PRIMARY KEY,
    Unit    TEXT,                      -- whose file it stood in
    Reason  TEXT,                      -- what is wrong with it
    Line    TEXT,                      -- its beginning
    Attempt INTEGER                    -- which start of the circuit that was in
);

CREATE TABLE IF NOT EXISTS Ends (      -- what became of each unit
    ID        INTEGER PRIMARY KEY,     -- their order
    Unit      TEXT,
    Cause     TEXT,                    -- why it has no process any more
    State     TEXT,                    -- its last state, as in UnitStatus
    Pid       INTEGER,                 -- of its last process; NULL when it had none
    ExitCode  INTEGER,                 -- NULL when a signal ended it
    Signal    TEXT,                    -- the name of that signal
    Starts    INTEGER,                 -- how often it was started
    Attempt   INTEGER,                 -- in which start of the circuit it ended
    WasReady  INTEGER,                 -- 0 or 1: whether its last start became ready
    StartedNs INTEGER,
    ReadyNs   INTEGER,
    EndedNs   INTEGER,
    Message   TEXT,                    -- what the runner saw, in words
    BlockedBy TEXT,                    -- because of whom it was not started
    Leaks     TEXT,                    -- JSON: processes that outlived it, as [pid, command line]
    LastLines TEXT,                    -- JSON: the last lines of its output
    Threads   TEXT,                    -- JSON: where its threads were when it hung, a line for each
    Used      TEXT,                    -- JSON: cpu_s, max_rss (bytes) and peaks over all its starts
    Concluded INTEGER                  -- 0: code that is run for others ended before its conclusion
);

CREATE TABLE IF NOT EXISTS Samples (   -- what a unit used while it lived, with all that it started
    ID         INTEGER PRIMARY KEY,    -- the order in which they were stored
    Unit       TEXT,
    Start      INTEGER,                -- which start of the unit
    TimeNs     INTEGER,                -- when it was measured
    CpuS       REAL,                   -- CPU time since that start: seconds
    CpuPercent REAL,                   -- of one core, since the sample before; NULL for the first
    Rss        INTEGER,                -- resident memory: bytes; shared memory counts in each process
    Threads    INTEGER,                -- of all its processes
    Fds        INTEGER,                -- open files
    Children   INTEGER                 -- processes besides the unit's own
);

CREATE TABLE IF NOT EXISTS Metrics (   -- figures that processes reported
    ID       INTEGER PRIMARY KEY,      -- the order in which they were stored
    Name     TEXT,
    Value    REAL,                     -- in Measured
    Measured TEXT,                     -- what Value is measured in: "ms", "1/s"; empty for a number
    Better   TEXT,                     -- smaller or larger
    Unit     TEXT,                     -- whose process reported it
    Pid      INTEGER,                  -- that process; 0 when it did not say
    TimeNs   INTEGER,                  -- when it was reported; without a time, when it was read
    Start    INTEGER,                  -- which start of the unit
    Attempt  INTEGER,                  -- in which start of the circuit
    Details  TEXT                      -- what was told with it, JSON; null for nothing
);

CREATE TABLE IF NOT EXISTS UnitStates ( -- how units came to the state in UnitStatus
    ID     INTEGER PRIMARY KEY,        -- their order
    Unit   TEXT,
    State  TEXT,                       -- as UnitStatus.Status
    TimeNs INTEGER                     -- since when
);

CREATE TABLE IF NOT EXISTS Tests (     -- test functions and callbacks
    ID        INTEGER PRIMARY KEY,     -- their order
    Name      TEXT,
    Passed    INTEGER,                 -- 0 or 1
    DurationS REAL,                    -- seconds
    Message   TEXT,                    -- what it raised, in one line
    Traceback TEXT,
    Skipped   INTEGER,                 -- 1: it asked not to be judged, and Message is the reason
    More      TEXT                     -- JSON: the other fields of evidence.TestResult
);

CREATE TABLE IF NOT EXISTS Meta (      -- the rest of the evidence
    Name  TEXT PRIMARY KEY,            -- attempt, started_ns, ended_ns, infra, interrupted, earlier_keys,
                                       -- unread: probes wait in the files,
                                       -- unrecorded: [unit, reason, [[unit, step] ...]] ...
                                       -- clocks: those of other hosts, by their names in Domains:
                                       -- [time there, least, most ns that it is later than here] ...
                                       -- unmatched: [place, sentence] ...
                                       -- outputs: [unit, TimeNs, bytes of stdout, of stderr] ...
    Value TEXT                         -- JSON
);
