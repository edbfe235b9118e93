--- tern: `001_name.sql`, UP and DOWN divided by a line.
local naming = require "pgmig.naming"

return {
  name = "tern",
  about = "NNN_name.sql with ---- create above / drop below ----",
  naming = naming.numbered,
  template = "-- Write your migration SQL here\n\n---- create above / drop below ----\n\n"
    .. "-- Write your rollback SQL here\n",
  vocabulary = {
    markers = {
      { text = "-- create above / drop below ----", kind = "divider", anywhere = true },
      { text = "-- tern: disable-tx ----", kind = "setting", key = "transaction", value = "off" },
    },
    transaction = "own",
    untransacted = "---- tern: disable-tx ----",
    placeholder = "{{",
    placeholder_end = "}}",
  },
  signs = {
    never = { "%.up%.sql$", "%.down%.sql$", "^%d%d%d%d%d%d%d" }, -- it counts from 1
    lines = { "^%-%-%-%- create above / drop below %-%-%-%-" },
    paths = { "^tern%.conf$" },
  },
  tracking = {
    table = "public.schema_version",
    columns = { "version" },
    exact = true,
    newest = true,
    query = [[
      SELECT version::pg_catalog.text AS version
      FROM %s WHERE version OPERATOR(pg_catalog.>) 0]],
  },
  unshared = "its table has one row, the newest version",
  export = {
    create = "CREATE TABLE IF NOT EXISTS %t (version INTEGER NOT NULL PRIMARY KEY)",
    claim = "DELETE FROM %t; INSERT INTO %t (version) VALUES (%k)",
    release = "UPDATE %t SET version = 0",
  },
}
