--- The effects record: what one statement did to a database, the shape that trace, check and verify
-- share (docs/proof.md), and the words for locks.
-- { migration = label, version, direction = "up" or "down", file, line, column, statement = index
--   from 1 in its section, kind = the lexer's, sql,
--   transaction = true if it shares a transaction with the migration's other statements,
--   locks = modes by relation: taken or strengthened by this statement,
--   held = modes by relation: the strongest that the transaction held before it,
--   relations = { [name] = { oid, kind, table = of an index, existed = before the pending run
--   began, named = its name occurs in the statement } },
--   rewrites = relations whose file was replaced, reasons = words by relation, where known,
--   scans = numbers by relation of the full scans that were begun,
--   builds = { { index, table, new = true or rebuilt = true } }, kept = indexes whose file was kept
--   although their oid changed,
--   written = { [name] = { inserted, updated, deleted } },
--   created, dropped = lists of { kind, name, table = of an index },
--   changed = the changes of the catalogs, where asked for (pgmig.proof.fingerprint),
--   settings = { lock_timeout, statement_timeout } in force, as the server shows them,
--   commands = { { tag, object } } run inside a DO block, a function or a Lua migration, where they
--   can be seen,
--   duration in seconds, error = that of a statement that failed, source = nil: observed;
--   "table": the command cannot run in a transaction, its locks are known (pgmig.proof.concurrent);
--   "catalog": nor are they known, only what the catalogs show; waits = for whom such a command
--   waits, in words }
-- Names of relations are `schema.name`, quoted as SQL needs. pgmig's own tables, pg_catalog and
-- TOAST tables are left out.
local M = {}

--- The lock modes, weakest first, as LOCK TABLE says them.
M.modes = {
  "ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "SHARE",
  "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE",
}

local strength = {}
for i, mode in ipairs(M.modes) do strength[mode] = i end

--- How strong a mode is: 1 to 8; 0 for nil.
function M.strength(mode) return mode and strength[mode] or 0 end

--- The stronger one of two modes, each may be nil.
function M.stronger(a, b) return M.strength(a) >= M.strength(b) and a or b end

--- A mode by its name in pg_locks, as `AccessShareLock`.
function M.mode_of(name)
  return (name:gsub("Lock$", ""):gsub("(%l)(%u)", "%1 %2"):upper())
end

--- Whom a lock on a table blocks.
-- @param mode of the lock; nil: none
-- @return { reads, writes, ddl = true for each that has to wait }
function M.blocks(mode)
  local s = M.strength(mode)
  return {
    reads = s >= strength["ACCESS EXCLUSIVE"], writes = s >= strength["SHARE"],
    ddl = s >= strength["ROW EXCLUSIVE"],
  }
end

--- Whom a lock blocks, in words.
-- @return "reads and writes", "writes", "other schema changes", or nil: hardly anybody
function M.blocked(mode)
  local blocks = M.blocks(mode)
  if blocks.reads then return "reads and writes" end
  if blocks.writes then return "writes" end
  if blocks.ddl then return "other schema changes" end
end

--- Whether a statement has a name as a word: as it is, or, where nothing in it asks for quotes, in
-- whatever letters.
-- @param sql the statement
-- @param name without quotes
function M.mentions(sql, name)
  local within = name:find "^[%l_][%l%d_$]*$" and sql:lower() or sql
  local first, last = within:find(name, 1, true)
  while first do
    local before, behind = within:sub(first - 1, first - 1), within:sub(last + 1, last + 1)
    local joins = "[%w_$\128-\255]"
    if (first == 1 or not before:find(joins)) and not behind:find(joins) then return true end
    first, last = within:find(name, last + 1, true)
  end
  return false
end

--- A new record, with nothing observed.
-- @param fields what is known
function M.new(fields)
  local effect = {
    locks = {}, held = {}, relations = {}, rewrites = {}, reasons = {}, scans = {}, builds = {},
    kept = {}, written = {}, created = {}, dropped = {}, settings = {}, commands = {},
  }
  for key, value in pairs(fields) do effect[key] = value end
  return effect
end

return M
