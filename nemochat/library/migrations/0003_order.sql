-- Tags, the archive and the bin.

ALTER TABLE conversation ADD COLUMN archived INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;  -- when, 0 for not
CREATE INDEX conversation_listed ON conversation (deleted, archived, updated);

CREATE TABLE tag (
    conversation INTEGER NOT NULL REFERENCES conversation (key) ON DELETE CASCADE,
    name TEXT NOT NULL,
    PRIMARY KEY (conversation, name)
) WITHOUT ROWID;
CREATE INDEX tag_of ON tag (name);
