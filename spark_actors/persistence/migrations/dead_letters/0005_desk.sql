-- expands
-- What waits is found by its age, however much was dealt with; an action that is asked for twice is found by its request.
CREATE INDEX dead_letters_waiting_by_age_idx ON dead_letters (died_at, letter_id) WHERE state = 'waiting';

ALTER TABLE operator_actions ADD COLUMN request_id text NOT NULL DEFAULT '';  -- empty where nobody chose one
CREATE INDEX operator_actions_requests_idx ON operator_actions (request_id) WHERE request_id <> '';
CREATE INDEX operator_actions_acted_at_idx ON operator_actions (acted_at, action_id);
