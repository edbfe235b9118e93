--- Formats: how to read the migrations folder of another tool, so that it can be used unchanged.
-- A format is a table (docs/formats.md has an example of a custom one):
--
-- * `name`, `about`: the tool, in a word and in a sentence
-- * `naming`: a rule (pgmig.naming)
-- * `vocabulary`: the markers in its files (core.vocabulary); nil: pgmig's own
-- * `table`: the tracking table that pgmig creates, if the tool uses "schema_migrations"
-- * `template`: the text of a new file, or { up, down } for a pair of files
-- * `create`: why no new file can be written, or a function that writes it as the tool does:
--   create(dir, words, sanitise) returns its paths
-- * `timestamps`: new files are numbered by time
-- * `settings(path, read)`: the settings in a file next to the migration: { transaction = "off",
--   placeholders = false }; `read(path)` returns a file's text or nil
-- * `rewrite(text)`: another text that is read in its place, where the file matches `rewrites`
-- * `fill(text, values)`: replaces placeholders that have no closing delimiter; returns the text,
--   and may return what was replaced (pgmig.placeholders)
-- * `signs`: what identifies the format, for `auto`: { lines = Lua patterns of lines that only this
--   tool has, first = of how a file begins, paths = of file paths, names = of file names without
--   their folder, folder = fn(paths) returns what in all of them does, never = patterns of paths
--   it never has, each = true: each of its files has such a line, dir = of how its folder is
--   called, beside = by file near the folder, of what that says, always = true: its folders
--   always have one of these }
-- * `tracking`: its tracking table, for `adopt` (pgmig.takeover.tracking)
-- * `shared`: how that table is used in place (pgmig.takeover.shared), or `unshared`: why it is
--   not
-- * `export`: how its rows are written (pgmig.takeover.layout), where that is not in `shared`; or
--   `unexported`: why they are not
-- @module pgmig.formats
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local filling = require "pgmig.placeholders"
local needed = require "pgmig.needed"
local naming = require "pgmig.naming"
local settings_file = require "pgmig.settings_file"

local lua_file = needed "files.lua_file"

local M = {}

--- The formats there are.
M.names = {
  "atlas", "dbmate", "diesel", "drizzle", "evolve", "flyway", "golang-migrate", "goose",
  "graphile-migrate", "hasura", "maragu", "micrate", "node-pg-migrate", "pgmig", "popx",
  "postgrator", "postgres-migrations", "prisma", "rails", "refinery", "shmig", "sqitch",
  "sql-migrate", "sqlx", "supabase", "tern",
}

local aliases = { pycopg = "pgmig", pop = "popx", ["graphile"] = "graphile-migrate" }

local format = {}

-- ---- words -----------------------------------------------------------------

-- Of a format without a vocabulary: pgmig's own.
local own = { markers = { { text = "up", kind = "up" }, { text = "down", kind = "down" } } }

--- Let a vocabulary know its placeholders. Those of a tool that has some are refused without a
-- value. Elsewhere they are ${name}, once there are values; without a word about them, what looks
-- so in pgmig's own files is worth a warning.
local function set_placeholders(vocabulary, values, is_own, templates)
  if values == false or templates then
    vocabulary.placeholder = nil
  elseif values and not vocabulary.placeholder then
    vocabulary.placeholder, vocabulary.placeholder_end, vocabulary.named = "${", "}", true
  else
    vocabulary.suspects = is_own
  end
end

--- The values for a file: by name, false or nil, as for `load`.
local function values_for(self, settings)
  if settings and settings.placeholders == false then return false end
  return self.placeholders
end

local function make_words(self, off, values, way)
  local vocabulary = {}
  for name, value in pairs(self.vocabulary or own) do vocabulary[name] = value end
  if off then vocabulary.transaction = "off" end
  vocabulary.one_way = way
  set_placeholders(vocabulary, values, not self.vocabulary, self.templates)
  local tool = self.vocabulary and self.name or "pgmig"
  local ok, words = pcall(core.vocabulary, tool, vocabulary)
  if not ok then errors.raise("usage", ("format %s: %s"):format(self.name, words)) end
  return { core = words, opening = self.templates and ":" or vocabulary.placeholder }
end

--- The words of its files, with what a file's own settings and name change.
-- @return { core = what the core reads with, opening = of a placeholder }
local function words_of(self, settings, way)
  local off = settings and settings.transaction == "off"
  local values = values_for(self, settings)
  local key = (off and "off" or "") .. (values == false and "plain" or "") .. (way or "")
  if not self.words[key] then self.words[key] = make_words(self, off, values, way) end
  return self.words[key]
end

-- ---- texts -----------------------------------------------------------------

local PIECE = 1048576 -- bytes; what is smaller is held anyway
local HEAD = 256 -- bytes that tell whether a text is to be rewritten

