--- One attempt at one migration: from its claim to its COMMIT, with hooks at the pauses.
local core = require "pgmig.core"
local entry = require "pgmig.state.entry"
local errors = require "pgmig.errors"
local identity = require "pgmig.run.identity"
local lua_file = require "pgmig.files.lua_file"
local session = require "pgmig.db.session"
local source = require "pgmig.files.source"

local M = {}
local step = {}
step.__index = step

--- A migration of a run.
-- @param run the run (pgmig.run.run)
-- @param plan its plan
-- @param m the migration
function M.new(run, plan, m)
  return setmetatable({
    run = run, plan = plan, m = m, direction = plan.direction, attempt = 0,
  }, step)
end

--- What the history says of it.
-- @param fields see pgmig.state.entry
function step:entry(fields)
  local said = entry.new(self.m, self.run.token, fields)
  if self.run.ledger.shared then self.run.ledger.shared:complete(said, self.m) end
  return said
end

--- The checksum of its file; nil when that is missing.
function step:checksum()
  local m = self.m
  if m.missing then return nil end
  if not self.known_checksum then
    self.known_checksum = self.plan.record_only and core.file_checksum(m.path) or source.checksum(m)
  end
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

-- ---- what runs at the pauses -----------------------------------------------

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
  local fn = source.fn(self.m, self.direction)
  if not fn or self.plan.record_only then return end
  local ok, err = xpcall(function() fn(self.run.db) end, lua_error(self.m.path))
  if not ok then error(err, 0) end
end

-- Each returns how to resume, and the SQL of a replaced statement.
local at = {}

function at.opened(self)
  local ctx = self.run.hooks:fire("before_each", self:context())
  if ctx.skipped then
    self.skipped = ctx.skipped
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
  self.run.hooks:fire("after_each", self:context())
  return "go_on"
end

--- Where the core has to pause for the hooks that there are.
local function pauses(self)
  local hooks = self.run.hooks
  local looked_at = hooks:has "before_statement" or hooks:has "after_statement"
    or hooks:has "progress"
  return {
    opened = hooks:has "before_each" or source.fn(self.m, self.direction) ~= nil,
    before = looked_at,
    after = looked_at,
    closing = hooks:has "after_each",
  }
end

--- Whether the code of others has left the migration's transaction as it was.
-- @return nil: it has; else "failed" or "ended" (pgmig.run.identity)
-- @return what the question has raised; nil
local function doubt(self)
  local db = self.run.db
  if not (self.transaction_id and db.touched) or db:is_lost() then return nil end
  local ok, state = pcall(identity.state, db, self.transaction_id)
  if not ok then return nil, state end
  return state ~= "same" and state or nil
end

--- What is wrong with a migration that was given up.
local function verdict(self, doubted, raised)
  local fate = identity.fate(self.run.db, self.transaction_id)
  if doubted == "ended" or fate ~= "aborted" then return identity.error(self, fate, raised) end
  return raised or errors.new("sql", "the migration's transaction has failed: the error of a "
    .. "statement in it was caught", {
    file = self.m.path, hint = "do not catch the error, or set a savepoint before what may fail",
  })
end

--- Call what runs at a pause.
-- @return how to resume, and the SQL of a replaced statement
-- @return what is wrong with the transaction; nil
-- @return what was raised; nil
local function at_pause(self, point, index)
  local db = self.run.db
  db.touched = point == "after" and self.replaced or false
  local ok, how, sql = pcall(at[point], self, index)
  if not db.handle:is_open() then error(ok and identity.closed(self) or how, 0) end
  local doubted, why = doubt(self)
  local raised = not ok and how or why
  if doubted or raised then how = "give_up" end
  return { how, sql }, doubted, raised
end

--- The end of an attempt. A statement of a hook's may have ended the transaction before it failed.
local function finish(self)
  local db = self.run.db
  local ok, outcome = pcall(db.finish, db, "outcome")
  if ok then return outcome end
  if self.replaced and self.transaction_id and not db:is_lost() then
    local fate = identity.fate(db, self.transaction_id)
    if fate ~= "aborted" then error(identity.error(self, fate, outcome), 0) end
  end
  error(outcome, 0)
end

--- Step the migration from pause to pause. A hook that raises makes it give up.
local function drive(self)
  local db = self.run.db
  local handle, doubted, raised = db.handle, nil, nil
  db:run()
  self.transaction_id = handle:transaction_id() or self.transaction_id
  local point, index = handle:paused()
  while point do
    local resume
    resume, doubted, raised = at_pause(self, point, index)
    handle:resume(resume[1], resume[2])
    db:run()
    point, index = handle:paused()
  end
  local outcome = finish(self)
  if doubted then raised = verdict(self, doubted, raised) end
  if raised then error(raised, 0) end
  return outcome
