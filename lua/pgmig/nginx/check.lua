--- A look at the schema before nginx starts: in its master process, which may wait.
local connection = require "pgmig.db.connection"
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local log = require "pgmig.nginx.log"
local migrator = require "pgmig.migrator"
local phases = require "pgmig.nginx.phase"
local releases = require "pgmig.nginx.release"

local M = {}

local TIMEOUT = 5 -- seconds: the master does nothing else meanwhile

local function check_version(db, release)
  local version, another = releases.version(db, release)
  if another then error(another, 0) end
  if core.compare(version, release.wanted) >= 0 then return end
  errors.raise("plan", ("the schema is at version %s, but %s is required"):format(
    version, release.wanted), { hint = "run `pgmig up` first" })
end

--- Older migrations may be pending though the version is there, and files may have been edited.
local function check_files(db, release)
  local plan = migrator.new(db, release.dir, release.options):plan {
    to = release.target, phase = release.phase,
  }
  if not plan[1] then return end
  errors.raise("plan", ("%d migrations are pending; the first is %s"):format(#plan, plan[1].label),
    { hint = "run `pgmig up` first" })
end

local function look(options)
  phases.check("check", "init")
  local release = releases.read(options, "check")
  local database = release.database
  local parameters = { connect_timeout = TIMEOUT, response_timeout = TIMEOUT }
  if type(database) ~= "table" then database = { url = database } end
  for key, value in pairs(database) do parameters[key] = value end
  local db = connection.connect(parameters)
  local ok, err = pcall(function()
    check_version(db, release)
    if release.dir then check_files(db, release) end
  end)
  db:close() -- the workers must not get it
  if not ok then error(err, 0) end
end

--- See pgmig.nginx.
function M.check(options)
  local ok, err = pcall(look, options)
  if ok then return true end
  if type(options) ~= "table" or options.refuse then error("pgmig: " .. tostring(err), 0) end
  log.write("warn", tostring(err))
  return false
end

return M
