--- refinery: `V1__name.sql`. `U2__name.sql` goes up as well: refinery has no way back.
local core = require "pgmig.core"
local naming = require "pgmig.naming"

local WIDEST = 2147483647 -- version of a refinery that was built without wide ones
local NARROW, WIDE = 4, 8 -- bytes

--- A number's bytes, the lowest first.
local function bytes_of(number, count)
  local bytes = {}
  for i = 1, count do
    bytes[i] = string.char(number % 256)
    number = math.floor(number / 256)
  end
  return table.concat(bytes)
end

--- What refinery computes of a file; of how many bytes a version has, counts, too.
local function checksum(m, width)
  local text = { m.name, "\255", bytes_of(tonumber(m.id), width), core.read_file(m.path), "\255" }
  return core.digest(table.concat(text), "siphash13")
end

--- SQL: whether the table's versions are wide.
local IS_WIDE = "pg_catalog.pg_typeof((SELECT w.version FROM %s AS w LIMIT 0)) "
  .. "OPERATOR(pg_catalog.=) 'pg_catalog.int8'::pg_catalog.regtype"
local CHECKSUM = "CASE WHEN " .. IS_WIDE:format "%t" .. " THEN %{wide} ELSE %{narrow} END"

return {
  name = "refinery",
  about = "V1__name.sql and U2__name.sql, which both go up",
  naming = {
    pattern = "V1__name.sql, U2__name.sql",
    deep = true,
    parse = function(path)
      local prefix, version, name = path:match "[^/]+$":match "^([VU])(%d+)__([%w_]+)%.sql$"
      if not prefix then return nil end
      return { version = version, name = name, label = prefix .. version .. "__" .. name }
    end,
    format = function(version, name) return ("V%s__%s.sql"):format(version, name) end,
    next = naming.next_number,
    foreign = "[VU]%d+__[%w_]+%.rs$",
  },
  template = "-- Write your migration SQL here\n",
  vocabulary = { empty = true, transaction = "own", untransacted = "-- pgmig: transaction=off" },
  signs = { names = { "^[VU]%d+__[%w_]+%.rs$", "^mod%.rs$" } },
  tracking = {
    table = "refinery_schema_history",
    columns = { "version", "name", "applied_on", "checksum" },
    query = [[
      SELECT version::pg_catalog.text AS version, applied_on::pg_catalog.timestamptz AS applied_at,
        checksum::pg_catalog.text AS checksum, pg_catalog.pg_typeof(version)
          OPERATOR(pg_catalog.=) 'pg_catalog.int8'::pg_catalog.regtype AS wide
      FROM %s AS t ORDER BY t.version]],
    checksum = function(m, row) return checksum(m, row.wide and WIDE or NARROW) end,
  },
  unshared = "its rows hold checksums that refinery computes",
  export = {
    create = function(list)
      local newest = list[#list]
      local kind = newest and tonumber(newest.id) > WIDEST and "BIGINT" or "INTEGER"
      return "CREATE TABLE IF NOT EXISTS %t (version " .. kind .. " PRIMARY KEY, "
        .. "name VARCHAR(255), applied_on VARCHAR(255), checksum VARCHAR(255))"
    end,
    values = function(m) return { narrow = checksum(m, NARROW), wide = checksum(m, WIDE) } end,
    claim = [[
      INSERT INTO %t (version, name, applied_on, checksum)
      SELECT %k, %n, pg_catalog.to_char(pg_catalog.timezone('UTC', %a),
        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), ]] .. CHECKSUM,
    correct = "UPDATE %t SET name = %n, checksum = " .. CHECKSUM
      .. " WHERE version OPERATOR(pg_catalog.=) %k",
    release = "DELETE FROM %t WHERE version OPERATOR(pg_catalog.=) %k",
  },
}
