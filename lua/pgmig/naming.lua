--- Naming rules: from file names to versions and back.
-- A rule is a pure table of functions:
--
-- * `parse(path)`, path relative to the migrations folder, returns nil for a file that does not
--   follow the rule, or { version = digits; name = string; direction = "up" | "down" for
--   one of a pair of files; language = "lua"; repeatable = true; baseline = true: a new database
--   runs it in the place of all up to its version; label = the name shown }
-- * `format(version, name, direction)` returns the path of a new file. When it differs for "up" and
--   "down", create writes both.
-- * `next(newest)`, optional: the version after the newest migration (nil: the first); needed for
--   dotted versions
-- * `dotted`, optional: true for a rule with dotted versions: `1.10` comes after `1.9`
-- * `deep`, optional: true for a rule that includes the files of subfolders
-- * `digits(version)`, optional: digits that sort as the version does; without it, the version
--   itself must be digits
-- * `numbers_repeat`, optional: several migrations may have the same number; they are ordered by
--   label, and each version is the number with two more digits
-- * `lone_down`, optional: a DOWN file without its UP file is ignored
-- * `names_differ`, optional: the two files of a pair are matched by their number alone
-- * `foreign`, optional: a Lua pattern of migration files that cannot be run here
-- * `pattern`, optional: how files are named, for messages
-- * `baseline(version, name)`, optional: the path of a file with baseline = true
-- * `baseline_replaces`, optional: the version of such a file is that of the last one that it
--   stands for
-- * `parser(paths, read)`, optional: the `parse` for a folder that holds these files; `read(path)`
--   returns the text of one, or nil, and its path for messages. A file that lists the migrations in
--   their order is read here: the place in it is the version. A second value may say more of it:
--   { wrong = errors that a run raises, project = what the tool calls the folder }. It may
--   raise kind "naming" for a folder that is not in order
-- * `listed`, optional: the name of that file, for messages
--
-- `parse` may also return `false` for a file that is ignored on purpose; `transaction = "off"`;
-- and a number `precedence`: of two files for the same migration, the higher one is used.
-- @module pgmig.naming
local errors = require "pgmig.errors"

local M = {}

local PARTS, PART_DIGITS = 4, 5

--- A repeatable migration's name: `R__name.sql` or `.lua`.
local function parse_repeatable(path)
  local name, language = path:match "^R__(.+)%.(%a+)$"
  if language ~= "sql" and language ~= "lua" then return nil end
  return { name = name, language = language, repeatable = true, label = "R__" .. name }
end

--- A baseline migration's name: `B120__name.sql`.
local function parse_baseline(path)
  local version, name = path:match "^B(%d+)__(.+)%.sql$"
  if not version then return nil end
  return {
    version = version, name = name, label = ("B%s__%s"):format(version, name), baseline = true,
  }
end

--- The default rule: `NNN_description.sql` or `.lua`; `R__name.sql` or `.lua` runs again whenever
-- it changes; `B120__name.sql` is for new databases.
M.default = {
  pattern = "NNN_description.sql",
  baseline = function(version, name) return ("B%s__%s.sql"):format(version, name) end,
  baseline_replaces = true,
  parse = function(path)
    local version, name, language = path:match "^(%d+)_(.+)%.(%a+)$"
    if not version then return parse_repeatable(path) or parse_baseline(path) end
    if language ~= "sql" and language ~= "lua" then return nil end
    return { version = version, name = name, language = language }
  end,
  format = function(version, name) return version .. "_" .. name .. ".sql" end,
}

--- The function that tells which files of a folder are migrations.
-- @param rule a rule
-- @param paths the files in the folder
-- @param read fn(path) returns the text of one of them, or nil, and its path for messages
-- @return fn(path), as the rule's `parse`
-- @return what else such a file says: { wrong = errors that a run raises, project = what the tool
--   calls the folder }; or nil
function M.parser(rule, paths, read)
  if not rule.parser then return rule.parse end
  local ok, parse, said = pcall(rule.parser, paths, read)
  if ok then return parse, said end
  if not errors.is(parse, "naming") then error(parse, 0) end
  return rule.parse, { wrong = { parse } }
end

--- The `parse` of a rule whose migrations have a file for each direction.
-- @param pattern a Lua pattern of paths that captures version, name, and "up" or "down"
-- @return fn(path)
function M.parse_directed(pattern)
  return function(path)
    local version, name, direction = path:match(pattern)
    if direction ~= "up" and direction ~= "down" then return nil end
    return { version = version, name = name, direction = direction }
  end
end

--- Files of SQL alone, for both ways: `NNN_description.sql`.
M.numbered = {
  pattern = "NNN_name.sql",
  parse = function(path)
    local version, name = path:match "^(%d+)_(.+)%.sql$"
    return version and { version = version, name = name }
  end,
  format = function(version, name) return ("%s_%s.sql"):format(version, name) end,
}

--- Pairs of files: `NNN_description.up.sql` and `NNN_description.down.sql`.
M.paired = {
  pattern = "NNN_description.up.sql and NNN_description.down.sql",
  parse = M.parse_directed "^(%d+)_(.+)%.(%a+)%.sql$",
  format = function(version, name, direction)
    return ("%s_%s.%s.sql"):format(version, name, direction)
  end,
}

