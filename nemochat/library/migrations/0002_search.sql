-- Full-text search over the words of every message and over the titles. The indices hold no copy of the text.

CREATE VIRTUAL TABLE message_index USING fts5 (
    text, content = 'message', content_rowid = 'key', tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER message_added AFTER INSERT ON message BEGIN
    INSERT INTO message_index (rowid, text) VALUES (new.key, new.text);
END;
CREATE TRIGGER message_removed AFTER DELETE ON message BEGIN
    INSERT INTO message_index (message_index, rowid, text) VALUES ('delete', old.key, old.text);
END;
CREATE TRIGGER message_changed AFTER UPDATE OF text ON message WHEN old.text IS NOT new.text BEGIN
    INSERT INTO message_index (message_index, rowid, text) VALUES ('delete', old.key, old.text);
    INSERT INTO message_index (rowid, text) VALUES (new.key, new.text);
END;
INSERT INTO message_index (message_index) VALUES ('rebuild');

CREATE VIRTUAL TABLE title_index USING fts5 (
    title, content = 'conversation', content_rowid = 'key', tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER title_added AFTER INSERT ON conversation BEGIN
    INSERT INTO title_index (rowid, title) VALUES (new.key, new.title);
END;
CREATE TRIGGER title_removed AFTER DELETE ON conversation BEGIN
    INSERT INTO title_index (title_index, rowid, title) VALUES ('delete', old.key, old.title);
END;
CREATE TRIGGER title_changed AFTER UPDATE OF title ON conversation WHEN old.title IS NOT new.title BEGIN
    INSERT INTO title_index (title_index, rowid, title) VALUES ('delete', old.key, old.title);
    INSERT INTO title_index (rowid, title) VALUES (new.key, new.title);
END;
INSERT INTO title_index (title_index) VALUES ('rebuild');
