--- Which tool's folder this is: with certainty, or not at all. Only what no other tool's folder has
-- makes it certain, or the tool's table in the database; that no other format fits does not.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local files = require "pgmig.files.list"
local formats = require "pgmig.formats"
local naming = require "pgmig.naming"
local strangers = require "pgmig.takeover.strangers"
local texts = require "pgmig.texts"
local tracking = require "pgmig.takeover.tracking"

local M = {}

local HEAD = 65536 -- bytes of a file that are looked at

-- ---- a file ----------------------------------------------------------------

local function head_of(path)
  local ok, text = pcall(core.read_file, path, HEAD)
  if not (ok and text) then return "" end
  if #text == HEAD then text = text:match "^(.*)[\r\n]" or "" end -- no half of a line
  return text
end

--- The lines that may be a tool's: comments, and those with a template.
local function telling_lines(text)
  local lines = {}
  for line in text:gmatch "[^\r\n]+" do
    if line:find "^%s*[-#]" or line:find("{{", 1, true) then lines[#lines + 1] = line end
  end
  return lines
end

--- A file of a folder. One of SQL has text = its beginning, and lines.
local function new_file(prefix, path)
  local base = path:match "[^/]+$"
  local file = { path = path, base = base, nested = path ~= base }
  if base:lower():find "%.%a*sql$" then
    file.text = head_of(prefix .. path)
    file.lines = telling_lines(file.text)
  end
  return file
end

local function first_match(patterns, text)
  for _, pattern in ipairs(patterns or {}) do
    if text:find(pattern) then return pattern end
  end
end

local function line_of(patterns, lines)
  for _, line in ipairs(patterns and lines or {}) do
    if first_match(patterns, line) then return texts.trim(line) end
  end
end

--- What only this tool's files say; nil.
local function said_in(signs, file)
  if first_match(signs.first, file.text) then return "the first line of " .. file.path end
  local line = line_of(signs.lines, file.lines)
  return line and ("%s in %s"):format(line, file.path)
end

-- ---- a tool whose folder it may be -----------------------------------------

--- @param tool a format, or one of `strangers`
local function new_candidate(tool)
  local words = tool.vocabulary
  return {
    tool = tool, name = tool.name, signs = tool.signs or {}, rule = tool.naming,
    marked = words ~= nil and words.marked or false, count = 0,
    each = words ~= nil and words.marked or (tool.signs or {}).each, -- each file has a sign
  }
end

--- Whether other tools would take a file for a migration.
local function is_numbered(base)
  return base:find "^%d" or base:find "^[VUB]%d" or base:find "^R__"
end

--- What the tool's rule says of a file; nil for one that it refuses.
local function parsed_by(c, file)
  local ok, parsed = pcall(c.parse, file.path)
  if ok then return parsed end
  if not errors.is(parsed, "naming") then error(parsed, 0) end
end

--- What a file's name is to the tool: whether it is its migration, or may not be in its folder.
local function note_name(c, file)
  local parsed = file.text and parsed_by(c, file)
  if parsed and not first_match(c.signs.never, file.path) then
    c.count = c.count + 1
    return true
  end
  local known = parsed == false or c.rule.listed or first_match(c.signs.names, file.base)
  if file.text and not known and is_numbered(file.base) then c.misfit = c.misfit or file.path end
  return false
end

local function note(c, file)
  if file.nested and c.rule and not c.rule.deep then return end -- nothing to this tool
  local own = not c.rule or note_name(c, file) or c.rule.listed
  local named = first_match(c.signs.paths, file.path) or first_match(c.signs.names, file.base)
  if named then c.named = c.named or "its name: " .. file.path end
  if not (own and file.text) or (c.said and not c.each) then return end
  local said = said_in(c.signs, file)
  c.said = c.said or said
  if c.each and not said and file.text:find "%S" then c.unmarked = c.unmarked or file.path end
end

--- What only this tool has around its folder: how that is called, or a file beside it that says so.
local function around(signs, dir, read)
  if signs.dir and dir:find(signs.dir) then return "the name of its folder: " .. dir end
  for path, pattern in pairs(signs.beside or {}) do
    local ok, text = pcall(read, path)
    if ok and text and ("\n" .. text):find(pattern) then return "the file " .. path end
  end
end

--- Look at a folder's files, one after the other.
local function look(candidates, dir)
  dir = dir:match "^(.-)/*$"
  local prefix, paths = dir .. "/", {}
  for _, path in ipairs(core.list(dir, true)) do
    if path:sub(-1) ~= "/" then paths[#paths + 1] = path end
  end
  local read = files.reader(dir)
  for _, c in ipairs(candidates) do
    c.parse = c.rule and naming.parser(c.rule, paths, read)
    c.named = c.named or c.signs.folder and c.signs.folder(paths) or around(c.signs, dir, read)
  end
  for _, path in ipairs(paths) do
    local file = new_file(prefix, path)
    for _, c in ipairs(candidates) do note(c, file) end
  end
end

--- What makes it certain that the folder is this tool's; nil.
local function proof(c)
  if c.signs.weak then return nil end
  return not c.unmarked and c.said or not c.misfit and c.named or nil
end

--- What makes it certain where it is no other tool's.
local function weak_proof(c) return c.signs.weak and not c.misfit and c.count > 0 and c.named end

--- Why the folder may be this tool's; nil when it is not.
local function suspicion(c)
  if c.unmarked and c.said then return ("%s, but not in %s"):format(c.said, c.unmarked) end
  local needs_sign = c.marked or c.signs.always or c.signs.weak or not c.rule
  return c.count > 0 and not c.misfit and not needs_sign and c.tool.about or nil
end

-- ---- the verdict -----------------------------------------------------------

--- What somebody does who knows that it is this tool's.
local function choice(c)
  return c.rule and "--format " .. c.name or ("for %s %s"):format(c.name, c.tool.advice)
end

local function refuse(candidates, dirs)
  local whys, names, choices = {}, {}, {}
  for i, c in ipairs(candidates) do
    names[i], whys[i], choices[i] = c.name, ("%s (%s)"):format(c.name, texts.line(c.why)), choice(c)
  end
  if #names == 0 then
    errors.raise("usage", "no known format fits all files of " .. table.concat(dirs, ", "), {
      hint = "choose one with --format (option `format`), or write your own: docs/formats.md",
    })
  end
  local message = #names > 1 and "the folder matches several formats: " .. table.concat(names, ", ")
    or ("this may be a folder of %s, but nothing makes it certain"):format(names[1])
  errors.raise("usage", message, {
    detail = table.concat(whys, "; "),
    hint = "choose with the option `format`: " .. table.concat(choices, ", or "),
  })
end

--- The candidates whose tracking table is in the database.
local function known_there(candidates, db)
  local there = {}
  for _, c in ipairs(candidates) do
    local how = c.tool.tracking
    if db and how and tracking.exists(db, how) then there[#there + 1] = c end
  end
  return there
end

--- The name of a tool's format.
local function format_of(c)
  if c.rule then return c.name end
  errors.raise("usage", ("this is a folder of %s, for which pgmig has no format"):format(c.name), {
    detail = texts.line(c.why), hint = c.tool.advice,
  })
end

local function all_candidates()
  local all = {}
  for i, name in ipairs(formats.names) do all[i] = new_candidate(formats.find(name)) end
  for _, tool in ipairs(strangers) do all[#all + 1] = new_candidate(tool) end
  return all
end

--- Those for which `why` finds a reason, which they remember.
local function those(candidates, why)
  local found = {}
  for _, c in ipairs(candidates) do
    c.why = why(c)
    if c.why then found[#found + 1] = c end
  end
  return found
end

--- A tool whose folders look like another's, and whose table is in the database; nil.
local function twin_of(other, candidates, db)
  for _, c in ipairs(candidates) do
    local is_like = c.signs.like == other.name and c.count > 0 and not c.misfit
    if is_like and known_there({ c }, db)[1] then return c end
  end
end

--- The tools but those that another one of them looks like: that one has more to show.
local function most_like(certain)
  local liked, left = {}, {}
  for _, c in ipairs(certain) do liked[c.signs.like or ""] = true end
  for _, c in ipairs(certain) do left[#left + 1] = not liked[c.name] and c or nil end
  return left
end

--- Find the format of folders.
-- @param dirs the folders
-- @param db a connection, whose tracking tables help to tell formats that look alike; or nil
-- @return its name
-- @raise kind "usage" with the candidates when none is certain
function M.format(dirs, db)
  local all = all_candidates()
  for _, dir in ipairs(dirs) do look(all, dir) end
  local certain = most_like(those(all, proof))
  if not certain[1] then certain = those(all, weak_proof) end
  if certain[1] and not certain[2] then
    return format_of(twin_of(certain[1], all, db) or certain[1])
  end
  local candidates = certain[1] and certain or those(all, suspicion)
  local there = known_there(candidates, db)
  if there[1] and not there[2] then return format_of(there[1]) end
  return refuse(candidates, dirs)
end

return M
