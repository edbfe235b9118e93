--- Running a plan: one migration after another, each tried until its end is known.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local recovery = require "pgmig.recovery"
local resume = require "pgmig.resume"
local source = require "pgmig.source"
local steps = require "pgmig.step"

local M = {}

local MAX_RACES = 5 -- another run may be first; then its work shows in the table

--- Check everything that can be known before the first statement runs.
-- @param plan a list of migrations
-- @param breathe called between two files
function M.check(plan, breathe)
  if plan.direction ~= "up" or plan.record_only then return end
  for _, m in ipairs(plan) do
    breathe()
    local ok, err = pcall(source.read, m)
    if not ok then
      if errors.is(err) then err.migration = m.label end
      error(err, 0)
    end
  end
end

-- ---- one migration ---------------------------------------------------------

--- Whether the tables show that the migration has been done; and whether by this run, whose COMMIT
-- was carried out though its answer was lost.
local function settled(step)
  local run = step.run
  local marks = run.ledger:marks(run.db)
  local mark = step.m.id and marks.by_id[step.m.id] or marks.by_name[step.m.name]
  local ours = mark ~= nil and mark.run == run.token
  if step.m.repeatable then return mark ~= nil and mark.checksum == step.checksum, ours end
  local there = false
  for _, row in ipairs(run.ledger:list(run.db)) do there = there or row.id == step.m.id end
  return there == (step.direction == "up"), ours
end

local function done_type(step)
  if step.plan.record_only then return "recorded" end
  return step.direction == "up" and "applied" or "rolled_back"
end

local function committed(step)
  local duration = core.now() - step.started
  step.run.emit { type = done_type(step), migration = step.m, duration = duration }
  step.run:look("committed", step:context { duration = duration })
end

local function skipped(step)
  step.run.emit { type = "skipped", migration = step.m, message = step.skipped }
end

--- The claim was refused: another run was first, or this one before its connection was lost.
-- @return "done", "given_up", or nil: try again
local function raced(step)
  local done, ours = settled(step)
  if done and ours then return "done" end
  if done then
    step.skipped = "another run was first"
    return "given_up"
  end
  step.races = (step.races or 0) + 1
  if step.races <= MAX_RACES then return nil end
  errors.raise("plan", ("the tracking table refuses the row of %s"):format(step.m.label), {
    hint = "a trigger or rule on it may be in the way",
  })
end

--- With transaction=off: where an earlier attempt has stopped.
local function find_start(step)
  if step.transaction then return nil end
  local start = resume.prepare(step)
  if start then
    if start.done ~= step.progress then step.progress, step.losses = start.done, 0 end
    step.run.emit {
      type = "resumed", migration = step.m, message = ("from statement %d"):format(start.done + 1),
    }
  end
  return start
end

--- Try once: "done", "given_up", or nil: try again.
local function attempt(step)
  step.run:check_lock()
  local outcome = step:try(find_start(step))
  if outcome == "raced" then return raced(step) end
  return outcome
end

--- Run one migration: true when it was, false when it was skipped.
local function run_one(step)
  step:load()
  step.run.emit { type = "start", migration = step.m, direction = step.direction }
  step.started = core.now()
  local outcome
  repeat
    local ok, result = pcall(attempt, step)
    if ok then outcome = result else recovery.recover(step, result) end
  until outcome
  if outcome == "done" then committed(step) else skipped(step) end
  return outcome == "done"
end

-- ---- the run ---------------------------------------------------------------

local run = {}
run.__index = run

--- Fire an event whose handlers may only look: what they raise is reported and stops nothing.
function run:look(event, ctx)
  local ok, err = pcall(self.hooks.fire, self.hooks, event, ctx)
  if ok then return end
  self.emit { type = "warning", migration = ctx.migration, message = tostring(err) }
end

--- Tell how far the run is.
function run:progress(step, statement)
  if not self.hooks:has "progress" then return end
  self:look("progress", step:context {
    done = #self.done, total = #step.plan, statement = statement,
  })
end

--- No migration begins without the lock: when its connection was lost, it is taken again.
function run:check_lock()
  if not self.lock:held() then self.lock:take() end
end

local function warn(self, m)
  for _, warning in ipairs(source.read(m).script:warnings()) do
    self.emit {
      type = "warning", migration = m, message = warning.message, line = warning.line,
    }
  end
end

--- Add to an error what was done before it.
local function complete(err, m, done, direction)
  if not errors.is(err) then return err end
  err.migration = err.migration or (m and m.label)
  err[direction == "up" and "applied" or "rolled_back"] = done
  return err
end

--- Write a failure into the history, in a transaction of its own: as far as that is possible.
local function record_failure(self, step, err)
  if not step.attempt or step.attempt == 0 or self.db:is_lost() then return end
  local vigil, signal = self.db.vigil, self.db.signal
  self.db.vigil, self.db.give_up_at = nil, nil
  pcall(self.ledger.record, self.ledger, self.db, "none", step:entry {
    event = "failed", seconds = core.now() - step.started,
    message = errors.is(err) and err.message or tostring(err),
  })
  self.db.vigil, self.db.signal = vigil, signal
end

local function run_step(self, plan, m)
  local step = steps.new(self, plan, m)
  local ok, result = pcall(function()
    self.db:check_interrupted()
    if not m.missing and not plan.record_only then warn(self, m) end
    return run_one(step)
  end)
  source.forget(m)
  if not ok then
    record_failure(self, step, result)
    complete(result, m, self.done, plan.direction)
    self:look("error", step:context { error = result })
    error(result, 0)
  end
  if result then self.done[#self.done + 1] = m end
  self:progress(step)
end

--- after_all sees the result, also of a failure, which it cannot hide.
local function after_all(self, plan, ok, err)
  local ctx = {
    direction = plan.direction, db = self.db, plan = plan, applied = self.done,
    error = not ok and err or nil,
  }
  if plan.direction == "down" then ctx.rolled_back = self.done end
  if ok then return self.hooks:fire("after_all", ctx) end
  self:look("after_all", ctx)
  error(err, 0)
end

--- Run a plan.
-- @param options { db, ledger, lock, hooks, emit = fn(event), token, lock_timeout, retries,
--   lock_wait and reconnect in seconds, stop = fn() }: asked before each migration whether the run
--   ends there; nil
-- @param plan a list of migrations with direction, and record_only = the event's name to write
--   rows only
-- @return the migrations that were run, in order
-- @raise the error, with migration, applied or for rollbacks rolled_back
function M.run(options, plan)
  local self = setmetatable(options, run)
  self.done = {}
  local ok, err = pcall(function()
    self.hooks:fire("before_all", { direction = plan.direction, db = self.db, plan = plan })
    for _, m in ipairs(plan) do
      if self.stop and self.stop() then break end
      run_step(self, plan, m)
    end
  end)
  if not ok then complete(err, nil, self.done, plan.direction) end
  after_all(self, plan, ok, err)
  return self.done
end

return M
