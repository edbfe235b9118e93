--- Whether a database is what its applied migrations make: both are pictured, and compared.
local arguments = require "pgmig.arguments"
local clones = require "pgmig.proof.clone"
local connection = require "pgmig.db.connection"
local difference = require "pgmig.proof.difference"
local pictures = require "pgmig.proof.picture"
local trace = require "pgmig.proof.trace"

local M = {}

local function result_of(of, differences, beside, notes)
  return {
    equal = #differences == 0, of = of, differences = differences, beside = beside, notes = notes,
    lines = difference.lines(differences), beside_lines = difference.lines(beside),
  }
end

--- Compare with another database.
local function against(migrator, url)
  local other = connection.connect(url)
  local ok, result = pcall(function()
    pictures.check_versions(migrator.db:server_version(), other:server_version(), "the other one")
    local ours = pictures.of_migrator(migrator)
    local theirs = pictures.live(other, {
      without = pictures.own_tables(migrator), lock_timeout = migrator.lock_timeout,
      reconnect = migrator.reconnect, unreadable = ours.unreadable,
    })
    return result_of("that of the other database", difference.of(theirs, ours), {}, {})
  end)
  other:close()
  if ok then return result end
  error(result, 0)
end

-- What differs where roles cannot be the same.
local of_roles = { owner = true, privileges = true }

--- Leave out what only the roles of the clone's server explain.
local function without_roles(list)
  local kept = {}
  for _, item in ipairs(list) do
    if not of_roles[item.field] then kept[#kept + 1] = item end
  end
  return kept
end

--- Compare with what the files make on a clone.
local function on_clone(migrator, options, clone)
  pictures.check_versions(migrator.db:server_version(), clone.version, "the clone")
  local shares = pictures.share_owner(clone, migrator)
  local live = pictures.of_migrator(migrator)
  local twin = clone:twin(migrator, { applied = trace.applied(migrator, options) })
  local rest, beside = pictures.divide(pictures.of_empty(clone, live.unreadable),
    pictures.of_migrator(twin, live.unreadable), live)
  local differences = difference.of(rest.made, rest.other)
  local others = difference.of(beside.made, beside.other)
  if not shares then
    differences, others = without_roles(differences), without_roles(others)
    clone.notes[#clone.notes + 1] = "owners and privileges are not compared: the scratch server "
      .. "does not have the role that owns the tracking table"
  end
  return result_of("what the applied migrations make", differences, others, clone.notes)
end

--- Compare a database with what its applied migrations make.
-- @param migrator with a connection
-- @param given { against = the URL of another database to compare with, instead; scratch,
--   scratch_bin, schema_from, applied_to }
-- @return { equal = whether nothing differs; of = what it is compared with, in words; differences =
--   from what the files make to what the database has, as of pgmig.proof.difference; lines = the
--   same for people; beside, beside_lines = likewise, of what every new database has and no file
--   touches; notes = sentences about the clone }
-- @raise kinds "usage" for another major version, "lock", "sql", and what a file raises that cannot
--   be applied on the clone
function M.run(migrator, given)
  local options = arguments.read("drift", given)
  if options.against then return against(migrator, options.against) end
  return clones.with(pictures.of_clone(migrator, options), function(clone)
    return on_clone(migrator, options, clone)
  end)
end

return M
