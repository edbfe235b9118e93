--- Everything that is odd about a database and its migrations, in plain words: the cause first,
-- then the command that helps. Where only a person can know what helps, there is no command.
local aftermath = require "pgmig.state.aftermath"
local at_work = require "pgmig.upkeep.at_work"
local broken_indexes = require "pgmig.upkeep.broken_index"
local drift = require "pgmig.state.drift"
local errors = require "pgmig.errors"
local failures = require "pgmig.state.failure"
local formats = require "pgmig.formats"
local ledger = require "pgmig.state.ledger"
local planning = require "pgmig.state.plan"
local remedies = require "pgmig.upkeep.remedy"
local resume = require "pgmig.run.resume"
local shell = require "pgmig.shell"
local tracking = require "pgmig.takeover.tracking"

local M = {}

local function psql(sql) return 'psql "$DATABASE_URL" -c ' .. shell.quote(sql) end

-- ---- files and tables ------------------------------------------------------

local function repair(m) return "pgmig repair " .. m.shown end

--- The remedy of each state of drift: fn(m, help, policy), help of pgmig.upkeep.remedy.
local of_drift = {
  edited = repair,
  unreadable = function(m) return remedies.allow(m.path) end,
  renamed = repair,
  replaced = function(m, help) return help:renumber(m) or shell.edit(m.path) end,
  missing = function(m, help) return help:bring_back(m) end,
  renumbered = function(m, help) return help:renumber(m, m.applied_as.text) end,
  out_of_order = function(m, help, policy)
    if policy.out_of_order == "error" then return help:renumber(m) end
    return "pgmig up"
  end,
}

--- Whether `repair --all` would change a migration.
local function is_repairable(m)
  local odd = m.state ~= "applied" and m.state ~= "missing" and m.row ~= nil
  return odd or m.state == "forgotten" or m.failure ~= nil
    or m.row and not (m.missing or m.recorded_checksum)
end

--- Repair some migrations, and no others.
local function repair_only(list, all)
  if not list[2] then return repair(list[1]) end
  local meant, versions = {}, {}
  for i, m in ipairs(list) do meant[m], versions[i] = true, m.shown end
  for _, m in ipairs(all) do
    if not meant[m] and is_repairable(m) then
      return ('for v in %s; do pgmig repair "$v"; done'):format(table.concat(versions, " "))
    end
  end
  return "pgmig repair --all"
end

