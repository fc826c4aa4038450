-- expands
-- Each kind of task is asked for alone, so that thousands of one are not in the way of another.
CREATE INDEX tasks_of_a_kind_idx ON tasks (name, due_at);
CREATE INDEX tasks_of_a_kind_put_off_idx ON tasks (name, due_at) WHERE NOT is_scheduled;
