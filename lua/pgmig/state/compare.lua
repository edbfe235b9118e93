--- Where a database stands: its tables and the folders compared, and what a run would do about it.
-- Every command that looks or writes begins here; one that writes, again with the lock held.
local drift = require "pgmig.state.drift"
local errors = require "pgmig.errors"
local needed = require "pgmig.needed"
local planning = require "pgmig.state.plan"
local recovery = require "pgmig.db.recovery"

local aftermath = needed "state.aftermath"

local M = {}

local DATABASE = "SELECT pg_catalog.current_database()::pg_catalog.text AS name"

local function persist(migrator, fn)
  return recovery.persist(migrator.db, migrator.reconnect, fn)
end

--- Files and tables compared; see `pgmig.state.plan`.
-- @param looks whether files are read for `find_drift`, while the server is busy
-- @return the comparison; the files; and what was found out about these
local function compare(migrator, read_files, looks)
  local set, work, seen
  local function get_files()
    if set then return end
    set = read_files(migrator)
    if migrator.ledger.shared then migrator.ledger.shared:learn(set) end
  end
  if looks then
    work, seen = drift.reader(function() return set and set.list end, migrator.db.breathe)
  end
  local read = persist(migrator, function()
    return migrator.ledger:read(migrator.db, get_files, work)
  end)
  return planning.compare(set, read), set, seen
end

--- The same with the lock held: first the runs that have not told how they ended are settled.
local function compare_locked(migrator, read_files, emit)
  local state, set = compare(migrator, read_files)
  if not state.read.left[1] then return state, set end
  local at_work = persist(migrator, function()
    return aftermath.wait(migrator.db, state.read.left)
  end)
  state, set = compare(migrator, function() return set end)
  aftermath.settle(migrator, state.read, at_work, emit)
  return compare(migrator, function() return set end) -- with what was written down
end

--- Where all files are missing, note where they were looked for.
local function note_place(migrator, state)
  if not state.all_missing then return end
  local row = persist(migrator, function() return migrator.db:ask_row("1 name:text", DATABASE) end)
  state.place = { dirs = migrator.dirs, database = row.name }
end

--- Find where the two do not fit together.
-- @param seen of `compare`; nil: the files have not been looked at
local function find_drift(migrator, state, suspects, seen)
  drift.find(state, suspects, seen, migrator.db.breathe)
  note_place(migrator, state)
end

--- What speaks against a plan; where another one is carried out behind it, also what will speak
-- against that, as its warnings.
-- @return warnings
-- @raise kinds "plan", "drift"
local function judge(migrator, state, plan)
  planning.check_unfinished(state, plan)
  if plan.again and plan[1] then
    local behind = drift.behind(state, plan)
    note_place(migrator, behind)
    planning.check_unfinished(behind, plan.again)
    plan.again.warnings = drift.judge(behind, migrator.policy, plan.again)
  end
  return drift.judge(state, migrator.policy, plan)
end

--- Read what is there. Creates and writes nothing.
-- @param migrator of pgmig.migrator, with a connection
-- @param read_files fn(migrator) returns the files; nil: as `migrator:files`
-- @return what `plan.compare` returns, with the states of `drift.find`; where all files are missing
--   also place = { dirs, database }
-- @return the files, as of `pgmig.files.list`
function M.read(migrator, read_files)
  local state, set, seen = compare(migrator, read_files or migrator.files, migrator.drift_check)
  find_drift(migrator, state, drift.suspects(state, migrator.drift_check), seen)
  return state, set
end

--- The same with the lock held, after writing down how runs ended that have not told.
-- @param emit fn(event)
function M.read_locked(migrator, emit)
  local state, set = compare_locked(migrator, migrator.files, emit)
  find_drift(migrator, state, drift.suspects(state, migrator.drift_check))
  return state, set
end

--- Whether the folder is another tool's, whose table may say more than pgmig's own, which is empty.
function M.may_be_untaken(migrator, has_applied)
  return not (has_applied or migrator.format.name == "pgmig" or migrator.ledger.shared)
end

-- ---- names that a database can keep --------------------------------------------

