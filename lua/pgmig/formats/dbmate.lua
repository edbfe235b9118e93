--- dbmate: `20240115103000_name.sql` with `-- migrate:up`. dbmate runs files in the order of their
-- names as text, pgmig by number: the same for versions of one length.
return {
  name = "dbmate",
  about = "NNN_name.sql with -- migrate:up and -- migrate:down",
  naming = {
    pattern = "NNN_name.sql",
    parse = function(path)
      local version, name = path:match "^(%d+)(.*)%.sql$"
      if not version then return nil end
      return {
        version = version, name = name:match "^_?(.+)$" or version,
        label = path:match "^(.*)%.sql$",
      }
    end,
    format = function(version, name) return ("%s_%s.sql"):format(version, name) end,
  },
  timestamps = true,
  table = "pgmig_migrations",
  template = "-- migrate:up\n-- Write your migration SQL here\n\n-- migrate:down\n"
    .. "-- Write your rollback SQL here\n",
  vocabulary = {
    markers = {
      { text = "migrate:up", kind = "up", options = true },
      { text = "migrate:down", kind = "down", options = true },
    },
    options = {
      { text = "transaction:false", key = "transaction", value = "off" },
      { text = "transaction:true", key = "transaction", value = "on" },
    },
    marked = true,
    repeats = true,
    empty = true,
    transaction = "own",
    untransacted = "-- migrate:up transaction:false",
  },
  signs = { lines = { "^%-%-%s*migrate:up%f[%s%z]", "^%-%-%s*migrate:down%f[%s%z]" } },
  tracking = {
    table = "schema_migrations",
    columns = { "version" },
    exact = true,
    query = "SELECT version FROM %s AS t ORDER BY t.version",
  },
  shared = {
    columns = "version varchar",
    key = "version",
    create = "CREATE TABLE IF NOT EXISTS %t (version varchar PRIMARY KEY)",
    list = [[
      SELECT version::pg_catalog.text AS key, NULL::pg_catalog.timestamptz AS applied_at
      FROM %t]],
    claim = "INSERT INTO %t (version) VALUES (%k)",
    release = "DELETE FROM %t WHERE version OPERATOR(pg_catalog.=) %k",
    there = "SELECT FROM %t WHERE version OPERATOR(pg_catalog.=) %k",
  },
}
