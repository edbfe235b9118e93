--- postgres-migrations: `1_name.sql` or `00001-name.sql`, numbered from 1; it has no way back.
local core = require "pgmig.core"

local function file_of(m) return m.path:match "[^/]+$" end

-- Of its own first migration, which creates the table: the same file since its first version.
local FIRST_HASH = "e18db593bcde2aca2a408c4d1100f6abba2195df"

return {
  name = "postgres-migrations",
  about = "1-name.sql or 1_name.sql, numbered from 1",
  naming = {
    pattern = "1-name.sql, 2_name.sql",
    parse = function(path)
      local version, name = path:match "^(%d+)[-_]?(.*)%.[sS][qQ][lL]$"
      if not version then return nil end
      return {
        version = version, name = name ~= "" and name or version,
        label = path:match "^(.*)%.%a+$",
      }
    end,
    format = function(version, name) return ("%s-%s.sql"):format(version, name) end,
    foreign = "^%d+.*%.[jJ][sS]$",
  },
  template = "-- Write your migration SQL here\n",
  vocabulary = {
    markers = {
      { text = "postgres-migrations disable-transaction", kind = "setting", key = "transaction",
        value = "off", whole_file = true },
    },
    empty = true,
    transaction = "own",
    untransacted = "-- postgres-migrations disable-transaction",
  },
  signs = {
    lines = { "^%-%- postgres%-migrations disable%-transaction" },
    never = { "^%d%d%d%d%d%d%d", "%.up%.sql$", "%.down%.sql$" }, -- it counts from 1
  },
  tracking = {
    table = "migrations",
    columns = { "id", "name", "hash", "executed_at" },
    exact = true,
    query = [[
      SELECT id::pg_catalog.text AS version, executed_at::pg_catalog.timestamptz AS applied_at,
        hash AS checksum
      FROM %s AS t WHERE t.id OPERATOR(pg_catalog.>) 0 ORDER BY t.id]],
    checksum = function(m)
      return core.digest(file_of(m) .. core.read_file(m.path), "sha1")
    end,
  },
  unshared = "its rows hold hashes that postgres-migrations computes",
  export = {
    create = [[
      CREATE TABLE IF NOT EXISTS %t (id integer PRIMARY KEY, name varchar(100) UNIQUE NOT NULL,
        hash varchar(40) NOT NULL, executed_at timestamp DEFAULT current_timestamp)]],
    values = function(m)
      local name = file_of(m):match "^%d+[-_]?(.*)%.%a+$"
      return { name = name ~= "" and name or file_of(m), first = FIRST_HASH }
    end,
    -- its own first migration stands at 0
    claim = [[
      INSERT INTO %t (id, name, hash) SELECT 0, 'create-migrations-table', %{first}
        WHERE NOT EXISTS (SELECT FROM %t AS t WHERE t.id OPERATOR(pg_catalog.=) 0);
      INSERT INTO %t (id, name, hash, executed_at) VALUES (%k, %{name}, %d, %a)]],
    correct = "UPDATE %t SET name = %{name}, hash = %d WHERE id OPERATOR(pg_catalog.=) %k",
    release = "DELETE FROM %t WHERE id OPERATOR(pg_catalog.=) %k",
  },
}
