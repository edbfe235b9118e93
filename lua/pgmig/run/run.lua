--- Running a plan: one migration after another, each tried until its end is known.
local attempts = require "pgmig.run.attempt"
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local needed = require "pgmig.needed"
local ledger = require "pgmig.state.ledger"
local planning = require "pgmig.state.plan"
local recovery = require "pgmig.db.recovery"
local session = require "pgmig.db.session"
local source = require "pgmig.files.source"
local new_step = require("pgmig.run.step").new

local backfill_runs = needed "backfill.runs"
local identity = needed "run.identity"
local resume = needed "run.resume"
local retry = needed "run.retry"

local M = {}

local MAX_RACES = 5 -- another run may be first; then its work shows in the table

-- ---- one migration ---------------------------------------------------------

--- Whether the tables show that the migration has been done; and whether by this run, whose COMMIT
-- was carried out though its answer was lost.
local function settled(step, known)
  local function checksum() return step:checksum() end
  local done = planning.is_done(step.m, step.direction, known, checksum)
  return done, known.marks.run[ledger.key(step.m)] == step.run.token
end

--- What the tables say of a migration: "done", "given_up" (another run did it), or nil.
local function outcome_of(step, known)
  local done, ours = settled(step, known)
  if not done then return nil end
  if ours then return "done" end
  step:leave_out "already done by another run"
  return "given_up"
end

--- Its own code may have committed the claim of an attempt before, whose connection was lost then.
local function check_own_end(step, known)
  local done, ours = settled(step, known)
  if not done or ours or not step.transaction_id then return end
  local fate = identity.fate(step.run.db, step.transaction_id)
  if fate == "committed" then error(identity.error(step, fate), 0) end
end

--- The claim was refused: another run was first, or this one before its connection was lost.
-- @return "done", "given_up", or nil: try again
local function raced(step)
  step.run.known = step.run.ledger:look(step.run.db)
  check_own_end(step, step.run.known)
  local outcome = outcome_of(step, step.run.known)
  if outcome then return outcome end
  if step:count "races" <= MAX_RACES then return nil end
  errors.raise("plan", ("the tracking table rejects the row of %s"):format(step.m.label), {
    hint = "a trigger, a rule or a row-level security policy on it may be the cause",
  })
end

--- With transaction=off: where an earlier attempt has stopped.
local function find_start(step)
  if step:ends_unfinished() then return resume.close(step) end
  if step.transaction then return nil end
  local start = resume.prepare(step)
  if start then
    step:resumes_after(start.done)
    step.run.emit {
      type = "resumed", migration = step.m, message = ("from statement %d"):format(start.done + 1),
    }
  end
  return start
end

--- Try once, with what can go along.
-- @param steps the migration, and those behind it that may follow at once
-- @return as of `attempts.run`
local function attempt(self, steps)
  self:check_lock()
  if #steps == 1 then steps[1]:prepare() end
  for _, step in ipairs(steps) do step:count_attempt() end
  return attempts.run(self, steps, find_start(steps[1]))
end

--- Try steps: how many have ended, skipped ones among them.
-- @return that number
-- @return the step that failed for good
-- @return its error
local function try(self, steps)
  local ok, made = pcall(attempt, self, steps)
  if not ok then made = { done = 0, err = made } end
  if made.raised then error(made.raised, 0) end
  local count, outcome, err = made.done, made.outcome, made.err
  local step = steps[count + 1]
  if outcome == "raced" then
    ok, outcome = pcall(raced, step)
    if not ok then err = outcome end
  end
  if count > 0 then self:doubts(nil) end
  if err then
    step:has_failed(err)
    ok, err = pcall(retry.recover, self, step, err)
    if ok then return count end
    return count, step, err
  end
  self:doubts(nil)
  if not outcome then return count end
  if outcome == "done" then self:finish(step, made.seconds) else self:skip(step) end
  return count + 1
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

--- It is a migration's turn; again when it is tried again.
function run:begin(step)
  self.current = step
  if step.started then return end
  local warnings, file = step:warnings()
  for _, warning in ipairs(warnings) do
    self.emit {
      type = "warning", migration = step.m, message = warning.message, file = file,
      line = warning.line,
    }
  end
  self.emit { type = "start", migration = step.m, direction = step.direction }
  step:start()
end

