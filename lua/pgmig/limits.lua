--- Settings that are times or counts: checked before anything runs, wherever they come from.
local core = require "pgmig.core"
local errors = require "pgmig.errors"

local M = {}

--- How long a statement waits for a lock: a text for PostgreSQL, which takes a bare number for
-- milliseconds.
local function timeout(value)
  if type(value) ~= "string" then return nil, "must be a string of a number and a unit, such as "
    .. "5s" end
  local ms, problem = core.duration_setting(value)
  if not ms then return nil, problem end
  return value
end

--- A time of ours: a number of seconds, or a text, where a bare number counts seconds, too.
local function seconds(value)
  local number, problem = value, nil
  if type(value) == "string" then
    local ms, has_unit = core.duration(value)
    if not ms then problem = has_unit end
    number = ms and (has_unit and ms / 1000 or ms)
  end
  if type(number) == "number" and number >= 0 and number < math.huge then
    local whole = math.floor(number)
    return whole == number and whole or number
  end
  return nil, problem and problem:gsub("^must be a number", "must be a number of seconds, or a "
    .. "number")
    or "must be a number of seconds, or a string such as 5min"
end

local function seconds_above_0(value)
  local number, problem = seconds(value)
  if number == 0 then return nil, "must be more than 0 seconds" end
  return number, problem
end

local function count(value)
  local text = type(value) == "string" and value:match "^%d+$" or value
  local number = tonumber(text)
  if number and number >= 0 and number < math.huge and number == math.floor(number) then
    return number
  end
  return nil, "must be a whole number, 0 or greater"
end

local kinds = {
  lock_timeout = timeout, lock_wait = seconds, reconnect = seconds, retries = count,
  response_timeout = seconds_above_0, connect_timeout = seconds, timeout = seconds_above_0,
}

--- Whether a setting is one of these.
function M.knows(key) return kinds[key] ~= nil end

--- The value of a setting, seconds as a number; or nil and what it is to be, as the end of a
-- sentence.
function M.read(key, value) return kinds[key](value) end

--- A value as it may be shown: short, and in one line.
local function shown(value)
  local text = tostring(value):gsub("%c", "?")
  return #text > 40 and text:sub(1, 40) .. "..." or text
end

--- The value of a setting.
-- @param key its name
-- @param value what is given; nil stays nil
-- @param place what names it in a message; nil: the key
-- @raise kind "usage"
function M.check(key, value, place)
  if value == nil then return nil end
  local result, problem = M.read(key, value)
  if result ~= nil then return result end
  errors.raise("usage", ("%s %s, not %s"):format(place or key, problem, shown(value)))
end

--- What PostgreSQL makes of a timeout that has no unit; nil where it has one, or is 0.
function M.bare(value)
  local ms, has_unit = core.duration_setting(value)
  if not ms or has_unit or ms == 0 then return nil end
  return ("%.0fms"):format(ms)
end

return M
