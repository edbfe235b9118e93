--- What a backfill is to do, as its author says it: checked before anything is asked of a server.
local core = require "pgmig.core"
local errors = require "pgmig.errors"

local M = {}

M.TARGET, M.SMALLEST, M.LARGEST = 0.25, 100, 50000 -- seconds of a batch; its rows

local function refuse(message, hint)
  errors.raise("usage", "backfill: " .. message, { hint = hint })
end

-- What may not stand in an expression of ours outside its parentheses: it would end the UPDATE, or
-- become another part of it, one that the batch's limits do not hold for.
local ends_set = { where = true, from = true, returning = true }

--- Check that nothing of a text reaches beyond it: parentheses are in pairs, and it is no more than
-- one piece of a statement.
local function check_enclosed(key, text, words)
  local depth = 0
  for _, token in ipairs(core.tokens(text)) do
    local symbol = token.kind == "symbol" and token.text
    if symbol == "(" then depth = depth + 1 elseif symbol == ")" then depth = depth - 1 end
    if symbol and #symbol > 1 or symbol == "\\" then
      refuse(("%s has an unterminated quote or comment: %s"):format(key, text))
    elseif symbol == ";" or depth < 0 then
      refuse(("%s must be one expression: %s"):format(key, text))
    elseif token.kind == "word" and depth == 0 and words[token.text:lower()] then
      refuse(("%s cannot have %s: %s"):format(key, token.text:upper(), text),
        "a condition goes into `where`, another table into a subquery")
    end
  end
  if depth > 0 then refuse(("%s has an unclosed parenthesis: %s"):format(key, text)) end
end

local function check_text(given, key, is_needed)
  local value = given[key]
  if value == nil and not is_needed then return end
  if type(value) ~= "string" or not value:find "%S" then
    refuse(key .. " must be a string with something in it")
  end
  if value:find("\0", 1, true) then refuse(key .. " has a NUL byte") end
end

local function check_count(given, key, least)
  local value = given[key]
  if value == nil then return nil end
  if type(value) ~= "number" or value < least or value ~= math.floor(value) or value > 1e6 then
    refuse(("%s must be a whole number, %d or greater"):format(key, least))
  end
  return value
end

--- The key's columns; nil: the primary key.
local function key_of(key)
  if key == nil then return nil end
  if type(key) == "string" then
    local list = {}
    for name in key:gmatch "[^,%s]+" do list[#list + 1] = name end
    key = list
  end
  if type(key) ~= "table" or type(key[1]) ~= "string" then
    refuse "key must be the name of a column, or a list of names"
  end
  return key
end

local known = {
  table = true, key = true, set = true, where = true, batch = true, target = true, skip = true,
  each = true, name = true, tracking = true, on_progress = true, stop = true, analyze = true,
  rate = true, duty = true, hours = true, throttle = true,
}

--- Check what a caller gives.
-- @param given { table, key, set, where, batch, target, skip, each }
-- @return { target = the table as it is written, key = a list or nil, set, where, each, batch =
--   rows of the first one, seconds = of a batch, skip = how many rows may be left out }
-- @raise kind "usage"
function M.check(given)
  if type(given) ~= "table" then refuse "a table of options is required" end
  for key in pairs(given) do
    if not known[key] then refuse(("unknown option %s"):format(tostring(key))) end
  end
  check_text(given, "table", true)
  check_text(given, "set", given.each == nil)
  check_text(given, "where", false)
  if (given.set == nil) == (given.each == nil) then refuse "either set or each is required" end
  if given.each ~= nil and type(given.each) ~= "function" then refuse "each must be a function" end
  if given.set then check_enclosed("set", given.set, ends_set) end
  if given.where then check_enclosed("where", given.where, { returning = true }) end
  local seconds = given.target or M.TARGET
  if type(seconds) ~= "number" or seconds < 0.01 or seconds > 5 then
    refuse "target must be a number of seconds from 0.01 to 5"
  end
  return {
    target = given.table, key = key_of(given.key), set = given.set, where = given.where,
    each = given.each, batch = check_count(given, "batch", 1) or M.SMALLEST, seconds = seconds,
    skip = check_count(given, "skip", 0) or 0,
  }
end

return M
