--- What a role lacks to keep the tables, as the catalogs say: the server's words are in whatever
-- language its lc_messages has.
local M = {}

local TABLES = 4 -- that every run needs: the tracking table, history, journal, runs

-- %s: the tracking table with its schema; its bare name
local LACKING = [[
  WITH home AS (SELECT n.oid, n.nspname FROM pg_catalog.pg_namespace n
    WHERE n.nspname OPERATOR(pg_catalog.=) (pg_catalog.parse_ident(%s))[1]::pg_catalog.name),
  tables AS (SELECT c.oid, pg_catalog.format('%%I.%%I', h.nspname, c.relname) AS name
    FROM home h JOIN pg_catalog.pg_class c ON c.relnamespace OPERATOR(pg_catalog.=) h.oid
    WHERE c.relkind OPERATOR(pg_catalog.=) 'r' AND c.relname OPERATOR(pg_catalog.=) ANY (ARRAY(
      SELECT pg_catalog.concat(%s::pg_catalog.text, s)::pg_catalog.name FROM pg_catalog.unnest(
        '{"",_history,_journal,_run_journal,_backfill}'::pg_catalog.text[]) AS s)))
  SELECT 'schema'::pg_catalog.text AS kind, pg_catalog.quote_ident(h.nspname) AS name FROM home h
    WHERE NOT pg_catalog.has_schema_privilege(h.oid, 'USAGE')
      OR NOT pg_catalog.has_schema_privilege(h.oid, 'CREATE')
        AND (SELECT pg_catalog.count(*) FROM tables) OPERATOR(pg_catalog.<) %d
  UNION ALL SELECT 'table', t.name FROM tables t
    WHERE NOT (pg_catalog.has_table_privilege(t.oid, 'SELECT')
      AND pg_catalog.has_table_privilege(t.oid, 'INSERT')
      AND pg_catalog.has_table_privilege(t.oid, 'UPDATE')
      AND pg_catalog.has_table_privilege(t.oid, 'DELETE'))]]

--- What to grant.
-- @param db the connection, in no failed transaction
-- @param qualified the tracking table, quoted, with its schema; nil: not known
-- @param bare its bare name
-- @return a GRANT, but for the role; nil: the role lacks nothing of that kind
-- @return whether it is about the schema
function M.lacking(db, qualified, bare)
  if not qualified then return nil end
  local names = {}
  for _, row in ipairs(db:ask_rows("* kind:text name:text", LACKING:format(
    db:quote_literal(qualified), db:quote_literal(bare), TABLES))) do
    if row.kind == "schema" then
      return ("GRANT USAGE, CREATE ON SCHEMA %s"):format(row.name), true
    end
    names[#names + 1] = row.name
  end
  return names[1] and "GRANT ALL ON " .. table.concat(names, ", ")
end

return M