--- A migration is committed.
-- @param seconds how long it took, as the server says; nil: it was waited for, which tells
function run:finish(step, seconds)
  local duration = seconds or core.now() - step.started
  local statements = step:count_statements()
  source.forget(step.m)
  self.current = nil
  self.done[#self.done + 1] = step.m
  self.db:forget_seen()
  self.emit {
    type = step:done_type(), migration = step.m, duration = duration, statements = statements,
  }
  self:look("committed", step:context { duration = duration })
  self:progress(step)
  if step.backfills then backfill_runs.finish(self, ledger.key(step.m)) end
end

--- A migration is left out.
function run:skip(step)
  source.forget(step.m)
  self.current = nil
  self.emit { type = "skipped", migration = step.m, message = step.skipped }
  self:progress(step)
end

--- It is not known whether an attempt took effect.
-- @param err the error of kind "unknown"; nil: it is known
function run:doubts(err) self.doubt = err end

--- Whether a migration, or one of the run before it, may have put triggers on the bookkeeping's
-- tables. To look costs every migration time.
function run:is_watched(step)
  self.triggers = self.triggers or step:may_watch()
  return self.triggers
end

--- The step at a place of the plan; one for all attempts.
function run:step(at)
  self.steps[at] = self.steps[at] or new_step(self, self.plan, self.plan[at])
  return self.steps[at]
end

--- The same, loaded; nil behind the end, and where its file is refused, which its turn will tell.
function run:peek(at)
  local step = self.plan[at] and self:step(at)
  return step and pcall(step.load, step) and step or nil
end

--- How far the run is, and its migration under way.
local function progress_event(self, step, statement, seen)
  local bytes, size, kind, _
  if statement or seen then bytes, size, _, kind = self.db:progress() end
  seen = seen or {}
  if size == 0 then bytes, size = nil, nil end -- of a Lua migration
  return {
    type = "progress", migration = step.m, done = #self.done, total = #self.plan,
    bytes = bytes, size = size,
    statement = seen.command or kind, phase = seen.phase, percent = seen.percent,
  }
end

--- Tell how far the run is.
-- @param step of the migration that it is at
-- @param statement of the file that has ended; nil
-- @param seen what the server says of one under way (pgmig.db.watch); nil
function run:progress(step, statement, seen)
  local event = progress_event(self, step, statement, seen)
  self.emit(event)
  if not self.hooks:has "progress" then return end
  local ctx = step:context(event)
  ctx.statement, ctx.command, ctx.type = statement, event.statement, nil
  if seen then ctx.db = nil end -- it is busy
  self:look("progress", ctx)
end

--- Something long is under way: tell how far it is.
-- @param options of `run`
-- @param seen see `pgmig.db.watch`
function M.watched(options, seen)
  if options.current then options:progress(options.current, nil, seen) end
end

--- No migration begins without the lock: when its connection was lost, it is taken again.
function run:check_lock()
  if not self.lock:held() then self.lock:take() end
end

--- Add to an error what was done before it.
local function complete(err, m, done, direction)
  if not errors.is(err) then return err end
  err.migration = err.migration or (m and m.label)
  err[direction == "up" and "applied" or "rolled_back"] = done
  return err
end

--- A message as it is the next time: Lua's values show where in memory they are.
local function lasting(message) return (message:gsub("0x%x+", "0x")) end

--- Whether the history has this failure of this file, and nobody has asked for another attempt.
local function is_recorded(self, step, message)
  local last = self.unattended and step.m.failure
  return last and last.message ~= nil and lasting(last.message) == lasting(message)
end

local function message_of(err) return errors.is(err) and err.message or tostring(err) end

--- What the history has of an error.
-- @param writable fn(text) returns it as the database can take it
local function account(err, writable)
  local known = errors.is(err) and err or {}
  return {
    sqlstate = known.sqlstate, detail = known.detail and writable(known.detail),
    file = known.file and writable(known.file), line = known.line, column = known.column,
  }
end

local function write_failure(self, step, err, writable)
  local readable, checksum = pcall(step.checksum, step)
  self.ledger:record(self.db, "none", step:entry {
    event = errors.is(err, "unknown") and "unknown" or "failed",
    checksum = readable and checksum or nil, seconds = core.now() - step.started,
    message = writable(message_of(err)), error = account(err, writable),
  })
end

local function as_utf8(text) return core.readable(text, "\\x") end

local function as_ascii(text) return (as_utf8(text):gsub("[\128-\255]+", "?")) end

--- Whether the database's encoding has not all characters of a text (untranslatable_character,
-- character_not_in_repertoire).
local function is_foreign_character(err)
  return errors.is(err) and (err.sqlstate == "22P05" or err.sqlstate == "22021")
