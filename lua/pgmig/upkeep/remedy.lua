--- Shell commands for files that are not as they should be.
local core = require "pgmig.core"
local create = require "pgmig.files.create"
local errors = require "pgmig.errors"
local files = require "pgmig.files.list"
local migration = require "pgmig.files.migration"
local planning = require "pgmig.state.plan"
local shell = require "pgmig.shell"
local way_back = require "pgmig.files.way_back"

local M = {}

local MIN_DIGITS = 3

--- Let this user read a file; nil where something else is wrong with it.
function M.allow(path)
  local _, err = pcall(core.file_checksum, path)
  if not (errors.is(err) and err.message:find "ermission denied") then return nil end
  return "chmod u+r " .. shell.path(path)
end

local remedies = {}
remedies.__index = remedies

--- Commands for the files of a migrator: what they need to know of all migrations is found once.
-- @param status of `migrator:status`
function M.new(migrator, status)
  local self = setmetatable({ migrator = migrator, taken = {} }, remedies)
  for _, m in ipairs(planning.all(status)) do
    if m.id then
      self.taken[m.id] = true
      if not self.widest or #m.text > #self.widest.text then self.widest = m end
      if not self.newest or migration.before(self.newest, m) then self.newest = m end
    end
    if m.id and m.path then
      self.padded = self.padded or m.text:find "^0" and #m.text
      self.example = m
    end
  end
  return self
end

--- A version which is free: another one each time; nil: nobody can count.
function remedies:next_version()
  local naming = self.migrator.naming
  local ok, version = pcall(create.next_version, naming, { self.widest, self.newest })
  if not ok then return nil end
  self.newest = { id = files.digits(naming, version), text = version }
  self.widest = self.widest or self.newest
  return version
end

-- ---- files of other names --------------------------------------------------

local function move(path, other) return ("mv %s %s"):format(shell.path(path), shell.path(other)) end

--- The folder of the migrator's that a path is in, and the rest of it.
local function split(migrator, path)
  for _, dir in ipairs(migrator.dirs) do
    local folder = dir:gsub("/*$", "") .. "/"
    if path:sub(1, #folder) == folder then return folder, path:sub(#folder + 1) end
  end
end

--- The path of a migration's file under another version.
local function path_under(migrator, m, path, version)
  local direction = path == m.path and "up" or "down"
  local name = migrator.naming.format(version, m.name, direction)
  return split(migrator, path) .. name:gsub("%.%w+$", path:match "%.%w+$")
end

--- Give a migration another version.
-- @param version nil: one that is free
-- @return the command; nil: nobody can count
function remedies:renumber(m, version)
  version = version or self:next_version()
  if not version then return nil end
  local commands, moved = {}, {}
  for _, path in ipairs { m.path, m.down_path } do
    local other = path_under(self.migrator, m, path, version)
    if path:match "^.*/" ~= other:match "^.*/" then -- each has a folder of its own
      path, other = path:match "^(.*)/", other:match "^(.*)/"
    end
    if not moved[path] then commands[#commands + 1] = move(path, other) end
    moved[path] = true
  end
  return table.concat(commands, " && ")
end

--- Give one of two files of a version another one; nil: that is not for a program to decide.
function remedies:separate(path)
  local _, name = split(self.migrator, path)
  local ok, parsed = pcall(self.migrator.naming.parse, name or "")
  if not (ok and parsed and parsed.version) or parsed.direction or way_back.word(path) then
    return nil
  end
  return self:renumber { name = parsed.name, path = path }
end

--- Whether a file holds SQL, by its name, and only has to be called otherwise.
local function is_misnamed(path)
  local name = path:match "[^/]*$":lower()
  local holds_sql = name:find "^[^.]+$" or name:find "%.%a*sql%A*$" or name:find "%.sql%.txt$"
  return holds_sql and not way_back.word(path)
end

--- The version that a name begins with, where no migration has it.
local function own_version(self, name)
  local digits = name:match "^%d+"
  local ok, id = pcall(core.version, digits)
  if not ok or self.taken[id] then return nil end
  self.taken[id] = true
  return digits
end

--- Name a file as a migration of SQL; nil: it is none, or nobody can tell what it is called.
function remedies:name(path)
  local folder, name = split(self.migrator, path)
  if not is_misnamed(path) then return nil end
  local base = name:match "[^/]*$":match "^[^.]*"
  local ok, clean = pcall(create.sanitise, (base:gsub("^%d+[%W_]*", "")))
  local version = ok and (own_version(self, base) or self:next_version())
  return version and move(path, folder .. self.migrator.naming.format(version, clean, "up"))
end

-- ---- files that are gone ---------------------------------------------------

local MAX_DEPTH = 20 -- folders above the migrations' one

--- Whether a folder is in a working tree of git.
local function is_versioned(dir)
  for depth = 0, MAX_DEPTH do
    local file = io.open(("%s%s/.git"):format(dir, ("/.."):rep(depth)))
    if file then file:close() end
    if file then return true end
  end
  return false
end

--- A version as the folder's files have it.
local function written(self, id)
  local digits = self.padded or (self.example and 0 or MIN_DIGITS)
  return ("0"):rep(digits - #id) .. id
end

--- Bring a missing file back from git, whether its deletion has been committed or not; nil: the
-- folder is not there.
function remedies:bring_back(m)
  local dir = self.migrator.dirs[1]
  if self.versioned == nil then self.versioned = is_versioned(dir) end
  if not self.versioned then return nil end
  local name = self.migrator.naming.format(written(self, m.id), m.name, "up")
  local git, file = "git -C " .. shell.path(dir), shell.path(name)
  if name:find "[*?%[\\:]" then git = git .. " --literal-pathspecs" end
  return ('%s checkout "$(%s log -n 1 --format=%%H --diff-filter=AM -- %s)" -- %s'):format(git, git,
    file, file)
end

return M
