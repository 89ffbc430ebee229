-- The embedded queue. Times are milliseconds since the epoch; JSON values are UTF-8 in BLOBs.

-- The braces stand for a column for each line of `Job` in core/model.py; see rows.py.
CREATE TABLE jobs (
    n            INTEGER PRIMARY KEY,   -- rises with each submission: first in, first out
    unique_until INTEGER,
    front        INTEGER NOT NULL DEFAULT 1,   -- 0: rescued, goes before the backlog
    {fields},
    UNIQUE (id)
) STRICT;

-- Partial indices hold only what is in that state, so a finished job costs the hot path nothing.
CREATE INDEX jobs_ready     ON jobs (queue, function, front, priority DESC) WHERE status = 'queued';
CREATE INDEX jobs_scheduled ON jobs (run_at) WHERE status = 'scheduled';
CREATE INDEX jobs_due       ON jobs (queue, run_at) WHERE status = 'scheduled';
CREATE INDEX jobs_expiring  ON jobs (expires_at)
    WHERE expires_at IS NOT NULL AND status IN ('blocked', 'scheduled', 'queued');
CREATE INDEX jobs_blocked   ON jobs (queue) WHERE status = 'blocked';
CREATE INDEX jobs_finished  ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_cancels   ON jobs (worker_id) WHERE status = 'running' AND cancel_requested = 1;
CREATE INDEX jobs_parent    ON jobs (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX jobs_root      ON jobs (root_id) WHERE root_id IS NOT NULL;

-- Which lanes, a function's jobs in a queue, have queued jobs; see lanes.py.
CREATE TABLE lanes (
    changed  INTEGER PRIMARY KEY AUTOINCREMENT,   -- never reused: who has seen it has seen it
    queue    TEXT    NOT NULL,
    function TEXT    NOT NULL,
    level    INTEGER NOT NULL,   -- of its best job, or better
    UNIQUE (queue, function)
) STRICT;

-- Apart from jobs, so that a heartbeat never rewrites a job's arguments.
CREATE TABLE leases (
    n       INTEGER PRIMARY KEY,
    expires INTEGER NOT NULL,
    term    INTEGER NOT NULL
) STRICT;

-- A key is held while its job is unfinished or within its window; the row goes with the job.
CREATE TABLE keys (
    key TEXT    PRIMARY KEY,
    n   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_job ON keys (n);

-- Which of the jobs in its `after` a job still waits for; one that has completed is struck out.
CREATE TABLE dependencies (
    n       INTEGER NOT NULL,
    awaited TEXT    NOT NULL,
    PRIMARY KEY (n, awaited)
) STRICT, WITHOUT ROWID;
CREATE INDEX dependencies_awaited ON dependencies (awaited);

CREATE TABLE logs (
    n       INTEGER NOT NULL,
    number  INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    level   TEXT    NOT NULL,
    logger  TEXT    NOT NULL,
    message TEXT    NOT NULL,
    PRIMARY KEY (n, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE artifacts (
    n            INTEGER NOT NULL,
    name         TEXT    NOT NULL,
    content_type TEXT    NOT NULL,
    size         INTEGER NOT NULL,
    sha256       TEXT    NOT NULL,
    data         BLOB    NOT NULL,
    PRIMARY KEY (n, name)
) STRICT;

CREATE TABLE paused_queues (queue TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE paused_functions (function TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

CREATE TABLE workers (
    id      TEXT    PRIMARY KEY,
    name    TEXT    NOT NULL,
    seen_at INTEGER NOT NULL,
    running INTEGER NOT NULL,
    lost    INTEGER NOT NULL DEFAULT 0,   -- 1: reported as lost
    info    BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE functions (
    name    TEXT    NOT NULL,
    worker  TEXT    NOT NULL,
    seen_at INTEGER NOT NULL,   -- when the last worker of that name was heard of, once there is none
    info    BLOB    NOT NULL,
    PRIMARY KEY (name, worker)
) STRICT, WITHOUT ROWID;

-- See `conduit.core.crons`: who carries which definition, and how far it has ticked.
CREATE TABLE crons (
    name   TEXT PRIMARY KEY,
    record BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE locks (
    name    TEXT    PRIMARY KEY,
    token   TEXT    NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE entries (
    position INTEGER PRIMARY KEY AUTOINCREMENT,   -- never reused, even after trimming
    at       INTEGER NOT NULL,
    body     BLOB    NOT NULL
) STRICT;

CREATE TABLE event_groups (
    name  TEXT    PRIMARY KEY,
    given INTEGER NOT NULL   -- the last position handed to any consumer
) STRICT, WITHOUT ROWID;

CREATE TABLE pending (
    event_group TEXT    NOT NULL,
    position    INTEGER NOT NULL,
    consumer    TEXT    NOT NULL,
    given_at    INTEGER NOT NULL,
    deliveries  INTEGER NOT NULL,
    PRIMARY KEY (event_group, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
