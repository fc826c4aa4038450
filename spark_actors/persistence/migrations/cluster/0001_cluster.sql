-- Where the deployment runs. Written by its root alone but for what nodes say of themselves and what operators wish.
CREATE TABLE deployment (
    is_only boolean NOT NULL DEFAULT true CONSTRAINT deployment_pkey PRIMARY KEY,
    epoch bigint NOT NULL DEFAULT 0,            -- grows with each tree of actors that is made
    root bigint NOT NULL DEFAULT 0,             -- grows with each root: an older one may write no more
    fingerprint text NOT NULL DEFAULT '',       -- of the release and the settings that the tree was made with
    release text NOT NULL DEFAULT '',
    namespace text NOT NULL DEFAULT '',         -- of its actors
    keys text[] NOT NULL DEFAULT '{}',          -- digests of those that sign tokens
    since timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT deployment_is_one CHECK (is_only)
);

INSERT INTO deployment DEFAULT VALUES;

CREATE TABLE nodes (
    node_id text COLLATE "C" NOT NULL CONSTRAINT nodes_pkey PRIMARY KEY,  -- Ray's, in hex
    name text NOT NULL,
    address text NOT NULL,
    release text NOT NULL DEFAULT '',
    python text NOT NULL DEFAULT '',
    fingerprint text NOT NULL DEFAULT '',       -- of its settings
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
    place text COLLATE "C" NOT NULL CONSTRAINT places_pkey PRIMARY KEY,
    incarnation bigint NOT NULL,                -- of the actor that has a right to it
    issued bigint NOT NULL,                     -- the highest number that an actor made for it was ever given
    node_id text COLLATE "C" NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    wanted_node text NOT NULL DEFAULT ''        -- where an operator wishes it to be; empty: wherever
);

CREATE TABLE pools (
    pool text COLLATE "C" NOT NULL CONSTRAINT pools_pkey PRIMARY KEY,
    slots integer NOT NULL,                     -- instead of what the settings say
    CONSTRAINT pools_have_slots CHECK (slots BETWEEN 1 AND 4096)
);
