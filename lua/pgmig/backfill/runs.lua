--- Which backfills there are, and running those of migration files. Those that code asks for are
-- run by that code (pgmig.backfill.call).
local core = require "pgmig.core"
local engine = require "pgmig.backfill.engine"
local errors = require "pgmig.errors"
local relations = require "pgmig.backfill.relation"
local recovery = require "pgmig.db.recovery"
local stores = require "pgmig.backfill.store"

local M = {}

--- The store of a run or a migrator.
-- @param who { db, ledger, reconnect }
function M.store(who)
  return recovery.persist(who.db, who.reconnect, function()
    return stores.open(who.db, who.ledger)
  end)
end

--- All rows, in their order; none where there is no table.
function M.list(who)
  return recovery.persist(who.db, who.reconnect, function()
    return stores.open(who.db, who.ledger):list()
  end)
end

--- Make the table for entries, in no transaction.
function M.prepare(who)
  stores.open(who.db, who.ledger):prepare()
end

--- The command that makes the table, for a script.
function M.creation(who) return stores.open(who.db, who.ledger):creation_sql() end

--- The commands that enroll a migration's backfills, for its own transaction.
-- @param is_first whether nothing of it can have begun
function M.enrolment(who, entries, is_first)
  local store = stores.open(who.db, who.ledger)
  local add = store:add_sql(entries)
  return is_first and { store:drop_sql(entries[1].migration), add } or { add }
end

--- The commands that forget a migration's backfills; nil where there is no table.
function M.removal(who, key)
  if not who.ledger.handle:has_backfill() then return nil end
  return { stores.open(who.db, who.ledger):drop_sql(key) }
end

--- Try what a file asks for against the tables that its migration has made, with the rights and the
-- search path that the backfill will have. What is tried is rolled back.
-- @param db in the migration's transaction, or in none
-- @raise kind "plan" or "sql", with the file's line
function M.try(db, entries, path)
  local is_open = db:transaction_status() == "open"
  db:ask_rows("-", (is_open and "SAVEPOINT pgmig_backfill" or "BEGIN")
    .. "; SET LOCAL SESSION AUTHORIZATION DEFAULT; SET LOCAL ROLE TO DEFAULT; "
    .. "SET LOCAL search_path TO DEFAULT")
  for _, entry in ipairs(entries) do
    local ok, err = pcall(function()
      relations.look(db, entry.target, entry.key):check(db, entry.set, entry.where)
    end)
    if not ok then
      if errors.is(err) then
        err.message = ("backfill of %s: %s"):format(entry.target, err.message)
        err.file, err.line, err.column = path, entry.line, nil
      end
      error(err, 0)
    end
  end
  db:ask_rows("-", is_open and "ROLLBACK TO pgmig_backfill; RELEASE pgmig_backfill" or "ROLLBACK")
end

--- Whether a run of migrations has to do with it: it is of a file, and not to be run later.
local function is_for_run(row)
  return row.set_sql ~= nil and not row.deferred and row.migration:sub(1, 7) ~= "script:"
end

--- What keeps a backfill from being run by the way.
local function obstacle(row)
  if row.state == "paused" then return "paused: `pgmig backfill resume`" end
  if row.state == "cancelled" then return "cancelled: `pgmig backfill retry`" end
end

--- Run one backfill, to its end, or as far as `stop` lets it.
-- @param who { db, ledger, reconnect, emit, stop, throttle }
-- @return the row as it is then
function M.run(who, row)
  local store = M.store(who)
  if row.state == "failed" then
    row = store:set(row, { "failed" }, { state = "ready", error = stores.NULL }) or row
  end
  return engine.run(who.db, store, row, {
    emit = who.emit, stop = who.stop, wait = true, throttle = who.throttle,
    reconnect = who.reconnect,
  })
end

--- Run what is left of the backfills of files.
-- @param who as of `run`; backfill = "later": none is run
-- @param key of the migration whose backfills they are; nil: of all
-- @return whether all of them are done
function M.finish(who, key)
  local done = true
  for _, row in ipairs(M.list(who)) do
    local is_due = is_for_run(row) and row.state ~= "done" and (not key or row.migration == key)
    if is_due then
      local why = who.backfill == "later" and "to be run later: `pgmig backfill run`"
        or obstacle(row)
      if why then
        who.emit { type = "warning", message = ("the backfill of %s (%s) is %s"):format(row.target,
          row.label, why) }
      end
      row = why and row or M.run(who, row)
      done = done and row ~= nil and row.state == "done"
    end
  end
  return done
end

--- Whether a run would find a backfill to go on with.
function M.has_left(who)
  if who.backfill == "later" or not who.ledger.handle:has_backfill() then return false end
  for _, row in ipairs(M.list(who)) do
    if is_for_run(row) and (row.state == "ready" or row.state == "failed") then return true end
  end
  return false
end

--- A version as the tables have it.
local function version_of(word) return word:find "^%d+$" and core.version(word) or word end

--- Refuse a migration whose file says which backfills must be done before it, while they are not.
-- @param names versions, with commas; what is behind a blank is a remark
-- @raise kind "plan"
function M.check_after(who, m, names)
  local rows, applied = M.list(who), nil
  for word in names:match "^%S+":gmatch "[^,]+" do
    local version, found = version_of(word), false
    for _, row in ipairs(rows) do
      found = found or row.migration == version
      if row.migration == version and row.state ~= "done" then
        errors.raise("plan", ("%s must not start before the backfill of %s (%s) is done"):format(
          m.label, row.target, row.label), {
          file = m.path, detail = ("it is %s"):format(row.state == "ready" and "not finished"
            or row.state),
          hint = row.state == "ready" and "`pgmig backfill run`, then run this again"
            or "see `pgmig backfill status`",
        })
      end
    end
    applied = applied or who.ledger:list(who.db)
    if not found and not applied.there[version] then
      errors.raise("plan", ("%s must not start before the backfill of %s, which is not applied")
        :format(m.label, word), {
        file = m.path, hint = "correct after-backfill, or apply it first",
      })
    end
  end
end

return M
