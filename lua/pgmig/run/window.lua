--- Migrations that go to the server together, without a wait in between: those that nobody has to
-- look at on the way. Each keeps its own transaction; what fails stops those behind it.
local errors = require "pgmig.errors"

local M = {}

local MAX_STEPS = 1000
local MAX_BYTES = 4 * 1024 * 1024 -- of files that are held at once

--- The steps from the first on that can go together.
-- @param run the run (pgmig.run.run)
-- @param next_step fn(i) returns the i-th step behind the first, loaded; nil when there is none, or
--   when it cannot be loaded yet
-- @param first the first step, loaded
-- @return a list of steps, at least the first
function M.gather(run, first, next_step)
  local steps, bytes = { first }, first.script:size()
  if not first:goes_ahead() or run.hooks:has "committed" or run.stop then return steps end
  while #steps < MAX_STEPS and bytes < MAX_BYTES do
    local step = next_step(#steps)
    if not step or not step:goes_ahead() then break end
    steps[#steps + 1] = step
    bytes = bytes + step.script:size()
  end
  return steps
end

--- Hand out what the server said beside its results, up to the migration under way.
local function tell_notices(self)
  local told, notices = self.told, self.notices
  for notice in self.handle.notice, self.handle do
    self.heard = self.heard + 1
    notices[self.heard] = notice
  end
  while notices[told + 1] and notices[told + 1].index <= self.done + 1 do
    told = told + 1
    local notice = notices[told]
    notices[told], self.told = nil, told
    local step = self.steps[notice.index]
    notice.type, notice.migration, notice.index = "notice", step and step.m, nil
    self.run.emit(notice)
  end
end

--- Tell what has been committed since the last time. A hook that may use the connection has to wait
-- until the window has ended.
local function tell(self)
  local committed, committing = self.handle:committed()
  self.committing = committing
  tell_notices(self)
  while self.done < committed and not self.hooked do
    self.done = self.done + 1
    self.steps[self.done]:finish(self.handle:seconds(self.done))
    if self.steps[self.done + 1] then self.steps[self.done + 1]:begin() end
    tell_notices(self)
  end
  -- without the lock no further migration begins
  if self.run.db.watch and self.run.db.watch.lock_lost then self.handle:stop() end
end

--- Between two steps of the core. What a listener raises ends the window, and is raised behind it.
local function observe(self)
  if self.run.raised or not self.handle:is_open() then return end
  local ok, err = pcall(tell, self)
  if ok then return end
  self.run.raised = err
  if self.handle:is_open() then self.handle:stop() end
end

--- Let an error say whose COMMIT was on its way when the connection was lost, or closed.
local function name_unknown(self, err)
  local last = self.steps[self.committing]
  if not errors.is_untold(err) or self.committing <= self.done + 1 then return end
  err.detail = ("the same applies to those sent after it, up to %s"):format(last.m.label)
end

--- Send the steps' migrations, and wait for their end.
-- @param run the run
-- @param steps what `gather` returned; each has the methods begin and finish
-- @return how many are committed
-- @return what became of the next one: "raced", or nil when there was none
-- @return the error that stopped it
function M.run(run, steps)
  local jobs = {}
  for i, step in ipairs(steps) do
    step.attempt = step.attempt + 1
    jobs[i] = step:job()
  end
  local db = run.db
  local self = {
    run = run, steps = steps, handle = db.handle, done = 0, notices = {}, heard = 0,
    told = 0, committing = 0,
    hooked = run.hooks:has "committed",
  }
  db:on_notice(nil)
  if db.watch then db.watch:spare_snapshots(false) end
  db.handle:apply(run.ledger.handle, jobs)
  local ok, outcome = pcall(db.run, db, nil, function() observe(self) end)
  local seconds = ok and self.hooked and self.handle:seconds(1) or nil
  if ok then
    ok, outcome = pcall(db.finish, db, "outcome")
  end
  if ok and outcome == "done" and self.hooked then
    self.hooked = false
    steps[1]:finish(seconds)
    self.done = 1
  end
  for i = self.done + 2, #steps do steps[i].attempt = steps[i].attempt - 1 end
  if not ok then
    name_unknown(self, outcome)
    return self.done, nil, outcome
  end
  return self.done, outcome ~= "done" and outcome or nil
end

return M
