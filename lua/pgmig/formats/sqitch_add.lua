--- sqitch: a new change, as `sqitch add` plans it.
local config = require "pgmig.formats.sqitch_config"
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local plans = require "pgmig.formats.sqitch_plan"

local M = {}

local heads = { deploy = "Deploy %s:%s to pg", revert = "Revert %s:%s from pg",
  verify = "Verify %s:%s on pg" }

local bodies = { deploy = "-- XXX Add DDLs here.\n\nCOMMIT;\n",
  revert = "-- XXX Add DDLs here.\n\nCOMMIT;\n",
  verify = "-- XXX Add verifications here.\n\nROLLBACK;\n" }

--- Who plans it, as sqitch finds out.
-- @return name and mail address, as the plan has them
local function planner(settings)
  local path = os.getenv "SQITCH_USER_CONFIG" or (os.getenv "HOME" or "") .. "/.sqitch/sqitch.conf"
  local own = config.parse(core.read_file(path))
  local name = os.getenv "SQITCH_FULLNAME" or settings["user.name"] or own["user.name"]
  local mail = os.getenv "SQITCH_EMAIL" or settings["user.email"] or own["user.email"]
  if name and mail then return ("%s <%s>"):format(name, mail) end
  errors.raise("usage", "sqitch's plan names who has planned a change, and you have no name yet", {
    hint = "sqitch config --user user.name 'Ann Smith', and user.email likewise; or the variables "
      .. "SQITCH_FULLNAME and SQITCH_EMAIL",
  })
end

--- The plan with one line more. sqitch wants an empty one between its head and the changes.
local function append(text, line)
  local newline = text:find "\r\n" and "\r\n" or "\n"
  if text:sub(-1) ~= "\n" then text = text .. newline end
  local gap = text:match "([^\n]*)\n$":find "^%s*%%" and newline or ""
  return text .. gap .. line .. newline
end

local function check_new(plan, name, layout)
  for _, change in ipairs(plan.changes) do
    if change.name == name then
      errors.raise("usage", ("there is a change %s already"):format(name), {
        file = layout.shown, line = change.line, hint = "to change it: sqitch rework " .. name,
      })
    end
  end
end

--- What the plan's line says of it.
local function note_of(name, words)
  if name == words then words = words:gsub("[_-]", " ") end
  return (words:gsub("\\", "\\\\"):gsub("[\r\n]+", " "))
end

--- Plan a change, as `sqitch add` does: a line at the plan's end, and its scripts, of which those
-- stay that are there already.
-- @param dir the folder, with a slash behind it
-- @param words what the change does, or its name
-- @param sanitise fn(words) makes a name of them
-- @return the paths of the deploy and revert scripts
-- @raise kinds "naming", "usage", "io"
function M.create(dir, words, sanitise)
  local plan, layout, text = plans.of_folder(function(path)
    return core.read_file(dir .. path), dir .. path
  end)
  local name = plans.is_name(words) and words or sanitise(words)
  check_new(plan, name, layout)
  local who = planner(layout.settings)
  local paths = {}
  for script, head in pairs(heads) do
    paths[script] = ("%s%s/%s.%s"):format(dir, layout[script], name, layout.extension)
    if not core.exists(paths[script]) then
      core.create_file(paths[script],
        ("-- %s\n\nBEGIN;\n\n%s"):format(head:format(plan.project, name), bodies[script]))
    end
  end
  core.replace_file(layout.shown, append(text, ("%s %s %s # %s"):format(name,
    os.date "!%Y-%m-%dT%H:%M:%SZ", who, note_of(name, words))))
  return paths.deploy, paths.revert
end

return M
