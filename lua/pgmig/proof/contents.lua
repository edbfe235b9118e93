--- What is in the tables and sequences of a database that a schema does not say: rows, and numbers
-- that were given out.
local pictures = require "pgmig.proof.picture"

local M = {}

-- %s: pgmig's own tables, an array. Members of extensions come with these.
local RELATIONS = [[
  WITH own AS (SELECT pg_catalog.to_regclass(n)::pg_catalog.oid AS oid
    FROM pg_catalog.unnest(ARRAY[%s]::pg_catalog.text[]) AS n)
  SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname)::pg_catalog.text AS name,
    c.relkind OPERATOR(pg_catalog.=) 'S' AS is_sequence
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
  WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,S}'::pg_catalog."char"[])
    AND n.nspname OPERATOR(pg_catalog.!~) '^pg_|^information_schema$'
    AND NOT EXISTS (SELECT FROM own o WHERE o.oid OPERATOR(pg_catalog.=) c.oid)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
        AND d.objid OPERATOR(pg_catalog.=) c.oid
        AND (d.deptype OPERATOR(pg_catalog.=) 'e'
          OR EXISTS (SELECT FROM own o WHERE o.oid OPERATOR(pg_catalog.=) d.refobjid)))
  ORDER BY 1]]

local ROWS = [[
  SELECT pg_catalog.count(*) AS count, COALESCE(pg_catalog.md5(pg_catalog.string_agg(
    x::pg_catalog.text, ',' ORDER BY x::pg_catalog.text COLLATE pg_catalog."C")), '')
    ::pg_catalog.text AS digest FROM ONLY %s x]]

local NUMBER = [[
  SELECT CASE WHEN is_called THEN last_value::pg_catalog.text ELSE '' END AS digest FROM %s]]

local function relations(twin)
  local db, own = twin.db, {}
  for _, name in ipairs(pictures.own_tables(twin)) do own[#own + 1] = db:quote_literal(name) end
  return db:ask_rows("* name:text is_sequence:bool", RELATIONS:format(table.concat(own, ", ")))
end

--- What each has; nothing of those that have nothing.
-- @return a list of { name, digest, rows = how many, nil of a sequence }
local function read(twin)
  local list = {}
  for _, relation in ipairs(relations(twin)) do
    local row = twin.db:query((relation.is_sequence and NUMBER or ROWS):format(relation.name))[1]
    if row.digest ~= "" then
      list[#list + 1] = { name = relation.name, digest = row.digest, rows = row.count }
    end
  end
  return list
end

--- What one database has and another one does not.
-- @param twin, other migrators
-- @return a list as of `read`
function M.missing(twin, other)
  local there, list = {}, {}
  for _, relation in ipairs(read(other)) do there[relation.name] = relation.digest end
  for _, relation in ipairs(read(twin)) do
    if there[relation.name] ~= relation.digest then list[#list + 1] = relation end
  end
  return list
end

return M