local ENCODING = "SELECT pg_catalog.current_setting('server_encoding') AS name"
local CONVERT = [[
  SELECT pg_catalog.convert(pg_catalog.decode('%s', 'hex'), 'UTF8', %s)::pg_catalog.text
    AS bytes]]
local NOT_THERE = "22P05" -- untranslatable_character (manual, appendix A)

-- Encodings that keep any bytes of UTF-8.
local keeps_all = { UTF8 = true, SQL_ASCII = true }

local function hex(text)
  return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function check_name(db, m, encoding)
  local sql = CONVERT:format(hex(m.name), db:quote_literal(encoding))
  local ok, err = pcall(db.ask_row, db, "1 bytes:text", sql)
  if ok then return end
  if not errors.is(err) or err.sqlstate ~= NOT_THERE then error(err, 0) end
  errors.raise("naming", ("the database cannot keep the file name: its encoding %s lacks a "
    .. "character of it"):format(encoding), { file = m.path, hint = "rename the file" })
end

--- Refuse names that have no place in a database's encoding.
-- @param db a connection
-- @param plan a list of migrations that are to be recorded
-- @raise kind "naming"
local function check_names(db, plan)
  local encoding
  for _, m in ipairs(plan) do
    if m.name:find "[\128-\255]" then
      encoding = encoding or db:ask_row("1 name:text", ENCODING).name
      if keeps_all[encoding] then return end
      check_name(db, m, encoding)
    end
  end
end

-- ---- a run -----------------------------------------------------------------------

--- Plan a run.
-- @param make fn(state, options) returns the plan (pgmig.state.plan)
-- @param options what it takes
-- @param event "baseline", "fake" or "unapplied" of a plan that only records rows; nil
-- @return the plan, with newest = the newest applied migration, ignored = paths, warnings, files =
--   what was read of the folders, left = runs that have not ended
-- @raise kinds "plan", "drift" for what the policy refuses, and "naming" for a name that the
--   database cannot keep
function M.plan(migrator, make, options, event)
  local state, set = M.read(migrator)
  local plan = make(state, options)
  plan.record_only, plan.files, plan.newest = event, set, state.applied[#state.applied]
  plan.left = state.read.left
  if plan.again then plan.again.files = set end
  plan.ignored = migrator.policy.ignored == "allow" and {} or set.ignored
  plan.warnings = judge(migrator, state, plan)
  local up = plan.direction == "up" and plan or plan.again
  if up then persist(migrator, function() return check_names(migrator.db, up) end) end
  return plan
end

--- Those of a plan that are applied by now: are they the same migrations?
local function suspects_of(state, plan)
  local suspects = drift.suspects(state, false)
  for _, m in ipairs(plan.direction == "up" and plan or {}) do
    local now = m.id and state.by_id[m.id]
    if now and state.read.rows.there[m.id] then suspects[#suspects + 1] = now end
  end
  return suspects
end

--- Nothing may have been applied on top of what is to be undone.
local function check_newest(state, plan)
  local newest = state.applied[#state.applied]
  if plan.direction ~= "down" or plan.record_only or not (plan.newest and newest) then return end
  if not planning.is_newer(newest, plan.newest) then return end
  errors.raise("plan", ("%s was applied by another run in the meantime"):format(newest.label), {
    hint = "nothing was rolled back: check the status, then decide again",
  })
end

local function new_warnings(plan, warnings)
  local known, fresh = {}, {}
  for _, warning in ipairs(plan.warnings or {}) do known[warning.message] = true end
  for _, warning in ipairs(warnings) do
    if not known[warning.message] then fresh[#fresh + 1] = warning end
  end
  return fresh
end

--- Decide again about a plan, with the lock held: what another run has done meanwhile is left out.
-- @param plan shortened
-- @param emit fn(event)
-- @return the migrations that were left out
-- @return warnings that are not among the plan's
-- @raise kinds "plan", "drift" where what was done meanwhile speaks against it
function M.decide(migrator, plan, emit)
  local read_files = plan.files and function() return plan.files end or migrator.files
  local state = compare_locked(migrator, read_files, emit)
  find_drift(migrator, state, suspects_of(state, plan))
  check_newest(state, plan)
  local warnings = judge(migrator, state, plan)
  return planning.drop_settled(plan, state.read), new_warnings(plan, warnings)
end

return M
