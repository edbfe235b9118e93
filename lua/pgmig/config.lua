--- The config file, `pgmig.conf.lua`: Lua that returns a table.
-- @module pgmig.config
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local needed = require "pgmig.needed"
local options = require "pgmig.options"
local settings_file = require "pgmig.settings_file"

local lua_file = needed "files.lua_file"

local M = {}

--- The name that the command line looks for.
M.FILE = "pgmig.conf.lua"

local function key_names()
  local list = {}
  for _, option in ipairs(options.list) do list[#list + 1] = option.key end
  table.sort(list)
  return table.concat(list, ", ")
end

--- Times and counts.
local function check_limit(path, key, value)
  if not options.is_limited(key) then return end
  local ok, err = pcall(options.check, key, value, "key " .. key)
  if ok then return end
  err.file = path
  error(err, 0)
end

local function check(path, config)
  if type(config) ~= "table" then
    errors.raise("usage", "a config file must return a table", { file = path })
  end
  for _, folder in ipairs(type(config.dir) == "table" and config.dir or {}) do
    if type(folder) ~= "string" then
      errors.raise("usage", "key dir must be a folder or a list of folders", { file = path })
    end
  end
  for key, value in pairs(config) do
    local option = options.by_key[key]
    if not option then
      errors.raise("usage", ("unknown key %s"):format(tostring(key)), {
        file = path, hint = "known keys are: " .. key_names(),
      })
    end
    if not options.fits(option, value) then
      errors.raise("usage", ("key %s must be a %s, not a "
        .. "%s"):format(key, option.types, type(value)), {
        file = path,
      })
    end
    check_limit(path, key, value)
  end
  return config
end

--- Where a path of a config file leads to: beside that file; where nothing is there, to the current
-- folder, as in versions that knew no better.
local function place(config_path, path)
  local folder = config_path:match "^(.*/)"
  if not folder or path:find "^/" then return path end
  local beside = folder .. path
  if not core.exists(path) then return beside end
  if not core.exists(beside) then return path end
  if core.is_same_file(path, beside) then return beside end
  errors.raise("usage", ("both %s and, in the current folder, %s exist"):format(beside, path), {
    file = config_path, hint = "a path in a config file is relative to that file: give the full "
      .. "path of the one that is meant",
  })
end

--- Put its paths in place: of folders, of a format's file, of the schema's and of the seed's.
local function place_all(path, config)
  local dir, format, dump_to = config.dir, config.format, config.dump_to
  if type(dir) == "string" then
    config.dir = place(path, dir)
  elseif dir then
    config.dir = {}
    for i, folder in ipairs(dir) do config.dir[i] = place(path, folder) end
  end
  if type(format) == "string" and format:find "%.lua$" then config.format = place(path, format) end
  if dump_to then config.dump_to = place(path, dump_to) end
  if type(config.seed) == "string" then config.seed = place(path, config.seed) end
  return config
end

--- What the compiler quotes is left out: a password may be in it.
local function failed(path, raised, compiling)
  local line, message = lua_file.place(path, raised)
  if compiling then message = message:gsub("%s+near%s.*$", "") end
  errors.raise("usage", message, { file = path, line = line })
end

--- Read a config file. Folders, a format's file and the schema's in it are relative to it.
-- @param path its path
-- @return its table: the options (pgmig.options) that it sets
-- @raise kind "usage" for a file that cannot be read or parsed, unknown keys and wrong types
function M.load(path)
  local text = settings_file.read(path)
  if not text then errors.raise("usage", "the config file does not exist", { file = path }) end
  return place_all(path, check(path, lua_file.run(path, text, function(raised, compiling)
    failed(path, raised, compiling)
  end)))
end

return M
