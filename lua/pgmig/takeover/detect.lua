--- Which tool's folder this is: with certainty, or not at all.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local formats = require "pgmig.formats"
local tracking = require "pgmig.takeover.tracking"
local texts = require "pgmig.texts"

local M = {}

local HEAD = 65536 -- bytes of a file that are looked at

-- ---- the folder ------------------------------------------------------------

local function head_of(path)
  local ok, text = pcall(core.read_file, path, HEAD)
  if not (ok and text) then return "" end
  if #text == HEAD then text = text:match "^(.*)[\r\n]" or "" end -- no half of a line
  return text
end

--- Look at the folders' files, one after the other.
-- @param fn called with { name, text = the beginning of an .sql file }
local function each_file(dirs, fn)
  for _, dir in ipairs(dirs) do
    for _, name in ipairs(core.list(dir, true)) do
      local path = dir:gsub("/*$", "") .. "/" .. name
      fn { name = name, text = name:find "%.sql$" and head_of(path) }
    end
  end
end

local function first_match(patterns, text)
  for _, pattern in ipairs(patterns or {}) do
    if text:find(pattern) then return pattern end
  end
end

local function line_of(patterns, text)
  if not (patterns and patterns[1]) then return nil end
  for line in text:gmatch "[^\r\n]+" do
    if first_match(patterns, line) then return texts.trim(line) end
  end
end

--- What in a file only this tool's folders have; nil.
local function sign_of(format, file)
  local signs = format.signs or {}
  if first_match(signs.paths, file.name) then return "its name: " .. file.name end
  if not file.text then return nil end
  if first_match(signs.first, file.text) then return ("the first line of %s"):format(file.name) end
  local line = line_of(signs.lines, file.text)
  return line and ("%s in %s"):format(line, file.name)
end

--- Whether two files would be the same migration's; such a folder is of a format that allows it.
local function note_repeated(seen, parsed)
  if parsed.repeatable then return false end
  local key = ("%s %s %s"):format(parsed.version, parsed.direction or "up", parsed.precedence or 0)
  local repeated = seen[key] ~= nil
  seen[key] = true
  return repeated
end

--- A format whose folder it may be.
local function new_candidate(name)
  local format = formats.find(name)
  return {
    name = name, format = format, seen = {}, repeated = false,
    fits = not (format.vocabulary and format.vocabulary.marked),
  }
end

--- Whether a file is named as the format's are.
local function note_name(c, file)
  local parsed = file.text and c.format.naming.parse(file.name)
  local signs = c.format.signs or {}
  if file.text and (parsed == nil or first_match(signs.never, file.name)) then c.fits = false end
  if parsed and c.fits then c.repeated = note_repeated(c.seen, parsed) or c.repeated end
end

--- Whether all files are, and have what the format needs.
local function fits(c)
  return c.fits and next(c.seen) ~= nil
    and c.repeated == (c.format.naming.numbers_repeat or false)
end

-- ---- the verdict -----------------------------------------------------------

local function refuse(candidates, dirs)
  local lines, names = {}, {}
  for i, c in ipairs(candidates) do
    names[i] = c.name
    lines[i] = ("%s (%s)"):format(c.name, c.why)
  end
  if #names == 0 then
    errors.raise("usage", "no known format fits all files of " .. table.concat(dirs, ", "), {
      hint = "choose one with --format (option `format`), or write your own: docs/formats.md",
    })
  end
  errors.raise("usage", "the folder matches several formats: " .. table.concat(names, ", "), {
    detail = table.concat(lines, "; "),
    hint = "choose one with --format (option `format`)",
  })
end

local function only(candidates)
  return candidates[1] and not candidates[2] and candidates[1].name
end

--- The candidates whose tracking table is in the database.
local function known_there(candidates, db)
  local there = {}
  for _, c in ipairs(candidates) do
    local how = formats.find(c.name).tracking
    if db and how and tracking.exists(db, how) then there[#there + 1] = c end
  end
  return there
end

--- Find the format of folders.
-- @param dirs the folders
-- @param db a connection, whose tracking tables help to tell formats that look alike; or nil
-- @return its name
-- @raise kind "usage" with the candidates when more than one fits, or none
function M.format(dirs, db)
  local all, sure, possible = {}, {}, {}
  for i, name in ipairs(formats.names) do all[i] = new_candidate(name) end
  each_file(dirs, function(file)
    for _, c in ipairs(all) do
      c.sign = c.sign or sign_of(c.format, file)
      note_name(c, file)
    end
  end)
  for _, c in ipairs(all) do
    if c.sign then sure[#sure + 1] = { name = c.name, why = c.sign } end
    if fits(c) then possible[#possible + 1] = { name = c.name, why = c.format.about } end
  end
  local candidates = sure[1] and sure or possible
  return only(candidates) or only(known_there(candidates, db)) or refuse(candidates, dirs)
end

return M
