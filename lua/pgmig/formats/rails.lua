--- Rails, from its `db/structure.sql` on: that file is a baseline for new databases, and stands for
-- all migrations whose versions it inserts. What comes after it is SQL in `db/migrate`.
local core = require "pgmig.core"
local errors = require "pgmig.errors"

local STRUCTURE = "structure.sql"

-- ---- what the structure lists ----------------------------------------------

--- A version as Rails writes it into its table: a number.
local function plain(version) return version:match "^0*(%d+)$" end

--- The versions that a structure inserts: a set; and the newest.
local function versions_in(text, where)
  local versions, newest = {}, nil
  for values in text:gmatch 'INSERT INTO ["%w_.]*schema_migrations"? %(version%) VALUES([^;]*);' do
    for version in values:gmatch "'(%d+)'" do
      version = plain(version)
      versions[version] = true
      local later = not newest or core.compare(newest, version) < 0
      newest = later and version or newest
    end
  end
  if newest then return versions, newest end
  errors.raise("naming", "it inserts no versions into schema_migrations", {
    file = where, hint = "let Rails write it: rails db:schema:dump",
  })
end

-- ---- files -----------------------------------------------------------------

local function parse(path)
  local version, name = path:match "^migrate/(%d+)_(.+)%.sql$"
  return version and { version = version, name = name } or false
end

--- The rule of a folder: no word is lost about the code that the structure stands for.
local function parser(_, read)
  local text, where = read(STRUCTURE)
  if not text then
    errors.raise("naming", "there is no structure.sql", {
      file = where, hint = "let Rails write it: config.active_record.schema_format = :sql, then "
        .. "rails db:schema:dump; and name its folder",
    })
  end
  local versions, newest = versions_in(text, where)
  return function(path)
    local code = path:match "^migrate/(%d+)_.*%.rb$"
    if code and versions[plain(code)] then return false end
    if code then return nil end
    if path ~= STRUCTURE then return parse(path) end
    return {
      version = newest, name = "structure", label = STRUCTURE, baseline = true, covers = versions,
    }
  end
end

-- ---- Rails' table ----------------------------------------------------------

--- Say of some versions what is wrong with them.
local function problem(versions, message)
  if not versions[1] then return nil end
  table.sort(versions, function(a, b) return core.compare(a, b) < 0 end)
  return message:format(table.concat(versions, ", "))
end

--- What the rows come to: the structure is applied, or they and it disagree.
local function judge(rows, set)
  local structure = set.baselines[#set.baselines]
  if not (rows[1] and structure) then return {}, {} end
  local there, unknown, missing = {}, {}, {}
  for _, row in ipairs(rows) do
    there[row.version] = true
    if not structure.covers[row.version] then unknown[#unknown + 1] = row.version end
  end
  for version in pairs(structure.covers) do
    if not there[version] then missing[#missing + 1] = version end
  end
  return { { version = structure.text, baseline = true, judged = true } }, {
    problem(missing, "not applied, but in structure.sql (first run rails db:migrate): %s")
      or problem(unknown, "applied, but not in structure.sql (first run rails db:schema:dump): %s"),
  }
end

return {
  name = "rails",
  about = "structure.sql, then migrate/YYYYMMDDHHMMSS_name.sql",
  naming = {
    pattern = "migrate/YYYYMMDDHHMMSS_name.sql",
    deep = true,
    parse = parse,
    parser = parser,
    format = function(version, name) return ("migrate/%s_%s.sql"):format(version, name) end,
    foreign = "^migrate/%d+_.*%.rb$",
  },
  timestamps = true,
  table = "pgmig_migrations",
  template = "-- UP\n-- Write your migration SQL here\n\n-- DOWN\n"
    .. "-- Write your rollback SQL here (optional)\n",
  signs = { folder = function(paths)
    local structure, code
    for _, path in ipairs(paths) do
      structure = structure or path == STRUCTURE
      code = code or path:find "^migrate/%d+_.*%.rb$" and path
    end
    return structure and code and ("structure.sql beside %s"):format(code)
  end },
  tracking = {
    table = "schema_migrations",
    columns = { "version" },
    exact = true,
    query = "SELECT version FROM %s AS t ORDER BY t.version",
    judge = judge,
  },
  unexported = "what it does not know are files that it does not run; keep structure.sql, or write "
    .. "a migration in Ruby for each",
  unshared = "Rails' rows are of migrations in Ruby, and the structure stands for all of them",
}
