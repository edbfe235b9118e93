--- A migrator's twin: the same files and options on a database of a clone.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local ledger = require "pgmig.state.ledger"
local likeness = require "pgmig.proof.likeness"
local migrators = require "pgmig.migrator"
local needed = require "pgmig.needed"
local planning = require "pgmig.state.plan"
local states = require "pgmig.state.compare"

local schema = needed "proof.schema"

local M = {}

-- Hooks that take part in what runs; the others tell somebody, and nothing happens here.
local shaping = { "before_all", "before_each", "before_statement", "after_statement", "after_each" }

--- A migrator with the same files and options on another database.
-- @param own options of its own
local function same(migrator, db, own)
  local options = {}
  for key, value in pairs(migrator.given) do options[key] = value end
  options.format, options.naming = migrator.format, migrator.naming
  options.hooks, options.log, options.drift_check = nil, nil, false
  for key, value in pairs(own) do options[key] = value end
  return migrators.new(db, migrator.dirs, options)
end

-- ---- what is applied -----------------------------------------------------------

--- Those up to a version.
local function up_to(migrator, version)
  local files, set = migrator:files(), {}
  if tonumber(version) == 0 and not files.by_id["0"] then return set, "none" end
  local target = planning.find({ by_id = files.by_id }, version)
  for _, m in ipairs(files.list) do
    if core.compare(m.id, target.id) <= 0 then set[ledger.key(m)] = m end
  end
  return set, "to " .. target.id
end

--- Which migrations count as applied.
-- @param clone of pgmig.proof.clone
-- @param applied as of `clone:twin`
-- @return a set: migrations by key (pgmig.state.ledger)
-- @return a word for it
-- @raise kind "plan" for an unknown version
function M.applied(clone, migrator, applied)
  if applied == "none" then return {}, applied end
  if applied == "schema" then migrator = same(migrator, clone.schema_db, {}) end
  if applied ~= "live" and applied ~= "schema" then return up_to(migrator, applied) end
  local state, set = states.read(migrator), {}
  for _, m in ipairs(state.applied) do set[ledger.key(m)] = m end
  for _, m in ipairs(state.repeatable) do
    if m.applied_at then set[ledger.key(m)] = m end
  end
  return set, applied
end

-- ---- the migrator --------------------------------------------------------------

--- Leave out what is about extensions that the clone's server does not have.
local function skip_missing(clone)
  return function(ctx)
    local name = schema.extension_in(ctx.sql)
    if name and not clone:has_extension(ctx.db, name) then ctx:skip("no extension " .. name) end
  end
end

--- The hooks of a migrator that take part in what runs; `ctx.clone` tells them where they are.
local function hooks_of(migrator)
  local hooks = {}
  for _, event in ipairs(shaping) do
    for i, fn in ipairs(migrator.hooks.handlers[event] or {}) do
      hooks[event] = hooks[event] or {}
      hooks[event][i] = function(ctx)
        ctx.clone = true
        return fn(ctx)
      end
    end
  end
  return hooks
end

--- The paths of all files.
local function paths_of(migrator)
  local files, paths = migrator:files(), {}
  for _, list in ipairs { files.list, files.repeatable } do
    for _, m in ipairs(list) do paths[#paths + 1] = m.path end
  end
  return paths
end

--- A twin on a connection.
-- @param clone of pgmig.proof.clone
-- @param migrator the other one
-- @param db a connection to a database of the clone
-- @param syntax_check as of `pgmig.migrator`; nil: the other one's
function M.new(clone, migrator, db, syntax_check)
  local hooks = hooks_of(migrator)
  local twin = same(migrator, db, { hooks = hooks, shared = false, syntax_check = syntax_check })
  twin.clone, twin.has_hooks = clone, next(hooks) ~= nil
  if likeness.is_in(paths_of(migrator), "extension") then
    twin:on("before_statement", skip_missing(clone))
  end
  return twin
end

-- ---- bringing it there -----------------------------------------------------------

--- Those of a plan that are in a set.
local function select(plan, set)
  local chosen = { direction = "up", files = plan.files }
  for _, m in ipairs(plan) do
    if set[ledger.key(m)] then chosen[#chosen + 1] = m end
  end
  return chosen
end

--- Migrations that are applied and have no file: what they have made is not there.
local function note_lost(clone, set)
  local labels = {}
  for _, m in pairs(set) do
    if m.missing and not m.covered then labels[#labels + 1] = m.label end
  end
  if not labels[1] then return end
  table.sort(labels)
  clone:note(("the files of applied migrations are missing (%s), and so is what they made: "
    .. "--schema-from takes the schema from the database"):format(table.concat(labels, ", ")))
end

--- Say where an applied file fails that it is not one of those to be tried.
local function explain(err)
  if not errors.is(err) then return err end
  err.detail = (err.detail and err.detail .. "\n" or "") .. "this migration is applied; it was run "
    .. "again, on the clone, to make the schema that the pending ones find"
  err.hint = err.hint or "begin with the schema of a database instead: --schema-from URL, or "
    .. "--schema-from FILE with what pg_dump -s has written"
  return err
end

--- Run a plan, with roles for those that it names.
-- @param twin of `new`
-- @param plan its plan
-- @param options as of `migrator:run`
-- @param again fn(err) is called before another attempt; nil
function M.run(twin, plan, options, again)
  local set = {}
  for _, m in ipairs(plan) do set[ledger.key(m)] = true end
  while true do
    local ok, err = pcall(twin.run, twin, plan, options)
    if ok then return end
    if not twin.clone:supply(err) then error(err, 0) end
    if again then again(err) end
    plan = select(twin:plan(), set)
  end
end

--- Bring a database of the clone to where the applied migrations have brought the other one.
-- @param clone of pgmig.proof.clone
-- @param migrator the other one
-- @param db a connection to the database
-- @param set of `applied`
function M.apply(clone, migrator, db, set)
  local twin, like = M.new(clone, migrator, db, false), migrator.db -- what ran was parsed then
  local plan = select(twin:plan(), set)
  if clone:has_schema() then
    plan.record_only = "baseline"
    twin:run(plan)
    return
  end
  note_lost(clone, set)
  if like then clone:note_missing(likeness.extensions(like, db, paths_of(migrator))) end
  local ok, err = pcall(M.run, twin, plan)
  if not ok then error(explain(err), 0) end
  if like and not clone.options.as_files_say then likeness.constraints(like, db) end
end

return M
