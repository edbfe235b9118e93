--- INVALID indexes: what stands in the way of building them, as far as that can be seen, and what
-- to do. Building one again where it must fail leaves a second one.
local errors = require "pgmig.errors"
local indexes = require "pgmig.state.indexes"

local M = {}

local LIMIT = 5 -- seconds to look for a key that is there twice

-- The columns of a key. To look for duplicates must run nobody's code: it is done for columns of
-- the server's own types, without expressions and predicates.
local COLUMNS = [[
  SELECT pg_catalog.quote_ident(a.attname) AS name, %s AS nulls_are_equal,
    n.nspname OPERATOR(pg_catalog.=) 'pg_catalog' AND i.indexprs IS NULL AND i.indpred IS NULL
      AS plain
  FROM pg_catalog.pg_index i
  CROSS JOIN LATERAL pg_catalog.generate_series(0,
    %s::pg_catalog.int4 OPERATOR(pg_catalog.-) 1) AS k(n)
  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) i.indrelid
    AND a.attnum OPERATOR(pg_catalog.=) i.indkey[k.n]
  LEFT JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace
  WHERE i.indexrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid
  ORDER BY k.n]]

-- Policies would run, too: where there are some for this role, the query fails instead.
local BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL row_security = off; "
  .. "SET LOCAL statement_timeout = '%ds'; SET LOCAL lock_timeout = '%ds'"
local TWICE = [[
  SELECT pg_catalog.concat('(', %s::pg_catalog.text, ')=(', pg_catalog.concat_ws(', ', %s), ')')
    AS key
  FROM %s WHERE %s GROUP BY %s HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 1 LIMIT 1]]

--- The names of an index's columns, quoted; nil where looking for duplicates could run code.
-- @return the names
-- @return whether a key with NULL can be there twice
local function columns_of(db, oid)
  local version = db:server_version()
  local rows = db:ask_rows("* name:text? nulls_are_equal:bool plain:bool?", COLUMNS:format(
    version >= 150000 and "i.indnullsnotdistinct" or "false",
    version >= 110000 and "i.indnkeyatts" or "i.indnatts"), oid)
  local names = {}
  for i, row in ipairs(rows) do
    if not row.plain then return nil end
    names[i] = row.name
  end
  return names, rows[1] ~= nil and rows[1].nulls_are_equal
end

--- A key that the table has twice.
-- @return the key, as the server names it: `(n)=(1)`; false: there is none; nil: nobody knows
local function duplicate_in(db, index)
  local names, nulls_are_equal = columns_of(db, index.oid)
  if not names then return nil end
  local list = table.concat(names, ", ")
  local present = nulls_are_equal and "true" or table.concat(names, " IS NOT NULL AND ")
    .. " IS NOT NULL"
  db:ask_rows("-", BEGIN:format(LIMIT, LIMIT))
  local ok, rows = pcall(db.ask_rows, db, "* key:text", TWICE:format(db:quote_literal(list), list,
    index.table, present, list))
  if not db:is_lost() then db:ask_rows("-", "ROLLBACK") end
  if errors.is(rows, "interrupted") or db:is_lost() then error(rows, 0) end
  if not ok then return nil end
  return rows[1] and rows[1].key or false
end

--- What building it again would meet.
-- @return a clause, and what to do; nil: nothing, as far as can be seen
local function obstacle(db, index)
  if not index.unique then
    if index.computed then return "its expressions may fail again", "correct the rows" end
    return nil
  end
  local key = duplicate_in(db, index)
  if key == false then return nil end
  return key and ("its key %s is duplicated"):format(key) or "duplicates may be in the way",
    "remove the duplicates"
end

--- What is said of an index, and the command that helps.
local function describe(db, index)
  local what = ("index %s of %s is INVALID, "):format(index.name, index.table)
  local harm = "; it costs time and guarantees nothing"
  if index.copy then
    return what .. "left by a REINDEX CONCURRENTLY that failed" .. harm, indexes.drop(index)
  end
  what = what .. "because building it failed"
  local clause, correction = obstacle(db, index)
  if not clause then return what .. harm, indexes.rebuild(db, index) end
  return ("%s, and %s%s; drop it, %s, and build it again: %s"):format(what, clause, harm,
    correction, indexes.definition(index)), indexes.drop(index)
end

--- The INVALID indexes that nobody is building, but for those that a run removes itself.
-- @param db the connection
-- @param journal of `ledger:read`
-- @return a list of { message = a sentence, remedy = SQL }
function M.list(db, journal)
  local kept, list = {}, {}
  for _, row in pairs(journal) do
    for oid in pairs(indexes.left_by(db, row)) do kept[oid] = true end
  end
  for _, index in ipairs(indexes.invalid(db)) do
    if not kept[index.oid] then
      local message, remedy = describe(db, index)
      list[#list + 1] = { message = message, remedy = remedy }
    end
  end
  return list
end

return M
