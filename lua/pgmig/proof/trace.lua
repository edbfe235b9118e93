--- What the pending migrations do, seen on a clone.
local arguments = require "pgmig.arguments"
local clones = require "pgmig.proof.clone"
local observers = require "pgmig.proof.observer"
local twins = require "pgmig.proof.twin"

local M = {}

--- Which migrations count as applied: up to a version, what the database says, what that says whose
-- schema it begins with, or none.
-- @return what `clone:twin` takes
function M.applied(migrator, options)
  if options.applied_to ~= nil then return options.applied_to end
  if migrator.db then return "live" end
  return clones.is_database(options.schema_from) and "schema" or "none"
end

--- The options of a clone among those of a command.
-- @return what `clone.open` takes
function M.of_clone(migrator, options)
  return {
    bin = options.scratch_bin, url = options.scratch, schema_from = options.schema_from,
    like = migrator.db, pg_dump = migrator.pg_dump,
  }
end

--- Forget the records of a migration that is tried again.
local function forget(list, label)
  while list[1] and list[#list].migration == label do list[#list] = nil end
end

--- Run what is pending on a twin, and watch.
-- @param twin of `clone:twin`
-- @param options { to, steps, phase as of `migrate`; on_event; on_effect = fn(effect, db), called
--   behind each statement, in its transaction where there is one; its changes would be the
--   migration's }
-- @return the records, in a list
-- @return the error of the migration that failed; nil
function M.observe(twin, options)
  local list = {}
  local observer = observers.watch(twin, function(effect, db)
    list[#list + 1] = effect
    if options.on_effect then options.on_effect(effect, db) end
  end)
  if not observer.has_events then
    twin.clone:note "the clone's user is no superuser: commands inside functions are not told"
  end
  local ok, err = pcall(function()
    local plan = twin:plan { to = options.to, steps = options.steps, phase = options.phase }
    twins.run(twin, plan, { on_event = options.on_event }, function(failed)
      forget(list, failed.migration)
    end)
  end)
  if ok then return list end
  observer:failed(err)
  return list, err
end

--- Run the pending migrations on a clone and watch.
-- @param migrator with a connection or without
-- @param given { to, steps, phase as of `migrate`; scratch_bin, scratch, schema_from, applied_to;
--   on_event }
-- @return { effects = a list of records (pgmig.proof.effects), notes = sentences about the clone,
--   server_version = of the clone, error = that of the migration that failed, or nil }
function M.run(migrator, given)
  local options = arguments.read("trace", given)
  return clones.with(M.of_clone(migrator, options), function(clone)
    local twin = clone:twin(migrator, { applied = M.applied(migrator, options) })
    local effects, err = M.observe(twin, options)
    return { effects = effects, error = err, notes = clone.notes, server_version = clone.version }
  end)
end

return M
