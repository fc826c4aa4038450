-- The instances of a context that has no table of its own, each as a JSON document.
CREATE TABLE documents (
    key text CONSTRAINT documents_pkey PRIMARY KEY,
    version bigint NOT NULL CONSTRAINT documents_version_positive CHECK (version > 0),
    state jsonb NOT NULL
);
