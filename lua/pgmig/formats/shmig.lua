--- shmig: `1485643154-name.sql` with `-- ====  UP  ====`. It gives a section to psql, which begins
-- no transaction.
local naming = require "pgmig.naming"

return {
  name = "shmig",
  about = "SECONDS-name.sql with -- ==== UP ==== and -- ==== DOWN ====",
  naming = {
    pattern = "SECONDS-name.sql",
    parse = function(path)
      local version, name = path:match "^(%d+)%-(.+)%.sql$"
      return version and { version = version, name = name, label = version .. "-" .. name }
    end,
    format = function(version, name) return ("%s-%s.sql"):format(version, name) end,
    next = function(newest) return naming.next_time(newest, ("%d"):format(os.time())) end,
  },
  template = "-- ====  UP  ====\n\nBEGIN;\n-- Write your migration SQL here\nCOMMIT;\n\n"
    .. "-- ==== DOWN ====\n\nBEGIN;\n-- Write your rollback SQL here\nCOMMIT;\n",
  vocabulary = {
    markers = {
      { text = "==== up ====", kind = "up", margin = true },
      { text = "==== down ====", kind = "down", margin = true },
    },
    marked = true,
    empty = true,
    transaction = "auto",
    unwrapped = true,
  },
  signs = { lines = { "^%-%- ====  UP  ====", "^%-%- ==== DOWN ====" } },
  tracking = {
    table = "shmig_version",
    columns = { "version", "migrated_at" },
    query = [[
      SELECT version::pg_catalog.text AS version,
        pg_catalog.timezone('UTC', migrated_at) AS applied_at
      FROM %s AS t ORDER BY t.version]],
  },
  shared = {
    columns = "migrated_at timestamp,version int4",
    key = "version",
    create = [[
      CREATE TABLE IF NOT EXISTS %t (version int NOT NULL PRIMARY KEY, migrated_at timestamp NOT
        NULL DEFAULT pg_catalog.timezone('utc', pg_catalog.now()))]],
    list = [[
      SELECT version::pg_catalog.text AS key,
        pg_catalog.timezone('UTC', migrated_at) AS applied_at FROM %t]],
    claim = "INSERT INTO %t (version, migrated_at) VALUES (%k, pg_catalog.timezone('utc', %a))",
    release = "DELETE FROM %t WHERE version OPERATOR(pg_catalog.=) %k",
    there = "SELECT FROM %t WHERE version OPERATOR(pg_catalog.=) %k",
  },
}
