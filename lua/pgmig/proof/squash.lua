--- Puts one file in the place of all up to a version, and proves that it makes the same schema:
-- both are run on a clone and compared, and so is what the migrations behind them make of both.
local arguments = require "pgmig.arguments"
local clones = require "pgmig.proof.clone"
local contents = require "pgmig.proof.contents"
local core = require "pgmig.core"
local difference = require "pgmig.proof.difference"
local dump = require "pgmig.proof.dump"
local errors = require "pgmig.errors"
local migrators = require "pgmig.migrator"
local pictures = require "pgmig.proof.picture"
local planning = require "pgmig.state.plan"
local shell = require "pgmig.shell"
local twins = require "pgmig.proof.twin"

local M = {}

local NAME = "squashed"

-- %s: names of the first and the last; %d of them; what begins UP
local HEAD = [[
-- In the place of the %d migrations %s to %s, which make the same schema: pgmig squash.
-- Only a new database runs it; others have applied it when they have applied version %s.
-- pgmig: irreversible it stands for %d migrations

%sSET LOCAL check_function_bodies = false;
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = '';
]]

-- ---- the file --------------------------------------------------------------------

--- The migrations up to a version, and the last of them.
local function find_replaced(migrator, version)
  local files, list = migrator:files(), {}
  local target = planning.find({ by_id = files.by_id }, version)
  for _, m in ipairs(files.baselines) do
    if core.compare(m.id, target.id) < 0 then list[#list + 1] = m end
  end
  for _, m in ipairs(files.list) do
    if core.compare(m.id, target.id) <= 0 then list[#list + 1] = m end
  end
  return list, target
end

--- Where the file goes.
local function path_of(migrator, target)
  local rule = migrator.naming
  if not rule.baseline then
    errors.raise("usage", "this naming rule has no names for baseline files, which new databases "
      .. "run in the place of others", { hint = "add a function baseline(version, name) to it" })
  end
  local path = migrator.dirs[1]:gsub("/*$", "") .. "/" .. rule.baseline(target.text, NAME)
  if not core.exists(path) then return path end
  errors.raise("io", "the file is there already", { file = path })
end

local function text_of(twin, replaced, target, options)
  local schema = dump.schema(twin, {
    without = pictures.own_tables(twin), data = options.data, secrets = true,
  })
  local is_own = not (twin.format and twin.format.vocabulary)
  return HEAD:format(#replaced, replaced[1].label, target.label, target.shown, #replaced,
    is_own and "-- UP\n" or "") .. schema.text
end

-- ---- the proof -------------------------------------------------------------------

--- Refuse what is not the same.
-- @param when where it was compared, for people
local function check_same(first, second, when)
  local before, after = pictures.of_migrator(first), pictures.of_migrator(second)
  if before.hash == after.hash then return end
  local lines = difference.lines(difference.of(before, after))
  errors.raise("plan", ("the squashed file does not make the same schema%s"):format(when), {
    detail = table.concat(lines, "\n"), hint = "nothing was written",
  })
end

--- Run a plan.
-- @param when what is said of an error that it meets
-- @return how many migrations it has
local function run(twin, plan, when)
  local ok, err = pcall(twins.run, twin, plan)
  if ok then return #plan end
  if errors.is(err) then err.detail = (err.detail and err.detail .. "\n" or "") .. when end
  error(err, 0)
end

--- Run what is behind on both.
-- @return how many migrations that are
local function run_rest(first, second)
  local done = run(first, first:plan(), "it runs behind the version that is squashed, on a clone")
  run(second, second:plan(), "it runs behind the old files on a clone, and not behind the squashed "
    .. "one: does it need rows that those have written? --data writes them into the file")
  return done
end

--- A folder that holds the file alone.
local function with_folder(name, text, fn)
  local folder = shell.make_folder()
  if not folder then errors.raise("io", "cannot create a temporary folder") end
  local ok, result = pcall(function()
    core.create_file(folder .. "/" .. name, text)
    return fn(folder)
  end)
  os.execute("rm -rf " .. shell.quote(folder))
  if ok then return result end
  error(result, 0)
end

--- The same migrator with one more folder.
local function with_dir(migrator, folder)
  local dirs, given = { folder }, {}
  for _, dir in ipairs(migrator.dirs) do dirs[#dirs + 1] = dir end
  for key, value in pairs(migrator.given) do given[key] = value end
  given.format, given.naming = migrator.format, migrator.naming
  return migrators.new(nil, dirs, given)
end

--- The first migration of a plan.
local function alone(plan) return { plan[1], direction = "up", files = plan.files } end

local function prove(clone, migrator, first, target, folder)
  local second = clone:twin(with_dir(migrator, folder), { applied = "none" })
  run(second, alone(second:plan { to = target.id }), "this is the squashed file, on a clone")
  check_same(first, second, "")
  local lost = contents.missing(first, second)
  local behind = run_rest(first, second)
  check_same(first, second, (", once the %d migrations behind it have run"):format(behind))
  return lost, behind
end

-- ---- what is asked for -----------------------------------------------------------

local function remove(list)
  for _, m in ipairs(list) do
    for _, path in ipairs { m.path, m.down_path } do
      local ok, why = os.remove(path)
      if not ok then errors.raise("io", ("cannot delete the file: %s"):format(why)) end
    end
  end
end

local function squash(clone, migrator, options)
  local replaced, target = find_replaced(migrator, options.to)
  local path = path_of(migrator, target)
  local first = clone:twin(migrator, { applied = target.id })
  local text = text_of(first, replaced, target, options)
  local result = { path = path, text = text, replaced = replaced, notes = clone.notes }
  with_folder(path:match "[^/]+$", text, function(folder)
    result.lost, result.behind = prove(clone, migrator, first, target, folder)
  end)
  if options.dry_run then return result end
  core.create_file(path, text)
  result.written = true
  if options.delete then remove(replaced) end
  return result
end

--- Put one file in the place of all up to a version.
-- @param migrator with a connection or without
-- @param given { to = the version; data = true: the rows that they write are in the file, too;
--   delete = true: the replaced files are deleted; dry_run = true: nothing is written; scratch,
--   scratch_bin }
-- @return { path, text, replaced = the migrations, behind = how many others were tried behind it,
--   lost = a list of { name, rows = number or nil } of tables and sequences whose contents are not
--   in the file, written, notes }
-- @raise kinds "plan" where it does not make the same schema, "usage", "io", "sql"
function M.run(migrator, given)
  local options = arguments.read("squash", given)
  if options.to == nil then errors.raise("usage", "squash requires a version: to") end
  return clones.with(pictures.of_clone(migrator, options), function(clone)
    return squash(clone, migrator, options)
  end)
end

return M
