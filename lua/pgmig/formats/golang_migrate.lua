--- golang-migrate: `000001_name.up.sql` and `000001_name.down.sql`. The tool sends a file whole and
-- begins no transaction; pgmig does, unless the file begins its own or holds what cannot run in it.
local naming = require "pgmig.naming"

-- The tool runs files of any ending; these hold SQL.
local endings = { sql = true, psql = true, pgsql = true }

local function parse(path)
  local version, name, direction, ending = path:match "^(%d+)_(.*)%.(%a+)%.(%a+)$"
  if direction ~= "up" and direction ~= "down" or not endings[ending:lower()] then return nil end
  return { version = version, name = name, direction = direction }
end

return {
  name = "golang-migrate",
  about = "pairs NNN_name.up.sql and NNN_name.down.sql",
  naming = {
    pattern = "NNN_name.up.sql and NNN_name.down.sql",
    parse = parse,
    format = naming.paired.format,
    lone_down = true,
    names_differ = true,
    foreign = "^%d+_.*%.%a+%.[^.]+$",
  },
  table = "pgmig_migrations",
  template = {
    up = "-- Write your migration SQL here\n",
    down = "-- Write your rollback SQL here\n",
  },
  vocabulary = { empty = true, transaction = "auto", unwrapped = true },
  signs = {},
  tracking = {
    table = "schema_migrations",
    columns = { "version", "dirty" },
    exact = true,
    newest = true,
    query = "SELECT version::pg_catalog.text AS version, dirty FROM %s",
  },
  unshared = "its table has one row, the newest version",
  export = {
    create = "CREATE TABLE IF NOT EXISTS %t (version bigint NOT NULL PRIMARY KEY, "
      .. "dirty boolean NOT NULL)",
    claim = "DELETE FROM %t; INSERT INTO %t (version, dirty) VALUES (%k, false)",
    release = "DELETE FROM %t",
  },
}
