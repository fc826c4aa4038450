CREATE TABLE users (
    account_id text COLLATE "C" CONSTRAINT users_pkey PRIMARY KEY,
    version bigint NOT NULL,
    username text COLLATE "C" NOT NULL CONSTRAINT users_username_unique UNIQUE,
    password_hash text NOT NULL,  -- argon2 in PHC form
    registered_at timestamptz NOT NULL,
    CONSTRAINT users_version_positive CHECK (version > 0),
    CONSTRAINT users_username_not_empty CHECK (username <> ''),
    CONSTRAINT users_password_is_hashed CHECK (password_hash LIKE '$argon2%')
) WITH (fillfactor = 90);
