-- A row of progress is of one story: an id that is used again, by whomever, is another one with a row of its own.
ALTER TABLE sagas ALTER COLUMN correlation_id TYPE text COLLATE "C";
ALTER TABLE sagas DROP CONSTRAINT sagas_pkey, ADD CONSTRAINT sagas_pkey PRIMARY KEY (kind, saga_id, correlation_id);
