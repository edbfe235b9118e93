--- The tables of the bookkeeping, read and written through the core: the tracking table, its
-- history and its journal.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local needed = require "pgmig.needed"
local placement = needed "state.placement"
local privileges = needed "state.privileges"
local session = require "pgmig.db.session"
local version = require "pgmig.version"

local blockers = needed "db.blockers"

local hostname = core.hostname() -- asked once: a run may make a thousand entries

local M = {}
local ledger = {}
ledger.__index = ledger

local LOCK_TIMEOUT = 5 -- seconds
local PART = 0.8 -- of the time in which the server has to answer
local PREPARE_ATTEMPTS = 3 -- other runs may create the same tables

--- A ledger for a table's name; nothing is sent.
-- @param shared of pgmig.takeover.shared: it is another tool's table; or nil
-- @field lock_timeout how many seconds the tables' makers wait for a lock; nil: 5
-- @raise kind "usage" for an invalid name
function M.new(table_name, shared)
  local self = setmetatable({
    handle = core.ledger(table_name), name = table_name, shared = shared,
  }, ledger)
  if shared then self.handle:share(shared.layout) end
  return self
end

--- The key of a migration in the journal, and in marks.
function M.key(m) return m.id or "repeatable:" .. m.name end

--- What the history says of an event.
-- @param m the migration
-- @param run the run's token, `core.token()`
-- @param fields event, checksum, message, seconds = how long ago it began, applied_at; owner and
--   revision of the journal's row that it is about; of a failure also error = { sqlstate, detail,
--   file, line, column }; host and program of another run
-- @return { event, version, name, checksum, host, program, run, message, seconds, applied_at,
--   owner, revision, sqlstate, detail, file, line, column }
function M.entry(m, run, fields)
  local err = fields.error or {}
  return {
    event = fields.event, version = m.id, name = m.name, checksum = fields.checksum,
    host = fields.host or hostname, run = run,
    program = fields.program or "pgmig " .. version,
    message = fields.message, seconds = fields.seconds, applied_at = fields.applied_at,
    owner = fields.owner, revision = fields.revision,
    sqlstate = err.sqlstate, detail = err.detail, file = err.file, line = err.line,
    column = err.column,
  }
end

--- The tracking table's name, without its schema.
function ledger:bare_name() return self.name:match "[^.]+$" end

--- The tables' names, without their schema.
function ledger:tables()
  local name = self:bare_name()
  return { name, name .. "_history", name .. "_journal", name .. "_backfill" }
end

--- Let a failure say who has locked the tables.
local function name_blockers(self, db, err)
  if not errors.is(err, "lock") or db:is_lost() then return end
  blockers.name(err, db:seen_blockers() or blockers.of_tables(db, self:tables()))
end

local function finish(self, db)
  local ok, err = pcall(function()
    db:run(db:patience())
    db:finish(self.handle, db.handle)
  end)
  if ok then return end
  name_blockers(self, db, err)
  error(err, 0)
end

-- Operations that others queue behind while they wait, and that are tried again.
local is_polite = { prepare = true, widen = true }

--- Bound how long an operation waits for a lock: the server is to be the first to give up.
local function set_patience(self, db, operation)
  local most = db.watch and math.huge or db.response_timeout * PART
  local polite = is_polite[operation] and self.lock_timeout or LOCK_TIMEOUT
  local seconds = math.min(LOCK_TIMEOUT, most, polite)
  self.handle:set_patience(math.max(1, math.floor(seconds * 1000)))
end

local function perform(self, db, operation, argument)
  set_patience(self, db, operation)
  self.handle:start(db.handle, operation, argument)
  finish(self, db)
end

local verbs = {
  probe = "find the tables of", prepare = "create the tables of",
  advance = "advance the sequence of the history of", widen = "make room for a longer version in",
}

