--- What a database has before the first step: where migrations leave their marks, and the switches
-- that make their statements fail.
local M = {}

--- SQL for an empty database. `model_other` is a role of the server.
M.sql = [[
  CREATE SCHEMA other;
  CREATE TABLE public.base (a int, b int);
  INSERT INTO public.base SELECT g, g FROM pg_catalog.generate_series(1, 5) g;
  CREATE TABLE public.closed (gate text PRIMARY KEY);

  CREATE FUNCTION public.session_state() RETURNS text LANGUAGE sql AS $$
    SELECT pg_catalog.concat(
      'path=', pg_catalog.current_setting('search_path'),
      ' who=', CURRENT_USER,
      ' memory=', pg_catalog.current_setting('work_mem'),
      ' temporary=', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class
        WHERE relnamespace = pg_catalog.pg_my_temp_schema()),
      ' prepared=', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_statements),
      ' cursors=', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_cursors WHERE name <> ''),
      ' channels=', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_listening_channels()),
      ' locks=', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks
        WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()))
  $$;
  CREATE TABLE public.marks (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, mark text,
    session text DEFAULT public.session_state());

  CREATE FUNCTION public.gate(key text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
      IF EXISTS (SELECT 1 FROM public.closed WHERE gate = key) THEN
        RAISE EXCEPTION 'gate % is closed', key;
      END IF;
    END $$;
  -- a sequence remembers across a rollback that it has killed
  CREATE FUNCTION public.trapdoor(key text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
      IF pg_catalog.to_regclass('public."' || key || '"') IS NOT NULL
        AND pg_catalog.nextval(('public."' || key || '"')::regclass) = 1 THEN
        PERFORM pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid());
        PERFORM pg_catalog.pg_sleep(1);
      END IF;
    END $$;
  CREATE PROCEDURE public.leave(mark text, key text) LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO public.marks (mark) VALUES (mark);
      COMMIT;
      PERFORM public.gate(key);
    END $$;

  -- its transaction takes a while to end
  CREATE TABLE public.slow (a int);
  CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_catalog.pg_sleep(0.15); RETURN NULL; END $$;
  CREATE CONSTRAINT TRIGGER dawdles AFTER INSERT ON public.slow DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION public.dawdle();

  CREATE TABLE public.tempting (a int);
  CREATE FUNCTION public.change_path() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_catalog.set_config('search_path', 'other, public', false); RETURN NEW; END $$;
  CREATE TRIGGER tempted BEFORE INSERT ON public.tempting
    FOR EACH ROW EXECUTE FUNCTION public.change_path();
  CREATE FUNCTION public.make_temporary(name text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN EXECUTE pg_catalog.format('CREATE TEMP TABLE %I (a int)', name); END $$;

  GRANT ALL ON SCHEMA public, other TO model_other;
  GRANT ALL ON ALL TABLES IN SCHEMA public TO model_other;
]]

return M
