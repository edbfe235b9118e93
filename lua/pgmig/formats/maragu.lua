--- maragu.dev/migrate, as gitness uses it: pairs `0001_name.up.sql` whose numbers may repeat; those
-- of one number run in the order of their names.
return {
  name = "maragu",
  about = "pairs NNN_name.up.sql and .down.sql (or _up.sql) whose numbers may repeat",
  naming = {
    parse = function(path)
      local version, name, direction = path:match "^(%d+)_(.*)[._](%a+)%.sql$"
      if direction ~= "up" and direction ~= "down" then return nil end
      return { version = version, name = name, direction = direction }
    end,
    format = function(version, name, direction)
      return ("%s_%s.%s.sql"):format(version, name, direction)
    end,
    numbers_repeat = true,
    lone_down = true,
    foreign = "^%d+_.*%.go$",
  },
  template = {
    up = "-- Write your migration SQL here\n",
    down = "-- Write your rollback SQL here\n",
  },
  vocabulary = { empty = true, transaction = "own" },
  signs = { paths = { "^%d+_.*_up%.sql$", "^%d+_.*_down%.sql$" } },
  tracking = {
    table = "migrations",
    columns = { "version" },
    exact = true,
    newest = true,
    query = "SELECT version AS label FROM %s WHERE version <> ''",
  },
  unshared = "its table has one row, the newest version",
}
