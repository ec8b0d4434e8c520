-- Finds connections by any three characters of their search text. Kept in step by triggers, whoever writes.

-- The index needs numbers for rows, and those of a table with another key may change.
CREATE TABLE connection_numbers (
  number INTEGER NOT NULL PRIMARY KEY,
  id     BLOB    NOT NULL UNIQUE CHECK (length(id) = 16)
) STRICT;

-- The program folds case; the index does not.
CREATE VIRTUAL TABLE connection_texts USING fts5 (
  text, content = '', contentless_delete = 1, tokenize = 'trigram case_sensitive 1'
);

INSERT INTO connection_numbers (id) SELECT id FROM user_integrations ORDER BY created_at, id;
INSERT INTO connection_texts (rowid, text)
  SELECT n.number, c.search_text FROM connection_numbers n JOIN user_integrations c ON c.id = n.id;

CREATE TRIGGER connection_texts_insert AFTER INSERT ON user_integrations BEGIN
  INSERT INTO connection_numbers (id) VALUES (new.id);
  INSERT INTO connection_texts (rowid, text)
    SELECT number, new.search_text FROM connection_numbers WHERE id = new.id;
END;

CREATE TRIGGER connection_texts_update AFTER UPDATE OF search_text ON user_integrations
  WHEN old.search_text <> new.search_text BEGIN
  DELETE FROM connection_texts WHERE rowid = (SELECT number FROM connection_numbers WHERE id = new.id);
  INSERT INTO connection_texts (rowid, text)
    SELECT number, new.search_text FROM connection_numbers WHERE id = new.id;
END;

CREATE TRIGGER connection_texts_delete AFTER DELETE ON user_integrations BEGIN
  DELETE FROM connection_texts WHERE rowid = (SELECT number FROM connection_numbers WHERE id = old.id);
  DELETE FROM connection_numbers WHERE id = old.id;
END;
