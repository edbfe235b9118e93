--- The migrations folder: which files are migrations, and which are not.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local grouping = require "pgmig.files.grouping"
local migration = require "pgmig.files.migration"
local naming = require "pgmig.naming"

local M = {}

--- What stands before the paths of a folder's files.
local function prefix_of(dir) return dir:sub(-1) == "/" and dir or dir .. "/" end

-- Names that only a slip keeps from being a migration's: other tools, editors and browsers write
-- them too. What only a letter follows is another kind of file: a backup, a database.
local sql_endings = { "%.s[ql]+%A*$", "%.pg?sql%A*$", "%.plpgsql%A*$", "%.ddl%A*$" }

-- What may stand behind `.sql` of a file that somebody means to be run.
local around_sql = {
  txt = true, md = true, gz = true, xz = true, zst = true, zip = true, j2 = true, erb = true,
  tpl = true, tmpl = true, template = true,
}

--- Whether a file's name says that it holds SQL.
local function is_sql(name)
  local lower = name:lower()
  if lower:find "[~#]$" then return false end -- an editor's backup
  for _, ending in ipairs(sql_endings) do
    if lower:find(ending) then return true end
  end
  return around_sql[lower:match "%.sql%.(%w+)$" or ""] or false
end

--- Whether a file's name begins like a migration's, and then says nothing else, or Lua.
local function is_numbered(name)
  local ending = name:match "^%d+[_-][^.]+(.*)$"
  return ending and (ending:find "^%.?$" or ending:lower():find "^%.lua%A*$") and true
end

--- A version as a rule gives it, as text.
local function text_of(version)
  return type(version) == "number" and ("%.0f"):format(version) or version
end

--- The digits of a version as a rule gives it.
-- @raise kind "naming"
function M.digits(rule, version, path)
  version = text_of(version)
  if type(version) ~= "string" then
    errors.raise("naming", "the naming rule returned no version", { file = path })
  end
  if rule.digits then return rule.digits(version) end
  return rule.dotted and naming.dotted(version) or version
end

--- What the rule says of a file, as a migration.
local function new_migration(set, parsed, prefix, name)
  local path, text = prefix .. name, text_of(parsed.version)
  local digits = M.digits(set.rule, parsed.version, path)
  -- the fields that all have are counted here: tables grow to twice what they need
  local m = {
    id = core.version(digits), name = parsed.name, path = path, text = text,
    state = nil, down = nil, read = nil, row = nil,
  }
  local language, format = parsed.language, set.reads_as
  if parsed.label then m.label = parsed.label end
  if parsed.covers then m.covers = parsed.covers end
  if language and language ~= "sql" then m.language = language end
  if parsed.direction then m.direction = parsed.direction end
  if parsed.key then m.key = parsed.key end
  if parsed.aliases then m.aliases = parsed.aliases end
  if parsed.precedence then m.precedence = parsed.precedence end
  if parsed.transaction then m.settings = { transaction = parsed.transaction } end
  if format then m.format = format end
  return migration.new(m)
end

--- A repeatable migration: its name is its identity.
local function new_repeatable(set, parsed, prefix, name)
  return migration.new {
    name = parsed.name, label = parsed.label or parsed.name, path = prefix .. name,
    language = parsed.language or "sql", repeatable = true, format = set.reads_as,
  }
end

