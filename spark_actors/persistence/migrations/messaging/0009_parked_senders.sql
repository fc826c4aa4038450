-- A command that waits is known by what was asked, as in the inbox, and keeps who sent it and why.
ALTER TABLE parked_messages
    ADD COLUMN sender text NOT NULL DEFAULT '',
    ADD COLUMN why text NOT NULL DEFAULT '',
    ADD COLUMN digest bytea;
