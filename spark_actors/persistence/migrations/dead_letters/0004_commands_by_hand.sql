-- The commands of one kind that somebody has sent by hand for one reason are one row for each turn: of each its key,
-- message id and detail, which are empty in the row itself. To compress them would cost more than all the rest of it.
ALTER TABLE operator_actions
    ADD COLUMN commands json,  -- [[key, message_id, detail], …]; null for anything else that operators do
    ALTER COLUMN commands SET STORAGE EXTERNAL;
