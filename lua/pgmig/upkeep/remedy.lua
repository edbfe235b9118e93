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

--- How people write to a file.
function M.edit(path) return '"${EDITOR:-vi}" ' .. shell.path(path) end

--- Let this user read a file; nil where something else is wrong with it.
function M.allow(path)
  local _, err = pcall(core.file_checksum, path)
  if not (errors.is(err) and err.message:find "ermission denied") then return nil end
  return "chmod u+r " .. shell.path(path)
end

--- A function that returns a version which is free: another one each time; nil: nobody can count.
function M.counter(migrator, status)
  local widest, newest
  for _, m in ipairs(planning.all(status)) do
    if m.id and (not widest or #m.text > #widest.text) then widest = m end
    if m.id and (not newest or migration.before(newest, m)) then newest = m end
  end
  return function()
    local ok, version = pcall(create.next_version, migrator.naming, { widest, newest })
    if not ok then return nil end
    newest = { id = files.digits(migrator.naming, version), text = version }
    widest = widest or newest
    return version
  end
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
function M.renumber(migrator, m, version)
  local commands, moved = {}, {}
  for _, path in ipairs { m.path, m.down_path } do
    local other = path_under(migrator, m, path, version)
    if path:match "^.*/" ~= other:match "^.*/" then -- each has a folder of its own
      path, other = path:match "^(.*)/", other:match "^(.*)/"
    end
    if not moved[path] then commands[#commands + 1] = move(path, other) end
    moved[path] = true
  end
  return table.concat(commands, " && ")
end

--- Give one of two files of a version another one; nil: that is not for a program to decide.
function M.separate(migrator, path, next_version)
  local _, name = split(migrator, path)
  local ok, parsed = pcall(migrator.naming.parse, name or "")
  if not (ok and parsed and parsed.version) or parsed.direction or way_back.word(path) then
    return nil
  end
  local version = next_version()
  return version and M.renumber(migrator, { name = parsed.name, path = path }, version)
end

--- The version that a name begins with, where no migration has it.
local function own_version(name, status)
  local digits = name:match "^%d+"
  local ok, id = pcall(core.version, digits)
  for _, m in ipairs(planning.all(status)) do
    if m.id == id then return nil end
  end
  return ok and digits or nil
end

--- Whether a file holds SQL, by its name, and only has to be called otherwise.
local function is_misnamed(path)
  local name = path:match "[^/]*$":lower()
  local holds_sql = name:find "^[^.]+$" or name:find "%.%a*sql%A*$" or name:find "%.sql%.txt$"
  return holds_sql and not way_back.word(path)
end

--- Name a file as a migration of SQL; nil: it is none, or nobody can tell what it is called.
function M.name(migrator, path, status, next_version)
  local folder, name = split(migrator, path)
  if not is_misnamed(path) then return nil end
  local base = name:match "[^/]*$":match "^[^.]*"
  local ok, clean = pcall(create.sanitise, (base:gsub("^%d+[%W_]*", "")))
  local version = ok and (own_version(base, status) or next_version())
  return version and move(path, folder .. migrator.naming.format(version, clean, "up"))
end

-- ---- files that are gone ---------------------------------------------------

--- How many digits the versions in the folder have.
local function digits_of(status)
  local seen
  for _, m in ipairs(planning.all(status)) do
    if m.path and m.text and m.text:find "^0" then return #m.text end
    seen = seen or (m.path and m.text)
  end
  return seen and 0 or MIN_DIGITS
end

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

--- Bring a missing file back from git, whether its deletion has been committed or not; nil: the
-- folder is not there.
function M.bring_back(migrator, m, status)
  if not is_versioned(migrator.dirs[1]) then return nil end
  local digits = ("0"):rep(digits_of(status) - #m.id) .. m.id
  local name = migrator.naming.format(digits, m.name, "up")
  local git, file = "git -C " .. shell.path(migrator.dirs[1]), shell.path(name)
  if name:find "[*?%[\\:]" then git = git .. " --literal-pathspecs" end
  return ('%s checkout "$(%s log -n 1 --format=%%H --diff-filter=AM -- %s)" -- %s'):format(git, git,
    file, file)
end

return M
