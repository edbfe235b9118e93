--- Which backfills there are, and running those of migration files. Those that code asks for are
-- run by that code (pgmig.backfill.call).
local core = require "pgmig.core"
local descriptions = require "pgmig.backfill.description"
local engine = require "pgmig.backfill.engine"
local errors = require "pgmig.errors"
local relations = require "pgmig.backfill.relation"
local recovery = require "pgmig.db.recovery"
local stores = require "pgmig.backfill.store"
local throttles = require "pgmig.backfill.throttle"

local M = {}

--- A version as the tables have it.
local function version_of(word) return word:find "^%d+$" and core.version(word) or word end

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

--- The commands that forget a migration's backfills, where their table is there.
function M.removal(who, key)
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
    emit = who.emit, stop = who.stop, wait = true, reconnect = who.reconnect,
    limits = throttles.check(who.limits or { throttle = who.throttle }),
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

-- ---- by hand -----------------------------------------------------------------------

--- The rows that a word names: "12" all of version 12, "12.2" its second step, a script's by its
-- name, nil all.
-- @raise kind "plan" when there is none
local function select(rows, word)
  if not word then return rows end
  word = tostring(word)
  local version, step = word:match "^(%d+)%.(%d+)$"
  version = version_of(version or word)
  local found = {}
  for _, row in ipairs(rows) do
    local is_it = row.label == word or row.migration == version
    if is_it and (not step or row.step == tonumber(step)) then found[#found + 1] = row end
  end
  if found[1] then return found end
  errors.raise("plan", "there is no backfill of " .. word, {
    hint = "`pgmig backfill status` lists them",
  })
end

--- Describe those that a word names.
function M.describe(who, word)
  local list = {}
  for i, row in ipairs(select(M.list(who), word)) do list[i] = descriptions.of(row) end
  return list
end

-- By what is done: the states that it is done to, and what is set.
local changes = {
  pause = { from = { "ready" }, set = { state = "paused" } },
  resume = { from = { "paused" }, set = { state = "ready", paused_by = stores.NULL } },
  cancel = {
    from = { "ready", "paused", "failed" },
    set = { state = "cancelled", finished_at = stores.NOW },
  },
  retry = { from = { "failed", "cancelled" }, set = { state = "ready", error = stores.NULL } },
}

--- Change the state of those that a word names.
-- @param how "pause", "resume", "cancel" or "retry"
-- @return descriptions of those that were changed
-- @raise kind "plan" where there is nothing to change
function M.set(who, word, how)
  local store, changed = M.store(who), {}
  for _, row in ipairs(select(store:list(), word)) do
    local change, fields = changes[how], {}
    for key, value in pairs(change.set) do fields[key] = value end
    if how == "pause" then fields.paused_by = who.db:place().user end
    local from = change.from
    if how == "retry" and row.skipped_keys[1] then from = { "failed", "cancelled", "done" } end
    local after = store:set(row, from, fields)
    if after and after.revision ~= row.revision and after.state == fields.state then
      changed[#changed + 1] = descriptions.of(after)
    end
  end
  if changed[1] then return changed end
  errors.raise("plan", ("there is no backfill to %s"):format(how), {
    hint = "`pgmig backfill status` shows their states",
  })
end

--- Run those that a word names and that are to be run, one behind the other.
-- @param who as of `run`; limits of pgmig.backfill.throttle
-- @return descriptions of all that the word names, as they are then
function M.run_all(who, word)
  local limits = throttles.check(who.limits)
  for _, row in ipairs(select(M.list(who), word)) do
    local is_due = row.state == "ready" and row.set_sql ~= nil
    if is_due and not (who.stop and who.stop()) then
      engine.run(who.db, M.store(who), row, {
        emit = who.emit, stop = who.stop, wait = true, reconnect = who.reconnect, limits = limits,
      })
    end
  end
  return M.describe(who, word)
end

--- Whether a run would find a backfill to go on with.
function M.has_left(who)
  if who.backfill == "later" or not who.ledger.handle:has_backfill() then return false end
  for _, row in ipairs(M.list(who)) do
    if is_for_run(row) and (row.state == "ready" or row.state == "failed") then return true end
  end
  return false
end

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
