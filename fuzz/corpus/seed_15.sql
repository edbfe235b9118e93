PL/pgSQL function app."F"(integer,text) line 2 at RAISE
SQL statement "SELECT f()"
PL/pgSQL function f() line 3 at PERFORM
PL/pgSQL function inline_code_block line 2 at RAISE
CREATE FUNCTION app."F"(a int, OUT b text, c text) AS $f$
BEGIN
  RAISE 'x';
END $f$ LANGUAGE plpgsql;
CREATE OR REPLACE PROCEDURE f() LANGUAGE plpgsql AS $$
BEGIN

  PERFORM app."F"(1);
END $$;
DO $x$ BEGIN
  CALL f(); END $x$;
