--- New migration files.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local texts = require "pgmig.texts"

local M = {}

local MIN_DIGITS = 3

local template = [[
-- Migration: %s
-- Created: %s

-- UP
-- Write your migration SQL here


-- DOWN
-- Write your rollback SQL here (optional)

]]

-- Letters with marks, by what they are without: such a name is the same in every way of writing
-- Unicode, and everywhere.
local plain_letters = {
  a = "ÀÁÂÃÄÅĀĂĄàáâãäåāăą", ae = "Ææ", c = "ÇĆĈĊČçćĉċč", d = "ÐĎĐðďđ", e = "ÈÉÊËĒĔĖĘĚèéêëēĕėęě",
  g = "ĜĞĠĢĝğġģ", h = "ĤĦĥħ", i = "ÌÍÎÏĨĪĬĮİìíîïĩīĭįı", j = "Ĵĵ", k = "Ķķ", l = "ĹĻĽĿŁĺļľŀł",
  n = "ÑŃŅŇŊñńņňŋ", o = "ÒÓÔÕÖØŌŎŐòóôõöøōŏő", oe = "Œœ", r = "ŔŖŘŕŗř", s = "ŚŜŞŠśŝşš", ss = "ß",
  t = "ŢŤŦţťŧ", th = "Þþ", u = "ÙÚÛÜŨŪŬŮŰŲùúûüũūŭůűų", w = "Ŵŵ", y = "ÝŶŸýŷÿ", z = "ŹŻŽźżž",
}

local CHARACTER = "[\128-\255][\128-\191]*" -- of more than one byte, or a stray one
local SHAPES = { "^[\194-\223].$", "^[\224-\239]..$", "^[\240-\244]...$" }

local plain = {}
for letters, marked in pairs(plain_letters) do
  for character in marked:gmatch(CHARACTER) do plain[character] = letters end
end

local function is_character(bytes)
  for _, shape in ipairs(SHAPES) do
    if bytes:find(shape) then return true end
  end
  return false
end

--- A character beyond ASCII, for a file's name: letters of other scripts stay, since only they can
-- tell what the name says; signs and punctuation (Latin-1's, the general and the ideographic ones)
-- do not.
local function beyond_ascii(character)
  if plain[character] then return plain[character] end
  if not is_character(character) then return "_" end
  if character:find "^\204[\128-\191]" or character:find "^\205[\128-\175]" then return "" end
  if character:find "^\194" or character:find "^\195[\151\183]" then return "_" end
  if character:find "^\226\128" or character:find "^\227\128" then return "_" end
  return character
end

--- A name for a file: lower case, every character but letters, digits and `_` as `_`, letters with
-- marks without them.
-- @raise kind "usage" when nothing is left
function M.sanitise(name)
  if type(name) ~= "string" then
    errors.raise("usage", "a migration name must be a string, not a " .. type(name))
  end
  local trimmed = texts.trim(name:lower())
  local clean = trimmed:gsub("[^%w_\128-\255]", "_"):gsub(CHARACTER, beyond_ascii)
  if not clean:find "[%w\128-\255]" then
    errors.raise("usage", ("the name %q contains no letter or digit"):format(name), {
      hint = "for example: create add_orders_table",
    })
  end
  return clean
end

--- The digits of a number plus one, of any length.
local function successor(digits)
  local head, nines = digits:match "^(.-)(9*)$"
  local last = head:sub(-1)
  if last == "" then return "1" .. ("0"):rep(#nines) end
  return head:sub(1, -2) .. tostring(tonumber(last) + 1):sub(1, 1) .. ("0"):rep(#nines)
end

local function is_timestamp(id)
  return #id == 14 and (id:find "^19" or id:find "^20") ~= nil
end

local function widest(list)
  local digits = MIN_DIGITS
  for _, m in ipairs(list) do digits = math.max(digits, #m.text) end
  return digits
end

--- The version after the newest: a timestamp behind timestamps or on request, else the next
-- number with the folder's width.
local function next_version(rule, list, timestamp)
  local newest = list[#list]
  local number = newest and core.version(newest.text:match "^%d+$" or newest.id)
  local following = number and successor(number) or "1"
  if timestamp or (number and is_timestamp(number)) then
    local now = os.date "!%Y%m%d%H%M%S"
    local sorted = rule.digits and rule.digits(now) or now
    local last = rule.digits and newest and newest.id or following
    if rule.digits and rule.numbers_repeat then last = last:sub(1, -3) end -- as digits() has it
    return (not newest or core.compare(sorted, last) > 0) and now or following
  end
  return ("0"):rep(widest(list) - #following) .. following
end

--- The version of the next file, as its name says it.
-- @param rule the naming rule
-- @param list the migrations that are there, by version
-- @param timestamp whether it is to be a timestamp
-- @raise kind "usage" where the rule cannot count
function M.next_version(rule, list, timestamp)
  if rule.next then return rule.next(list[#list]) end
  if rule.dotted then
    errors.raise("usage", "this naming rule cannot determine the next dotted version", {
      hint = "add a function next(newest) to the rule that returns the next version",
    })
  end
  return next_version(rule, list, timestamp)
end

local header = "-- Migration: %s\n-- Created: %s\n\n"

--- What a new file says, for each direction; nil: no such file is written.
local function contents(template_of, clean, created)
  local head = header:format(clean, created)
  if not template_of then
    return head .. "-- Write your migration SQL here\n", head .. "-- Write your rollback SQL here\n"
  end
  return template_of.up, template_of.down
end

--- Write a new file, or pair of files, from the template; never over another one.
-- @param dir its folder
-- @param list the migrations that are there, by version
-- @param rule the naming rule
-- @param name what it does, in words
-- @param options { timestamp = true } for a timestamp as version; format = how files read
-- @return its path, and that of the way back where the rule gives it a file of its own
function M.create(dir, list, rule, name, options)
  local format = options and options.format or {}
  local folder = dir:gsub("/*$", "") .. "/"
  if type(format.create) == "string" then errors.raise("usage", format.create) end
  if format.create then return format.create(folder, name, M.sanitise) end
  local clean = M.sanitise(name)
  local version = M.next_version(rule, list, format.timestamps or (options and options.timestamp))
  local up, down = rule.format(version, clean, "up"), rule.format(version, clean, "down")
  local created = os.date "!%Y-%m-%dT%H:%M:%SZ"
  if up == down then
    core.create_file(folder .. up, format.template or template:format(clean, created))
    return folder .. up
  end
  local up_text, down_text = contents(format.template, clean, created)
  core.create_file(folder .. up, up_text)
  if not down_text then return folder .. up end
  core.create_file(folder .. down, down_text)
  return folder .. up, folder .. down
end

return M
