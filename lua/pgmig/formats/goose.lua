--- goose: `00001_name.sql` with `-- +goose Up`. A StatementBegin block may hold several statements;
-- they run one by one, which comes to the same.
return {
  name = "goose",
  about = "NNN_name.sql with -- +goose Up and -- +goose Down",
  naming = {
    parse = function(path)
      local version, name, language = path:match "^(%d+)_(.+)%.(%a+)$"
      if language ~= "sql" and language ~= "lua" then return nil end
      return { version = version, name = name, language = language }
    end,
    format = function(version, name) return ("%s_%s.sql"):format(version, name) end,
    foreign = "%.go$",
  },
  timestamps = true,
  template = "-- +goose Up\n-- Write your migration SQL here\n\n-- +goose Down\n"
    .. "-- Write your rollback SQL here\n",
  vocabulary = {
    markers = {
      { text = "+goose up", kind = "up" },
      { text = "+goose down", kind = "down" },
      { text = "+goose statementbegin", kind = "ignored" },
      { text = "+goose statementend", kind = "ignored" },
      { text = "+goose no transaction", kind = "setting", key = "transaction", value = "off",
        whole_file = true },
      { text = "+goose envsub off", kind = "ignored" },
      { text = "+goose envsub on", kind = "refused",
        hint = "write the values into the file, or let a before_statement hook replace them" },
      { text = "+goose ", kind = "refused",
        hint = "known are Up, Down, StatementBegin, StatementEnd and NO TRANSACTION" },
    },
    marked = true,
    empty = true,
    transaction = "own",
    untransacted = "-- +goose NO TRANSACTION",
  },
  signs = { lines = { "^%-%-%s*%+[gG][oO][oO][sS][eE]%s" } },
  tracking = {
    table = "goose_db_version",
    columns = { "id", "version_id", "is_applied", "tstamp" },
    query = [[
      SELECT version_id::text AS version, tstamp::timestamptz AS applied_at
      FROM (SELECT DISTINCT ON (version_id) * FROM %s ORDER BY version_id, id DESC) AS newest
      WHERE is_applied AND version_id > 0 ORDER BY version_id]],
  },
}
