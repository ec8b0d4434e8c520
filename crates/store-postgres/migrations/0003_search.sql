-- Finds connections by any three characters of their search text, where the server has pg_trgm and lets us have
-- it. Without it a search reads every row that it may tell of: slower, and the same answers.
DO $$
DECLARE
  place text;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm') THEN
    BEGIN
      CREATE EXTENSION pg_trgm;
    EXCEPTION WHEN OTHERS THEN
      RAISE NOTICE 'searches go without an index: %', SQLERRM;
    END;
  END IF;
  SELECT quote_ident(n.nspname) INTO place
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm';
  IF place IS NOT NULL THEN
    EXECUTE format('CREATE INDEX user_integrations_texts ON user_integrations USING gin (search_text %s.gin_trgm_ops)', place);
  END IF;
END
$$;