--- Whether a file has a text anywhere.
local function mentions(path, text)
  local file = io.open(path, "rb")
  if not file then return false end
  local seen, piece = "", ""
  while piece and not seen:find(text, 1, true) do
    piece = file:read(PIECE)
    seen = seen:sub(-#text) .. (piece or "")
  end
  file:close()
  return piece ~= nil
end

--- The text of a file that may have to be changed; nil: it has not, or cannot be read.
local function text_to_change(self, path, words, values, stream)
  local head = self.rewrites and core.read_file(path, HEAD)
  local is_rewritten = head and head:find(self.rewrites)
  if not (values or self.render or is_rewritten) then return nil end
  local text = core.read_file(path, PIECE)
  if not text or #text < PIECE then return text end
  local is_plain = not (self.render or self.fill or is_rewritten or mentions(path, words.opening))
  if stream and is_plain then return nil end
  return core.read_file(path)
end

--- The text in another form, which the format reads.
-- @raise what the format refuses, with the file
local function rewritten(self, text, path)
  if not (self.rewrites and text:sub(1, HEAD):find(self.rewrites)) then return text end
  local ok, result = pcall(self.rewrite, text)
  if ok then return result end
  if errors.is(result) then result.file = path end
  error(result, 0)
end

--- What a text becomes in the hands of `render`. It runs in a coroutine of its own: whatever it
-- waits for, the files are not read meanwhile.
-- @raise kind "hook"
local function rendered(render, text, path, migration)
  local co = coroutine.create(render)
  local ok, result = coroutine.resume(co, text, migration)
  local problem
  if not ok then
    if errors.is(result) then error(result, 0) end
    problem = "render fails: " .. tostring(result)
  elseif coroutine.status(co) ~= "dead" then
    problem = "render must not wait"
  elseif type(result) ~= "string" then
    problem = "render must return a string, not a " .. type(result)
  end
  if not problem then return result end
  errors.raise("hook", problem, { file = path })
end

--- Parse a file's text, changed as the options say; `values` are those of placeholders, or false.
local function parse_changed(self, text, path, words, values, migration)
  if self.render then text = rendered(self.render, text, path, migration) end
  text = rewritten(self, text, path)
  if not values then return core.parse_script(text, path, words.core) end
  local filled, edits = self.filler(text, values, path)
  if not (edits and edits[1]) then return core.parse_script(filled, path, words.core) end
  return core.parse_script(filled, path, words.core, text, edits)
end

-- ---- reading ---------------------------------------------------------------

--- Whether its files read otherwise than pgmig's own do where nothing is said.
function format:is_other()
  return self.vocabulary ~= nil or self.placeholders ~= nil or self.render ~= nil
end

--- Read a migration's file.
-- @param path the file
-- @param settings what its name says of it: { transaction = "off" }, or nil
-- @param stream true: a large file need not be held
-- @param way "up" or "down", where the file's name says so; or nil
-- @param migration what `render` is told of it: { path, id, version, name, label, direction }
-- @return the script
-- @return the checksum of the file's text, where that was changed; nil: it is the script's
-- @raise kinds "io", "parse", "hook"
function format:read(path, settings, stream, way, migration)
  local said = self.settings and self.settings(path, core.read_file) or settings
  local words, values = words_of(self, said, way), values_for(self, said)
  local text = text_to_change(self, path, words, values, stream)
  if not text then return core.read_script(path, words.core, stream) end
  return parse_changed(self, text, path, words, values, migration or { path = path }),
    core.checksum(text)
end

--- Parse a text.
function format:parse(text, path)
  return parse_changed(self, text, path, words_of(self), self.placeholders, { path = path })
end

-- ---- finding them ----------------------------------------------------------

local function check(given)
  if type(given.name) ~= "string" then errors.raise("usage", "a format must have a name") end
  naming.check(given.naming)
  for _, key in ipairs { "vocabulary", "signs", "tracking" } do
    if given[key] ~= nil and type(given[key]) ~= "table" then
      errors.raise("usage", ("format %s: %s must be a table"):format(given.name, key))
    end
  end
  return given
end

local function of_file(path)
  local text = settings_file.read(path)
  if not text then
    errors.raise("usage", "cannot open the file: it does not exist", { file = path })
  end
  return lua_file.run(path, text, function(raised)
    local line, message = lua_file.place(path, raised)
    errors.raise("usage", message, { file = path, line = line })
  end)
end

local function of_name(name)
  local known = aliases[name] or name
  for _, other in ipairs(M.names) do
    if other == known then return require("pgmig.formats." .. known:gsub("%-", "_")) end
  end
  errors.raise("usage", ("unknown format %s"):format(name), {
    hint = "known formats are: auto, " .. table.concat(M.names, ", ")
      .. "; or the path of a .lua file that returns one",
  })
end

--- The format that a name, a path of a .lua file, or a table stands for.
-- @param given the name, path or table
-- @return the format's table
-- @raise kind "usage" for an unknown one
function M.find(given)
  if type(given) == "table" then return check(given) end
  if given:find "%.lua$" then
    local found = of_file(given)
    if type(found) ~= "table" then
      errors.raise("usage", "a format file must return a table", { file = given })
    end
    return check(found)
  end
  return of_name(given)
end

local function of_format(given) return function(_, key) return format[key] or given[key] end end

--- A format that is ready to read files.
-- @param given as for `find`
-- @param placeholders values by name; false: placeholders are plain text; nil: they are refused
--   where the format's tool replaces them, and a warning in pgmig's own format
-- @param options { templates = "psql": placeholders are psql's variables, environment = names of
--   variables of the environment that are values, too, render = fn(text, migration) returns what is
--   run in a file's place }; others are passed over
-- @return an object with the format's fields and the methods `read` and `parse`
-- @raise kind "usage"
function M.load(given, placeholders, options)
  local found, how = M.find(given), options or {}
  return setmetatable({
    placeholders = filling.values(found, placeholders, how), words = {},
    templates = how.templates, render = how.render,
    filler = filling.filler(found, how.templates),
  }, { __index = of_format(found) })
end

return M
