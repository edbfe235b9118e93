--- pgmig's errors: tables that say what went wrong, where, and what to do next.
-- The C core raises tables of the same metatable, on Lua 5.4 and LuaJIT alike. Fields, if
-- known: `kind` ("usage", "parse", "naming", "plan", "connect", "sql", "lock", "io", "hook",
-- "lua", "interrupted", "unknown", "memory"); `message`, one line; `file`, `line`, `column` in
-- characters, `text`, that line; `sqlstate`, `detail`, `hint`, `context` as sent by the server;
-- `statement`; `query`, the query that a function or block in it executed, and `query_at`, the
-- position in that; `migration`, the label of the one that failed; `applied` or `rolled_back`, the
-- migrations done before it; `hook`, `cause` and `traceback` of what a hook or a Lua migration
-- raised; `signal`; `remedy`, a shell command for `doctor`;
-- `transaction`, the outcome of a migration's transaction that its own code ended ("committed",
-- "aborted", "in progress", "unknown"). `tostring(err)` is the readable text.
-- @module pgmig.errors
local core = require "pgmig.core"
local texts = require "pgmig.texts"

local M = {}

local error_metatable = core.error_metatable
local WIDTH = 100 -- characters of a source line that are shown
local BEFORE = 60 -- of them at most so many before the column

--- The UTF-8 characters of a text, one string each.
local function characters(text)
  local list = {}
  for char in text:gmatch("[%z\1-\127\194-\244][\128-\191]*") do list[#list + 1] = char end
  return list
end

--- The part of a long line around a column, and where the column is in it.
local function window(chars, column)
  if #chars <= WIDTH then return chars, column, "", "" end
  local first = math.max(1, column - BEFORE)
  local last = math.min(#chars, first + WIDTH - 1)
  local part = {}
  for i = first, last do part[#part + 1] = chars[i] end
  return part, column - first + 1, first > 1 and "..." or "", last < #chars and "..." or ""
end

--- A line with a caret under one of its characters.
-- @param margin what stands before it
-- @param text the line
-- @param at the character, from 1; nil: no caret
local function marked(margin, text, at)
  local chars, column, before, behind = window(characters(text), at or 1)
  local pad = { (" "):rep(#margin + #before) }
  for i, char in ipairs(chars) do
    local shown = texts.line(char)
    chars[i] = shown
    if i < column then
      pad[#pad + 1] = char == "\t" and "\t" or (" "):rep(shown == char and 1 or #shown)
    end
  end
  local line = margin .. before .. table.concat(chars) .. behind
  return at and line .. "\n" .. table.concat(pad) .. "^" or line
end

--- What a function or a block has built and run: the line that the server has stopped at.
local function built(err)
  local number, at = 0, err.query_at
  for line in (err.query .. "\n"):gmatch "([^\n]*)\n" do
    local length = #characters(line) + 1
    number = number + 1
    if not at or at <= length then
      return marked(number > 1 and ("QUERY line %d: "):format(number) or "QUERY: ", line, at)
    end
    at = at - length
  end
  return marked("QUERY: ", err.query:match "[^\n]*")
end

--- `file:line:column: `, as far as it is known.
local function place(err)
  local parts = {}
  if err.file then parts[1] = texts.line(err.file) end
  if err.line then parts[#parts + 1] = tostring(err.line) end
  if err.line and err.column then parts[#parts + 1] = tostring(err.column) end
  return #parts > 0 and table.concat(parts, ":") .. ": " or ""
end

--- The readable text of the error: one line, then the details.
function error_metatable.__tostring(err)
  local lines = { place(err) .. texts.field(tostring(err.message)) }
  if err.text and err.line then
    lines[#lines + 1] = marked(("%5d | "):format(err.line), err.text, err.column)
  end
  if err.query then lines[#lines + 1] = built(err) end
  if err.detail then lines[#lines + 1] = "DETAIL: " .. texts.field(err.detail) end
  if err.hint then lines[#lines + 1] = "HINT: " .. texts.field(err.hint) end
  if err.context then lines[#lines + 1] = "CONTEXT: " .. texts.field(err.context) end
  if err.sqlstate then lines[#lines + 1] = "SQLSTATE: " .. err.sqlstate end
  return table.concat(lines, "\n")
end

--- Make an error.
-- @param kind "usage", "plan", ... (docs/errors.md)
-- @param message one line, without a trailing period
-- @param fields table of further fields, such as `hint` and `file`
-- @return the error, to be raised with `error`
function M.new(kind, message, fields)
  local err = fields or {}
  err.kind = kind
  err.message = message
  return setmetatable(err, error_metatable)
end

--- Raise an error; see `new`.
function M.raise(kind, message, fields)
  error(M.new(kind, message, fields), 0)
end

--- Whether a value is a pgmig error, of the given kind if one is given.
-- @return boolean
function M.is(value, kind)
  return getmetatable(value) == error_metatable and (kind == nil or value.kind == kind)
end

--- Whether the outcome of the interrupted operation is not known: the connection was lost, or was
-- closed by a second signal before the server responded.
-- @return boolean
function M.is_untold(err)
  return M.is(err, "unknown") or (M.is(err, "interrupted") and not err.sqlstate)
end

return M
