--- `db:backfill{ ... }`: a backfill that code asks for, in a Lua migration or in a deploy script.
-- Called again, it goes on where it has stopped; if it is done, nothing happens.
local arrays = require "pgmig.backfill.arrays"
local definitions = require "pgmig.backfill.definition"
local descriptions = require "pgmig.backfill.description"
local engine = require "pgmig.backfill.engine"
local errors = require "pgmig.errors"
local known = require "pgmig.options"
local ledgers = require "pgmig.state.ledger"
local stores = require "pgmig.backfill.store"
local throttles = require "pgmig.backfill.throttle"

local M = {}

local function refuse(message, hint)
  errors.raise("usage", "backfill: " .. message, { hint = hint })
end

local function check_idle(db, context)
  if context and context.transaction then
    refuse("it commits batch after batch, which a migration in a transaction cannot",
      "return transaction = false from the migration, next to up and down")
  end
  if db:transaction_status() == "idle" or db:is_lost() then return end
  refuse("a transaction is open on this connection", "commit or roll it back before")
end

--- Whose backfill it is: the migration's that runs, else the script's own.
-- @return migration, step and label of its row
local function identity(given, context)
  if context then
    context.steps = (context.steps or 0) + 1
    return { migration = context.key, step = context.steps, label = context.label }
  end
  if type(given.name) ~= "string" or not given.name:find "%S" then
    refuse("outside a migration it requires a name",
      "by its name it is known when it is called again: name = \"...\"")
  end
  return { migration = "script:" .. given.name, step = 1, label = given.name }
end

--- What tells two definitions apart.
local function signature(key, target, set, where)
  return table.concat({ target, key and arrays.text(key) or "-", set or "-", where or "-" }, "\0")
end

--- Whether a row is of this definition. The key of a row that has begun is filled in.
local function is_same(row, entry)
  local key = entry.key and row.key_columns
  return signature(key, row.target, row.set_sql, row.where_sql)
    == signature(entry.key, entry.target, entry.set, entry.where)
end

--- The row, made where it is missing. What was cancelled, or has not begun, may be another one now.
local function enroll(store, entry)
  local row = store:read(entry)
  local is_stale = row and (row.state == "cancelled" or not is_same(row, entry)
    and not row.batch_size)
  if is_stale then
    store:exec(store:drop_sql(entry.migration, entry.step))
    row = nil
  end
  if row and not is_same(row, entry) then
    errors.raise("plan", ("backfill %d of %s was begun with another definition"):format(entry.step,
      entry.label), {
      detail = ("begun: table %s, set %s, where %s"):format(row.target, row.set_sql or "(code)",
        row.where_sql or "(all rows)"),
      hint = "restore it; or, if what it has done may stay, `pgmig backfill cancel` first",
    })
  end
  if not row then
    store:exec(store:add_sql { entry })
    row = store:read(entry)
  end
  return row
end

local function check_done(row, entry)
  if row and row.state == "done" then return end
  local what = row and row.state or "gone"
  if what == "ready" then return end -- it was stopped by its caller
  errors.raise("plan", ("the backfill of %s is %s%s"):format(entry.target, what,
    row and row.error and ": " .. row.error or ""), {
    hint = what == "paused" and "`pgmig backfill resume`, then run again"
      or "`pgmig backfill retry`, then run again",
  })
end

--- Run a backfill, to its end.
-- @param db the connection, in no transaction
-- @param given { table, key = a column or a list of them, default: the primary key; set = what
--   stands behind SET, or each = fn(rows, db), which is called with the rows of a batch in its
--   transaction; where = a condition; batch = rows of the first batch, default 100; target =
--   seconds of a batch, default 0.25; skip = how many rows may be left out that cannot be changed,
--   default 0; name = outside of migrations, by which it is known when it is called again; tracking
--   = the tracking table, outside of migrations; rate, duty, hours, throttle of
--   pgmig.backfill.throttle; on_progress = fn(event); stop = fn() returns whether to end; analyze =
--   false }
-- @param context of a Lua migration that runs: { ledger, key, label, transaction, emit }; nil
-- @return as of pgmig.backfill.description
-- @raise kinds "usage", "plan", and what a batch raises
function M.run(db, given, context)
  local entry, limits = definitions.check(given), throttles.check(given)
  check_idle(db, context)
  for key, value in pairs(identity(given, context)) do entry[key] = value end
  local ledger = context and context.ledger or ledgers.new(given.tracking or known.default "table")
  local store = stores.open(db, ledger)
  store:prepare()
  local row = enroll(store, entry)
  if row.state == "failed" then row = store:set(row, { "failed" }, { state = "ready" }) end
  if row.state == "ready" then
    row = engine.run(db, store, row, {
      each = entry.each, wait = true, stop = given.stop, analyze = given.analyze,
      emit = given.on_progress or context and context.emit, limits = limits,
    })
  end
  check_done(row, entry)
  return descriptions.of(row)
end

return M