--- Those of a list that a function chooses.
local function those(list, chosen)
  local found = {}
  for _, m in ipairs(list) do
    if chosen(m) then found[#found + 1] = m end
  end
  return found
end

local function of_forgotten(all, add)
  local list = those(all, function(m) return m.state == "forgotten" end)
  if not list[1] then return end
  add("forgotten", (drift.describe_forgotten(list)), repair_only(list, all),
    not list[2] and list[1] or nil)
end

local function of_state(migrator, m, help, add)
  if m.state == "forgotten" then return end -- all of them are one finding
  if m.renumbered_as and m.state == "missing" then return end -- that one has the remedy
  local sentence, hint = drift.describe(m)
  if not sentence then return end
  local remedy = of_drift[m.state](m, help, migrator.policy)
  local last = ": " .. (remedy or "")
  if hint:sub(-#last) == last then hint = hint:sub(1, -#last - 1) end -- it comes below
  add(m.state, sentence .. "; " .. hint, remedy, m)
end

local function of_unrecorded(all, add)
  local list = those(all, function(m)
    return m.state == "applied" and not (m.repeatable or m.missing or m.recorded_checksum)
  end)
  if not list[1] then return end
  add("no_checksum", ("%d applied migrations have no recorded checksum, because another tool or "
    .. "an older version applied them: edits of their files go unnoticed"):format(#list),
    repair_only(list, all))
end

local function look_at_drift(migrator, status, help, add)
  local all = planning.all(status)
  if status.warning then
    add("all_missing", status.warning .. " `pgmig config` shows both; set the folder with --dir, "
      .. "the database with --database")
  end
  of_forgotten(all, add)
  for _, m in ipairs(all) do
    if m.state ~= "missing" or not status.warning then
      of_state(migrator, m, help, add)
    end
  end
  of_unrecorded(all, add)
end

--- What helps with a file: of another tool's, what is wrong may be the format.
local function of_problem(problem, help)
  local format = problem.message:match "%-%-format ([%w-]+)"
  if format then return ("pgmig --format %s status"):format(format) end
  if problem.kind == "io" then return remedies.allow(problem.path) end
  if problem.kind ~= "naming" or problem.migration then return shell.edit(problem.path) end
  return help:separate(problem.path)
end

local function look_at_files(migrator, status, help, add)
  for _, problem in ipairs(status.problems) do
    local m = problem.migration
    if not (m and m.state == "unreadable") then -- which is told already
      add(problem.kind, problem.message, of_problem(problem, help), m)
    end
  end
  local code = migrator.naming.foreign
  for _, path in ipairs(status.ignored) do
    local remedy = help:name(path)
    local first = remedy and "if it is a migration, name it like one, else "
      or code and path:find(code) and "write it again in SQL or Lua, or " or ""
    add("ignored", ("%s %s and is never run; %smove it out of the folder"):format(path,
      status.reasons[path], first), remedy)
  end
end

-- ---- attempts --------------------------------------------------------------

--- What the journal that is gone would have said: a run makes it again, but for one that has failed
-- half-way.
local function look_at_lost_journal(migrator, status, add)
  if not migrator.ledger:lacks_journal() then return end
  local failed = those(planning.all(status), resume.has_failed_half_way)
  for _, m in ipairs(failed) do
    add("unknown", ("%s failed at %s: %s; the journal, which recorded its progress, no longer "
      .. "exists; find out which of its statements are done, and undo them or remove them from the "
      .. "file"):format(m.label, m.failure.at, m.failure.message), repair(m) .. " && pgmig up", m)
    m.failure = nil
  end
  if failed[1] then return end
  add("no_journal", "the journal no longer exists: the progress of a migration with "
    .. "transaction=off is not known any more; the next run creates the table again", "pgmig up")
end

local function of_attempt(m, add)
  local said = failures.describe(m)
  if said then add(said.kind, said.message .. "; " .. said.hint, said.remedy, m) end
end

--- A run that has not told how it ended, where its migration's journal does not tell more.
local function of_run(left, status, is_busy, add)
  local message, m = aftermath.describe(left, status.read, is_busy)
  if not m then return end
  local row = status.read.journal[ledger.key(m)]
  if row and row.owner:sub(1, #left.run) == left.run then return end
  local remedy = "pgmig up"
  if left.direction == "down" then remedy = "pgmig repair " .. shell.word(m.id or m.name) end
  add("interrupted", ("%s: %s; the next run records that"):format(aftermath.label(m), message),
    remedy)
end

local function look_at_attempts(migrator, status, add)
  look_at_lost_journal(migrator, status, add)
  for _, m in ipairs(planning.all(status)) do of_attempt(m, add) end
  local busy = aftermath.wait(migrator.db, status.read.left)
  for _, left in ipairs(status.read.left) do of_run(left, status, busy[left.run], add) end
end

-- ---- the database ----------------------------------------------------------

local function look_at_indexes(migrator, status, add)
  for _, index in ipairs(broken_indexes.list(migrator.db, status.read.journal)) do
    add("invalid_index", index.message, psql(index.remedy))
  end
end

--- A run at work is healthy; a lock that nobody works under is in the way.
local function of_holder(who, status, add)
  local sentence, hint = at_work.describe(who, status.read)
  local is_idle = not who.worker and who.pid
  add(who.worker and "running" or "locked", sentence .. "; " .. hint,
    is_idle and psql(("SELECT pg_catalog.pg_terminate_backend(%d)"):format(who.pid)) or nil)
end

local function look_at_server(migrator, status, add)
  if migrator.ledger.handle:read_only() then
    add("standby", "this server is a standby: migrations run on the primary; connect to that, or "
      .. "list all hosts with target_session_attrs=read-write")
  end
  look_at_indexes(migrator, status, add)
end

--- What to do about a table of another program's: take over from it, where it is known.
local function leave_alone(migrator)
  for _, name in ipairs(formats.names) do
    local how = formats.find(name).tracking
    local same = name ~= "pgmig" and how.table == migrator.ledger.name
    if same and tracking.exists(migrator.db, how) then
      return "pgmig adopt --from " .. name
    end
  end
  return "pgmig --table pgmig_migrations status"
end

--- Leave out what was not there before: what a run leaves that has begun meanwhile is its own.
local function drop_new(status, before)
  local known, old = {}, {}
  for _, left in ipairs(before.read.left) do known[left.run] = true end
  for _, row in pairs(before.read.journal) do known[row.owner] = true end
  for _, left in ipairs(status.read.left) do
    if known[left.run] then old[#old + 1] = left end
  end
  status.read.left = old
  for _, m in ipairs(planning.all(status)) do
    if m.unfinished and not known[m.unfinished.owner] then m.unfinished, m.failure = nil, nil end
  end
end

--- The status, and who is at work. A run may have ended after its traces were read: where there are
-- some, and nobody is at work, they are read again.
local function look(migrator)
  local status = migrator:status()
  local who = status.at_work or at_work.find(migrator, status.read)
  if who or not (status.read.left[1] or next(status.read.journal)) then return status, who end
  local again = migrator:status()
  drop_new(again, status)
  return again, again.at_work
end

--- What is found where the tables cannot be read.
local function of_unclear(migrator, err, add)
  if not errors.is(err, "plan") or err.sqlstate then error(err, 0) end
  local message = err.message .. (err.detail and " (" .. err.detail .. ")" or "")
  if err.code ~= "unclear_table" then
    return add("foreign_table", message, err.remedy or leave_alone(migrator))
  end
  add(err.code, message .. "; " .. err.hint, err.remedy)
end

--- Look at everything. Changes nothing.
-- @return a list of { kind, message, remedy = a shell command, nil where only a person can know
--   what helps, migration }; empty when all is well
function M.examine(migrator)
  local findings = {}
  local function add(kind, message, remedy, m)
    findings[#findings + 1] = { kind = kind, message = message, remedy = remedy, migration = m }
  end
  local ok, status, who = pcall(look, migrator)
  if not ok then
    of_unclear(migrator, status, add)
    return findings
  end
  local help = remedies.new(migrator, status)
  if who then of_holder(who, status, add) end
  local untaken = status.untaken
  if untaken then add("untaken", untaken.message .. "; " .. untaken.hint, untaken.remedy) end
  look_at_drift(migrator, status, help, add)
  if not who then look_at_attempts(migrator, status, add) end
  look_at_files(migrator, status, help, add)
  look_at_server(migrator, status, add)
  return findings
end

return M
