-- Who sent a command that failed, and why: it may yet be handled.
ALTER TABLE dead_letters
    ADD COLUMN sender text NOT NULL DEFAULT '',
    ADD COLUMN why text NOT NULL DEFAULT '';
