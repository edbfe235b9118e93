--- supabase: `supabase/migrations/20240115103000_name.sql`, in the order of the files' names. The
-- command line sends a file's statements as one batch, which is one transaction unless a statement
-- of its own ends it.
local naming = require "pgmig.naming"

local WIDTH = 20 -- digits of the longest versions

-- Until that day the tool wrote a first file that later versions of it skip.
local FIRST_INIT = "20211209000000"

local function parse(path)
  local version, name = path:match "^(%d+)_(.*)%.sql$"
  if not version then return nil end
  return {
    version = version, name = name ~= "" and name or version, label = version .. "_" .. name,
    key = version,
  }
end

--- The rule of a folder: its very first file is skipped where it is of the old kind.
local function parser(paths)
  local first = paths[1]
  local stamp = first and first:match "^(%d+)_init%.sql$"
  if not (stamp and #stamp == #FIRST_INIT and stamp < FIRST_INIT) then return parse end
  return function(path)
    if path == first then return false end
    return parse(path)
  end
end

--- Whether a file holds the statements that its row tells of: the tool cuts a file at semicolons,
-- comments included, and trims the pieces.
local function same(text, row)
  local function bare(sql) return (sql:gsub("[%s;]+", "")) end
  return not row.statements or bare(text) == bare(row.statements)
end

return {
  name = "supabase",
  about = "supabase/migrations/NNN_name.sql without markers",
  naming = {
    pattern = "NNN_name.sql",
    parse = parse,
    parser = parser,
    digits = function(version) return naming.sortable_name(version, WIDTH) end,
    format = naming.numbered.format,
    numbers_repeat = true, -- as files do that were run by hand: its own table has room for one
  },
  timestamps = true,
  table = "pgmig_migrations",
  template = "-- Write your migration SQL here\n",
  vocabulary = { empty = true, transaction = "auto", unwrapped = true },
  signs = {
    always = true,
    dir = "%f[^/%z]supabase/migrations$",
    beside = { ["../config.toml"] = "\n%[db%.?[%w_.]*%]" },
  },
  tracking = {
    table = "supabase_migrations.schema_migrations",
    columns = { "version" },
    -- older tables have neither names nor statements
    query = [[
      SELECT version AS key, pg_catalog.concat(version, '_', name) AS label,
        (SELECT pg_catalog.string_agg(s, '')
          FROM pg_catalog.jsonb_array_elements_text(CASE WHEN
            pg_catalog.jsonb_typeof(done) OPERATOR(pg_catalog.=) 'array' THEN done END) AS s)
          AS statements
      FROM (SELECT t.version, pg_catalog.jsonb_extract_path_text(pg_catalog.to_jsonb(t), 'name')
            AS name, pg_catalog.jsonb_extract_path(pg_catalog.to_jsonb(t), 'statements') AS done
        FROM %s AS t) AS rows ORDER BY version]],
    same = same,
  },
  -- its `statements` are a copy for `supabase migration fetch`, which pgmig does not write
  shared = {
    columns = "name text,version text",
    key = "version",
    create = [[
      CREATE SCHEMA IF NOT EXISTS supabase_migrations;
      CREATE TABLE IF NOT EXISTS %t (version pg_catalog.text NOT NULL PRIMARY KEY,
        statements pg_catalog.text[], name pg_catalog.text)]],
    list = "SELECT version AS key, NULL::pg_catalog.timestamptz AS applied_at FROM %t",
    claim = "INSERT INTO %t (version, name) VALUES (%k, %n)",
    release = "DELETE FROM %t WHERE version OPERATOR(pg_catalog.=) %k",
    there = "SELECT FROM %t WHERE version OPERATOR(pg_catalog.=) %k",
  },
}
