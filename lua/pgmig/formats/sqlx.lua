--- sqlx: `20240115103000_name.sql`, or pairs `.up.sql` and `.down.sql`.
return {
  name = "sqlx",
  about = "NNN_name.sql without markers, or pairs NNN_name.up.sql and .down.sql",
  naming = {
    pattern = "NNN_name.sql, or NNN_name.up.sql and NNN_name.down.sql",
    parse = function(path)
      local version, name = path:match "^(%d+)_(.*)%.sql$"
      if not version then return nil end
      local stem, direction = name:match "^(.*)%.(%a+)$"
      if direction == "up" or direction == "down" then
        return { version = version, name = stem, direction = direction }
      end
      return { version = version, name = name }
    end,
    format = function(version, name) return ("%s_%s.sql"):format(version, name) end,
    lone_down = true,
    names_differ = true,
  },
  timestamps = true,
  template = "-- Write your migration SQL here\n",
  vocabulary = {
    markers = {
      { text = "no-transaction", kind = "setting", key = "transaction", value = "off",
        whole_file = true, first = true, exact = true },
    },
    empty = true,
    transaction = "own",
    untransacted = "-- no-transaction",
  },
  signs = { first = { "^%-%- no%-transaction" } },
  tracking = {
    table = "_sqlx_migrations",
    columns = { "version", "description", "installed_on", "success", "checksum" },
    query = [[
      SELECT version::pg_catalog.text AS version, installed_on AS applied_at, NOT success AS dirty,
        pg_catalog.encode(checksum, 'hex') AS checksum
      FROM %s AS t ORDER BY t.version]],
    checksum = "sha384",
  },
  -- the time that it took is pgmig's to know: 0
  shared = {
    columns = "checksum bytea,description text,execution_time int8,installed_on timestamptz,"
      .. "success bool,version int8",
    key = "version",
    digest = "sha384",
    create = [[
      CREATE TABLE IF NOT EXISTS %t (version BIGINT PRIMARY KEY,
        description pg_catalog.text NOT NULL,
        installed_on pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
        success BOOLEAN NOT NULL, checksum pg_catalog.bytea NOT NULL,
        execution_time BIGINT NOT NULL)]],
    list = "SELECT version::pg_catalog.text AS key, installed_on AS applied_at FROM %t",
    claim = [[
      INSERT INTO %t (version, description, installed_on, success, checksum, execution_time)
      VALUES (%k, pg_catalog.replace(%n, '_', ' '), %a, true, pg_catalog.decode(%d, 'hex'), 0)]],
    correct = [[
      UPDATE %t SET checksum = pg_catalog.decode(%d, 'hex')
      WHERE version OPERATOR(pg_catalog.=) %k]],
    release = "DELETE FROM %t WHERE version OPERATOR(pg_catalog.=) %k",
    there = "SELECT FROM %t WHERE version OPERATOR(pg_catalog.=) %k",
  },
}
