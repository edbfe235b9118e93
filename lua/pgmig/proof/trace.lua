--- What the pending migrations do, seen on a clone.
local arguments = require "pgmig.arguments"
local clones = require "pgmig.proof.clone"
local observers = require "pgmig.proof.observer"

local M = {}

--- Which migrations count as applied: what the database says, otherwise up to a version, or none.
-- @return what `clone:twin` takes
function M.applied(migrator, options)
  if options.applied_to ~= nil then return options.applied_to end
  return migrator.db and "live" or "none"
end

--- The options of a clone among those of a command.
-- @return what `clone.open` takes
function M.of_clone(migrator, options)
  return {
    bin = options.scratch_bin, url = options.scratch, schema_from = options.schema_from,
    like = migrator.db,
  }
end

--- Run what is pending on a twin, and watch.
-- @param twin of `clone:twin`
-- @param options { to, steps as of `migrate`; on_event; on_effect = fn(effect, db), called behind
--   each statement, in its transaction where there is one; its changes would be the migration's }
-- @return the records, in a list
-- @return the error of the migration that failed; nil
function M.observe(twin, options)
  local list = {}
  local observer = observers.watch(twin, function(effect, db)
    list[#list + 1] = effect
    if options.on_effect then options.on_effect(effect, db) end
  end)
  local plan = twin:plan { to = options.to, steps = options.steps }
  local ok, err = pcall(twin.run, twin, plan, { on_event = options.on_event })
  if ok then return list end
  observer:failed(err)
  return list, err
end

--- Run the pending migrations on a clone and watch.
-- @param migrator with a connection or without
-- @param given { to, steps as of `migrate`; scratch_bin, scratch, schema_from, applied_to;
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
