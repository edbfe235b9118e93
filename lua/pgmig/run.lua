--- Running a plan: one migration after another, with hooks around and in them.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local source = require "pgmig.source"

local M = {}

--- Refuse a rollback that the file does not provide for.
local function check_down(m)
  local why, hint = source.obstacle(m)
  if not why then return end
  errors.raise("plan", ("cannot roll back %s: %s"):format(m.label, why), {
    file = m.path, hint = hint,
  })
end

--- Check everything that can be known before the first statement runs.
function M.check(plan)
  if plan.direction ~= "up" or plan.record_only then return end
  for _, m in ipairs(plan) do
    local ok, err = pcall(source.read, m)
    if not ok then
      if errors.is(err) then err.migration = m.label end
      error(err, 0)
    end
  end
end

-- ---- one migration ---------------------------------------------------------

--- The script of a plan that only records rows.
local function empty_script(m)
  return core.parse_script("-- UP\n-- pgmig: empty\n", m.path), "up"
end

--- A context for hooks: what they may know of the migration.
local function context(step, more)
  local ctx = { migration = step.m, direction = step.direction, db = step.run.db, attempt = 1 }
  for key, value in pairs(more or {}) do ctx[key] = value end
  return ctx
end

--- An error in a Lua migration: the line of its file, and a traceback.
local function lua_error(path)
  return function(raised)
    local traceback = debug.traceback("", 2):gsub("^\n", "")
    local place = path:gsub("%p", "%%%0") .. ":(%d+):"
    local message = tostring(raised):gsub("^.-" .. place .. " ", "")
    local err = errors.is(raised) and raised or errors.new("lua", message, { cause = raised })
    err.file = path
    err.line = tonumber(tostring(raised):match("^.-" .. place) or traceback:match(place))
    err.traceback = traceback
    return err
  end
end

local function call_function(step)
  local fn = source.fn(step.m, step.direction)
  if not fn or step.plan.record_only then return end
  local ok, err = xpcall(function() fn(step.run.db) end, lua_error(step.m.path))
  if not ok then error(err, 0) end
end

-- What happens at the points where the core pauses: each returns how to resume, and the SQL of a
-- replaced statement.
local at = {}

function at.opened(step)
  local ctx = step.run.hooks:fire("before_each", context(step))
  if ctx.skipped then
    step.skipped = ctx.skipped
    return "give_up"
  end
  call_function(step)
  return "go_on"
end

local function statement_context(step, index)
  local statement, count = step.script:statement(step.section, index)
  statement.count = count
  return context(step, { statement = statement, sql = statement.sql })
end

function at.before(step, index)
  local ctx = statement_context(step, index)
  local sql = ctx.sql
  step.run.hooks:fire("before_statement", ctx)
  step.sent, step.statement_started = ctx.sql, core.now()
  if ctx.skipped then return "skip" end
  if ctx.sql ~= sql then return "replace", ctx.sql end
  return "go_on"
end

function at.after(step, index)
  local ctx = statement_context(step, index)
  ctx.sql = step.sent or ctx.sql
  ctx.duration = step.statement_started and core.now() - step.statement_started
  step.run.hooks:fire("after_statement", ctx)
  step.run:progress(step, ctx.statement)
  return "go_on"
end

function at.closing(step)
  step.run.hooks:fire("after_each", context(step))
  return "go_on"
end

--- Where the core has to pause for the hooks that there are.
local function pauses(step)
  local hooks = step.run.hooks
  local timed = hooks:has "after_statement" or hooks:has "progress"
  return {
    opened = hooks:has "before_each" or source.fn(step.m, step.direction) ~= nil,
    before = hooks:has "before_statement" or timed,
    after = timed,
    closing = hooks:has "after_each",
  }
end

--- Step the migration from pause to pause. A hook that raises makes it give up.
local function drive(step)
  local db = step.run.db
  local handle, raised = db.handle, nil
  db:run()
  local point, index = handle:paused()
  while point do
    db.touched = false
    local ok, how, sql = pcall(at[point], step, index)
    if not handle:is_open() then error(how, 0) end
    if not ok then raised, how = how, "give_up" end
    handle:resume(how, db.touched, sql)
    db:run()
    point, index = handle:paused()
  end
  local outcome = db:finish "outcome"
  if raised then error(raised, 0) end
  return outcome
end

local function start(step)
  local self, m = step.run, step.m
  if step.plan.record_only then
    step.script, step.section = empty_script(m)
  else
    if step.direction == "down" then check_down(m) end
    step.script, step.section = source.script(m, step.direction)
  end
  self.db:on_notice(function(notice)
    notice.type, notice.migration = "notice", m
    self.emit(notice)
  end)
  self.emit { type = "start", migration = m, direction = step.direction }
  step.started = core.now()
  self.db.handle:apply(self.ledger.handle, step.script, {
    direction = step.direction, section = step.section, version = m.id, name = m.name,
    lock_timeout = self.lock_timeout, pauses = not step.plan.record_only and pauses(step) or nil,
  })
end

--- The claim was refused: another run was first. True when its work shows in the table.
local function settled_elsewhere(step)
  local there = false
  for _, row in ipairs(step.run.ledger:list(step.run.db)) do
    there = there or row.id == step.m.id
  end
  return there == (step.direction == "up")
end

local function raced(step)
  if not settled_elsewhere(step) then
    errors.raise("plan", ("the tracking table refuses the row of %s"):format(step.m.label), {
      hint = "a trigger or rule on it may be in the way",
    })
  end
  step.run.emit { type = "skipped", migration = step.m, message = "another run was first" }
end

local function done_type(step)
  if step.plan.record_only then return "recorded" end
  return step.direction == "up" and "applied" or "rolled_back"
end

local function committed(step)
  local duration = core.now() - step.started
  step.run.emit { type = done_type(step), migration = step.m, duration = duration }
  step.run:look("committed", context(step, { duration = duration }))
end

--- Run one migration: true when it was, false when it was skipped.
local function run_one(step)
  start(step)
  local outcome = drive(step)
  if outcome == "done" then
    committed(step)
    return true
  end
  if outcome == "raced" then
    raced(step)
  else
    step.run.emit { type = "skipped", migration = step.m, message = step.skipped }
  end
  return false
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
  self:look("progress", context(step, {
    done = #self.done, total = #step.plan, statement = statement,
  }))
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

local function run_step(self, plan, m)
  local step = { run = self, plan = plan, m = m, direction = plan.direction }
  local ok, result = pcall(function()
    self.db:check_interrupted()
    if not m.missing and not plan.record_only then warn(self, m) end
    return run_one(step)
  end)
  source.forget(m)
  if not ok then
    complete(result, m, self.done, plan.direction)
    self:look("error", context(step, { error = result }))
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
-- @param options { db, ledger, hooks, emit = fn(event), lock_timeout }
-- @param plan a list of migrations with direction, and record_only = true to write rows only
-- @return the migrations that were run, in order
-- @raise the error, with migration, applied or for rollbacks rolled_back
function M.run(options, plan)
  local self = setmetatable(options, run)
  self.done = {}
  local ok, err = pcall(function()
    self.hooks:fire("before_all", { direction = plan.direction, db = self.db, plan = plan })
    for _, m in ipairs(plan) do run_step(self, plan, m) end
  end)
  if not ok then complete(err, nil, self.done, plan.direction) end
  after_all(self, plan, ok, err)
  return self.done
end

return M
