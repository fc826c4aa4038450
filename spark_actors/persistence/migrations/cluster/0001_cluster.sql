-- expands
-- Where the deployment runs. Each tree's root alone writes what is its own; nodes and operators add what they wish.
CREATE TABLE trees (
    epoch bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT trees_pkey PRIMARY KEY,
    namespace text NOT NULL DEFAULT '',         -- of its actors
    release text NOT NULL,
    fingerprint text NOT NULL,                  -- of the settings that it was made with
    settings json NOT NULL,                     -- those that all machines have in common; no secrets
    root bigint NOT NULL DEFAULT 0,             -- grows with each root that it gets: an older one may write no more
    fenced bigint NOT NULL DEFAULT 0,           -- actors of it that had a successor and have ended themselves
    state text NOT NULL DEFAULT 'warming',
    since timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT trees_state_known CHECK (state IN ('warming', 'open', 'ended'))
);

CREATE TABLE keys_in_use (
    digest text COLLATE "C" NOT NULL CONSTRAINT keys_in_use_pkey PRIMARY KEY  -- of a key that signs tokens
);

CREATE TABLE nodes (
    node_id text COLLATE "C" NOT NULL CONSTRAINT nodes_pkey PRIMARY KEY,  -- Ray's, in hex
    name text NOT NULL,
    address text NOT NULL,
    release text NOT NULL DEFAULT '',
    python text NOT NULL DEFAULT '',
    fingerprint text NOT NULL DEFAULT '',       -- of its settings
    epoch bigint NOT NULL DEFAULT 0,            -- of the tree for which it has read them
    metrics_url text NOT NULL DEFAULT '',       -- where others read its metrics and its log; empty: nowhere
    pid integer,                                -- of the process that looks after it there
    cpu_percent real,
    memory_bytes bigint,
    joined_at timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz,                   -- null: nobody looks after it there
    is_to_leave boolean NOT NULL DEFAULT false, -- an operator, or the node itself, wishes so
    state text NOT NULL DEFAULT 'joining',
    reason text NOT NULL DEFAULT '',
    since timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT nodes_state_known
        CHECK (state IN ('joining', 'active', 'suspect', 'draining', 'drained', 'refused', 'gone'))
);

CREATE TABLE places (
    epoch bigint NOT NULL,
    place text COLLATE "C" NOT NULL,
    incarnation bigint NOT NULL,                -- of the actor that has a right to it; 0: none has
    issued bigint NOT NULL,                     -- the highest number that an actor made for it was ever given
    node_id text COLLATE "C" NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    wanted_node text NOT NULL DEFAULT '',       -- where an operator wishes it to be; empty: wherever
    CONSTRAINT places_pkey PRIMARY KEY (epoch, place)
);

CREATE TABLE pools (
    pool text COLLATE "C" NOT NULL CONSTRAINT pools_pkey PRIMARY KEY,
    slots integer NOT NULL,                     -- instead of what the settings say
    CONSTRAINT pools_have_slots CHECK (slots BETWEEN 1 AND 4096)
);

CREATE TABLE hand_overs (
    hand_over bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT hand_overs_pkey PRIMARY KEY,
    python text NOT NULL DEFAULT '',            -- interpreter of the release that is to take over; empty: the same one
    release text NOT NULL DEFAULT '',
    wished_at timestamptz NOT NULL DEFAULT now(),
    state text NOT NULL DEFAULT 'wished',
    detail text NOT NULL DEFAULT '',
    since timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT hand_overs_state_known
        CHECK (state IN ('wished', 'warming', 'handing over', 'done', 'refused', 'aborted'))
);

CREATE UNIQUE INDEX hand_overs_one_at_a_time ON hand_overs ((true)) WHERE state IN ('wished', 'warming', 'handing over');
