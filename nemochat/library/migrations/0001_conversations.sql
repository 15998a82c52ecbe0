-- Conversations with their trees, and the pictures in them. Times are milliseconds since 1970.

CREATE TABLE conversation (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,          -- counts the writes, so that two programs notice each other
    name TEXT NOT NULL,                -- as given, '' for none
    title TEXT NOT NULL,               -- as shown
    preview TEXT NOT NULL,             -- the first words of its last message
    persona TEXT NOT NULL,             -- name, '' for none
    model TEXT NOT NULL,
    messages INTEGER NOT NULL,         -- on the path
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    chosen INTEGER NOT NULL,           -- id of the message that the path begins with, 0 for none
    next_id INTEGER NOT NULL,
    first_kept INTEGER NOT NULL,
    examples_gone INTEGER NOT NULL
);

-- What can be large and seldom changes: JSON.
CREATE TABLE scene (
    conversation INTEGER PRIMARY KEY REFERENCES conversation (key) ON DELETE CASCADE,
    frame TEXT NOT NULL,               -- system text, tools, contexts
    roleplay TEXT NOT NULL             -- persona, user, author's note, seed
);

CREATE TABLE message (
    key INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversation (key) ON DELETE CASCADE,
    id INTEGER NOT NULL,               -- within its conversation
    parent INTEGER NOT NULL,
    chosen INTEGER NOT NULL,
    role TEXT NOT NULL,
    text TEXT NOT NULL,                -- its words
    rest TEXT NOT NULL,                -- JSON: everything else of it
    stored INTEGER NOT NULL
);
CREATE UNIQUE INDEX message_of ON message (conversation, id);

CREATE TABLE picture (
    digest TEXT PRIMARY KEY,
    original TEXT NOT NULL,            -- file name under originals/, '' for none
    stored INTEGER NOT NULL
);
CREATE TABLE picture_use (
    conversation INTEGER NOT NULL REFERENCES conversation (key) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    PRIMARY KEY (conversation, digest)
) WITHOUT ROWID;
CREATE INDEX picture_use_of ON picture_use (digest);
