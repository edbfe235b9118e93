--- Commands as they have to be typed after this one: with the flags that it was given, and for the
-- database that it has found.
local options = require "pgmig.options"
local origin = require "pgmig.cli.origin"
local shell = require "pgmig.shell"

local M = {}

--- A connection string for the database of a connection; without a password, which libpq finds in
-- its own places or asks for.
local function address(place)
  local words = {}
  for _, part in ipairs { { "host", place.host }, { "port", place.port }, { "dbname", place.name },
    { "user", place.user } } do
    local value = part[2] and tostring(part[2])
    if value and not value:find "^[%w_./:@-]+$" then
      value = "'" .. value:gsub("[\\']", "\\%0") .. "'"
    end
    if value then words[#words + 1] = part[1] .. "=" .. value end
  end
  return table.concat(words, " ")
end

--- How psql is told which database it is.
local function psql_database(run)
  local source, value = run.settings.sources.database, run.settings.values.database
  if source == "DATABASE_URL" then return '"$DATABASE_URL"' end
  if source and origin.mask(value) == value then return shell.word(value) end
  return shell.quote(address(run.place))
end

--- The values of a flag that was given; nil: it was not.
local function values_of(setting, given)
  local value = given[setting.key]
  if value == nil then value = given["no_" .. setting.key] end
  if setting.key == "database" and value and origin.mask(value) ~= value then return nil end
  if value == nil or type(value) == "table" then return value end
  return { value }
end

--- The flags of this command line, each with its words.
local function flags_of(run)
  local flags = {}
  local function add(flag, value)
    local words = value == true and flag or flag .. " " .. shell.word(tostring(value))
    flags[#flags + 1] = { flag = flag, words = words .. " " }
  end
  for _, setting in ipairs(options.list) do
    for _, value in ipairs(setting.flag and values_of(setting, run.options) or {}) do
      add(setting.flag, value)
    end
  end
  if run.options.database and not values_of(options.by_key.database, run.options) then
    add("--database", address(run.place))
  end
  if run.options.config_file then add("--config", run.options.config_file) end
  return flags
end

--- A shell command of ours with flags; what it has itself comes before theirs.
local function with_flags(command, flags)
  local function given(before, rest)
    local words = {}
    for _, each in ipairs(flags) do
      if not rest:find(each.flag .. " ", 1, true) then words[#words + 1] = each.words end
    end
    return before .. "pgmig " .. table.concat(words) .. rest
  end
  local text = (" " .. command):gsub("(&& )pgmig ([^&;]*)", given):gsub("(; do )pgmig ([^&;]*)",
    given):gsub("^( )pgmig ([^&;]*)", given)
  return text:sub(2)
end

local named = { resolve = true, repair = true, unapply = true } -- commands, in a sentence

--- A sentence that may name other commands of ours.
local function retell(message, flags)
  local words = {}
  for i, each in ipairs(flags) do words[i] = each.words end
  return (message:gsub("pgmig (%l+) ", function(command)
    return named[command] and "pgmig " .. table.concat(words) .. command .. " " or nil
  end))
end

--- Let findings of doctor's have commands for the same settings.
-- @param run of pgmig.cli.commands, connected
-- @param findings of `migrator:doctor`; changed
function M.findings(run, findings)
  local flags = flags_of(run)
  for _, finding in ipairs(findings) do
    finding.message = retell(finding.message, flags)
    if finding.remedy then
      local remedy = with_flags(finding.remedy, flags)
      finding.remedy = remedy:gsub('^psql "$DATABASE_URL"', function()
        return "psql " .. psql_database(run)
      end)
    end
  end
end

return M
