--- How an attempt has left a migration that is not as it should be, and what helps: `up`, `status`
-- and `doctor` say the same of it.
local core = require "pgmig.core"
local ledger = require "pgmig.state.ledger"
local shell = require "pgmig.shell"
local source = require "pgmig.files.source"
local texts = require "pgmig.texts"

local M = {}

-- ---- what the journal says -------------------------------------------------

--- The first finished statement that is not in the file any more as it was run.
-- @param script the migration's
-- @param section of it
-- @param hashes of the finished statements, as of the journal's row
-- @return its number, and its line where it has one; nil when there is none
function M.edited(script, section, hashes)
  for index, hash in ipairs(hashes) do
    local known, statement = pcall(script.statement, script, section, index)
    if not known then return index end
    if core.checksum(statement.sql) ~= hash then return index, statement.line end
  end
end

--- What is safe to run a second time, whatever became of the first.
local repeatable_kinds = {
  VACUUM = true, ANALYZE = true, ["ALTER SYSTEM"] = true, CHECKPOINT = true, CLUSTER = true,
  ["DISCARD ALL"] = true, ["REINDEX"] = true,
}

--- How a run finds out what became of the statement that was under way.
-- @param row of the journal, with a statement
-- @return "index": the catalogs say it; "again": it may run again; nil: nobody can know
-- @return its change of an index, in the first case
function M.settles(row)
  local statement = core.statement(row.statement or "")
  local change = statement.index_change
  if change and change.concurrently then return "index", change end
  local again = repeatable_kinds[statement.kind:match "^%S+"] or repeatable_kinds[statement.kind]
  return (again or row.state == "failed") and "again" or nil
end

