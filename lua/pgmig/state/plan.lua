--- What a run would do: files and tracking table compared, nothing touched.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local ledger = require "pgmig.state.ledger"
local migration = require "pgmig.files.migration"
local source = require "pgmig.files.source"

local M = {}

local MIN_DIGITS = 3

--- An applied migration whose file is gone.
local function without_file(rows, at)
  local id, key = rows.id[at], rows.key and rows.key[at]
  return migration.new {
    id = id, name = rows.name and rows.name[at] or key, label = key,
    text = ("0"):rep(MIN_DIGITS - #id) .. id, missing = true,
  }
end

--- How a migration failed last: another file under its number or name has not been tried.
local function failure_of(m, marks)
  local key = ledger.key(m)
  if not ledger.is_failure(marks.event[key]) then return nil end
  local tried = marks.tried[key]
  if tried and not m.missing then
    local ok, checksum = pcall(core.file_checksum, m.path)
    if ok and checksum ~= tried then return nil end
  end
  return {
    event = marks.event[key], message = marks.message[key] or "the history does not say why",
    at = marks.at[key] or "?",
    sqlstate = marks.sqlstate[key], detail = marks.detail[key], line = marks.line[key],
  }
end

--- What the tables say of a migration that failed or was left half-way.
local function note_attempt(m, read)
  local key = ledger.key(m)
  m.unfinished, m.failure, m.applied_as, m.renumbered_as = nil, nil, nil, nil
  local unfinished = read.journal[key]
  if unfinished then
    m.unfinished = {
      direction = unfinished.direction, done = #unfinished.done, since = unfinished.started_at,
      running = ledger.is_unknown(unfinished) and unfinished.statement or nil,
      obstacle = ledger.obstacle(unfinished),
      owner = unfinished.owner, revision = unfinished.revision, row = unfinished,
    }
  end
  m.failure = failure_of(m, read.marks)
  if m.state == "pending" then
    local was_applied = m.id and read.marks.applied[key]
    m.state = m.unfinished and "unfinished" or was_applied and "forgotten"
      or m.failure and "failed" or "pending"
  end
end

--- What the tables say of an applied migration.
-- @param covered the version up to which a baseline migration stands for the files; nil
local function note_row(m, read, at, covered)
  m.read, m.row = read, at
  local is_covered = covered and core.compare(m.id, covered) <= 0
  m.covered = m.missing and is_covered or nil
  local is_expected = not (m.foreign or m.covered) and m.recorded_event ~= "gone"
  m.state = m.missing and is_expected and "missing" or "applied"
  note_attempt(m, read)
end

--- Migrations that were left half-way, and whose files are gone: nobody goes on with them.
-- @param known fn(key) whether there is a file, or a row
-- @return a list by version; those that are repeatable
local function find_stranded(read, known)
  local versioned, repeatable = {}, {}
  for key in pairs(read.journal) do
    local name = key:match "^repeatable:(.*)$"
    if not known(key) then
      local text = not name and ("0"):rep(MIN_DIGITS - #key) .. key
      local m = migration.new {
        id = not name and key or nil, name = name or key, label = name or text, text = text or nil,
        repeatable = name and true or nil, missing = true, state = "pending",
      }
      note_attempt(m, read)
      table.insert(name and repeatable or versioned, m)
    end
  end
  return versioned, repeatable
end

--- Take them in: what is half-done is not passed over.
local function add_stranded(state, files, read)
  local there = {}
  for _, list in ipairs { files.list, files.repeatable } do
    for _, m in ipairs(list) do there[ledger.key(m)] = true end
  end
  local versioned, repeatable = find_stranded(read, function(key)
    return there[key] or read.rows.there[key]
  end)
  for _, m in ipairs(versioned) do
    state.pending[#state.pending + 1], state.by_id[m.id] = m, m
  end
  if versioned[1] then table.sort(state.pending, migration.before) end
  if not repeatable[1] then return end
  state.repeatable = { (unpack or table.unpack)(files.repeatable) }
  for _, m in ipairs(repeatable) do
    state.repeatable[#state.repeatable + 1], state.changed[#state.changed + 1] = m, m
  end
end

local function compare_repeatable(files, read)
  local pending = {}
  for _, m in ipairs(files.repeatable) do
    local key = ledger.key(m)
    local recorded = read.marks.checksum[key]
    local ok, checksum = pcall(core.file_checksum, m.path)
    m.state = ok and recorded == checksum and "applied" or "pending"
    m.applied_at = recorded and read.marks.at[key] or nil
    m.read = read
    note_attempt(m, read)
    if m.state ~= "applied" then pending[#pending + 1] = m end
  end
  return pending
end

-- ---- baseline migrations ----------------------------------------------------
-- `B3__name.sql`: in a new database one runs in the place of all up to its version; elsewhere it
-- does not.

--- Whether a row is a baseline migration's, and not that of the file with its version.
local function is_recorded(baseline, files, rows)
  local at = rows.there[baseline.id]
  local other = files.by_id[baseline.id]
  if not at or (other and other.name == baseline.name) then return false end
  return (rows.name and rows.name[at] or rows.key and rows.key[at]) == baseline.name
end

--- The baseline migration that counts in a database; nil.
local function chosen(files, rows)
  for i = #files.baselines, 1, -1 do
    local baseline = files.baselines[i]
    if rows.count == 0 or is_recorded(baseline, files, rows) then return baseline end
  end
end

--- The files as they count in a database.
-- @param files what `pgmig.files.list` read
-- @param rows those of the tracking table
-- @return the same, or a copy in which a baseline migration stands for all up to its version
local function with_baseline(files, rows)
  local baseline = files.baselines[1] and chosen(files, rows)
  if not baseline then return files end
  local settled, list, by_id = {}, { baseline }, {}
  for key, value in pairs(files) do settled[key] = value end
  for id, m in pairs(files.by_id) do by_id[id] = m end
  for _, m in ipairs(files.list) do
    if core.compare(m.id, baseline.id) > 0 then list[#list + 1] = m end
  end
  by_id[baseline.id] = baseline
  settled.list, settled.by_id = list, by_id
  return settled
end

--- The version up to which a database needs no files, since it has applied all that a baseline
-- migration stands for; nil.
local function covered_by(files, rows)
  for i = #files.baselines, 1, -1 do
    if rows.there[files.baselines[i].id] then return files.baselines[i].id end
  end
end

--- A baseline migration that stands for files which a database still needs: it has applied only
-- some of them, and they are gone; nil. Flyway's may have a version that no other file had.
local function blocking(files, rows)
  local baseline, newest = files.baselines[#files.baselines], rows.id[rows.count]
  if not (baseline and newest and files.rule.baseline_replaces) then return nil end
  local is_needed = core.compare(newest, baseline.id) < 0 and not files.by_id[baseline.id]
  return is_needed and baseline or nil
end

-- ---- files and tables --------------------------------------------------------

--- Compare files with what the tables say.
-- @param files what `pgmig.files.list` read
-- @param read what `ledger:read` returned
-- @return { applied = migrations, pending = migrations, by_id = all of them, repeatable =
--   repeatable ones, changed = those of them that would run, read, blocking = a baseline migration
--   that stands for files which are needed, or nil, project = what the format's tool calls the
--   folder, or nil }
function M.compare(files, read)
  local rows = read.rows
  local covered = covered_by(files, rows)
  files = with_baseline(files, rows)
  local state = {
    applied = {}, pending = {}, by_id = files.by_id, repeatable = files.repeatable, read = read,
    blocking = blocking(files, rows), project = files.project,
  }
  for at = 1, rows.count do
    local id = rows.id[at]
    local m = files.by_id[id] or files.foreign[id] or without_file(rows, at)
    note_row(m, read, at, covered)
    state.applied[at] = m
    state.by_id[id] = m
  end
  for _, m in ipairs(files.list) do
    if not rows.there[m.id] then
      m.state, m.read, m.row = "pending", read, nil
      note_attempt(m, read)
      state.pending[#state.pending + 1] = m
    end
  end
  state.changed = compare_repeatable(files, read)
  if next(read.journal) then add_stranded(state, files, read) end
  return state
end

local function known_versions(state)
  local list = {}
  for _, m in pairs(state.by_id) do list[#list + 1] = m end
  if #list == 0 then return "there are no migrations" end
  table.sort(list, migration.before)
  return ("there are versions %s to %s"):format(list[1].shown, list[#list].shown)
end

local function has_alias(m, target)
  for _, alias in ipairs(m.aliases or {}) do
    if alias == target then return true end
  end
  return false
end

--- The id of the one migration whose version is written so in its file's name, or whose label it
-- is, or another name of it: `1.10`, `2024-01-15-103000_orders`, `@v1`.
local function written(state, target)
  local found
  for id, m in pairs(state.by_id) do
    if m.text == target or m.label == target or has_alias(m, target) then
      if found then return nil end
      found = id
    end
  end
  return found
end

--- The id of a target, which must be a known version.
local function check_target(state, target)
  local id = written(state, tostring(target))
  if id then return id end
  local ok, digits = pcall(migration.id_of, target)
  if ok and state.by_id[digits] then return digits end
  errors.raise("plan", "there is no migration " .. (ok and digits or tostring(target)), {
    hint = known_versions(state),
  })
end

--- The migration of a version, applied or not.
-- @raise kind "plan" for an unknown one
function M.find(state, version) return state.by_id[check_target(state, version)] end

--- A whole number that an option gives.
local function check_steps(steps)
  local number = tonumber(steps)
  if not number or number < 1 or number ~= math.floor(number) then
    errors.raise("usage", ("steps must be a whole number, 1 or greater, not "
      .. "%s"):format(tostring(steps)))
  end
  return number
end

local function check_blocking(state)
  local baseline, newest = state.blocking, state.applied[#state.applied]
  if not baseline then return end
  errors.raise("plan", ("it replaces the versions up to %s, of which this database has only those "
    .. "up to %s"):format(baseline.text, newest.text), {
    file = baseline.path, hint = ("restore the files behind %s, for example from version control, "
      .. "apply them, then remove them again"):format(newest.label),
  })
end

local phases = { pre = true, post = true, all = true }

local function check_phase(phase)
  if phase == nil or phases[phase] then return phase end
  errors.raise("usage", ("phase must be pre, post or all, not %s"):format(tostring(phase)))
end

--- Those of a list that run in a phase; of one of the phases the others, too.
local function split(list, phase)
  if not phase or phase == "all" then return list, {} end
  local these, others = {}, {}
  for _, m in ipairs(list) do
    local to = source.phase(m) == phase and these or others
    to[#to + 1] = m
  end
  return these, others
end

--- Refuse to run after a deploy what comes behind something that has to run before it.
local function check_before(plan, earlier)
  local m, first = plan[#plan], earlier[1]
  if not (m and first and M.is_newer(m, first)) then return end
  errors.raise("plan", ("%s is pending, and must be applied before %s"):format(first.label,
    m.label), { file = first.path, hint = "apply it: pgmig up --phase pre" })
end

--- Which pending migrations `migrate` would apply, in order; repeatable ones come last, when no
-- other is left.
-- @param options { to = version, inclusive; steps = at most so many; phase = "pre": those that run
--   before the deploy, "post": those that run after it; versioned = true: no repeatable ones }
-- @return a list with direction = "up"; others = the pending ones of the other phase
-- @raise kinds "usage" for an unknown phase, "plan" for an unknown target, and where one of the
--   phase "post" is to run while one of "pre" before it is pending
function M.up(state, options)
  local phase = check_phase(options.phase)
  local pending, others = split(state.pending, phase)
  local plan = { direction = "up", others = others, project = state.project }
  check_blocking(state)
  local target = options.to ~= nil and check_target(state, options.to)
  local steps = options.steps and check_steps(options.steps)
  for _, m in ipairs(pending) do
    if target and core.compare(m.id, target) > 0 then break end
    if steps and #plan >= steps then break end
    plan[#plan + 1] = m
  end
  if phase == "post" then check_before(plan, others) end
  if #plan < #pending or options.versioned then return plan end
  for _, m in ipairs((split(state.changed, phase))) do
    if steps and #plan >= steps then break end
    plan[#plan + 1] = m
  end
  return plan
end

--- All migrations, in a list: applied, pending, repeatable ones.
function M.all(state)
  local all = {}
  for _, list in ipairs { state.applied, state.pending, state.repeatable } do
    for _, m in ipairs(list) do all[#all + 1] = m end
  end
  return all
end

--- One applied migration, whatever is newer; nothing when it is not applied.
-- @return a plan with direction = "down"
-- @raise kind "plan" for an unknown version
function M.applied_one(state, version)
  local m = M.find(state, version)
  return { direction = "down", m.row and m or nil }
end

--- Whether a migration's version is higher than another one's.
function M.is_newer(m, other) return core.compare(m.id, other.id) > 0 end

--- One pending migration; nothing when it is applied.
-- @return a plan with about = { it } in both cases
-- @raise kind "plan" for an unknown version
function M.one(state, version)
  local m = M.find(state, version)
  return { direction = "up", about = { m }, not m.row and m or nil }
end

local remedies = {
  up = "finish it: pgmig up, or by hand and then pgmig up --fake %s",
  down = "finish it: pgmig down",
}

--- @param command what was asked for, and can be when the migration is back where it was
local function refuse_half_done(m, command)
  local left = m.unfinished
  errors.raise("plan", ("%s is half finished: its %s stopped at statement %d")
    :format(m.label, left.direction:upper(), left.done + 1), {
    file = m.path, hint = ("%s; or undo by hand what it did, then: pgmig resolve %s --restart, and "
      .. "pgmig %s"):format(remedies[left.direction]:format(m.shown), m.shown,
      command),
  })
end

local commands = { baseline = "baseline", adopted = "adopt" }

--- Refuse to take away what a half-done migration was built on, to build on one whose way back is
-- half-done, and to record as applied what nobody has finished, unless that is said of it alone.
-- @raise kind "plan"
function M.check_unfinished(state, plan)
  if not plan[1] or plan.record_only == "fake" or plan.record_only == "unapplied" then return end
  local lowest, command = plan[#plan], commands[plan.record_only] or plan.direction
  for _, m in ipairs(plan.direction == "down" and state.pending or {}) do
    if m.unfinished and M.is_newer(m, lowest) then refuse_half_done(m, command) end
  end
  for _, m in ipairs(plan.direction == "up" and state.applied or {}) do
    if m.unfinished and m.unfinished.direction == "down" then refuse_half_done(m, command) end
  end
  for _, m in ipairs(plan.record_only and plan or {}) do
    if m.unfinished and not m.missing then refuse_half_done(m, command) end
  end
end

--- Whether the tables show that a migration has been done.
-- @param direction "up" or "down"
-- @param read what `ledger:read` returned
-- @param checksum fn(m) returns that of its file
function M.is_done(m, direction, read, checksum)
  if m.repeatable then return read.marks.checksum[ledger.key(m)] == checksum(m) end
  return (read.rows.there[m.id] ~= nil) == (direction == "up")
end

local function checksum_of(m) return core.file_checksum(m.path) end

--- Leave out of a plan what another run has done meanwhile, and note how it has failed.
-- @param plan a list with its direction
-- @param read what `ledger:read` returned just now
-- @return the migrations that were left out
function M.drop_settled(plan, read)
  local settled, left = {}, 0
  for i = 1, #plan do
    local m = plan[i]
    m.failure = failure_of(m, read.marks)
    plan[i] = nil
    if M.is_done(m, plan.direction, read, checksum_of) then
      settled[#settled + 1] = m
    else
      left = left + 1
      plan[left] = m
    end
  end
  return settled
end

--- The version that `to` keeps; nil: none is kept.
local function check_floor(state, to)
  if tonumber(to) == 0 and not state.by_id["0"] then return nil end
  return check_target(state, to)
end

--- Which applied migrations `rollback` would undo, newest first.
-- @param options { steps = how many, default 1 }, { to = version that is kept; 0: undo all } or
--   { all = true }
-- @return a list with direction = "down"
-- @raise kinds "usage" for wrong steps, "plan" for an unknown version
function M.down(state, options)
  local plan = { direction = "down" }
  local floor, steps
  if options.to ~= nil then
    floor = check_floor(state, options.to)
  elseif not options.all then
    steps = check_steps(options.steps or 1)
  end
  for i = #state.applied, 1, -1 do
    local m = state.applied[i]
    if steps and #plan >= steps then break end
    if floor and core.compare(m.id, floor) <= 0 then break end
    plan[#plan + 1] = m
  end
  return plan
end

--- Which applied migrations `redo` would undo, and apply again.
-- @param options as of `down`
-- @return a list as of `down`, with again = the list of the second half
function M.redo(state, options)
  local plan, again = M.down(state, options), { direction = "up", returns = true }
  for i = #plan, 1, -1 do again[#again + 1] = plan[i] end
  plan.again = again
  return plan
end

--- What leads to a version: then all up to it are applied, and no others.
-- @param version 0: nothing is applied then
-- @return a plan as of `up` or `down`, with target = the version's migration, nil for 0; again = a
--   plan as of `up` that is carried out behind the rollback, or nil
-- @raise kind "plan" for an unknown version
function M.go_to(state, version)
  local floor = check_floor(state, version)
  local down, up = M.down(state, { to = version }), { direction = "up" }
  if floor then up = M.up(state, { to = version, versioned = down[1] ~= nil }) end
  local plan = down[1] and down or up
  plan.target = floor and state.by_id[floor]
  plan.again = down[1] and up[1] and up or nil
  return plan
end

return M
