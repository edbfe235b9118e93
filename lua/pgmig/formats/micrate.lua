--- micrate: `20240115103000_name.sql` with `-- +micrate Up`, as goose, which it was made after.
local naming = require "pgmig.naming"

local APPLIED = [[
  SELECT FROM (SELECT is_applied FROM %t WHERE version_id OPERATOR(pg_catalog.=) %k
    ORDER BY id DESC LIMIT 1) AS newest
  WHERE is_applied]]

local LIST = [[
  SELECT version_id::pg_catalog.text AS %s, tstamp::pg_catalog.timestamptz AS applied_at
  FROM (SELECT DISTINCT ON (version_id) * FROM %s ORDER BY version_id, id DESC) AS newest
  WHERE is_applied]]

return {
  name = "micrate",
  about = "NNN_name.sql with -- +micrate Up and -- +micrate Down",
  naming = naming.numbered,
  timestamps = true,
  template = "-- +micrate Up\n-- Write your migration SQL here\n\n-- +micrate Down\n"
    .. "-- Write your rollback SQL here\n",
  vocabulary = {
    markers = {
      { text = "+micrate up", kind = "up" },
      { text = "+micrate down", kind = "down" },
      { text = "+micrate statementbegin", kind = "ignored" },
      { text = "+micrate statementend", kind = "end" },
      { text = "+micrate ", kind = "refused",
        hint = "known markers are Up, Down, StatementBegin and StatementEnd" },
    },
    marked = true,
    repeats = true,
    empty = true,
    transaction = "own",
    untransacted = "-- pgmig: transaction=off",
  },
  signs = { lines = { "^%-%- %+micrate%s" } },
  tracking = {
    table = "micrate_db_version",
    columns = { "id", "version_id", "is_applied", "tstamp" },
    query = LIST:format("version", "%s"),
  },
  -- a version may stand there many times: the table is locked while one migration runs
  shared = {
    columns = "id int4,is_applied bool,tstamp timestamp,version_id int8",
    key = "version_id",
    locked = true,
    create = [[
      CREATE TABLE IF NOT EXISTS %t (id serial NOT NULL PRIMARY KEY, version_id bigint NOT NULL,
        is_applied boolean NOT NULL, tstamp timestamp NULL DEFAULT pg_catalog.now())]],
    list = LIST:format("key", "%t"),
    claim = "INSERT INTO %t (version_id, is_applied, tstamp) "
      .. "SELECT %k::pg_catalog.int8, true, %a "
      .. "WHERE NOT EXISTS (" .. APPLIED .. ")",
    release = "DELETE FROM %t WHERE version_id OPERATOR(pg_catalog.=) %k AND EXISTS ("
      .. APPLIED .. ")",
    there = APPLIED,
  },
}
