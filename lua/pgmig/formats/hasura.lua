--- Hasura: a folder for each migration, `1620138136207_name/up.sql` and `down.sql`, in the order of
-- the numbers. Older ones are pairs of files, `1620138136207_name.up.sql`.
local function parse(path)
  local version, name, direction = path:match "^(%d+)_([^/]*)/(%a+)%.sql$"
  if not version then version, name, direction = path:match "^(%d+)_([^/]*)%.(%a+)%.sql$" end
  if direction ~= "up" and direction ~= "down" then return nil end
  return { version = version, name = name, direction = direction }
end

return {
  name = "hasura",
  about = "a folder for each migration, MILLISECONDS_name/up.sql and down.sql, in numeric order",
  naming = {
    pattern = "MILLISECONDS_name/up.sql and down.sql",
    deep = true,
    parse = parse,
    format = function(version, name, direction)
      return ("%s_%s/%s.sql"):format(version, name, direction)
    end,
    next = function(newest)
      local now = ("%d000"):format(os.time())
      local later = newest and #newest.id == #now and newest.id >= now
      return later and ("%.0f"):format(tonumber(newest.id) + 1) or now
    end,
    lone_down = true,
    names_differ = true,
  },
  template = {
    up = "-- Write your migration SQL here\n",
    down = "-- Write your rollback SQL here\n",
  },
  vocabulary = {
    markers = {
      { text = "hasura:no-transaction", kind = "setting", key = "transaction", value = "off",
        whole_file = true, first = true },
    },
    empty = true,
    transaction = "own",
    untransacted = "-- hasura:no-transaction",
  },
  signs = { paths = { "/up%.ya?ml$" }, first = { "^%s*%-%- hasura:no%-transaction" } },
  tracking = {
    table = "hdb_catalog.hdb_version",
    columns = { "hasura_uuid", "cli_state" },
    query = [[
      SELECT m.key AS version, m.value::pg_catalog.text OPERATOR(pg_catalog.=) 'true' AS dirty
      FROM %s AS t
      CROSS JOIN LATERAL pg_catalog.jsonb_each(
        pg_catalog.jsonb_extract_path(t.cli_state, 'migrations')) AS source
      CROSS JOIN LATERAL pg_catalog.jsonb_each(source.value) AS m
      ORDER BY m.key]],
  },
  unshared = "its rows are kept by Hasura's server",
  unexported = "its server keeps them; let it do that for each version that is applied: hasura "
    .. "migrate apply --skip-execution --version V",
}
