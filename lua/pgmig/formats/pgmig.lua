--- pgmig's own format, and that of the Python tool that it grew from: `001_name.sql`, `-- UP` and
-- `-- DOWN`. Both keep the same tracking table.
local naming = require "pgmig.naming"

return {
  name = "pgmig",
  about = "pgmig's own, and pycopg's: NNN_name.sql with -- UP and -- DOWN",
  naming = naming.default,
  signs = {
    never = { "%.up%.sql$", "%.down%.sql$" },
    each = true,
    names = { "^R__.+%.sql$", "^R__.+%.lua$", "^B%d+__.+%.sql$" },
    lines = { "^%s*%-%-%s*[uU][pP]%s*$", "^%s*%-%-%s*[dD][oO][wW][nN]%s*$" },
  },
  tracking = {
    table = "schema_migrations",
    columns = { "version", "name", "applied_at" },
    query = [[
      SELECT version::pg_catalog.text AS version, applied_at
      FROM %s AS t ORDER BY t.version]],
  },
  export = {
    create = [[
      CREATE TABLE IF NOT EXISTS %t (version INTEGER PRIMARY KEY, name pg_catalog.text NOT NULL,
        applied_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now())]],
    claim = "INSERT INTO %t (version, name, applied_at) VALUES (%k, %n, %a)",
    release = "DELETE FROM %t WHERE version OPERATOR(pg_catalog.=) %k",
  },
}