--- What a role has to be given, as the end of a sentence.
local function remedy(self, db)
  local role = db:quote_ident(db:ask_row("1 name:text",
    "SELECT current_user::pg_catalog.text AS name").name)
  local grant, of_schema = privileges.lacking(db, self.handle:qualified(), self:bare_name())
  if of_schema then
    return ("its owner can grant this role access: %s TO %s; or use another one: --table "
      .. "schema.table (option `table`)"):format(grant, role)
  end
  if grant then return ("its owner can grant this role access: %s TO %s"):format(grant, role) end
  return ("role %s is not allowed to do this: let the owner of the tables, or a member of that "
    .. "role, do it once")
    :format(role)
end

local INSUFFICIENT_PRIVILEGE, INVALID_SCHEMA_NAME, UNIQUE_VIOLATION = "42501", "3F000", "23505"

--- Tell what was tried: the server names only what stood in the way. Nothing has been changed.
local function refuse(self, db, operation, err)
  if errors.is(err, "lock") then
    err.message = ("cannot %s %s: %s"):format(verbs[operation] or "read the tables of",
      self.handle:qualified() or self.name, err.message)
    err.hint = err.hint or "another session holds a lock on them, or on something else that this "
      .. "needs"
  end
  if not errors.is(err, "sql") then error(err, 0) end
  local hint = err.hint
  if err.sqlstate == INSUFFICIENT_PRIVILEGE then
    hint = remedy(self, db)
  elseif err.sqlstate == INVALID_SCHEMA_NAME then
    hint = "create it, or use another one: --table schema.table (option `table`)"
  end
  errors.raise("plan", ("cannot %s %s: %s"):format(verbs[operation] or "read the tables of",
    self.handle:qualified() or self.name, err.message), {
    detail = err.detail, hint = hint, sqlstate = err.sqlstate,
  })
end

--- The hint about a migration that may not write these tables; nil: it is about something else.
local function hint_of_denied(self, db)
  local ok, grant = pcall(privileges.lacking, db, self.handle:qualified(), self:bare_name())
  return ok and grant and ("pgmig keeps its records there; the owner can grant this role access: "
    .. "%s TO ROLE")
    :format(grant) or nil
end

--- Give an error that a migration met at these tables the hint that helps.
function ledger:explain(db, err)
  if not errors.is(err, "sql") then return end
  local key = self:bare_name() .. "_history_pkey"
  if err.sqlstate == UNIQUE_VIOLATION and err.message:find(key, 1, true) then
    err.hint = ("the sequence of the history is behind its rows, as after a restore; its owner can "
      .. "set it: SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence('%s_history', 'id'), "
      .. "pg_catalog.max(id)) FROM %s_history"):format(self.name, self.name)
  end
  if err.hint or err.sqlstate ~= INSUFFICIENT_PRIVILEGE then return end
  err.hint = hint_of_denied(self, db)
end

local function operate(self, db, operation, argument)
  local ok, err = pcall(perform, self, db, operation, argument)
  if not ok then refuse(self, db, operation, err) end
end

local function rows(self, db, operation, argument)
  operate(self, db, operation, argument)
  return db.handle:rows()
end

--- Whether another schema's table may be meant: it is not where it was looked for, or it is empty,
-- and the name says no schema.
local function may_be_elsewhere(self, exists)
  return self.handle:exists() == exists and not self.name:find(".", 1, true)
end

--- A function that looks for such tables in other schemas.
local function elsewhere(self, db)
  return function(used) return rows(self, db, "elsewhere", used) end
end

--- Refuse an empty table where there is a fuller one.
local function check_empty(self, db, list, marks)
  if list.count > 0 or next(marks.checksum) or not may_be_elsewhere(self, true) then return end
  placement.check_empty(self, db, elsewhere(self, db))
end

--- Whether a history is there and the journal is not, which every version of pgmig makes with it.
function ledger:lacks_journal()
  return self.handle:format() >= 2 and not self.handle:journaled()
end

--- Look for the tables.
-- @param meanwhile called while the server does; nil
-- @raise kind "plan" for tables that are not ours, and what `meanwhile` raises
function ledger:probe(db, meanwhile)
  set_patience(self, db)
  self.handle:start(db.handle, "probe")
  local ok, err = true, nil
  if meanwhile then ok, err = pcall(meanwhile) end
  local found, problem = pcall(finish, self, db) -- whatever that raised: an answer is on its way
  if not ok then error(err, 0) end
  if not found then refuse(self, db, "probe", problem) end
  db:note_server(db.handle:rows()[1])
  if self.handle:doubted() then operate(self, db, "trust") end
  if may_be_elsewhere(self, false) then placement.check_missing(self, db, elsewhere(self, db)) end
  if self.handle:hidden() then placement.refuse_hidden(self, db) end
