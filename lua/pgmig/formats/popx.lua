--- pop and popx (Ory): `20240115103000_name.up.sql`. `.postgres.` is for one database only and
-- wins beside a file for all; `.autocommit.` runs without a transaction. Versions compare as text.
local naming = require "pgmig.naming"

local WIDTH = 20 -- digits of the longest versions

local ours = { postgres = true, postgresql = true }

return {
  name = "popx",
  about = "pairs NNN_name.up.sql, with .postgres. and .autocommit. in their names",
  naming = {
    parse = function(path)
      local version, name, parts, direction = path:match "^(%d+)_([^.]+)([%w.]-)%.(%a+)%.sql$"
      if direction ~= "up" and direction ~= "down" then return nil end
      local dialect = parts:gsub("%.autocommit$", "")
      if dialect ~= "" and dialect ~= ".all" and not ours[dialect:sub(2)] then return false end
      return {
        version = version, name = name, direction = direction,
        precedence = ours[dialect:sub(2)] and 1 or 0,
        transaction = parts:find "%.autocommit$" and "off" or nil,
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
    paths = {
      "^%d+_[^.]+%.autocommit%.%a+%.sql$", "^%d+_[^.]+%.postgres%.", "^%d+_[^.]+%.mysql%.",
      "^%d+_[^.]+%.cockroach%.", "^%d+_[^.]+%.sqlite3?%.",
    },
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
