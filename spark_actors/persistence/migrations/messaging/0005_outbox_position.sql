-- The relay tells by the table's lock who may still show a lower position (see outbox.py): no transaction id is needed.
ALTER TABLE outbox ALTER COLUMN position SET DEFAULT nextval('outbox_position_seq');
