-- The books of the card company that stands in for a real one: no other table refers to them.
CREATE TABLE card_charges (
    order_id text COLLATE "C" CONSTRAINT card_charges_pkey PRIMARY KEY,  -- for ever: no order is charged twice
    pieces bigint NOT NULL,
    state text NOT NULL,
    CONSTRAINT card_charges_state_known CHECK (state IN ('charged', 'declined', 'refunded'))
);

CREATE TABLE card_silences (customer_id text COLLATE "C" CONSTRAINT card_silences_pkey PRIMARY KEY);
