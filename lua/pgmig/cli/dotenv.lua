--- The file `.env`: variables for those who keep them beside the code. It is read as docker compose
-- and the dotenv libraries read it, where they agree; it may hold much that is for other programs.
local errors = require "pgmig.errors"
local settings_file = require "pgmig.settings_file"
local texts = require "pgmig.texts"

local M = {}
local variables = {}
variables.__index = variables

-- ---- variables in values -----------------------------------------------------

local expand

--- What `${...}` stands for.
-- @return the text; or nil and what is wrong; false where it is no variable
local function braced(inside, look_up)
  local name, operator, word = inside:match "^([%a_][%w_]*)(:?[-+?]?)(.*)$"
  if not name or (operator == "" and word ~= "") or operator == ":" then return false end
  local value, problem = look_up(name)
  if problem then return nil, problem end
  local set = value ~= nil and not (operator:find ":" and value == "")
  local how = operator:sub(-1)
  if how == "+" then
    if set then return expand(word, look_up) end
    return ""
  end
  if set then return value end
  if how == "-" then return expand(word, look_up) end
  return nil, ("it uses %s, which is not set"):format(name)
end

--- Where the brace ends that opens at each place.
local function closings(text)
  local opened, closed_at = {}, {}
  for at, brace in text:gmatch "()([{}])" do
    if brace == "{" then
      opened[#opened + 1] = at
    elseif opened[1] then
      closed_at[table.remove(opened)] = at
    end
  end
  return closed_at
end

--- What stands at a dollar sign.
-- @return the text, and the place behind it; or nil and what is wrong
local function dollar(text, at, look_up, closed_at)
  local close = closed_at[at + 1]
  if close then
    local inside = text:sub(at + 1, close)
    local value, problem = braced(inside:sub(2, -2), look_up)
    if problem then return nil, problem end
    return value or "$" .. inside, at + 1 + #inside
  end
  local name = text:match("^%$([%a_][%w_]*)", at)
  local value, problem
  if name then value, problem = look_up(name) end
  if problem then return nil, problem end
  if not value then return "$", at + 1 end -- `$` is at home in passwords
  return value, at + 1 + #name
end

--- Put values in the place of `${NAME}`, `${NAME:-default}` and the like, and of `$NAME` where that
-- is set.
-- @param escapes what a backslash and a letter stand for; others stay as they are
-- @return the text; or nil and what is wrong
function expand(text, look_up, escapes)
  local parts, at, closed_at = {}, 1, closings(text)
  while at <= #text do
    local plain, next_at = text:match("^([^\\$]+)()", at)
    if plain then
      parts[#parts + 1], at = plain, next_at
    elseif text:sub(at, at) == "\\" then
      local pair = text:sub(at, at + 1)
      parts[#parts + 1], at = (escapes or { ["\\$"] = "$" })[pair] or pair, at + 2
    else
      local value, behind = dollar(text, at, look_up, closed_at)
      if not value then return nil, behind end
      parts[#parts + 1], at = value, behind
    end
  end
  return table.concat(parts)
end

-- ---- values --------------------------------------------------------------------

local escapes = {
  ["\\n"] = "\n", ["\\r"] = "\r", ["\\t"] = "\t", ['\\"'] = '"', ["\\\\"] = "\\", ["\\$"] = "$",
}

local function nothing_behind(text, at)
  return text:find("^[ \t]*\n", at) or text:find("^[ \t]*#", at)
end

--- Where a double quote ends that opens before `at`.
local function closing_double(text, at)
  local found = text:find('["\\]', at)
  while found and text:sub(found, found) == "\\" do found = text:find('["\\]', found + 2) end
  return found
end

--- Where a single quote ends: `\'` stands for one, unless the value would have no end on its line.
local function closing_single(text, at)
  local found = text:find("'", at, true)
  while found and text:sub(found - 1, found - 1) == "\\" and not nothing_behind(text, found + 1) do
    found = text:find("'", found + 1, true)
  end
  return found
end

--- A value in quotes, perhaps of several lines.
-- @return its text, the place behind the quote, and a function that gives the value
local function quoted(text, at)
  if text:sub(at, at) == '"' then
    local close = closing_double(text, at + 1)
    if not close then return nil end
    return text:sub(at + 1, close - 1), close + 1, function(raw, look_up)
      return expand(raw, look_up, escapes)
    end
  end
  local close = closing_single(text, at + 1)
  if not close then return nil end
  return text:sub(at + 1, close - 1), close + 1, function(raw) return (raw:gsub("\\'", "'")) end
end

--- A value without quotes, up to the line's end or a comment.
local function plain(text, at)
  local raw, behind = text:match("^([^\n]*)()", at)
  local comment = raw:find "^#" or raw:find "%s#"
  return texts.trim_right(comment and raw:sub(1, comment - 1) or raw), behind, expand
end

-- ---- lines ---------------------------------------------------------------------

local function new_error(path, line, message, hint)
  return errors.new("usage", message, { file = path, line = line, hint = hint, in_env = true })
end

--- Note a line that nobody can read; the first one is told.
local function note(self, line, message, hint)
  self.broken = self.broken or new_error(self.path, line, message, hint)
end

--- Read the value at a place.
-- @return value or nil, what is wrong with it, and the place of the line's end
local function read_value(self, text, at, line)
  at = text:match("^[ \t]*()", at)
  local in_quotes = text:find("^[\"']", at)
  local raw, behind, convert = (in_quotes and quoted or plain)(text, at)
  if not raw then
    note(self, line, "unterminated quoted value",
      "the quoted value that begins on this line has no end")
    return nil, "its quote has no end", #text
  end
  local value, problem = convert(raw, function(name) return self:look_up(name) end)
  if in_quotes and not nothing_behind(text, behind) then
    value, problem = nil, "there is text after its closing quote"
  elseif value and value:find "%z" then
    value, problem = nil, "it contains a NUL byte"
  end
  return value, problem, text:match("^[^\n]*()", behind)
end

local function count_lines(text) return select(2, text:gsub("\n", "\n")) end

--- The name at a place, whatever other programs call theirs, and the place behind `=` or `: `.
local function read_name(text, at)
  local name, behind = text:match("^([^%s=\"'#]+)[ \t]*=()", at)
  if not name then name, behind = text:match("^([%w_.-]+):%s()", at) end
  if name and not name:find("://", 1, true) then return name, behind end
end

--- Whether a name stands alone: docker takes its value from the environment.
local function is_bare_name(text, at)
  local behind = text:match("^[%w_.-]+()", at)
  return behind and nothing_behind(text, behind)
end

--- Read what begins at a place, which is no blank: a line, or a value of several.
-- @return the place of its line's end
local function read_entry(self, text, at, line)
  if text:find("^#", at) then return text:match("^[^\n]*()", at) end
  at = text:match("^export[ \t]+()[%w_]", at) or at
  local name, behind = read_name(text, at)
  if not name then
    if not is_bare_name(text, at) then note(self, line, "this line is not NAME=value") end
    return text:match("^[^\n]*()", at)
  end
  local value, problem, line_end = read_value(self, text, behind, line)
  self.values[name], self.problems[name], self.lines[name] = value, problem, line
  return line_end
end

local function read_entries(self, text)
  local at, line = 1, 1
  while at <= #text do
    local start = text:match("^%s*()", at)
    line = line + count_lines(text:sub(at, start - 1))
    at = start
    if at <= #text then
      local line_end = read_entry(self, text, at, line)
      line = line + count_lines(text:sub(at, line_end - 1))
      at = line_end
    end
  end
end

-- ---- the file ------------------------------------------------------------------

--- The text as lines of UTF-8, each with its end.
local function normal(self, text)
  if text:find "^\255\254" or text:find "^\254\255" then
    note(self, nil, "this file is UTF-16", "save it as UTF-8")
    return ""
  end
  return (text:gsub("^\239\187\191", ""):gsub("\r\n", "\n"):gsub("\r$", "")) .. "\n"
end

--- Look a name up for a value: the process's own environment comes first.
-- @return the value or nil; what is wrong with it
function variables:look_up(name)
  local own = os.getenv(name)
  if own then return own end
  return self.values[name], self.problems[name]
end

--- The value that the file gives to a name; nil when it gives none.
-- @raise kind "usage" for a value that cannot be understood
function variables:get(name)
  if self.problems[name] then
    error(new_error(self.path, self.lines[name], ("the value of %s cannot be used: "
      .. "%s"):format(name, self.problems[name]), "in single quotes a value is taken literally"), 0)
  end
  return self.values[name]
end

--- Refuse a file with lines that nobody can read: each may be meant to give a value.
-- @raise kind "usage" with the first
function variables:check()
  if self.broken then error(self.broken, 0) end
end

--- Read a file of variables.
-- @param path its path
-- @return an object with `get(name)` and `check()`; without any values when there is no such file
-- @raise kind "usage" for a file that cannot be read
function M.read(path)
  local self = setmetatable({ path = path, values = {}, problems = {}, lines = {} }, variables)
  read_entries(self, normal(self, settings_file.read(path) or ""))
  return self
end

return M
