--- What became of a statement that builds or drops an index concurrently, when nobody has told.
-- Such a statement works in several transactions: it leaves an INVALID index behind when it fails
-- (PostgreSQL manual, CREATE INDEX, "Building Indexes Concurrently"; REINDEX likewise).
local M = {}

local COLUMNS = [[
  SELECT c.oid::pg_catalog.int8 AS oid, c.relname::pg_catalog.text AS name, i.indisvalid AS valid,
    c.oid::pg_catalog.regclass::pg_catalog.text AS qualified
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid ]]

--- The indexes of a table, given as it is written in SQL.
local function of_table(db, name)
  return db:ask(COLUMNS .. "WHERE i.indrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1)",
    name)
end

--- The indexes of the table that an index belonged to, by what was there before.
local function of_siblings(db, existed)
  return db:ask(COLUMNS .. [[WHERE i.indrelid OPERATOR(pg_catalog.=)
    (SELECT t.indrelid FROM pg_catalog.pg_index t
      WHERE t.indexrelid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[]) LIMIT 1)]],
    "{" .. table.concat(existed, ",") .. "}")
end

local function bare_name(db, name)
  if not name then return nil end
  local row = db:ask("SELECT parts[pg_catalog.array_upper(parts, 1)] AS name "
    .. "FROM pg_catalog.parse_ident($1) AS parts", name)[1]
  return row.name
end

local function set_of(list)
  local set = {}
  for _, item in ipairs(list) do set[tostring(item)] = true end
  return set
end

local function drop(db, index, on_drop)
  db:exec("DROP INDEX CONCURRENTLY IF EXISTS " .. index.qualified)
  on_drop(index.qualified)
end

--- CREATE INDEX: what was not there before is its work.
local function settle_create(db, index, existed, on_drop)
  local before, name = set_of(existed), bare_name(db, index.name)
  for _, found in ipairs(of_table(db, index.table)) do
    if not before[tostring(found.oid)] and (not name or found.name == name) then
      if found.valid then return true end
      drop(db, found, on_drop)
    end
  end
  return false
end

--- REINDEX: it is run again; its copies, which it names so, are in the way.
local function settle_reindex(db, index, existed, on_drop)
  local list = index.table and of_table(db, index.table) or of_siblings(db, existed)
  local name = bare_name(db, index.name)
  for _, found in ipairs(list) do
    local copy_of = found.name:match "^(.*)_ccnew%d*$" or found.name:match "^(.*)_ccold%d*$"
    if copy_of and not found.valid and (not name or name:sub(1, #copy_of) == copy_of) then
      drop(db, found, on_drop)
    end
  end
  return false
end

--- DROP INDEX: done when there was one and it is gone.
local function settle_drop(db, index, existed)
  local row = db:ask("SELECT pg_catalog.to_regclass($1) IS NULL AS gone", index.name)[1]
  return row.gone and #existed > 0
end

local settle = {
  create = settle_create, drop = settle_drop, reindex = settle_reindex,
  reindex_table = settle_reindex,
}

--- Find out whether a statement is done, and remove what it has left INVALID.
-- @param index the statement's `index_change` (pgmig.parse)
-- @param existed oids of the table's indexes before it
-- @param on_drop called with the name of each index that is dropped
-- @return whether it need not run again
function M.settle(db, index, existed, on_drop)
  return settle[index.action](db, index, existed, on_drop)
end

return M