end

--- Write something down at the end of a run, also of one that was interrupted.
local function note_down(self, fn)
  self.db:despite_signals(function() self.db:watched_by(nil, fn) end)
end

--- Write a failure into the history, in a transaction of its own: as far as that is possible.
local function record_failure(self, step, err)
  if (step.attempt == 0 and not errors.is(err, "unknown")) or self.db:is_lost() then return end
  if is_recorded(self, step, as_utf8(message_of(err))) then return end
  note_down(self, function()
    local ok, problem = pcall(write_failure, self, step, err, as_utf8)
    if not ok and is_foreign_character(problem) then
      pcall(write_failure, self, step, err, as_ascii)
    end
  end)
end

--- A second signal has closed the connection while the step was under way: say what is not known.
local function admit_doubt(self, step, err)
  if not errors.is(err, "interrupted") or not errors.is_untold(err) then return end
  if step.attempt == 0 or self.db:is_open() then return end
  err.detail = ("whether %s took effect is not known%s"):format(step.m.label,
    err.detail and "; " .. err.detail or "")
end

--- What makes a step final.
local function fail(self, step, err)
  self.current = nil
  admit_doubt(self, step, err)
  self.ledger:explain(self.db, err)
  record_failure(self, step, err)
  complete(err, step.m, self.done, self.plan.direction)
  self:look("error", step:context { error = err })
  error(err, 0)
end

--- Whether what the tables said last settles a step, which then needs no attempt.
local function settle(self, step)
  local outcome = self.known and outcome_of(step, self.known)
  if outcome == "done" then self:finish(step) elseif outcome then self:skip(step) end
  self.known = outcome and self.known
  return outcome ~= nil and outcome ~= false
end

--- Run the plan from a place on.
-- @param step the migration there
-- @param at its place in the plan
-- @return the place where to go on
local function advance(self, step, at)
  local ok, steps = pcall(function()
    self.db:check_interrupted()
    step:load()
    self:begin(step)
    return attempts.gather(self, step, function(i) return self:peek(at + i) end)
  end)
  if not ok then fail(self, step, steps) end
  if settle(self, step) then return at + 1 end
  local count, failing, err = try(self, steps)
  if failing then fail(self, failing, err) end
  for i = at, at + count - 1 do self.steps[i] = nil end -- they hold what they have read
  return at + count
end

--- Let the next run know of this one, should it be cut off. Nothing depends on that.
local function note_begin(self)
  local ok, err = pcall(recovery.persist, self.db, self.reconnect, function()
    self.ledger:begin_run(self.db, self.plan.direction, self.plan,
      ledger.entry(self.plan[1], self.token, {}))
  end)
  self.noted = ok
  if not ok and not errors.is(err, "sql") then error(err, 0) end
end

--- It has told how it ended. The last migration's transaction has done so already.
local function note_end(self)
  local is_noted = self.noted and self.done[#self.done] ~= self.plan[#self.plan]
  if not is_noted or self.db:is_lost() then return end
  note_down(self, function() pcall(self.ledger.end_run, self.ledger, self.db, self.token) end)
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
--   pipeline, backfill, lock_wait and reconnect in seconds, stop and unattended as in
--   `migrator:run` }
-- @param plan a list of migrations with direction, and record_only = the event's name to write
--   rows only
-- @return the migrations that were run, in order
-- @raise the error, with migration, applied or for rollbacks rolled_back
function M.run(options, plan)
  local self = setmetatable(options, run)
  local outer = self.db.session -- of a run whose hook has started this one
  local back -- what the session's own settings are
  self.done, self.plan, self.steps = {}, plan, {}
  local ok, err = pcall(function()
    back = session.suit(self.db, self.ledger.handle:unfit())
    self.hooks:fire("before_all", { direction = plan.direction, db = self.db, plan = plan })
    self.db:keep_session(recovery.persist(self.db, self.reconnect, function()
      return session.note(self.db)
    end))
    note_begin(self)
    local at = 1
    while at <= #plan and not (self.stop and self.stop()) do
      at = advance(self, self:step(at), at)
    end
  end)
  self.db:keep_session(outer)
  note_end(self)
  if not ok then complete(err, nil, self.done, plan.direction) end
  ok, err = pcall(after_all, self, plan, ok, err)
  if back and not self.db:is_lost() then pcall(self.db.ask_rows, self.db, "-", back) end
  if not ok then error(err, 0) end
  return self.done
end

return M
