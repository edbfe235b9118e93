--- sqitch: sqitch.plan lists the changes, each with a script in deploy/, revert/ and verify/. psql
-- runs them, and a script begins and commits its transaction itself. The folder is the project's,
-- with sqitch.conf, or the one that has the plan.
local add = require "pgmig.formats.sqitch_add"
local errors = require "pgmig.errors"
local plans = require "pgmig.formats.sqitch_plan"

local directions = { deploy = "up", revert = "down", verify = "verify" }

--- What is behind a change's name in those of its scripts: the tag that it had when it was planned
-- again, the first that has a script.
local function suffix_of(change, layout, there)
  for _, tag in ipairs(change.rework_tags or {}) do
    local path = ("%s/%s@%s.%s"):format(layout.reworked.deploy, change.name, tag, layout.extension)
    if there[path] then return "@" .. tag end
  end
  return change.rework_tags and "@" .. change.rework_tags[1] or ""
end

--- The scripts of a change: by path, what they are of it.
local function add_scripts(files, change, layout, there)
  local folders = change.rework_tags and layout.reworked or layout
  local label = change.name .. suffix_of(change, layout, there)
  local aliases = {}
  for i, tag in ipairs(change.tags) do aliases[i] = "@" .. tag end
  for script, direction in pairs(directions) do
    files[("%s/%s.%s"):format(folders[script], label, layout.extension)] = {
      version = tostring(change.place), name = change.name, label = label, direction = direction,
      key = change.id, aliases = direction == "up" and aliases[1] and aliases or nil,
    }
  end
  return ("%s/%s.%s"):format(folders.deploy, label, layout.extension)
end

--- Whether a file is where scripts are, and named as they are.
local function is_script(path, layout)
  if path:sub(-#layout.extension - 1) ~= "." .. layout.extension then return false end
  for script in pairs(directions) do
    for _, folder in ipairs { layout[script], layout.reworked[script] } do
      if path:sub(1, #folder + 1) == folder .. "/" then return true end
    end
  end
  return false
end

local function parser(paths, read)
  local plan, layout = plans.of_folder(read)
  local there, files, wrong = {}, {}, {}
  for _, path in ipairs(paths) do there[path] = true end
  for _, change in ipairs(plan.changes) do
    local deploy = add_scripts(files, change, layout, there)
    if not there[deploy] then
      wrong[#wrong + 1] = errors.new("naming", ("the deploy script of %s does not exist: %s")
        :format(change.name, deploy), { file = layout.shown, line = change.line })
    end
  end
  return function(path)
    if files[path] then return files[path] end
    if is_script(path, layout) then return nil end
    return false
  end, { wrong = wrong, project = plan.project }
end

return {
  name = "sqitch",
  about = "sqitch.plan, with scripts in deploy/, revert/ and verify/",
  naming = {
    pattern = "deploy/NAME.sql",
    listed = "sqitch.plan",
    deep = true,
    parse = function() return nil end,
    parser = parser,
    format = function(_, name, direction)
      return ("%s/%s.sql"):format(direction == "up" and "deploy" or "revert", name)
    end,
  },
  create = add.create,
  vocabulary = {
    empty = true,
    psql = true,
    transaction = "auto",
    unwrapped = true,
  },
  signs = { paths = { "^sqitch%.plan$", "^sqitch%.conf$" } },
  tracking = {
    table = "sqitch.changes",
    columns = { "change_id", "script_hash", "change", "project", "planned_at" },
    checksum = "sha1",
    query = [[
      SELECT change_id AS key, change AS label, project, committed_at AS applied_at,
        CASE WHEN script_hash OPERATOR(pg_catalog.=) change_id THEN NULL
          ELSE script_hash END AS checksum
      FROM %s AS t ORDER BY t.committed_at]],
  },
  unexported = "let sqitch record what is applied: sqitch deploy --log-only --to CHANGE, with the "
    .. "newest change; it runs nothing, and writes to all of its tables",
  unshared = "its rows are hashes that sqitch computes, and more tables are kept beside it",
}
