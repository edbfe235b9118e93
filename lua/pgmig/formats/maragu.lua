--- maragu.dev/migrate, as gitness uses it: pairs `0001_name.up.sql` whose numbers may repeat; those
-- of one number run in the order of their names.
local naming = require "pgmig.naming"

-- The tool takes any character for the last two dots.
local function parse(path)
  local stem, direction = path:match "^([%w_-]+)[^/](down)[^/]sql$"
  if not stem then stem, direction = path:match "^([%w_-]+)[^/](up)[^/]sql$" end
  local version, name = (stem or ""):match "^(%d+)[_-]?(.*)$"
  if not version then return nil end
  return {
    version = version, name = name ~= "" and name or version, direction = direction, label = stem,
  }
end

return {
  name = "maragu",
  about = "pairs NNN_name.up.sql and .down.sql (or _up.sql) whose numbers may repeat",
  naming = {
    pattern = "NNN_name.up.sql and NNN_name.down.sql",
    parse = parse,
    format = naming.paired.format,
    numbers_repeat = true,
    lone_down = true,
    foreign = "^%d+_.*%.go$",
  },
  template = {
    up = "-- Write your migration SQL here\n",
    down = "-- Write your rollback SQL here\n",
  },
  vocabulary = { empty = true, transaction = "own" },
  signs = {},
  tracking = {
    table = "migrations",
    columns = { "version" },
    exact = true,
    newest = true,
    query = "SELECT version AS label FROM %s WHERE version OPERATOR(pg_catalog.<>) ''",
  },
  unshared = "its table has one row, the newest version",
  export = {
    create = "CREATE TABLE IF NOT EXISTS %t (version pg_catalog.text NOT NULL)",
    key_of = function(m) return m.label end,
    claim = "DELETE FROM %t; INSERT INTO %t (version) VALUES (%k)",
    release = "UPDATE %t SET version = ''",
  },
}
