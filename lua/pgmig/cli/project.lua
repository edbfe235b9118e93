--- `init`: what a project needs before its first migration.
local config = require "pgmig.config"
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local files = require "pgmig.cli.project_files"
local needed = require "pgmig.needed"
local settings = require "pgmig.cli.settings"

local detect = needed "takeover.detect"

local M = {}

-- Files that show where a project has its migrations, and where that is.
local telling = { { "sqitch.plan", "." }, { "db/structure.sql", "db" } }

-- Where projects have them by the customs of the tools whose formats are known.
local usual = {
  "migrations", "db/migrations", "supabase/migrations", "prisma/migrations", "drizzle",
  "database/migrations", "sql/migrations", "src/main/resources/db/migration",
}

--- The folders of a project: those that are named, or the usual one that is there.
-- @return a list
local function find_dirs(found)
  if found.sources.dir ~= "default" then return found.values.dir end
  for _, one in ipairs(telling) do
    if core.exists(one[1]) then return { one[2] } end
  end
  for _, dir in ipairs(usual) do
    if core.exists(dir) then return { dir } end
  end
  return found.values.dir
end

local function is_empty(dirs)
  for _, dir in ipairs(dirs) do
    if core.exists(dir) and core.list(dir, true)[1] then return false end
  end
  return true
end

--- The format of the files: the one that is named, or found.
-- @return its name; nil: pgmig's own, or nobody can tell
-- @return why nobody can tell, as an error; nil
local function find_format(found, dirs)
  local named = found.values.format
  if found.sources.format ~= "default" and named ~= "auto" then
    return type(named) == "string" and named ~= "pgmig" and named or nil
  end
  if is_empty(dirs) then return nil end
  local ok, result = pcall(detect.format, dirs)
  if ok then return result ~= "pgmig" and result or nil end
  if not errors.is(result, "usage") then error(result, 0) end
  return nil, result
end

--- Write a file, unless it is there.
-- @return { path, created }
local function write(path, text)
  if core.exists(path) then return { path = path, created = false } end
  core.create_file(path, text)
  return { path = path, created = true }
end

--- What comes next.
-- @param database the connection string, where one is given; nil
-- @return a list of commands
local function next_steps(database, format, has_files)
  local steps = {}
  if not database then steps[1] = "export DATABASE_URL=postgresql://USER@HOST/DATABASE" end
  if has_files then
    steps[#steps + 1] = "pgmig status"
    if format then steps[#steps + 1] = "pgmig adopt --dry-run" end
    return steps
  end
  steps[#steps + 1] = "pgmig database create"
  steps[#steps + 1] = "pgmig create create_users"
  steps[#steps + 1] = "pgmig up"
  return steps
end

--- Make what a project needs, in the current folder; what is there stays as it is.
-- @param options of the command line: ci = "github", "gitlab" or nil
-- @return { files = { { path, created } }, format = the name of another tool's, or nil,
--   says_format = whether the config file names it, unclear = why nobody can tell, or nil, next =
--   commands, ci }
function M.init(options)
  local found = settings.read(options)
  local dirs = find_dirs(found)
  local has_files = not is_empty(dirs)
  local format, unclear = find_format(found, dirs)
  local written = { write(config.FILE, files.config(dirs, format)) }
  local says_format = written[1].created or found.sources.format == config.FILE
  for _, dir in ipairs(dirs) do
    if not core.exists(dir) then -- git keeps no empty folder
      written[#written + 1] = write(dir:gsub("/*$", "") .. "/.gitkeep", "")
    end
  end
  if options.ci then
    written[#written + 1] = write(files.ci_file(options.ci))
  end
  return {
    files = written, format = format, says_format = says_format, unclear = unclear,
    ci = options.ci,
    next = next_steps(found.values.database, format, has_files),
  }
end

return M
