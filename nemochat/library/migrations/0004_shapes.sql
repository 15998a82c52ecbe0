-- The model as a reference, what waits to be answered, and pictures by what the user gave. The rows are rewritten by
-- `nemochat.library.earlier` after these statements.

ALTER TABLE conversation ADD COLUMN server TEXT NOT NULL DEFAULT '';     -- where its model runs, '' for this machine
ALTER TABLE conversation ADD COLUMN format TEXT NOT NULL DEFAULT '';     -- the chat format of its model, '' for the model's own
ALTER TABLE scene ADD COLUMN waiting TEXT NOT NULL DEFAULT '';           -- JSON: what was sent and not yet answered, '' for nothing
ALTER TABLE picture ADD COLUMN png TEXT NOT NULL DEFAULT '';             -- of earlier versions: what stands under pictures/ for it, '' for nothing
