--- pop and popx (Ory): `20240115103000_name.up.sql`. `.postgres.` is for one database only and
-- wins beside a file for all; `.autocommit.` runs without a transaction. Versions compare as text.
local naming = require "pgmig.naming"

local WIDTH = 20 -- digits of the longest versions

local ours = { postgres = true, postgresql = true, pg = true, pgx = true }

local others = {
  mysql = true, mariadb = true, cockroach = true, cockroachdb = true, crdb = true, sqlite = true,
  sqlite3 = true,
}

--- For which database a file is: 1: for ours only, 0: for all, false: for another; nil: who knows?
local function precedence_of(dialect)
  if dialect == "" or dialect == "all" then return 0 end
  if ours[dialect] then return 1 end
  if others[dialect] then return false end
end

--- Files for several databases that are the same migration.
local function dialects_in(paths)
  local seen = {}
  for _, path in ipairs(paths) do
    local stem, dialect, rest = path:match "^(%d+_[^.]+)%.(%w+)(%.%a+%.sql)$"
    local key = dialect and precedence_of(dialect) ~= nil and stem .. rest
    if key and seen[key] then return ("%s beside %s"):format(path, seen[key]) end
    if key then seen[key] = path end
  end
end

return {
  name = "popx",
  about = "pairs NNN_name.up.sql, with .postgres. and .autocommit. in their names",
  naming = {
    pattern = "NNN_name.up.sql, NNN_name.postgres.up.sql",
    deep = true,
    parse = function(path)
      local folder, file = path:match "^(.-)([^/]+)$"
      local version, name, parts, direction = file:match "^(%d+)_([^.]+)([%w.]-)%.(%a+)%.sql$"
      if direction ~= "up" and direction ~= "down" then
        if folder ~= "" then return false end -- test data, say
        return nil
      end
      local dialect, autocommit = parts:gsub("%.autocommit$", "")
      local precedence = precedence_of(dialect:sub(2))
      if not precedence then return precedence end
      return {
        version = version, name = name, direction = direction, precedence = precedence,
        transaction = autocommit > 0 and "off" or nil,
      }
    end,
    digits = function(version) return naming.sortable(version, WIDTH) end,
    format = function(version, name, direction)
      return ("%s_%s.%s.sql"):format(version, name, direction)
    end,
    lone_down = true,
    foreign = "%.fizz$",
  },
  timestamps = true,
  template = {
    up = "-- Write your migration SQL here\n",
    down = "-- Write your rollback SQL here\n",
  },
  vocabulary = {
    empty = true,
    transaction = "own",
    untransacted = "-- pgmig: transaction=off",
    placeholder = "{{",
    placeholder_end = "}}",
  },
  signs = {
    names = { "^%d+_[^.]+%.%w+%.autocommit%.%a+%.sql$", "^%d+_[^.]+%.autocommit%.%a+%.sql$" },
    folder = dialects_in,
    lines = { "{{%-?%s*index%s+%.Options%s", "{{%-?%s*if%s+%.Is%u" },
  },
  tracking = {
    table = "schema_migration",
    columns = { "version" },
    query = "SELECT version FROM %s AS t ORDER BY t.version",
  },
  shared = {
    columns = "version varchar",
    key = "version",
    create = [[
      CREATE TABLE IF NOT EXISTS %t (version VARCHAR (48) NOT NULL,
        version_self INT NOT NULL DEFAULT 0);
      CREATE UNIQUE INDEX IF NOT EXISTS schema_migration_version_idx ON %t (version);
      CREATE INDEX IF NOT EXISTS schema_migration_version_self_idx ON %t (version_self)]],
    list = [[
      SELECT version::pg_catalog.text AS key, NULL::pg_catalog.timestamptz AS applied_at
      FROM %t]],
    claim = "INSERT INTO %t (version) VALUES (%k)",
    release = "DELETE FROM %t WHERE version OPERATOR(pg_catalog.=) %k",
    there = "SELECT FROM %t WHERE version OPERATOR(pg_catalog.=) %k",
  },
}
