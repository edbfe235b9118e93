--- Hasura: a folder for each migration, `1620138136207_name/up.sql` and `down.sql`, in the order of
-- the numbers. Older ones are pairs of files, `1620138136207_name.up.sql`.
local errors = require "pgmig.errors"
local naming = require "pgmig.naming"

local function parse(path)
  local version, name, direction = path:match "^(%d+)_([^/]*)/(%a+)%.sql$"
  if not version then version, name, direction = path:match "^(%d+)_([^/]*)%.(%a+)%.sql$" end
  if direction ~= "up" and direction ~= "down" then return nil end
  return { version = version, name = name, direction = direction }
end

--- The folder's name, which is that of its database; older projects have one database and no such
-- folder.
local function database_of(read)
  local _, where = read "up.sql"
  local name = where:match "([^/]+)/up%.sql$"
  if not name or name:find "^%.+$" then return nil end
  return name == "migrations" and "default" or name
end

--- The rule of a folder: that of one database, not the one around it.
local function parser(paths, read)
  local databases, seen = {}, {}
  for _, path in ipairs(paths) do
    if parse(path) then return parse, { project = database_of(read) } end
    local name = path:match "^([^/]+)/%d+_[^/]*/up%.sql$"
    if name and not seen[name] then databases[#databases + 1], seen[name] = name, true end
  end
  if not databases[1] then return parse end
  errors.raise("naming", "the migrations are in a folder for each database: "
    .. table.concat(databases, ", "), { hint = "name one of them: --dir .../" .. databases[1] })
end

return {
  name = "hasura",
  about = "a folder for each migration, MILLISECONDS_name/up.sql and down.sql, in numeric order",
  naming = {
    pattern = "MILLISECONDS_name/up.sql and down.sql",
    deep = true,
    parse = parse,
    parser = parser,
    format = function(version, name, direction)
      return ("%s_%s/%s.sql"):format(version, name, direction)
    end,
    next = function(newest) return naming.next_time(newest, ("%d000"):format(os.time())) end,
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
      SELECT m.key AS version, m.value::pg_catalog.text OPERATOR(pg_catalog.=) 'true' AS dirty,
        CASE WHEN pg_catalog.count(*) OVER () OPERATOR(pg_catalog.>) m.own THEN m.project END
          AS project
      FROM (SELECT m.key, m.value, source.key AS project,
          pg_catalog.count(*) OVER (PARTITION BY source.key) AS own
        FROM %s AS t
        CROSS JOIN LATERAL pg_catalog.jsonb_each(
          pg_catalog.jsonb_extract_path(t.cli_state, 'migrations')) AS source
        CROSS JOIN LATERAL pg_catalog.jsonb_each(source.value) AS m) AS m
      ORDER BY m.key]],
  },
  unshared = "its rows are kept by Hasura's server",
  unexported = "its server keeps them; let it do that for each version that is applied: hasura "
    .. "migrate apply --skip-execution --version V",
}
