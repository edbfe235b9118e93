--- Files of Atlas that are no plain SQL: with a delimiter of their own, or in sections with checks.
-- @module pgmig.formats.atlas_text
local errors = require "pgmig.errors"
local texts = require "pgmig.texts"

local M = {}

-- ---- delimiters ------------------------------------------------------------
-- `-- atlas:delimiter TEXT` as the first line: what ends a statement, in the place of a semicolon.
-- It is found as Atlas does: outside quotes, comments and parentheses.

local escapes = { ["\\n"] = "\n", ["\\r"] = "\r", ["\\t"] = "\t" }

--- The end of a string that may hold escapes.
local function escaped_end(text, at, quote)
  while true do
    local found = text:find("[\\" .. quote .. "]", at)
    if not found then return #text end
    if text:sub(found, found) == quote then return found end
    at = found + 2
  end
end

--- Where what begins here and holds no delimiter ends: a quoted string, a comment; nil.
local function skipped(text, at)
  local two = text:sub(at, at + 1)
  if two == "--" then return text:find("\n", at, true) or #text end
  if two == "/*" then return select(2, text:find("*/", at + 2, true)) or #text end
  local tag = text:match("^%$[%w_\128-\255]*%$", at)
  if tag then return select(2, text:find(tag, at + #tag, true)) or #text end
  local quote = text:match("^['\"`]", at)
  if not quote then return nil end
  if text:find("^[eE]", at - 1) then return escaped_end(text, at + 1, quote) end
  return text:find(quote, at + 1, true) or #text
end

--- Call a function with each piece of a text that a delimiter ends; what is behind the last.
local function each_piece(text, from, delimiter, take)
  local at, begun, depth = from, from, 0
  while at <= #text do
    if depth == 0 and text:sub(at, at + #delimiter - 1) == delimiter then
      take(text:sub(begun, at - 1))
      at = at + #delimiter
      begun = at
    else
      local character = text:sub(at, at)
      if character == "(" then depth = depth + 1 end
      if character == ")" then depth = depth - 1 end
      at = (skipped(text, at) or at) + 1
    end
  end
  return text:sub(begun)
end

local function only_line_ends(text) return (text:gsub("[^\n]", "")) end

--- The text with semicolons for its delimiters; lines keep their numbers.
local function with_semicolons(text, from, delimiter)
  local parts = { text:sub(1, from - 1) }
  local rest = each_piece(text, from, delimiter, function(piece)
    parts[#parts + 1] = piece .. ";" .. only_line_ends(delimiter)
  end)
  return table.concat(parts) .. rest
end

-- ---- sections --------------------------------------------------------------
-- `-- atlas:txtar` as the first line: `-- checks.sql --` and `-- checks/NAME.sql --` are queries
-- that must be true, `-- migration.sql --` is what runs then.

local CHECK = "DO $atlas$ BEGIN IF (%s) IS NOT TRUE THEN RAISE EXCEPTION 'a check of the file "
  .. "failed'; END IF; END $atlas$;"

--- Where a text's first word begins, behind blanks and comments.
local function first_word(text)
  local at = text:find "%S"
  while at and text:find("^%-%-", at) or at and text:find("^/%*", at) do
    at = text:find("%S", skipped(text, at) + 1)
  end
  return at
end

--- A query of a check as a statement that fails where it is not true; blanks stay.
local function check(query)
  local at = first_word(query)
  if not at then return query end
  if query:find("$atlas$", 1, true) then
    errors.raise("parse", "pgmig cannot run this check of Atlas: " .. texts.excerpt(query))
  end
  return query:sub(1, at - 1) .. CHECK:gsub("%%s", function() return query:sub(at) end)
end

local function checks(text)
  if text:find "atlas:assert +oneof" then
    errors.raise("parse", "pgmig cannot run checks of which one is enough (atlas:assert oneof)")
  end
  local parts = {}
  local rest = each_piece(text, 1, ";", function(query) parts[#parts + 1] = check(query) end)
  return table.concat(parts) .. check(rest)
end

--- What of a section runs, by its name.
local function run_of(name, text)
  if name == "migration.sql" then return text end
  if name:find "^checks" then return checks(text) end
  return only_line_ends(text)
end

local function without_sections(text)
  local parts, name, begun = {}, "", 1
  local function take(last)
    parts[#parts + 1] = name == "" and text:sub(begun, last) or run_of(name, text:sub(begun, last))
  end
  for from, found, behind in text:gmatch "()%f[^\n%z]%-%- ([%w_./-]+) %-%-[ \t]*\r?\n()" do
    take(from - 1)
    parts[#parts + 1] = "\n"
    name, begun = found, behind
  end
  take(#text)
  return table.concat(parts)
end

--- Make plain SQL of a file.
-- @param text of the file
-- @return the text; nil: it is plain
-- @raise kind "parse" for checks that cannot be run
function M.rewrite(text)
  if text:find "^%-%- atlas:txtar%s" then return without_sections(text) end
  local delimiter, from = text:match "^%-%- atlas:delimiter +([^\r\n]*)\r?\n()"
  if not delimiter or delimiter == "" then return nil end
  return with_semicolons(text, from, (delimiter:gsub("\\[nrt]", escapes)))
end

return M
