--- refinery: `V1__name.sql`. `U2__name.sql` goes up as well: refinery has no way back.
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
    next = function(newest)
      return newest and ("%.0f"):format(tonumber(newest.id) + 1) or "1"
    end,
    foreign = "[VU]%d+__[%w_]+%.rs$",
  },
  template = "-- Write your migration SQL here\n",
  vocabulary = { empty = true, transaction = "own", untransacted = "-- pgmig: transaction=off" },
  signs = { names = { "^[VU]%d+__[%w_]+%.rs$", "^mod%.rs$" } },
  tracking = {
    table = "refinery_schema_history",
    columns = { "version", "name", "applied_on", "checksum" },
    query = [[
      SELECT version::pg_catalog.text AS version, applied_on::pg_catalog.timestamptz AS applied_at
      FROM %s AS t ORDER BY t.version]],
  },
  unshared = "its rows hold checksums that refinery computes",
}
