--- node-pg-migrate, its SQL files: `1718000000000_name.sql` with `-- Up Migration`. The number is a
-- time: milliseconds since 1970, or 17 digits of a UTC date, which count as the same.
local naming = require "pgmig.naming"

local UTC = 17 -- digits

return {
  name = "node-pg-migrate",
  about = "MILLISECONDS_name.sql with -- Up Migration and -- Down Migration",
  naming = {
    pattern = "MILLISECONDS_name.sql",
    parse = function(path)
      local version, joint, name = path:match "^(%d+)([^%w]?)(.*)%.sql$"
      if not version then return nil end
      return {
        version = version, name = name ~= "" and name or version,
        label = version .. joint .. name,
      }
    end,
    digits = function(version)
      return #version == UTC and naming.milliseconds(version) or version
    end,
    next = function(newest) return naming.next_time(newest, ("%d000"):format(os.time())) end,
    format = naming.numbered.format,
    foreign = "^%d+[^%d].*%.[cm]?[jt]s$",
  },
  template = "-- Up Migration\n-- Write your migration SQL here\n\n-- Down Migration\n"
    .. "-- Write your rollback SQL here\n",
  vocabulary = {
    markers = {
      { text = "up migration", kind = "up", loose = true },
      { text = "down migration", kind = "down", loose = true },
    },
    empty = true,
    transaction = "own",
    untransacted = "-- pgmig: transaction=off",
  },
  signs = {
    never = { "%.up%.sql$", "%.down%.sql$", "^%d%d%d%d%d%d%d%d%d%d%d%d%d%d_" },
    lines = {
      "^%s*%-%-[%s-]*[uU][pP]%s+[mM][iI][gG][rR][aA][tT][iI][oO][nN]%s*$",
      "^%s*%-%-[%s-]*[dD][oO][wW][nN]%s+[mM][iI][gG][rR][aA][tT][iI][oO][nN]%s*$",
    },
  },
  tracking = {
    table = "pgmigrations",
    columns = { "id", "name", "run_on" },
    query = [[
      SELECT pg_catalog.concat(name, '.sql') AS path, run_on::pg_catalog.timestamptz AS applied_at
      FROM %s AS t ORDER BY t.id]],
  },
  -- a name may stand there twice: the table is locked while one migration runs
  shared = {
    columns = "id int4,name varchar,run_on timestamp",
    key = "name",
    key_of = function(m) return m.path:match "([^/]+)%.%w+$" end,
    locked = true,
    create = [[
      CREATE TABLE IF NOT EXISTS %t (id SERIAL PRIMARY KEY, name varchar(255) NOT NULL,
        run_on timestamp NOT NULL)]],
    list = [[
      SELECT DISTINCT ON (name) name::pg_catalog.text AS key,
        run_on::pg_catalog.timestamptz AS applied_at
      FROM %t ORDER BY name, id DESC]],
    claim = [[
      INSERT INTO %t (name, run_on) SELECT %k, %a
      WHERE NOT EXISTS (SELECT FROM %t WHERE name OPERATOR(pg_catalog.=) %k)]],
    release = "DELETE FROM %t WHERE name OPERATOR(pg_catalog.=) %k",
    there = "SELECT FROM %t WHERE name OPERATOR(pg_catalog.=) %k",
  },
}
