--- One attempt: a migration, or several that go to the server together, from the first claim to the
-- last COMMIT. Two things happen on the way: between two steps of the core it is told what was
-- committed and what the server said, and at the pauses of a single migration code of others runs.
local errors = require "pgmig.errors"
local needed = require "pgmig.needed"

local identity = needed "run.identity"

local M = {}

local MAX_STEPS = 1000
local MAX_BYTES = 4 * 1024 * 1024 -- of files that are held at once

--- The steps from the first on that can go together: nobody has to look at them on the way. Each
-- keeps its own transaction; what fails stops those behind it.
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

-- ---- between two steps of the core ------------------------------------------

--- Hand out what the server said beside its results, up to the migration under way.
local function tell_notices(self)
  local notices = self.notices
  while notices[self.told + 1] and notices[self.told + 1].index <= self.done + 1 do
    self.told = self.told + 1
    local notice = notices[self.told]
    notices[self.told] = nil
    local step = self.steps[notice.index]
    notice.type, notice.migration, notice.index = "notice", step and step.m, nil
    self.run.emit(notice)
  end
end

local function hear(self, notice)
  if self.raised then return end
  self.heard = self.heard + 1
  self.notices[self.heard] = notice
  tell_notices(self)
end

--- Tell what has happened since the last time. Of a single migration it is told that it is
-- committed when the attempt is over: hooks may use the connection then.
local function tell(self)
  local run = self.run
  local committed, committing = self.apply:committed()
  self.committing = committing
  run.db:hear()
  while #self.steps > 1 and self.done < committed do
    self.done = self.done + 1
    run:finish(self.steps[self.done], self.apply:seconds(self.done))
    local following = self.steps[self.done + 1]
    if following then run:begin(following) end
    tell_notices(self)
  end
  -- without the lock no further migration begins
  if run.db:has_lost_lock() then self.apply:stop() end
end

--- What a listener raises ends the attempt, and is raised behind it.
local function observe(self)
  if self.raised or not self.run.db:is_open() then return end
  local ok, err = pcall(tell, self)
  if ok then return end
  self.raised = err
  if self.run.db:is_open() then self.apply:stop() end
end

-- ---- at a pause ---------------------------------------------------------------

--- Whether the code of others has left the migration's transaction as it was.
-- @return nil: it has; else "failed" or "ended" (pgmig.run.identity)
-- @return what the question has raised; nil
local function doubt(self)
  local db, id = self.run.db, self.steps[1].transaction_id
  if not id or db:is_lost() then return nil end
  local ok, state = pcall(identity.state, db, id)
  if not ok then return nil, state end
  return state ~= "same" and state or nil
end

--- What is wrong with a migration that was given up.
local function verdict(step, doubted, raised)
  local fate = identity.fate(step.run.db, step.transaction_id)
  if doubted == "ended" or fate ~= "aborted" then return identity.error(step, fate, raised) end
  return raised or errors.new("sql", "the migration's transaction has failed: the error of a "
    .. "statement in it was caught", {
    file = step.m.path, hint = "do not catch the error, or set a savepoint before what may fail",
  })
end

--- Call what runs at a pause, and go on.
-- @return what is wrong with the transaction; nil
-- @return what was raised; nil
local function pass(self, point, index)
  local db, step = self.run.db, self.steps[1]
  local before = db:requests()
  local ok, how, sql = pcall(step.pause, step, point, index)
  if not db:is_open() then error(ok and identity.closed(step) or how, 0) end
  local is_touched = db:requests() ~= before or (point == "after" and step.replaced)
  local doubted, why
  if is_touched then doubted, why = doubt(self) end
  local raised = not ok and how or why
  if doubted or raised then how, sql = "give_up", nil end
  self.apply:resume(how, sql)
  return doubted, raised
end

-- ---- from the first step to the last -------------------------------------------

--- The end. A statement of a hook's may have ended the transaction before it failed.
local function outcome_of(self)
  local db, step = self.run.db, self.steps[1]
  local ok, outcome = pcall(db.finish, db, self.apply)
  if ok then return outcome end
  if step.replaced and step.transaction_id and not db:is_lost() then
    local fate = identity.fate(db, step.transaction_id)
    if fate ~= "aborted" then error(identity.error(step, fate, outcome), 0) end
  end
  error(outcome, 0)
end

--- Step from pause to pause. A hook that raises makes the migration give up.
-- @return the core's outcome
local function drive(self)
  local db, apply, step = self.run.db, self.apply, self.steps[1]
  local doubted, raised, point, index
  local function observer() observe(self) end
  repeat
    db:run(nil, observer)
    step:runs_in(apply:transaction_id())
    point, index = apply:paused()
    if point then doubted, raised = pass(self, point, index) end
  until not point
  self.seconds = step:goes_ahead() and apply:seconds(1) or nil
  local outcome = outcome_of(self)
  if doubted then raised = verdict(step, doubted, raised) end
  if raised then error(raised, 0) end
  return outcome
end

--- Let an error say whose COMMIT was on its way when the connection was lost, or closed.
local function name_unknown(self, err)
  if not errors.is_untold(err) or self.committing <= self.done + 1 then return end
  err.detail = ("the same applies to those sent after it, up to %s"):format(
    self.steps[self.committing].m.label)
end

--- Send the steps' migrations, and wait for their end.
-- @param run the run; its methods begin and finish are called as the migrations of several begin
--   and are committed
-- @param steps what `gather` returned
-- @param start where the only one begins, with transaction=off (pgmig.run.resume); nil
-- @return { done = how many are committed and were told, outcome = of the next one: "done",
--   "raced", "given_up"; nil when there was none, or it failed; seconds = how long a "done" one has
--   taken, as the server says; err = why the next one failed; raised = what a listener has raised }
function M.run(run, steps, start)
  local db, jobs = run.db, {}
  local self = {
    run = run, steps = steps, done = 0, notices = {}, heard = 0, told = 0,
    committing = 0,
  }
  for i, step in ipairs(steps) do jobs[i] = step:job(start) end
  db:on_notice(function(notice) hear(self, notice) end)
  db:spare_snapshots(not steps[1].transaction)
  self.apply = db:apply(run.ledger.handle, jobs)
  local ok, result = pcall(drive, self)
  if #steps > 1 then db:on_notice(nil) end
  for i = self.done + 2, #steps do steps[i]:was_not_reached() end
  if not ok then
    self.err = result
    name_unknown(self, result)
  elseif #steps == 1 or result ~= "done" then
    self.outcome = result
  end
  return self
end

return M