--- A folder for each migration: `NNN_description/up.sql` and `down.sql`.
M.folders = {
  pattern = "NNN_description/up.sql and NNN_description/down.sql",
  deep = true,
  parse = M.parse_directed "^(%d+)_([^/]+)/(%a+)%.sql$",
  format = function(version, name, direction)
    return ("%s_%s/%s.sql"):format(version, name, direction)
  end,
}

--- A dotted version as digits that sort like it: `1.10.2` comes after `1.9`.
-- @param version up to four numbers of up to five digits, separated by dots
-- @return digits
-- @raise kind "naming"
function M.dotted(version)
  local parts = {}
  for part in (version .. "."):gmatch "(%d*)%." do parts[#parts + 1] = part end
  local digits = {}
  for i = 1, PARTS do
    local part = (parts[i] or "0"):gsub("^0+(%d)", "%1")
    if part == "" or #part > PART_DIGITS or #parts > PARTS then
      errors.raise("naming", ("version %s must be at most %d numbers of at most %d digits, "
        .. "separated by dots")
        :format(version, PARTS, PART_DIGITS))
    end
    digits[i] = ("0"):rep(PART_DIGITS - #part) .. part
  end
  return table.concat(digits)
end

--- Digits that sort as a version does when it is compared as text: padded to one width, followed by
-- their number, since `20240115` comes before `2024011500`.
-- @param version digits first; what follows them sorts after all digits
-- @param width how many digits the longest version has, at most 36
-- @return width + 2 digits
-- @raise kind "naming"
function M.sortable(version, width)
  local digits, rest = version:match "^(%d*)(.*)$"
  if digits == "" or #digits > width then
    errors.raise("naming", ("version %s must have 1 to %d digits"):format(version, width))
  end
  local pad = (rest == "" and "0" or "9"):rep(width - #digits)
  return ("%s%s%02d"):format(digits, pad, #digits)
end

--- Digits that sort as a version does in names that are compared as text and have an underscore
-- behind it: `20240115_` comes after `20240115103000_`.
-- @param version digits
-- @param width how many digits the longest version has, at most 36
-- @return width + 2 digits
-- @raise kind "naming"
function M.sortable_name(version, width)
  local missing = width - #version
  if missing < 0 or not version:find "^%d+$" then
    errors.raise("naming", ("version %s must have 1 to %d digits"):format(version, width))
  end
  return ("%s%s%02d"):format(version, ("9"):rep(missing), missing)
end

local function number(text, first, last) return tonumber(text:sub(first, last)) end

--- Days from 1970-01-01 to a date of the Gregorian calendar.
local function days(year, month, day)
  if month <= 2 then year, month = year - 1, month + 12 end
  return 365 * year + math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
    + math.floor((153 * (month - 3) + 2) / 5) + day - 719469
end

--- The milliseconds from 1970 to a time.
-- @param utc 14 digits of a date and a time, or 17 with milliseconds
-- @return digits
function M.milliseconds(utc)
  local seconds = days(number(utc, 1, 4), number(utc, 5, 6), number(utc, 7, 8)) * 86400
    + number(utc, 9, 10) * 3600 + number(utc, 11, 12) * 60 + number(utc, 13, 14)
  return ("%.0f"):format(seconds * 1000 + (number(utc, 15, 17) or 0))
end

-- ---- the version of a new file ---------------------------------------------

local function successor(digits) return ("%.0f"):format(tonumber(digits) + 1) end

--- The whole number after a version's first one.
-- @param newest the newest migration, or nil
-- @return digits
function M.next_number(newest)
  local first = newest and newest.text and newest.text:match "^%d+"
  return first and successor(first) or "1"
end

--- A time, or where the newest version is one as late, the number after that.
-- @param newest the newest migration, or nil
-- @param now digits of the time
-- @return digits
function M.next_time(newest, now)
  local is_later = newest and #newest.id == #now and newest.id >= now
  return is_later and successor(newest.id) or now
end

-- ---- versions of parts -----------------------------------------------------

local VERSION_DIGITS, SHORT = 38, 8

--- A number as digits that sort like it when others follow: their count comes first.
local function counted(part)
  if #part <= SHORT then return #part .. part end
  return ("9%02d%s"):format(#part, part)
end

--- A version of any number of dotted numbers as digits that sort like it; `1.0` is `1`.
-- @return digits
-- @raise kind "naming" for a version that is too long
function M.parts(version)
  local parts, last = {}, 0
  for part in (version .. "."):gmatch "(%d*)%." do
    if part == "" then errors.raise("naming", ("version %s must be numbers separated by "
      .. "dots"):format(version)) end
    parts[#parts + 1] = part:match "^0*(%d+)$"
    if parts[#parts] ~= "0" then last = #parts end
  end
  for i = 1, #parts do parts[i] = i <= last and counted(parts[i]) or nil end
  local digits = table.concat(parts)
  if #digits > VERSION_DIGITS then
    errors.raise("naming", ("version %s is too long"):format(version))
  end
  return digits .. ("0"):rep(VERSION_DIGITS - #digits)
end

--- Check that a value is a rule.
-- @raise kind "usage"
function M.check(rule)
  if type(rule) ~= "table" or type(rule.parse) ~= "function" or type(rule.format) ~= "function" then
    errors.raise("usage", "a naming rule must be a table with functions parse and format")
  end
  return rule
end

return M
