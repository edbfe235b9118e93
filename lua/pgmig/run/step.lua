--- A migration of a run: what of its file runs, what the core is told about it, and what hooks do
-- at its pauses. Attempts at it are those of pgmig.run.attempt.
local core = require "pgmig.core"
local ledgers = require "pgmig.state.ledger"
local new_entry, ledger_key = ledgers.entry, ledgers.key
local errors = require "pgmig.errors"
local needed = require "pgmig.needed"
local session = require "pgmig.db.session"
local source = require "pgmig.files.source"

local backfill_files, backfill_runs = needed "backfill.files", needed "backfill.runs"
local lua_file = needed "files.lua_file"

local M = {}
local step = {}
step.__index = step

-- A migration of a plan that only records rows: nothing of its file runs.
local recorded = setmetatable({}, { __index = step })
recorded.__index = recorded

--- A migration of a run.
-- @param run the run (pgmig.run.run)
-- @param plan its plan
-- @param m the migration
function M.new(run, plan, m)
  return setmetatable({
    run = run, m = m, direction = plan.direction,
    attempt = 0, races = 0, losses = 0, retries = 0, progress = 0,
    event = plan.record_only or plan.direction, is_last = m == plan[#plan],
  }, plan.record_only and recorded or step)
end

--- What the history says of it.
-- @param fields see pgmig.state.ledger
function step:entry(fields)
  local said = new_entry(self.m, self.run.token, fields)
  if self.run.ledger.shared then self.run.ledger.shared:complete(said, self.m) end
  return said
end

function step:read_checksum() return source.checksum(self.m) end

function recorded:read_checksum() return core.file_checksum(self.m.path) end

--- The checksum of its file; nil when that is missing.
function step:checksum()
  if self.m.missing then return nil end
  self.known_checksum = self.known_checksum or self:read_checksum()
  return self.known_checksum
end

--- A context for hooks: what they may know of the migration.
function step:context(more)
  local ctx = {
    migration = self.m, direction = self.direction, db = self.run.db, attempt = self.attempt,
  }
  for key, value in pairs(more or {}) do ctx[key] = value end
  return ctx
end

-- ---- its file ----------------------------------------------------------------

--- The function of a Lua migration; nil.
function step:code() return source.fn(self.m, self.direction) end

function recorded.code() return nil end

function step:read_script()
  if self.direction == "down" then source.check_down(self.m) end
  return source.script(self.m, self.direction)
end

function recorded:read_script()
  return core.empty_script(self.m.path or self.m.label, true), "up"
end

--- Read the file: once for all attempts.
function step:load()
  if self.script then return end
  self.script, self.section = self:read_script()
  self.transaction = self.script:transaction(self.section)
  if not self:goes_ahead() and source.hold(self.m, self.script) then
    self.script = source.script(self.m, self.direction)
  end
  self:read_backfills()
end

--- What it fills when it is committed, and what must be filled before it begins.
function step:read_backfills()
  if self.direction ~= "up" then return end
  self.after = self.script:directive(self.section, "after-backfill")
  if not self.script:backfills(self.section) then return end
  self.backfills = backfill_files.entries(self.m, self.script, self.section)
end

function recorded.read_backfills() end

--- Get ready for an attempt: the table of backfills is made before its transaction begins.
-- @raise kind "plan" where a backfill is not done that has to be before
function step:prepare()
  if self.after then backfill_runs.check_after(self.run, self.m, self.after) end
  if self.backfills then backfill_runs.prepare(self.run) end
end

--- What the file's author should know.
-- @return a list of { message, line }
-- @return the file's path
function step:warnings()
  local m = self.m
  local script = not m.missing and source.script(m, self.direction)
  return script and script:warnings() or {}, source.path(m, self.direction)
end

function recorded.warnings() return {} end

--- How many statements it has; nil where nobody has counted them.
function step:count_statements()
  return self.m.language ~= "lua" and self.script:count(self.section) or nil
end

function recorded.count_statements() return nil end

--- Which event tells that it is done.
function step:done_type() return self.direction == "up" and "applied" or "rolled_back" end

function recorded:done_type() return self.direction == "up" and "recorded" or "unapplied" end

-- ---- what runs at the pauses -----------------------------------------------

--- Whether hooks are called at an event of its own.
function step:hears(event) return self.run.hooks:has(event) end

function recorded.hears() return false end

--- Where the core has to pause for the hooks that there are; nil: nowhere.
local function pauses(self)
  local looked_at = self:hears "before_statement" or self:hears "after_statement"
    or self:hears "progress"
  local opened = self:hears "before_each" or self:code() ~= nil
  local closing = self:hears "after_each" or self.backfills ~= nil
  if not (looked_at or opened or closing) then return nil end
  return { opened = opened, before = looked_at, after = looked_at, closing = closing }
end

--- An error in a Lua migration: the line of its file, and a traceback.
local function lua_error(path)
  return function(raised)
    local traceback = debug.traceback("", 2):gsub("^\n", "")
    local line, message = lua_file.place(path, raised)
    local err = errors.is(raised) and raised or errors.new("lua", message, { cause = raised })
    err.file, err.line = path, line or lua_file.line_in(path, traceback)
    err.traceback = traceback
    return err
  end
end

local function call_function(self)
  local fn, db = self:code(), self.run.db
  if not fn then return end
  db:note_migration {
    ledger = self.run.ledger, key = ledger_key(self.m), label = self.m.label,
    transaction = self.transaction, emit = self.run.emit,
  }
  local ok, err = xpcall(function() fn(db) end, lua_error(self.m.path))
  db:note_migration(nil)
  if not ok then error(err, 0) end
end

-- Each returns how to resume, and the SQL of a replaced statement.
local at = {}

function at.opened(self)
  local ctx = self.run.hooks:fire("before_each", self:context())
  if ctx.skipped then
    self:leave_out(ctx.skipped)
    return "give_up"
  end
  call_function(self)
  return "go_on"
end

local function statement_context(self, index)
  local statement, count = self.script:statement(self.section, index)
  statement.count = count
  return self:context { statement = statement, sql = statement.sql }
end

function at.before(self, index)
  local ctx = statement_context(self, index)
  local sql = ctx.sql
  self.run.hooks:fire("before_statement", ctx)
  self.sent, self.statement_started = ctx.sql, core.now()
  if ctx.skipped then return "skip" end
  if type(ctx.sql) ~= "string" or ctx.sql:find("\0", 1, true) then
    errors.raise("usage", "before_statement: ctx.sql must be a string without NUL bytes")
  end
  if ctx.sql == sql then return "go_on" end
  self.replaced = true
  return "replace", ctx.sql
end

function at.after(self, index)
  local ctx = statement_context(self, index)
  ctx.sql = self.sent or ctx.sql
  ctx.duration = self.statement_started and core.now() - self.statement_started
  self.run.hooks:fire("after_statement", ctx)
  self.run:progress(self, ctx.statement)
  return "go_on"
end

function at.closing(self)
  if self.backfills then backfill_runs.try(self.run.db, self.backfills, self.m.path) end
  self.run.hooks:fire("after_each", self:context())
  return "go_on"
end

--- Call what runs at a pause.
-- @param point of it ("opened", "before", "after", "closing"), and index of the statement
-- @return how to resume, and the SQL of a replaced statement
-- @raise what a hook, or the migration's own code, has raised
function step:pause(point, index) return at[point](self, index) end

-- ---- attempts ----------------------------------------------------------------

--- Whether it records as applied, or as not applied, what was left half-way.
function step.ends_unfinished() return false end

function recorded:ends_unfinished() return self.m.unfinished ~= nil end

--- Whether its requests can be on their way at once, with those of other migrations: nobody has to
-- look in between.
function step:goes_ahead()
  return self.run.pipeline and self.transaction and self.m.id ~= nil
    and not self:ends_unfinished() and not self.after and not pauses(self)
end

--- It is its turn.
function step:start() self.started = core.now() end

--- Another attempt begins.
function step:count_attempt()
  self.attempt, self.replaced = self.attempt + 1, false -- no hook has replaced a statement
end

--- One more of its "races" that were lost to others, "losses" of its connection, "retries".
-- @return how many there are
function step:count(what)
  self[what] = self[what] + 1
  return self[what]
end

--- With transaction=off, so many statements are done: what gets further may lose its connection
-- again.
function step:resumes_after(done)
  if done ~= self.progress then self.progress, self.losses = done, 0 end
end

--- An attempt has failed.
function step:has_failed(err) self.failure = err end

--- It is left out, and why.
function step:leave_out(reason) self.skipped = reason end

--- It was sent behind one that failed: that was no attempt at it.
function step:was_not_reached() self.attempt = self.attempt - 1 end

--- Remember in which transaction it runs; nil: in none that could be ended on the way.
function step:runs_in(id) self.transaction_id = id or self.transaction_id end

--- A word for this attempt that no other one has.
function step:owner() return ("%s:%d"):format(self.run.token, self.attempt) end

--- The session that the run began with, and for transaction=off which settings without a view the
-- file may make.
local function session_of(self)
  local noted = self.run.db.session
  if self.transaction or not noted then return noted end
  local names = {}
  for _, statement in ipairs(self.script:describe()[self.section].statements) do
    session.nominate(names, statement.sql)
  end
  return {
    user = noted.user, role = noted.role, reset = noted.reset, keeps_locks = noted.keeps_locks,
    names = session.array(names),
  }
end

--- Whether a text may put triggers on whatever tables it finds.
local function finds_tables(script)
  return script:mentions "trigger"
    and (script:mentions "pg_" or script:mentions "information_schema")
end

--- Whether it may put a trigger or a rule on the bookkeeping's tables: its text names them, or need
-- not; or it is code.
function step:may_watch()
  return self:code() ~= nil or self.script:mentions(self.run.ledger:bare_name())
    or finds_tables(self.script)
end

function recorded.may_watch() return false end

--- What commits together with the tracking row: its backfills are to be done from now on, or are
-- forgotten.
local function along(self)
  if self.direction == "down" then
    if not self.run.ledger.handle:has_backfill() then return nil end
    return backfill_runs.removal(self.run, ledger_key(self.m))
  end
  if not self.backfills then return nil end
  return backfill_runs.enrolment(self.run, self.backfills, self.transaction)
end

--- What the core has to do.
-- @param resume for transaction=off: { revision, done } of pgmig.run.resume; nil: from the start
-- @return a job (core.apply)
function step:job(resume)
  local run = self.run
  return {
    script = self.script, direction = self.direction, section = self.section,
    session = session_of(self), lock_timeout = run.lock_timeout, plain = not run.pipeline,
    watched = run:is_watched(self), ends_run = run.noted and self.is_last and run.token or nil,
    pauses = pauses(self), owner = self:owner(), revision = resume and resume.revision,
    done = resume and resume.done, along = along(self),
    entry = self:entry {
      event = self.event,
      -- nil: the core takes that of what it sends
      checksum = not source.is_streamed(self.m, self.script) and self:checksum() or nil,
    },
  }
end

return M
