--- Placeholders in the text of a file: replaced by their values.
-- What replaces them is a function of a text: it returns the new one, and what was replaced, for
-- `core.parse_script`, so that places in messages are those of the file.
-- @module pgmig.placeholders
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local texts = require "pgmig.texts"

local M = {}

-- As core/text/vocabulary.c has it.
local NAME = "[%a_\128-\255][%w_.%-\128-\255]*"
local NAMED = "%${%s*(" .. NAME .. ")%s*}"

-- psql's variables may begin with a digit, and have no dots.
local VARIABLE = "[%w_\128-\255]+"

-- ---- replacing ------------------------------------------------------------------

--- A text in which pieces are replaced one after the other.
local function new_draft(text) return { text = text, parts = {}, edits = {}, at = 1, size = 0 } end

local function add(draft, part)
  draft.parts[#draft.parts + 1] = part
  draft.size = draft.size + #part
end

--- Put a value in the place of the bytes from `from` to `last`.
local function replace(draft, from, last, value)
  add(draft, draft.text:sub(draft.at, from - 1))
  local begin, edits = draft.size, draft.edits
  add(draft, tostring(value))
  draft.at = last + 1
  edits[#edits + 1], edits[#edits + 2] = from - 1, last
  edits[#edits + 1], edits[#edits + 2] = begin, draft.size
end

--- @return the text, and what was replaced
local function finish(draft)
  add(draft, draft.text:sub(draft.at))
  return table.concat(draft.parts), draft.edits
end

--- Replace what a pattern finds: its capture is the name. What has no value stays, to be refused
-- when the text is parsed.
-- @param text the text
-- @param pattern a Lua pattern
-- @param values by name
-- @param is_meant fn(text, from) says whether it is one; nil: it is
-- @return the text, and what was replaced
function M.fill_pattern(text, pattern, values, is_meant)
  local draft, at = new_draft(text), 1
  while true do
    local from, last, name = text:find(pattern, at)
    if not from then return finish(draft) end
    local value = values[name]
    if value ~= nil and (not is_meant or is_meant(text, from)) then
      replace(draft, from, last, value)
    end
    at = last + 1
  end
end

--- Replace `${name}`.
local function fill_named(text, values) return M.fill_pattern(text, NAMED, values) end

--- Replace what stands between two delimiters. What is opened and not closed ends the search:
-- nothing behind it is looked at twice.
local function fill_between(text, values, open_with, close_with)
  local draft, at = new_draft(text), 1
  while true do
    local from, open = text:find(open_with, at, true)
    local close, last = text:find(close_with, (open or #text) + 1, true)
    if not (from and close) then return finish(draft) end
    local value = values[texts.trim(text:sub(open + 1, close - 1))]
    if value ~= nil then replace(draft, from, last, value) end
    at = last + 1
  end
end

--- Replace psql's variables.
local function fill_variables(text, values, path)
  local as_text = {}
  for name, value in pairs(values) do as_text[name] = tostring(value) end
  return core.fill_variables(text, path, as_text)
end

--- What replaces the placeholders of a format's files.
-- @param format of pgmig.formats
-- @param templates "psql", or nil
-- @return fn(text, values, path) returns the text, and what was replaced; raises kind "parse" for
--   one of psql's variables without a value
function M.filler(format, templates)
  local words = format.vocabulary or {}
  if templates == "psql" then return fill_variables end
  if format.fill then return format.fill end
  if not words.placeholder then return fill_named end
  return function(text, values)
    return fill_between(text, values, words.placeholder, words.placeholder_end)
  end
end

-- ---- values ---------------------------------------------------------------------

--- Refuse what can replace nothing.
-- @param pattern how names are written; nil: any
local function check(values, pattern)
  for name, value in pairs(values) do
    if type(name) ~= "string" or (pattern and not name:find("^" .. pattern .. "$")) then
      errors.raise("usage", ("placeholders: %s is not a name"):format(tostring(name)), {
        hint = "the option is a table of values by name: { schema = \"app\" }",
      })
    end
    if type(value) ~= "string" and type(value) ~= "number" then
      errors.raise("usage", ("placeholders: the value of %s must be a string, not a "
        .. "%s"):format(name, type(value)))
    end
  end
end

--- The values that an option gives, and those of variables of the environment, which it names.
local function with_environment(values, names)
  local all = {}
  for _, name in ipairs(names) do
    if type(name) ~= "string" then
      errors.raise("usage", "environment: must be a list of names of variables")
    end
    all[name] = os.getenv(name)
  end
  for name, value in pairs(values or {}) do all[name] = value end
  return all
end

--- The values for the placeholders of a format's files.
-- @param format of pgmig.formats
-- @param given by name; false: placeholders are plain text; nil
-- @param options { environment = names of variables of the environment whose values count, too,
--   where `given` has none; templates = "psql" }
-- @return values by name, false or nil
-- @raise kind "usage"
function M.values(format, given, options)
  local templates = options.templates
  if templates ~= nil and templates ~= "psql" then
    errors.raise("usage", ("templates must be psql, not %s"):format(tostring(templates)))
  end
  local has_own = format.vocabulary and format.vocabulary.placeholder
  if templates and has_own then
    errors.raise("usage", ("templates: the files of %s have placeholders of their own")
      :format(format.name))
  end
  if given == false then return false end
  local values = options.environment and with_environment(given, options.environment) or given
  if templates then values = values or {} end
  check(values or {}, templates and VARIABLE or not has_own and NAME or nil)
  return values
end

return M