end

--- A column of JSON strings that need no escapes, as what they say. The server would take longer to
-- unwrap them all than to make them, and few are looked at.
local function unquoted(column)
  return setmetatable({}, {
    __index = function(_, i) return column[i] and column[i]:sub(2, -2) end,
  })
end

--- The tracking table's rows as the last result has them; nil: there is no table.
local function take_list(self, db)
  local list = { count = 0, id = {} }
  if db then
    local count, columns = db.handle:columns()
    list, columns.count = columns, count
    columns.applied_at = unquoted(columns.applied_at)
    for i = 1, self.shared and 0 or count do list.name[i] = list.name[i] or "" end
    if self.shared then self.shared:convert(list) end
  end
  list.there = {}
  for i = 1, list.count do list.there[list.id[i]] = i end
  return list
end

--- The tracking table's rows, by version; there may be ten thousand, so they are kept by column.
-- @return { count, id, name, applied_at, applied_at_epoch = lists; there = places by id }
function ledger:list(db)
  if not self.handle:exists() then return take_list(self) end
  operate(self, db, "list")
  return take_list(self, db)
end

-- Whether a migration counts as applied behind an event.
local applies = {
  up = true, baseline = true, fake = true, adopted = true, down = false, unapplied = false,
}

local keeps_nothing = { failed = true, unknown = true, interrupted = true, resolved = true }

--- Whether an event says that a migration has not gone well.
function M.is_failure(event) return event ~= "resolved" and keeps_nothing[event] or false end

--- A function that keeps of each key the value that a column has last.
local function last(name)
  return function(columns, count)
    local found, keys, values = {}, columns.key, columns[name]
    for i = 1, count do
      local key, value = keys[i], values[i]
      if value ~= nil or found[key] ~= nil then found[key] = value end
    end
    return found
  end
end

--- The same of checksums alone, of the events that keep something, or of the others.
local function last_checksum(of_failures)
  return function(columns, count)
    local found, keys, events, values = {}, columns.key, columns.event, columns.checksum
    for i = 1, count do
      local key = keys[i]
      local counts = (keeps_nothing[events[i]] or false) == of_failures
      if counts and (values[i] or found[key]) then found[key] = values[i] end
    end
    return found
  end
end

local function last_applied(columns, count)
  local found = {}
  for i = 1, count do
    local is_applied = applies[columns.event[i]]
    if is_applied ~= nil then found[columns.key[i]] = is_applied end
  end
  return found
end

local marks_of = {
  event = last "event", run = last "run", message = last "message", at = last "at",
  sqlstate = last "sqlstate", detail = last "detail", line = last "line",
  checksum = last_checksum(false), tried = last_checksum(true), applied = last_applied,
}

--- What the history says last of each migration, of the last result; nil: there is no history. Each
-- table is made when somebody asks for it, which most runs do for few: there may be ten thousand
-- rows.
local function take_marks(self, db)
  local count, columns = 0, { key = {}, event = {} }
  if db then count, columns = db.handle:columns() end
  local marks = setmetatable({}, {
    __index = function(marks, name)
      local made = marks_of[name](columns, count)
      rawset(marks, name, made)
      return made
    end,
  })
  if self.shared then marks.applied = {} end
  return marks
end

