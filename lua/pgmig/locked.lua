--- A run with the lock held: waiting for other runs, leaving out what they have done, running the
-- rest, letting go.
local connection = require "pgmig.connection"
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local lock = require "pgmig.lock"
local planning = require "pgmig.plan"
local recovery = require "pgmig.recovery"
local run = require "pgmig.run"
local vigil = require "pgmig.vigil"

local M = {}

--- Let hooks and listeners know who is waited for.
local function tell_wait(migrator, emit, fields)
  emit(fields)
  pcall(migrator.hooks.fire, migrator.hooks, "lock_wait", {
    db = migrator.db, holder = fields.holder, blockers = fields.blockers,
  })
end

--- Take the lock of the tracking table.
local function acquire(migrator, emit)
  local held = lock.new(migrator.db, {
    key = migrator.ledger.handle:qualified() or migrator.ledger.name, limit = migrator.lock_wait,
    reconnect = migrator.reconnect,
    on_wait = function(holder)
      tell_wait(migrator, emit, {
        type = "waiting", holder = holder, message = "another run holds the lock: "
          .. lock.describe(holder),
      })
    end,
  })
  held:take()
  return held
end

--- With the lock held: make the tables ready, and leave out of the plan what is done meanwhile.
local function prepare_plan(migrator, held, plan)
  local ok, result = pcall(recovery.persist, migrator.db, migrator.reconnect, function()
    local read = migrator.ledger:read(migrator.db)
    migrator.ledger:prepare(migrator.db, plan)
    return planning.drop_settled(plan, read)
  end)
  if ok then return result end
  if errors.is(result) and result.message == connection.NO_ANSWER and held:held() then
    result.hint = "the lock's connection does get answers: is there a pooler with a single "
      .. "connection to the server? a run needs two"
  end
  error(result, 0)
end

--- With the lock held: run what is left of the plan.
local function run_locked(migrator, held, plan, emit, how)
  local settled = prepare_plan(migrator, held, plan)
  for _, m in ipairs(settled) do
    emit { type = "skipped", migration = m, message = "another run was first" }
  end
  if #plan == 0 then return {} end
  local options = {
    db = migrator.db, ledger = migrator.ledger, lock = held, hooks = migrator.hooks, emit = emit,
    token = core.token(), lock_timeout = migrator.lock_timeout, lock_wait = migrator.lock_wait,
    retries = migrator.retries, reconnect = migrator.reconnect, pipeline = migrator.pipeline,
    stop = how.stop, unattended = how.unattended,
  }
  migrator.db.vigil = vigil.new(migrator.db, held, function(blockers)
    tell_wait(migrator, emit, {
      type = "blocked", blockers = blockers, message = "waiting for a lock",
    })
  end, function(seen) run.watched(options, seen) end)
  return run.run(options, plan)
end

--- A plan may be shortened while it runs, and stays the caller's.
local function copy_of(plan)
  local copy = {}
  for key, value in pairs(plan) do copy[key] = value end
  return copy
end

--- A run begins and commits transactions of its own.
local function check_idle(db)
  local status = db.handle:transaction_status()
  if status == "idle" or db:is_lost() then return end -- a lost one is replaced
  errors.raise("usage", "a transaction is open on this connection", {
    hint = "commit or roll it back before migrating; a hook cannot start another run on it",
  })
end

--- Do something with the lock of the tracking table held.
-- @param migrator of pgmig.migrator
-- @param emit fn(event)
-- @param fn fn(held)
-- @return what it returns
function M.with(migrator, emit, fn)
  check_idle(migrator.db)
  recovery.persist(migrator.db, migrator.reconnect, function()
    if not migrator.ledger.handle:qualified() then migrator.ledger:probe(migrator.db) end
    migrator.ledger:check_writable()
  end)
  local held = acquire(migrator, emit)
  local ok, result = pcall(fn, held)
  if migrator.db.vigil then migrator.db.vigil:close() end
  migrator.db.vigil = nil
  migrator.db:on_notice(nil)
  held:release()
  if ok then return result end
  error(result, 0)
end

--- Run a plan with the lock of its tracking table held.
-- @param migrator of pgmig.migrator
-- @param plan a list with its direction
-- @param emit fn(event)
-- @param how { stop, unattended } of `migrator:run`
-- @return the migrations that were run
function M.run(migrator, plan, emit, how)
  return M.with(migrator, emit, function(held)
    return run_locked(migrator, held, copy_of(plan), emit, how)
  end)
end

return M