local function add_repeatable(set, m)
  local other = set.by_name[m.name]
  if other then return grouping.clash(set, m, other) end
  set.by_name[m.name] = m
  set.repeatable[#set.repeatable + 1] = m
end

--- How the rule's files are named, for a message.
local function pattern_of(rule) return rule.pattern and (" (%s)"):format(rule.pattern) or "" end

--- Why a folder that is not entered may hold a migration, as the end of a sentence; nil.
local function reason_of_folder(rule, name)
  if rule.deep then return "is not entered: it is a symbolic link, or too deep" end
  local base = name:match "([^/]+)/$"
  if not (base:find "^%d" or is_sql(base) or rule.parse(base)) then return nil end
  return "is a folder, not a file" .. pattern_of(rule)
end

--- Why a file that is no migration of the rule's looks like one, as the end of a sentence; nil.
local function reason_of(rule, name)
  if name:sub(-1) == "/" then return reason_of_folder(rule, name) end
  if is_sql(name) or is_numbered(name) then
    return rule.listed and "is not listed in " .. rule.listed
      or "is not named like a migration" .. pattern_of(rule)
  end
  return rule.foreign and name:find(rule.foreign) and "is code, but neither SQL nor Lua" or nil
end

--- A migration that is code of another tool's: known, when it has been applied.
local function note_foreign(set, prefix, name)
  local rule = set.rule
  if not rule.foreign or not name:find(rule.foreign) then return end
  local parsed = rule.parse((name:gsub("%.%w+$", ".sql")))
  if not (parsed and parsed.version) then return end
  local m = new_migration(set, parsed, prefix, name)
  m.foreign, m.missing = m.path, true
  set.foreign[m.id] = m
end

--- A name that no database can keep.
local function check_text(prefix, name)
  if not name:find "[\128-\255]" then return end
  local readable = core.readable(name, "\\x")
  if readable == name then return end
  errors.raise("naming", "the file name is not valid UTF-8", {
    file = prefix .. readable, hint = "rename it: the tracking table stores names as text",
  })
end

--- A file that the rule does not know.
local function pass_over(set, prefix, name)
  local reason = reason_of(set.rule, name)
  if not reason then return end
  grouping.ignore(set, prefix .. name, reason)
  note_foreign(set, prefix, name)
end

local function read_file(set, parse, prefix, name, found)
  local parsed
  if name:sub(-1) ~= "/" then parsed = parse(name) end
  if parsed then check_text(prefix, name) end
  if parsed and parsed.baseline then
    table.insert(set.baselines, new_migration(set, parsed, prefix, name))
  elseif parsed and parsed.repeatable then
    add_repeatable(set, new_repeatable(set, parsed, prefix, name))
  elseif parsed then
    found[#found + 1] = new_migration(set, parsed, prefix, name)
  elseif parsed == nil then
    pass_over(set, prefix, name)
  end
end

--- What reads the files of a folder for a rule.
-- @return fn(path) returns the text of a file in it, nil where there is none; and its path for
--   messages
function M.reader(dir)
  local prefix = prefix_of(dir)
  return function(path) return core.read_file(prefix .. path), prefix .. path end
end

local function read_dir(set, dir, found)
  local prefix, names = prefix_of(dir), core.list(dir, set.rule.deep)
  local parse, said = naming.parser(set.rule, names, M.reader(dir))
  for _, err in ipairs(said and said.wrong or {}) do set.wrong[#set.wrong + 1] = err end
  set.project = said and said.project
  for _, name in ipairs(names) do
    local ok, err = pcall(read_file, set, parse, prefix, name, found)
    if not ok then
      if not errors.is(err, "naming") then error(err, 0) end
      err.file = err.file or prefix .. name
      set.wrong[#set.wrong + 1] = err
    end
  end
end

local function scan(dirs, rule, format)
  local set = {
    list = {}, by_id = {}, ignored = {}, reasons = {}, baselines = {}, repeatable = {},
    by_name = {}, wrong = {}, foreign = {}, rule = rule,
    reads_as = format and format:is_other() and format or nil,
  }
  local found = {}
  for _, dir in ipairs(dirs) do read_dir(set, dir, found) end
  return set, found
end

--- The files of folders that have a version, each as the migration that it would be alone.
-- @param dirs, rule, format as of `read`
-- @return a list
-- @return those of baseline migrations
function M.files(dirs, rule, format)
  local set, found = scan(dirs, rule, format)
  return found, set.baselines
end

--- Read folders.
-- @param dirs list of folders
-- @param rule a naming rule (pgmig.naming)
-- @param format how their files read (pgmig.formats); nil: as pgmig's own
-- @return { list = migrations by version, by_id = the same by id, ignored = paths of files that
--   look like migrations and are none, reasons = why, by path, foreign = migrations by id that are
--   code of another tool's, repeatable = migrations that run again, by name, wrong = errors
--   of kind "naming" about files whose names cannot be, such as two of one version,
--   project = what the format's tool calls the folder, or nil,
--   baselines = migrations by version that only a new database runs, for all up to theirs }
-- @raise kinds "io" for a missing folder, "naming" for a file that goes down and nothing up
function M.read(dirs, rule, format)
  local set, found = scan(dirs, rule, format)
  grouping.settle(set, found)
  table.sort(set.baselines, migration.before)
  table.sort(set.repeatable, function(a, b) return a.name < b.name end)
  return set
end

--- The newest version of the folders.
-- @return its id; nil when there is none
function M.newest(set)
  local last, baseline = set.list[#set.list], set.baselines[#set.baselines]
  if last and baseline then return migration.before(last, baseline) and baseline.id or last.id end
  return last and last.id or baseline and baseline.id
end

return M
