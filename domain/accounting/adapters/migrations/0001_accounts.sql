CREATE TABLE accounts (
    account_id text COLLATE "C" CONSTRAINT accounts_pkey PRIMARY KEY,
    version bigint NOT NULL,
    status text NOT NULL,
    balance_sat bigint NOT NULL,
    CONSTRAINT accounts_version_positive CHECK (version > 0),
    CONSTRAINT accounts_status_known CHECK (status IN ('pending', 'open')),
    CONSTRAINT accounts_balance_not_negative CHECK (balance_sat >= 0),
    CONSTRAINT accounts_not_of_the_system CHECK (account_id NOT LIKE '@%')
) WITH (fillfactor = 70);
