--- The settings of a command: from flags, variables, `.env`, the config file, or defaults, in this
-- order.
local config = require "pgmig.config"
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local formats = require "pgmig.formats"
local all = require "pgmig.options"
local needed = require "pgmig.needed"

local dotenv = needed "cli.dotenv"
local origin = needed "cli.origin"

local M = {}

-- Without the file.
local no_variables = { get = function() return nil end, check = function() end }

local AUTO = "(depends on the format)"

--- `edited=warn,missing=allow` as a table.
local function policy(text)
  if type(text) ~= "string" then return text end
  local choices = {}
  for item in text:gmatch "[^,%s]+" do
    local state, choice = item:match "^([%l_]+)=(%l+)$"
    if not state then return nil, "state=error, state=warn or state=allow, separated by commas" end
    choices[state] = choice
  end
  return choices
end

--- "on" or "off" as a boolean.
local function switch(value)
  if type(value) == "boolean" then return value end
  if value == "on" or value == "off" then return value == "on" end
  return nil, "on or off"
end

local converters = { policy = policy, switch = switch }

local function variable(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

--- What `.env` says; an empty value says nothing.
local function in_file(env, name)
  local value = env:get(name)
  return value ~= "" and value or nil
end

--- `.env` names no code: it lies where others may write, and programs put it there.
local function refuse_code(env, name, otherwise)
  errors.raise("usage", ("%s names code, which is not allowed in .env"):format(name), {
    file = env.path, line = env.lines[name], hint = otherwise .. ", or set the variable in the "
      .. "environment",
  })
end

--- The config file's table, and its path; {} when there is none.
local function read_config(options, env)
  local named = options.config_file or variable "PGMIG_CONFIG"
  if not named and in_file(env, "PGMIG_CONFIG") then
    refuse_code(env, "PGMIG_CONFIG", ("name the file %s, or pass it with --config"):format(
      config.FILE))
  end
  if named and not core.exists(named) then
    errors.raise("usage", "the config file does not exist", { file = named })
  end
  local path = named or (core.exists(config.FILE) and config.FILE)
  if not path then return {} end
  return config.load(path), path
end

--- Where a setting comes from: its value and its source.
local function find(setting, options, env, file, path)
  local key, name = setting.key, setting.variable
  local flag = options[key]
  if flag ~= nil then return flag, setting.flag end
  if options["no_" .. key] then return false, "--no-" .. key:gsub("_", "-") end
  if name and variable(name) then return variable(name), name end
  local value = name and in_file(env, name)
  if value and (setting.code or key == "format" and value:find "%.lua$") then
    refuse_code(env, name, ("set it in %s, or with %s"):format(config.FILE, setting.flag))
  end
  if value then return value, ".env: " .. name end
  if file[key] ~= nil then return file[key], path end
  if setting.default ~= nil then return setting.default, "default" end
end

--- A setting's value in its own type.
local function converted(setting, value, source)
  local result, expected = value, nil
  if all.is_limited(setting.key) then return all.check(setting.key, value, source) end
  if setting.kind then result, expected = converters[setting.kind](value) end
  if result ~= nil or value == nil then return result end
  errors.raise("usage", ("%s: %s must be %s"):format(source, setting.key, expected))
end

--- The same of what may be in `.env`.
local function converted_from(setting, value, source)
  local ok, result = pcall(converted, setting, value, source)
  if ok then return result end
  if errors.is(result, "usage") then result.in_env = tostring(source):find "^%.env" ~= nil end
  error(result, 0)
end

--- libpq's variables that only `.env` has, for libpq; the real ones it reads by itself.
-- @return a table by name; nil when there are none
local function environment(env)
  local found
  for name in pairs(core.libpq_variables()) do
    local value = not os.getenv(name) and env:get(name)
    if value then
      found = found or {}
      found[name] = value
    end
  end
  return found
end

--- What `--set` says, and the values of the config file that it does not give.
local function add_values(found, file)
  local flag = all.by_key.placeholders.flag
  if found.sources.placeholders ~= flag then return end
  local values = {}
  for name, value in pairs(file.placeholders or {}) do values[name] = value end
  for _, word in ipairs(found.values.placeholders) do
    local name, value = word:match "^([^=]+)=(.*)$"
    if not name then errors.raise("usage", ("option '%s' must be NAME=VALUE"):format(flag)) end
    values[name] = value
  end
  found.values.placeholders = values
end

--- The tracking table that a format asks for; nil: the usual one.
local function own_table(values)
  if not values.format then return nil end
  if values.format == "auto" then return AUTO end
  local format = formats.find(values.format)
  return values.shared and format.shared and format.tracking.table or format.table
end

--- Call a function for a setting; an error about what `.env` gives to it waits until it is needed.
-- @return what the function returns
local function deferring(found, key, fn, ...)
  local ok, value, source = pcall(fn, ...)
  if ok then return value, source end
  if not (errors.is(value, "usage") and value.in_env) then error(value, 0) end
  found.problems[key] = value
end

--- Read `.env`; what it gives is found out name by name.
local function read_env(found)
  if not core.exists ".env" then return no_variables end
  local env = dotenv.read ".env"
  found.env = env
  return env
end

--- Find all settings.
-- @param options the command line's options
-- @return { values = by key, sources = by key, problems = errors by key about what `.env` gives };
--   values.dir is a list
-- @raise kind "usage"
function M.read(options)
  local found = { values = {}, sources = {}, problems = {}, env = no_variables }
  local env = read_env(found)
  local file, path = read_config(options, env)
  for _, setting in ipairs(all.list) do
    local key = setting.key
    local value, source = deferring(found, key, find, setting, options, env, file, path)
    if not found.problems[key] then
      value = deferring(found, key, converted_from, setting, value, source)
    end
    found.values[key] = value
    found.sources[key] = source
  end
  add_values(found, file)
  local dir = found.values.dir
  found.values.dir = type(dir) == "table" and dir or { dir }
  local tool = options.from or options.tool
  if tool and found.sources.format == "default" then
    found.values.format, found.sources.format = tool, options.from and "--from" or "--to"
  end
  local own = own_table(found.values)
  if found.sources.table == "default" and own then found.values.table = own end
  found.environment = deferring(found, "environment", environment, env)
  return found
end

--- Raise what is wrong with those that are needed.
local function need(settings, keys)
  for _, key in ipairs(keys) do
    if settings.problems[key] then error(settings.problems[key], 0) end
  end
end

--- What `pgmig.connect` takes.
-- @raise kind "usage" for what `.env` gives and nobody can read: any line of it may be meant
function M.connection(settings)
  need(settings, { "database", "environment", "response_timeout" })
  settings.env:check()
  return {
    url = settings.values.database, environment = settings.environment,
    response_timeout = settings.values.response_timeout,
  }
end

-- What commands do without that apply nothing; `create` needs no more than the folder's format.
local for_runs = { lock_timeout = true, lock_wait = true, retries = true, pipeline = true }

local function is_needed(key, purpose)
  if purpose == "create" then return key == "format" or key == "naming" end
  return not (purpose == "look" and for_runs[key])
end

--- The options of `pgmig.migrator`.
-- @param purpose "create" or "look", which do without some; nil: any other
-- @raise kind "usage" for what `.env` gives to those that are needed and nobody can read
function M.migrator_options(settings, purpose)
  local values, options = settings.values, {}
  need(settings, { "dir" })
  for _, key in ipairs(all.of_migrator()) do
    if is_needed(key, purpose) then need(settings, { key }) end
    options[key] = values[key]
  end
  if options.table == AUTO then options.table = nil end
  return options
end

-- ---- for people ------------------------------------------------------------

local function shown_policy(policy_of)
  local items = {}
  for state, choice in pairs(policy_of) do items[#items + 1] = state .. "=" .. tostring(choice) end
  table.sort(items)
  return table.concat(items, ",")
end

local function shown(key, value)
  if key == "lock_timeout" then return all.bare(value) or value end
  if value == nil then return key == "database" and "(libpq's own environment)" or "(none)" end
  if key == "database" then return origin.mask(value) end
  if key == "dir" then return table.concat(value, ", ") end
  if key == "policy" then return shown_policy(value) end
  if key == "format" and type(value) == "table" then return tostring(value.name) end
  if key == "placeholders" and value == false then return "false" end
  if type(value) == "table" or type(value) == "function" then return "(set)" end
  return tostring(value)
end

--- The settings as they may be shown; of what `.env` says and nobody can read, what is wrong.
-- @return a list of { key, value = text, source = text }
function M.describe(settings)
  local list = {}
  for i, setting in ipairs(all.list) do
    local key = setting.key
    local source = settings.sources[key]
    if key == "database" and not source and settings.environment then source = ".env: PG*" end
    local problem = settings.problems[key]
    local value = problem and ("(unreadable: %s)"):format(problem.message)
      or shown(key, settings.values[key])
    list[i] = { key = key, value = value, source = source or (problem and ".env") or "default" }
  end
  return list
end

return M
