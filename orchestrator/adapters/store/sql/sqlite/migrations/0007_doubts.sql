-- What was heard of the current submission that is believed only once it is repeated: how often, and since when, as
-- JSON. The column need not be given.
ALTER TABLE track_processing ADD COLUMN doubts TEXT;