end

-- ---- begin and end ---------------------------------------------------------

local function warn(self)
  if self.m.missing or self.plan.record_only then return end
  for _, warning in ipairs(source.read(self.m).script:warnings()) do
    self.run.emit {
      type = "warning", migration = self.m, message = warning.message, line = warning.line,
    }
  end
end

--- It is its turn; again when it is tried again.
function step:begin()
  self.run.current = self
  if self.started then return end
  warn(self)
  self.run.emit { type = "start", migration = self.m, direction = self.direction }
  self.started = core.now()
end

local function done_type(self)
  if self.plan.record_only then return "recorded" end
  return self.direction == "up" and "applied" or "rolled_back"
end

--- It is committed.
-- @param seconds how long it took, as the server says; nil: it was waited for, which tells
function step:finish(seconds)
  local run, duration = self.run, seconds or core.now() - self.started
  source.forget(self.m)
  run.current = nil
  run.done[#run.done + 1] = self.m
  if run.db.watch then run.db.watch:forget() end
  run.emit { type = done_type(self), migration = self.m, duration = duration }
  run:look("committed", self:context { duration = duration })
  run:progress(self)
end

--- It is left out.
function step:skip()
  source.forget(self.m)
  self.run.current = nil
  self.run.emit { type = "skipped", migration = self.m, message = self.skipped }
  self.run:progress(self)
end

-- ---- the attempt -----------------------------------------------------------

--- The script of a plan that only records rows.
local function empty_script(m)
  return core.parse_script("-- UP\n-- pgmig: empty\n", m.path), "up"
end

--- Read the file: once for all attempts.
function step:load()
  if self.script then return end
  if self.direction == "down" then source.check_down(self.m) end
  if self.plan.record_only then
    self.script, self.section = empty_script(self.m)
  else
    self.script, self.section = source.script(self.m, self.direction)
  end
  self.transaction = self.script:transaction(self.section)
  if not self:goes_ahead() and source.hold(self.m, self.script) then
    self.script = source.script(self.m, self.direction)
  end
end

--- Whether it records as applied what was left half-way.
function step:ends_unfinished()
  return self.plan.record_only ~= nil and self.m.unfinished ~= nil
end

--- Whether its requests can be on their way at once, with those of other migrations: nobody has to
-- look in between.
function step:goes_ahead()
  if self:ends_unfinished() then return false end
  if not (self.run.pipeline and self.transaction and self.m.id) then return false end
  if self.plan.record_only then return true end
  local hooks = self.run.hooks
  return not (source.fn(self.m, self.direction)
    or hooks:has "before_each" or hooks:has "before_statement" or hooks:has "after_statement"
    or hooks:has "progress" or hooks:has "after_each")
end

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

--- Whether it, or one of the run before it, may have put a trigger or a rule on the bookkeeping's
-- tables: its text names them, or need not; or it is code. To look costs every migration time.
local function may_be_watched(self)
  local run, script = self.run, self.script
  if self.plan.record_only then return false end
  run.triggers = run.triggers or source.fn(self.m, self.direction) ~= nil
    or script:mentions(run.ledger:bare_name()) or finds_tables(script)
  return run.triggers
end

--- What the core has to do.
-- @param resume for transaction=off: { revision, done } of pgmig.run.resume; nil: from the start
-- @return a job (conn:apply)
function step:job(resume)
  local run = self.run
  return {
    script = self.script, direction = self.direction, section = self.section,
    session = session_of(self), lock_timeout = run.lock_timeout, plain = not run.pipeline,
    watched = may_be_watched(self),
    ends_run = run.noted and self.m == self.plan[#self.plan] and run.token or nil,
    pauses = not self.plan.record_only and pauses(self) or nil,
    owner = self:owner(), revision = resume and resume.revision, done = resume and resume.done,
    entry = self:entry {
      event = self.plan.record_only or self.direction,
      -- nil: the core takes that of what it sends
      checksum = not source.is_streamed(self.m, self.script) and self:checksum() or nil,
    },
  }
end

--- Try once, pausing for the hooks.
-- @param resume as of `job`
-- @return "done", "raced" or "given_up"
-- @raise what made it fail
function step:try(resume)
  local run, m = self.run, self.m
  run.db:on_notice(function(notice)
    notice.type, notice.migration = "notice", m
    run.emit(notice)
  end)
  self.replaced = false -- whether a hook has replaced a statement
  if run.db.watch then run.db.watch:spare_snapshots(not self.transaction) end
  run.db.handle:apply(run.ledger.handle, { self:job(resume) })
  return drive(self)
end

return M
