--- The one door for all that writes: with the lock held, tables and files are compared again, it is
-- decided again, and only then written.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local lock = require "pgmig.run.lock"
local loop = require "pgmig.db.loop"
local needed = require "pgmig.needed"
local recovery = require "pgmig.db.recovery"
local resume = require "pgmig.run.resume"
local run = require "pgmig.run.run"
local state = require "pgmig.state.compare"
local watches = require "pgmig.db.watch"

local backfill_runs = needed "backfill.runs"

local M = {}

--- Let hooks and listeners know who is waited for.
local function tell_wait(migrator, emit, fields)
  emit(fields)
  pcall(migrator.hooks.fire, migrator.hooks, "lock_wait", {
    db = migrator.db, holder = fields.holder, blockers = fields.blockers,
  })
end

--- Take the lock of the tracking table, waiting for it so many seconds at most.
local function acquire(migrator, emit, limit)
  local held = lock.new(migrator.db, {
    key = migrator.ledger.handle:qualified() or migrator.ledger.name, limit = limit,
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

--- With the lock held: make the tables ready, and decide again about the plan.
-- @return as of `state.decide`
local function prepare_plan(migrator, held, plan, emit)
  local ok, settled, warnings = pcall(function()
    local left_out, fresh = state.decide(migrator, plan, emit)
    if migrator.ledger:lacks_journal() then
      resume.check_left(plan.files and plan.files.list or plan)
    end
    recovery.insist(migrator.db, migrator.retries, function(err, delay)
      emit { type = "waiting", blockers = err.blockers, message = ("%s; trying again in %.1f s")
        :format(err.message, delay) }
    end, function()
      recovery.persist(migrator.db, migrator.reconnect, function()
        migrator.ledger:prepare(migrator.db, plan)
      end)
    end)
    return left_out, fresh
  end)
  if ok then return settled, warnings end
  local err = settled
  if errors.is(err) and err.code == loop.NO_ANSWER and held:held() then
    err.hint = "the lock's connection does get responses: is there a pooler with only one "
      .. "connection to the server? a run needs two"
  end
  error(err, 0)
end

--- Before PostgreSQL 11, statement_timeout counts a whole pipeline as one statement, from its first
-- command to its Sync: a file's own would come too late, a role's would end a healthy run.
local function may_pipeline(migrator)
  return migrator.pipeline and migrator.db:server_version() >= 110000
end

--- With the lock held: run what is left of the plan.
local function run_locked(migrator, held, plan, emit, how)
  local settled, warnings = prepare_plan(migrator, held, plan, emit)
  for _, warning in ipairs(warnings) do
    emit { type = "warning", migration = warning.migration, message = warning.message }
  end
  for _, m in ipairs(settled) do
    emit { type = "skipped", migration = m, message = "already done by another run" }
  end
  local options = {
    db = migrator.db, ledger = migrator.ledger, lock = held, hooks = migrator.hooks, emit = emit,
    token = core.token(), lock_timeout = migrator.lock_timeout, lock_wait = migrator.lock_wait,
    retries = migrator.retries, reconnect = migrator.reconnect, pipeline = may_pipeline(migrator),
    stop = how.stop, unattended = how.unattended, backfill = migrator.backfill,
    throttle = migrator.throttle,
  }
  local may_fill = plan.direction == "up" and not plan.record_only
  if may_fill and migrator.ledger.handle:has_backfill() then backfill_runs.finish(options) end
  if #plan == 0 then return {} end
  migrator.db.watch:tell_progress(function(seen) run.watched(options, seen) end)
  return run.run(options, plan)
end

--- Call `fn(held)` with a watch over the connection. Another one may be there already: a hook's
-- migrator works on its run's connection.
local function watched(migrator, held, emit, fn)
  local db = migrator.db
  local handler = db.notice_handler
  local watch = watches.new(db, held, function(blockers)
    tell_wait(migrator, emit, {
      type = "blocked", blockers = blockers, message = "waiting for a lock",
    })
  end)
  local ok, result = pcall(db.watched_by, db, watch, fn, held)
  watch:close()
  db:on_notice(handler)
  if ok then return result end
  error(result, 0)
end

--- A plan may be shortened while it runs, and stays the caller's.
local function copy_of(plan)
  local copy = {}
  for key, value in pairs(plan) do copy[key] = value end
  return copy
end

--- A run begins and commits transactions of its own.
local function check_idle(db)
  local status = db:transaction_status()
  if status == "idle" or db:is_lost() then return end -- a lost one is replaced
  errors.raise("usage", "a transaction is open on this connection", {
    hint = "commit or roll it back before migrating; a hook cannot start another run on it",
  })
end

local function write(migrator, emit, fn, limit)
  check_idle(migrator.db)
  recovery.persist(migrator.db, migrator.reconnect, function()
    if not migrator.ledger.handle:qualified() then migrator.ledger:probe(migrator.db) end
    migrator.ledger:check_writable()
  end)
  local held = acquire(migrator, emit, limit or migrator.lock_wait)
  local ok, result = pcall(watched, migrator, held, emit, fn)
  held:release()
  if ok then return result end
  error(result, 0)
end

--- Write with the lock of the tracking table held: nothing else does. Meanwhile the connection is
-- no other coroutine's.
-- @param migrator of pgmig.migrator
-- @param emit fn(event)
-- @param fn fn(held), which looks and decides again before it writes
-- @param limit seconds to wait for the lock; nil: as the migrator says
-- @return what `fn` returns
-- @raise kind "lock" when another run has the lock for too long
function M.write(migrator, emit, fn, limit)
  return migrator.db:hold(write, migrator, emit, fn, limit)
end

--- Let an error of the second plan say what the first has done.
local function name_done(err, plan, done)
  if errors.is(err) then err[plan.direction == "up" and "applied" or "rolled_back"] = done end
end

--- Run plans, one behind the other.
-- @param migrator of pgmig.migrator
-- @param plans lists with their direction, in the order that they run in
-- @param emit fn(event)
-- @param how { stop, unattended } of `migrator:run`
-- @return a list for each: the migrations that were run
function M.run(migrator, plans, emit, how)
  return M.write(migrator, emit, function(held)
    local done = {}
    for i, plan in ipairs(plans) do
      local ok, result = pcall(run_locked, migrator, held, copy_of(plan), emit, how)
      if not ok then
        for k, earlier in ipairs(done) do name_done(result, plans[k], earlier) end
        error(result, 0)
      end
      migrator.db.watch:tell_progress(nil)
      done[i] = result
    end
    return done
  end)
end

return M
