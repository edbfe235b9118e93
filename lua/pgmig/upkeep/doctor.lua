--- Everything that is odd about a database and its migrations, in plain words, with the command
-- that repairs it.
local aftermath = require "pgmig.state.aftermath"
local create = require "pgmig.files.create"
local drift = require "pgmig.state.drift"
local errors = require "pgmig.errors"
local files = require "pgmig.files.list"
local formats = require "pgmig.formats"
local indexes = require "pgmig.state.indexes"
local lock = require "pgmig.run.lock"
local migration = require "pgmig.files.migration"
local planning = require "pgmig.state.plan"
local shell = require "pgmig.shell"
local tracking = require "pgmig.takeover.tracking"

local M = {}

local function psql(sql) return 'psql "$DATABASE_URL" -c ' .. shell.quote(sql) end

-- ---- migrations ------------------------------------------------------------

local function bring_back(migrator, m)
  local digits = ("0"):rep(3 - #m.id) .. m.id
  local path = shell.path(migrator.dirs[1] .. "/" .. migrator.naming.format(digits, m.name, "up"))
  return ('git checkout "$(git rev-list -n 1 HEAD -- %s)^" -- %s'):format(path, path)
end

--- The path of a migration's file under another version.
local function path_under(migrator, m, path, version)
  local direction = path == m.path and "up" or "down"
  local name = migrator.naming.format(version, m.name, direction)
  for _, dir in ipairs(migrator.dirs) do
    local folder = dir:gsub("/*$", "") .. "/"
    if path:sub(1, #folder) == folder then
      return folder .. name:gsub("%.%w+$", path:match "%.%w+$")
    end
  end
end

--- Give a migration another version.
local function rename(migrator, m, version)
  local commands, moved = {}, {}
  for _, path in ipairs { m.path, m.down_path } do
    local other = path_under(migrator, m, path, version)
    if path:match "^.*/" ~= other:match "^.*/" then -- each has a folder of its own
      path, other = path:match "^(.*)/", other:match "^(.*)/"
    end
    if not moved[path] then
      commands[#commands + 1] = ("mv %s %s"):format(shell.path(path), shell.path(other))
    end
    moved[path] = true
  end
  return table.concat(commands, " && ")
end

--- A function that returns a version which is free: another one each time; nil: nobody can count.
local function counter(migrator, status)
  local widest, newest
  for _, m in ipairs(planning.all(status)) do
    if m.id and (not widest or #m.text > #widest.text) then widest = m end
    if m.id and (not newest or migration.before(newest, m)) then newest = m end
  end
  return function()
    local ok, version = pcall(create.next_version, migrator.naming, { widest, newest })
    if not ok then return nil end
    newest = { id = files.digits(migrator.naming, version), text = version }
    widest = widest or newest
    return version
  end
end

local remedies = {
  edited = function(_, m) return "pgmig repair " .. m.shown end,
  unreadable = function(_, m) return "chmod u+r " .. shell.path(m.path) end,
  renamed = function(_, m) return "pgmig repair " .. m.shown end,
  replaced = function(migrator, m, next_version)
    local version = next_version()
    return version and rename(migrator, m, version) or '"$EDITOR" ' .. shell.path(m.path)
  end,
  missing = bring_back,
  renumbered = function(migrator, m) return rename(migrator, m, m.applied_as.text) end,
  out_of_order = function() return "pgmig up" end,
}

--- Whether `repair --all` would change more than the rows that are gone.
local function repairs_more(all)
  for _, m in ipairs(all) do
    local odd = m.state ~= "applied" and m.state ~= "missing" and m.applied_at ~= nil
    if odd or m.failure or (m.applied_at and not m.repeatable and not m.recorded_checksum) then
      return true
    end
  end
  return false
end

local function of_forgotten(all, add)
  local list, versions = {}, {}
  for _, m in ipairs(all) do
    if m.state == "forgotten" then
      list[#list + 1], versions[#versions + 1] = m, m.shown
    end
  end
  if not list[1] then return end
  local remedy = "pgmig repair " .. (list[2] and "--all" or versions[1])
  if list[2] and repairs_more(all) then
    remedy = ('for v in %s; do pgmig repair "$v"; done'):format(table.concat(versions, " "))
  end
  add("forgotten", (drift.describe_forgotten(list)), remedy, not list[2] and list[1] or nil)
end

local function of_state(migrator, m, next_version, add)
  if m.state == "forgotten" then return end -- all of them are one finding
  if m.renumbered_as and m.state == "missing" then return end -- that one has the remedy
  local sentence, hint = drift.describe(m)
  if not sentence then return end
  add(m.state, sentence .. "; " .. hint, remedies[m.state](migrator, m, next_version), m)
end

local function of_failure(m, add)
  if not m.failure or m.unfinished then return end
  add("failed", ("%s failed at %s: %s"):format(m.label, m.failure.at, m.failure.message),
    "pgmig repair " .. m.shown, m)
end

local function of_journal(m, add)
  local left = m.unfinished
  if not left then return end
  local key = m.shown
  local stale = (left.direction == "up") == (m.applied_at ~= nil) and not m.repeatable
  if stale then
    add("stale_journal", ("the journal has an unfinished %s of %s, which has completed since")
      :format(left.direction, m.label), ("pgmig resolve %s --restart"):format(key), m)
  elseif m.missing then
    add("unfinished", ("%s stopped at statement %d, and its file is missing; restore it, or undo "
      .. "by hand what it did and discard its progress"):format(m.label, left.done + 1),
      ("pgmig resolve %s --restart"):format(key), m)
  elseif left.running then
    add("unknown", ("whether this statement of %s took effect was not known when its run ended: "
      .. "%s; a run determines it where possible"):format(m.label, left.running),
      "pgmig " .. left.direction, m)
  elseif left.obstacle then
    add("unfinished", ("%s stopped at statement %d, and %s; a run shows what can be done; if it "
      .. "does no harm to the rest:"):format(m.label, left.done + 1, left.obstacle),
      ("pgmig resolve %s --redo"):format(key), m)
  else
    local why = m.failure and ": " .. m.failure.message or ""
    add("unfinished", ("%s stopped at statement %d%s; a run resumes there"):format(m.label,
      left.done + 1, why), "pgmig " .. left.direction, m)
  end
end

local function look_at_migrations(migrator, status, add)
  local unrecorded, next_version = 0, counter(migrator, status)
  if status.warning then add("all_missing", status.warning, "pgmig config") end
  local all = planning.all(status)
  of_forgotten(all, add)
  for _, m in ipairs(all) do
    if m.state ~= "missing" or not status.warning then of_state(migrator, m, next_version, add) end
    of_failure(m, add)
    of_journal(m, add)
    if m.state == "applied" and not m.repeatable and not m.recorded_checksum then
      unrecorded = unrecorded + 1
    end
  end
  if unrecorded > 0 then
    add("no_checksum", ("%d applied migrations have no recorded checksum, because another tool or "
      .. "an older version applied them: edits of their files go unnoticed"):format(unrecorded),
      "pgmig repair --all")
  end
end

-- ---- files -----------------------------------------------------------------

--- The command for a file that is not named like a migration, or is code.
local function renaming(path)
  local dir, base = path:match "^(.-)([^/]+)/?$"
  local code = not base:lower():find "%.%a*sql" and base:match "^(.*)%.%w+$"
  local name = code and code .. ".lua" or "NNN_description.sql"
  return ("mv %s %s"):format(shell.path(path), shell.path(dir .. name))
end

local function look_at_files(status, add)
  for _, problem in ipairs(status.problems) do
    local m = problem.migration
    if not (m and m.state == "unreadable") then -- which is told already
      add(problem.kind, problem.message, '"$EDITOR" ' .. shell.path(problem.path), m)
    end
  end
  for _, path in ipairs(status.ignored) do
    add("ignored", path .. " " .. status.reasons[path] .. " and is never run", renaming(path))
  end
end

-- ---- the database ----------------------------------------------------------

local function look_at_indexes(db, add)
  for _, index in ipairs(indexes.invalid(db)) do
    add("invalid_index", ("index %s of %s is INVALID, because building it failed; it costs time "
      .. "and guarantees nothing"):format(index.name, index.table), psql(index.remedy))
  end
end

--- Runs that have not told how they ended; while one is at work, that is it.
local function look_at_runs(migrator, status, add)
  local at_work = aftermath.wait(migrator.db, status.read.left)
  for _, left in ipairs(status.read.left) do
    local message, m = aftermath.describe(left, status.read, at_work[left.run])
    if m then add("interrupted", aftermath.label(m) .. ": " .. message, "pgmig up") end
  end
end

local function look_at_lock(migrator, status, add)
  local who = lock.find(migrator)
  if not who then return look_at_runs(migrator, status, add) end
  add("locked", "a run is at work: " .. lock.describe(who),
    psql(("SELECT pg_catalog.pg_terminate_backend(%d)"):format(who.pid)))
end

local function look_at_server(migrator, status, add)
  if migrator.ledger.handle:read_only() then
    add("standby", "this server is a standby: migrations run on the primary",
      "pgmig --database 'host=A,B target_session_attrs=read-write' up")
  end
  if migrator.ledger:lacks_journal() then
    add("no_journal", "the journal no longer exists: the progress of a migration with "
      .. "transaction=off is not known any more; the next run creates the table again", "pgmig up")
  end
  look_at_indexes(migrator.db, add)
  look_at_lock(migrator, status, add)
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

--- Look at everything. Changes nothing.
-- @return a list of { kind, message, remedy = a shell command, migration }; empty when all is well
function M.examine(migrator)
  local findings = {}
  local function add(kind, message, remedy, m)
    findings[#findings + 1] = { kind = kind, message = message, remedy = remedy, migration = m }
  end
  local ok, status = pcall(migrator.status, migrator)
  if not ok then
    if not errors.is(status, "plan") or status.sqlstate then error(status, 0) end
    add(status.remedy and "unclear_table" or "foreign_table",
      status.message .. (status.detail and " (" .. status.detail .. ")" or ""),
      status.remedy or leave_alone(migrator))
    return findings
  end
  look_at_migrations(migrator, status, add)
  look_at_files(status, add)
  look_at_server(migrator, status, add)
  return findings
end

return M
