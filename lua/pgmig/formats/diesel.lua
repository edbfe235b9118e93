--- diesel: a folder for each migration, `2024-01-15-103000_name/up.sql` and `down.sql`. The version
-- is the folder's name up to `_`, without its dashes; it is compared as text.
local naming = require "pgmig.naming"

local WIDTH = 20 -- digits: a date, a time, and up to microseconds

return {
  name = "diesel",
  about = "a folder for each migration, YYYY-MM-DD-HHMMSS_name/up.sql and down.sql",
  naming = {
    pattern = "YYYY-MM-DD-HHMMSS_name/up.sql",
    deep = true,
    parse = function(path)
      local folder, direction = path:match "^([^/]+)/(%a+)%.sql$"
      if direction ~= "up" and direction ~= "down" then return nil end
      local version, name = folder:match "^(%d[^_]*)_?(.*)$"
      if not version then return nil end
      local key = version:gsub("%-", "")
      return {
        version = key, name = name ~= "" and name or folder, direction = direction, label = folder,
      }
    end,
    digits = function(version) return naming.sortable(version, WIDTH) end,
    format = function(version, name, direction)
      local dashed = version:gsub("^(%d%d%d%d)(%d%d)(%d%d)(%d%d%d%d%d%d)%d*$", "%1-%2-%3-%4")
      return ("%s_%s/%s.sql"):format(dashed, name, direction)
    end,
  },
  timestamps = true,
  template = {
    up = "-- Write your migration SQL here\n",
    down = "-- Write your rollback SQL here\n",
  },
  settings = function(path, read)
    local text = read(path:match "^(.*/)" .. "metadata.toml")
    if not text then return nil end
    local value = ("\n" .. text):match "\n%s*run_in_transaction%s*=%s*(%a+)"
    return value == "false" and { transaction = "off" } or nil
  end,
  vocabulary = {
    empty = true,
    transaction = "own",
    untransacted = "-- pgmig: transaction=off",
  },
  signs = { paths = {
    "^%d%d%d%d%-%d%d%-%d%d%-%d%d%d%d%d%d[^/]*/up%.sql$", "^0+_diesel_initial_setup/",
    "^%d[^/]*/metadata%.toml$",
  } },
  tracking = {
    table = "__diesel_schema_migrations",
    columns = { "version", "run_on" },
    query = [[
      SELECT version, run_on::pg_catalog.timestamptz AS applied_at
      FROM %s AS t ORDER BY t.version]],
  },
  shared = {
    columns = "run_on timestamp,version varchar",
    key = "version",
    create = [[
      CREATE TABLE IF NOT EXISTS %t (version VARCHAR(50) PRIMARY KEY NOT NULL,
        run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)]],
    list = [[
      SELECT version::pg_catalog.text AS key, run_on::pg_catalog.timestamptz AS applied_at
      FROM %t]],
    claim = "INSERT INTO %t (version, run_on) VALUES (%k, %a)",
    release = "DELETE FROM %t WHERE version OPERATOR(pg_catalog.=) %k",
    there = "SELECT FROM %t WHERE version OPERATOR(pg_catalog.=) %k",
  },
}