--- The line of the statement under way, in a file that has it as it was sent.
-- @return the line; nil
function M.line_of(script, section, row)
  local known, statement = pcall(script.statement, script, section, #row.done + 1)
  return known and core.checksum(statement.sql) == row.running and statement.line or nil
end

-- ---- what has failed -------------------------------------------------------

-- What has to be done, by SQLSTATE (manual, appendix A), or its class. Nothing: it may succeed as
-- it is when it runs again.
local demands = {
  ["08"] = "nothing", ["40"] = "nothing", ["57"] = "nothing",
  ["55P03"] = "nothing", ["55006"] = "nothing", ["25P03"] = "nothing", ["25P04"] = "nothing",
  ["22"] = "data", ["23"] = "data", ["P0"] = "data", ["21000"] = "data", ["44000"] = "data",
  ["23505"] = "duplicates",
  ["42501"] = "right",
  ["25006"] = "primary", -- read_only_sql_transaction
  ["53"] = "resources",
  ["58"] = "log", ["XX"] = "log", -- of the system, internal
  ["58P01"] = "cause", ["58P02"] = "cause", -- a file on the server
}

--- What has to be done before it can run: nothing, or something to the data, the file or whatever.
local function demand_of(failure)
  local state, event = failure.sqlstate, failure.event
  if event == "interrupted" then return "nothing" end
  if not state then return failure.line and "file" or "cause" end
  if state == "57014" and failure.message:find("statement timeout", 1, true) then
    return "timeout" -- as a server says in English
  end
  return demands[state] or demands[state:sub(1, 2)] or "file"
end

local corrections = { -- before it runs again
  data = "correct the data, or the file",
  duplicates = "remove the duplicates, or correct the file",
  right = "grant the right that is missing, or correct the file",
  primary = "connect to a server that can be written to, or correct the file",
  resources = "give the server what it has run out of",
  log = "see the server's log",
  cause = "remove the cause",
  file = "correct the file",
  timeout = "give it time with `-- pgmig: statement_timeout=0` in the file",
}

--- What has to be done before what failed can run again; nil: nothing.
-- @param failure { sqlstate, message, line, event }
-- @return the beginning of a sentence
function M.correction(failure) return corrections[demand_of(failure)] end

--- What has failed, and why, as far as the server has told.
local function cause_of(failure)
  local place = failure.line and (", in line %d"):format(failure.line) or ""
  local detail = failure.detail and failure.detail:gsub("%.?%s*\n%s*", "; "):gsub("%.$", "")
  detail = detail and (" (%s)"):format(detail) or ""
  return ("%s: %s%s"):format(place, failure.message, detail)
end

--- Do what is demanded of a file, then go on.
local function go_on(m, failure, command)
  local demand = demand_of(failure)
  if demand ~= "file" and demand ~= "timeout" then return command end
  return shell.edit(m.path) .. " && " .. command
end

--- An applied one, whose rollback has failed.
local function describe_still_applied(m)
  local message = m.failure.message
  if m.failure.event ~= "interrupted" then
    message = ("the rollback failed at %s%s"):format(m.failure.at, cause_of(m.failure))
  end
  return {
    kind = "failed", message = ("%s is still applied: %s"):format(m.label, message),
    hint = "roll it back again with pgmig down, or leave it applied",
    remedy = "pgmig repair " .. m.shown,
  }
end

local function describe_failure(m)
  local failure = m.failure
  if m.row then return describe_still_applied(m) end
  local message = ("%s failed at %s%s"):format(m.label, failure.at, cause_of(failure))
  if failure.event == "interrupted" then message = ("%s: %s"):format(m.label, failure.message) end
  local correction = M.correction(failure)
  return {
    kind = "failed", message = message,
    hint = correction and correction .. ", then run it again" or "run it again",
    remedy = go_on(m, failure, "pgmig up"),
  }
end

-- ---- what was left half-way ------------------------------------------------

local function stopped(m) return ("%s stopped at statement %d"):format(m.label,
  m.unfinished.done + 1) end

local function restart(m) return ("pgmig resolve %s --restart"):format(m.shown) end

--- Its rest, after a person's word.
local function redo(m)
  return ("pgmig resolve %s --redo && pgmig %s"):format(m.shown, m.unfinished.direction)
end

local function describe_stale(m)
  return {
    kind = "stale_journal", message = ("the journal has an unfinished %s of %s, which has "
      .. "completed since"):format(m.unfinished.direction, m.label),
    hint = "discard that entry", remedy = restart(m),
  }
end

local function describe_missing(m)
  return {
    kind = "unfinished", message = stopped(m) .. ", and its file is missing",
    hint = "restore it; or undo by hand what it did, and discard its progress", remedy = restart(m),
  }
end

local function describe_edited(m, index, line)
  return {
    kind = "unfinished", message = ("%s, and statement %d%s was edited after it was run"):format(
      stopped(m), index, line and (", line %d,"):format(line) or ""),
    hint = "restore its text; or undo by hand what the file has done so far, and let it start "
      .. "again",
    remedy = restart(m),
  }
end

--- A statement that its server process still works on, without a run.
local function describe_busy(m)
  local row = m.unfinished.row
  local stop = row.pid and ("; to stop it: SELECT pg_catalog.pg_terminate_backend(%d)"):format(
    row.pid) or ""
  return {
    kind = "running", message = ("statement %d of %s is still running on the server, though its "
      .. "run has ended: %s"):format(#row.done + 1, m.label, texts.excerpt(row.statement or "")),
    hint = "wait for it, as the next run does" .. stop, remedy = "pgmig " .. m.unfinished.direction,
  }
end

local function describe_unknown(m, line)
  local row = m.unfinished.row
  local what = row.state == "partial" and "failed, and what it had committed before is not known"
    or "was under way when its run ended, and whether it took effect is not known"
  return {
    kind = "unknown", message = ("statement %d of %s%s %s: %s"):format(#row.done + 1, m.label,
      line and (", line %d,"):format(line) or "", what, texts.excerpt(row.statement or "")),
    hint = ("look into the database; if it took effect: pgmig resolve %s --done; if it did not")
      :format(m.shown),
    remedy = redo(m),
  }
end

local function describe_obstacle(m)
  return {
    kind = "unfinished", message = ("%s, and %s"):format(stopped(m), m.unfinished.obstacle),
    hint = "finish or undo it by hand, as `pgmig up` says; if that does no harm to the rest",
    remedy = redo(m),
  }
end

--- A run can go on, perhaps after something was corrected.
local function describe_resumable(m)
  local failure, command = m.failure, "pgmig " .. m.unfinished.direction
  local correction = failure and M.correction(failure)
  return {
    kind = "unfinished", message = stopped(m) .. (failure and cause_of(failure) or ""),
    hint = (correction and correction .. "; " or "") .. "a run resumes there",
    remedy = failure and go_on(m, failure, command) or command,
  }
end

--- Whether no run can tell what became of the statement under way; one that could not has said so.
local function is_unknown(m)
  local row = m.unfinished.row
  if not ledger.is_unknown(row) then return false end
  return not M.settles(row) or (m.failure ~= nil and m.failure.event == "unknown")
end

--- Its script, and which section of that; nil where there is none to compare with.
local function script_of(m)
  if m.language == "lua" then return nil end
  local ok, script, section = pcall(source.script, m, m.unfinished.direction)
  if ok then return script, section end
end

--- In the order in which a run looks (pgmig.run.resume).
local function describe_unfinished(m)
  local left = m.unfinished
  local stale = (left.direction == "up") == (m.row ~= nil) and not m.repeatable
  if stale then return describe_stale(m) end
  if left.row.busy then return describe_busy(m) end
  if m.missing then return describe_missing(m) end
  local script, section = script_of(m)
  local index, line
  if script then index, line = M.edited(script, section, left.row.done) end
  if index then return describe_edited(m, index, line) end
  if is_unknown(m) then
    return describe_unknown(m, script and M.line_of(script, section, left.row))
  end
  if left.obstacle then return describe_obstacle(m) end
  return describe_resumable(m)
end

--- What is to be said of a migration that has failed or was left half-way.
-- @param m of `pgmig.state.plan.compare`
-- @return { kind = "failed", "unfinished", "unknown", "running" or "stale_journal"; message = a
--   sentence; hint = what to do; remedy = a shell command that does it }; nil: nothing
function M.describe(m)
  if not m.unfinished then return m.failure and describe_failure(m) end
  local said = describe_unfinished(m)
  source.discard(m)
  return said
end

return M
