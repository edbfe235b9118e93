--- What this release of an application wants of the schema: read once, when a worker starts.
local connection = require "pgmig.db.connection"
local core = require "pgmig.core"
local drift = require "pgmig.state.drift"
local errors = require "pgmig.errors"
local files = require "pgmig.files.list"
local formats = require "pgmig.formats"
local ledger = require "pgmig.state.ledger"
local migration = require "pgmig.files.migration"
local migrator = require "pgmig.migrator"
local naming = require "pgmig.naming"
local options_table = require "pgmig.options"
local source = require "pgmig.files.source"

local M = {}

local PLACE_DIGITS = 16

local migrator_options = options_table.of_migrator() -- they are passed on

local known = {
  database = true, dir = true, to = true, target = true, mode = true, shm = true, pool = true,
  on_event = true, refuse = true, phase = true,
}
for _, key in ipairs(migrator_options) do known[key] = true end

local function migrator_part(options)
  local part = {}
  for _, key in ipairs(migrator_options) do part[key] = options[key] end
  return part
end

--- The version that a release requires; nil: the folder's newest.
local function target_of(options)
  if options.to ~= nil then return options.to end
  return options.target
end

--- Which migrations a release waits for: those that run after the deploy come when it is there.
local function phase_of(options) return options.phase or "pre" end

--- The newest version of the folders that a phase waits for; nil when there is none.
local function newest(set, phase)
  local last = #set.list
  while phase == "pre" and last > 0 and source.phase(set.list[last]) == "post" do
    source.discard(set.list[last])
    last = last - 1
  end
  return files.newest { list = { set.list[last] }, baselines = set.baselines }
end

local function check(options, mode)
  if type(options) ~= "table" then errors.raise("usage", "a table of options is required") end
  for key in pairs(options) do
    if not known[key] then errors.raise("usage", ("unknown option %s"):format(tostring(key))) end
  end
  if mode ~= "migrate" and mode ~= "check" then
    errors.raise("usage", ("mode must be migrate or check, not %s"):format(tostring(mode)))
  end
  if options.to ~= nil and options.target ~= nil then
    errors.raise("usage", "option to is given twice, also as target")
  end
  local phase = phase_of(options)
  if phase ~= "pre" and phase ~= "all" then
    errors.raise("usage", ("phase must be pre or all, not %s"):format(tostring(phase)))
  end
  migrator.check_options(migrator_part(options))
  if options.format == "auto" then
    errors.raise("usage", "format auto is not supported here: it looks into the database", {
      hint = "name the format: `pgmig --format auto status` shows which one it is",
    })
  end
  if not options.dir and not (mode == "check" and target_of(options) ~= nil) then
    errors.raise("usage", "dir, the migrations folder, is required")
  end
end

--- As in nginx's own directives: a relative path begins at its prefix.
local function from_prefix(dir)
  if type(dir) == "table" then
    local list = {}
    for i, path in ipairs(dir) do list[i] = from_prefix(path) end
    return list
  end
  if type(dir) ~= "string" or dir:sub(1, 1) == "/" then return dir end
  return ngx.config.prefix() .. dir
end

local function dirs_of(dir) return type(dir) == "table" and dir or { dir } end

--- What tells what a release is about from what others are: database, tracking table, folders.
local function place_of(self)
  local options = self.options
  local parts = {
    connection.place(self.database), options.table or "", tostring(options.shared),
    type(options.format) == "table" and options.format.name or options.format or "",
  }
  for _, dir in ipairs(dirs_of(self.dir)) do parts[#parts + 1] = dir end
  return core.checksum(table.concat(parts, "\0")):sub(1, PLACE_DIGITS)
end

--- Read what a release wants.
-- @param options of `pgmig.nginx.setup`
-- @param mode in place of theirs; nil
-- @return { wanted = version, place = what tells its database, table and folders from others, as
--   hexadecimal digits, terms = mode, phase and target as a text, dir, deep = whether folders below
--   count, target, mode, phase, database, on_event, options = the migrator's }
-- @raise kinds "usage", "io", "naming"
function M.read(options, mode)
  mode = mode or type(options) == "table" and options.mode or "migrate"
  check(options, mode)
  local self = {
    database = options.database, target = target_of(options), mode = mode,
    on_event = options.on_event, dir = from_prefix(options.dir),
    options = migrator_part(options), phase = phase_of(options),
    terms = ("%s %s %s"):format(mode, phase_of(options), tostring(target_of(options))),
  }
  local set = { list = {}, baselines = {} }
  if self.dir then
    local given = self.options
    local format = formats.load(given.format or "pgmig", given.placeholders, given)
    local rule = naming.check(self.options.naming or format.naming)
    set, self.deep = files.read(dirs_of(self.dir), rule, format), rule.deep
  end
  self.wanted = self.target ~= nil and migration.id_of(self.target) or newest(set, self.phase)
    or "0"
  self.place = place_of(self)
  return self
end

--- What changes when a file of a release's folders does, without reading any.
-- @param breathe called between files
function M.stamp(release, breathe)
  local parts = {}
  for _, dir in ipairs(dirs_of(release.dir)) do
    local there, names = pcall(core.list, dir, release.deep)
    for _, name in ipairs(there and names or {}) do
      breathe()
      parts[#parts + 1] = name .. "\0" .. tostring(core.file_stamp(dir .. "/" .. name))
    end
    parts[#parts + 1] = dir
  end
  return core.checksum(table.concat(parts, "\0"))
end

--- The version of a database, as its rows say.
local function version_of_rows(db, release)
  local tracking = ledger.new(release.options.table or "schema_migrations")
  tracking:probe(db)
  local rows = tracking:list(db)
  return rows.id[rows.count] or "0"
end

--- The applied migrations as the release's files say; of them only those are read that may be
-- another one than was applied.
local function applied_of(db, release)
  local options = {}
  for key, value in pairs(release.options) do options[key] = value end
  options.drift_check = false
  return migrator.new(db, release.dir, options):applied()
end

--- The version that a database has: the highest one applied; "0" when there is none.
-- @param db a connection
-- @param release what `read` returned
-- @return the version; where another migration was applied under a number of the release's, the
--   last one before it
-- @return then the error that says so; nil
function M.version(db, release)
  if not release.dir then return version_of_rows(db, release) end
  local version = "0"
  for _, m in ipairs(applied_of(db, release)) do
    if m.state == "replaced" then
      local sentence, hint = drift.describe(m)
      return version, errors.new("drift", sentence, { file = m.path, hint = hint })
    end
    version = m.id
  end
  return version
end

return M
