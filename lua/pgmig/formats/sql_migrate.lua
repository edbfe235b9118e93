--- sql-migrate: `20240115103000-name.sql` with `-- +migrate Up`.
return {
  name = "sql-migrate",
  about = "NNN-name.sql with -- +migrate Up and -- +migrate Down",
  naming = {
    pattern = "NNN-name.sql",
    parse = function(path)
      local version, name = path:match "^(%d+)(.*)%.sql$"
      if not version then return nil end
      return {
        version = version, name = name:match "^[-_.]?(.+)$" or version,
        label = path:match "^(.*)%.sql$",
      }
    end,
    format = function(version, name) return ("%s-%s.sql"):format(version, name) end,
    numbers_repeat = true, -- a migration is the whole name of its file
  },
  timestamps = true,
  template = "-- +migrate Up\n-- Write your migration SQL here\n\n-- +migrate Down\n"
    .. "-- Write your rollback SQL here\n",
  vocabulary = {
    markers = {
      { text = "+migrate up", kind = "up", options = true },
      { text = "+migrate down", kind = "down", options = true },
      { text = "+migrate statementbegin", kind = "ignored" },
      { text = "+migrate statementend", kind = "end" },
      { text = "+migrate ", kind = "refused",
        hint = "known markers are Up, Down, StatementBegin and StatementEnd" },
    },
    options = { { text = "notransaction", key = "transaction", value = "off" } },
    marked = true,
    repeats = true,
    empty = true,
    transaction = "own",
    untransacted = "-- +migrate Up notransaction",
  },
  signs = { lines = { "^%-%- %+migrate [UD]" } },
  tracking = {
    table = "gorp_migrations",
    columns = { "id", "applied_at" },
    query = "SELECT id AS path, applied_at FROM %s AS t ORDER BY t.id",
  },
  shared = {
    columns = "applied_at timestamptz,id text",
    key = "id",
    key_of = function(m) return m.path:match "[^/]+$" end,
    create = [[
      CREATE TABLE IF NOT EXISTS %t (id pg_catalog.text NOT NULL PRIMARY KEY,
        applied_at pg_catalog.timestamptz)]],
    list = "SELECT id AS key, applied_at FROM %t",
    claim = "INSERT INTO %t (id, applied_at) VALUES (%k, %a)",
    release = "DELETE FROM %t WHERE id OPERATOR(pg_catalog.=) %k",
    there = "SELECT FROM %t WHERE id OPERATOR(pg_catalog.=) %k",
  },
}