local function hashes(array)
  local list = {}
  for hash in (array or ""):gmatch "%x+" do list[#list + 1] = hash end
  return list
end

--- Whether nobody has told what became of the statement under way, or how much of it.
-- @param row of `journal`
function M.is_unknown(row) return row.state == "running" or row.state == "partial" end

--- Why a run cannot go on behind the finished statements, unless somebody says that it can; nil.
-- @param row of `journal`
function M.obstacle(row)
  if #row.done == 0 then return nil end
  if row.gone then return "what its finished statements worked on no longer "
    .. "exists: " .. row.gone end
  local lost = row.lost ~= "" and row.lost
    or not row.session_known and "settings that may have applied to one transaction only"
  return lost and "the rest of it may depend on its session's state: " .. lost or nil
end

local function journal_row(row)
  row.owner, row.done, row.revision = row.owner or "", hashes(row.done), row.revision or 0
  row.existed, row.invalid = hashes(row.existed), hashes(row.invalid)
  return row
end

--- What a run was about to do, as a text, and back.
local function plan_text(plan)
  local lines = {}
  for i, m in ipairs(plan) do lines[i] = (m.id or "") .. " " .. m.name:gsub("%s", "_") end
  return table.concat(lines, "\n")
end

local function plan_of(text)
  local plan = {}
  for id, name in text:gmatch "(%d*) ([^\n]*)" do
    plan[#plan + 1] = { id = id ~= "" and id or nil, name = name }
  end
  return plan
end

local function run_row(row)
  return {
    run = row.migration, direction = row.direction, host = row.owner, program = row.running,
    plan = plan_of(row.statement or ""), db_user = row.db_user, started_at = row.started_at,
    pid = row.pid, backend_start = row.backend_start, server_start = row.server_start,
  }
end

--- The journal's rows of the last result, and the runs among them; nil: there is no journal.
local function take_journal(db)
  local journal, runs = {}, {}
  for _, row in ipairs(db and db.handle:rows() or {}) do
    if row.state == "run" then
      runs[#runs + 1] = run_row(row)
    else
      journal[row.migration] = journal_row(row)
    end
  end
  return journal, runs
end

local function has_journal(self) return self.handle:format() >= 2 and self.handle:journaled() end

--- Migrations with transaction=off that are under way or were left.
-- @return { [key] = { migration = key, direction, owner, revision, state, done = hashes, running,
--   statement, relation, target, existed and invalid = oids, pid, backend_start, server_start,
--   db_user, lost, session_known, gone, started_at } }; key as `M.key`
-- @return runs that have not ended: { { run, direction, host, program, plan = { { id, name } },
--   db_user, started_at, pid, backend_start, server_start } }
function ledger:journal(db)
  if not has_journal(self) then return take_journal() end
  operate(self, db, "journal")
  return take_journal(db)
end

--- What all tables say at one moment; `probe` comes first.
-- @return { rows = as of `list`, journal and left = as of `journal`, marks = what the history says
--   last of each migration: { event, run, checksum = the last one recorded, tried = that of a
--   failure, message, sqlstate, detail and line of a failure, at of a failure or a repeatable one,
--   applied = whether it counts as that; of another tool's table nothing, as the tool may have
--   changed it }, each by key (`M.key`) }
function ledger:look(db)
  local exists, has_history = self.handle:exists(), self.handle:format() > 0
  if exists or has_history then operate(self, db, "read") end
  --- The connection, with the next result; nil where the table that it is of is not there.
  local function result_of(there) return there and db.handle:next_result() and db or nil end
  local read = {
    rows = take_list(self, result_of(exists)),
    marks = take_marks(self, result_of(has_history)),
  }
  read.journal, read.left = take_journal(result_of(has_journal(self)))
  return read
end

--- Call a function, and do other work where it would wait for a short answer.
-- @param work fn() does a piece; returns whether there was one; nil: none
local function beside(db, work, fn)
  local own = db.wait
  local ok, err = db:driven_by(function(...)
    if work and work() then return nil end -- the answer may be there
    work = nil
    return own(...)
  end, fn)
  if not ok then error(err, 0) end
end

--- Look for the tables and read all that is needed to compare it with files. Creates nothing.
-- @param meanwhile called while the server looks for the tables; nil
-- @param work behind that, done piece by piece for as long as the server does: fn() returns whether
--   it has done something; nil
-- @return as of `look`
-- @raise as `probe`
function ledger:read(db, meanwhile, work)
  local read
  beside(db, work, function()
    self:probe(db, meanwhile)
    read = self:look(db)
  end)
  check_empty(self, db, read.rows, read.marks)
  return read
end

--- The newest events of the history, oldest first.
-- @param limit how many; nil: all
function ledger:history(db, limit)
  self:probe(db)
  if self.handle:format() == 0 then
    check_empty(self, db, self:list(db), { checksum = {} })
    return {}
  end
  return rows(self, db, "history", limit and ("%d"):format(limit))
end

--- Record an event, with what changes together with it.
-- @param change "none", "name", "row", "done", "redo" or "restart" (pgmig.h, enum
--   pgmig_ledger_change)
-- @param entry of entry; for a change of the journal's row, with its owner and revision
function ledger:record(db, change, entry)
  self.handle:record(db.handle, change, entry)
  finish(self, db)
end

--- Note that a run begins, so that the next one learns of it should it be cut off.
-- @param direction "up" or "down"
-- @param plan the migrations
-- @param fields { run, host, program, name } as of an entry
function ledger:begin_run(db, direction, plan, fields)
  fields.event = direction
  self.handle:begin_run(db.handle, fields, plan_text(plan))
  finish(self, db)
end

--- Note that a run has ended.
function ledger:end_run(db, token)
  self.handle:end_run(db.handle, token)
  finish(self, db)
end

--- Take over a migration in the journal.
-- @param entry as of `entry`, with owner and revision as the row was read
-- @param by the new owner
-- @return the row as it is now; nil when it is no longer as it was read
function ledger:take(db, entry, by)
  self.handle:take(db.handle, entry, by)
  finish(self, db)
  local row = db.handle:rows()[1]
  return row and journal_row(row)
end

--- Give an INVALID index a name that nobody else gives, as long as the row is as it was read.
-- @param entry as of `entry`, with owner and revision
-- @param index { oid, name = qualified and quoted, set_aside = the new name }
-- @raise SQLSTATE 22012: another run has taken the row over; 2201E: the index is another one, or
--   not INVALID
function ledger:set_aside(db, entry, index)
  self.handle:set_aside(db.handle, entry, index)
  finish(self, db)
end

--- Record migrations that another tool has applied, all in one transaction.
-- @param entries list as of `entry`, with applied_at
function ledger:adopt(db, entries)
  self.handle:adopt(db.handle, entries)
  finish(self, db)
end

--- The longest version of a plan; nil when none has one.
local function widest(plan)
  local id
  for _, m in ipairs(plan) do
    if m.id and (not id or core.compare(m.id, id) > 0) then id = m.id end
  end
  return id
end

--- Refuse to write where that is impossible, or where nobody would know the table's place.
-- @raise kind "plan"
function ledger:check_writable()
  if not self.handle:read_only() then return end
  errors.raise("plan", "this server is a standby: migrations run on the primary", {
    hint = "connect to the primary, or list several hosts with target_session_attrs=read-write",
  })
end

--- Create what is missing: other runs, or other programs, may do the same.
local function complete(self, db)
  for _ = 1, PREPARE_ATTEMPTS do
    if self.handle:complete() then return end
    local before = session.note(db)
    operate(self, db, "prepare")
    session.restore(db, before) -- event triggers may have changed it
    self:probe(db)
  end
  if not self.handle:complete() then
    errors.raise("plan", ("the tables of %s cannot be created"):format(self.name))
  end
end

--- What `prepare` would send, as a text; `read` comes first.
-- @return a list of SQL texts, each of them one transaction
function ledger:preparation(db, plan)
  self:check_writable()
  set_patience(self, db, "prepare")
  local list = {}
  local function add(operation, argument)
    list[#list + 1] = self.handle:text(db.handle, operation, argument)
  end
  if not self.handle:complete() then add "prepare" end
  add "advance"
  local id = widest(plan)
  if id and not self.handle:fits(id) then add("widen", id) end
  return list
end

--- Make the tables ready to take a plan's rows; `read` comes first.
function ledger:prepare(db, plan)
  self:check_writable()
  complete(self, db)
  operate(self, db, "advance")
  local id = plan and plan.direction == "up" and widest(plan)
  if id and not self.handle:fits(id) then operate(self, db, "widen", id) end
end

return M
