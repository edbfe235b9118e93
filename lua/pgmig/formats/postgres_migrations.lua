--- postgres-migrations: `1_name.sql` or `00001-name.sql`, numbered from 1; it has no way back.
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
      SELECT id::pg_catalog.text AS version, executed_at::pg_catalog.timestamptz AS applied_at
      FROM %s AS t WHERE t.id OPERATOR(pg_catalog.>) 0 ORDER BY t.id]],
  },
  unshared = "its rows hold hashes that postgres-migrations computes",
}
