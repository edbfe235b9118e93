--- graphile-migrate: `migrations/committed/000001.sql` or `000001-name.sql`; it has no way back.
-- Name the folder `migrations`, or `migrations/committed`.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local placeholders = require "pgmig.placeholders"

local function parse(path)
  local file = path:match "^committed/([^/]+)$" or path
  if file:find("/", 1, true) then return false end
  if file:find "^current" or file:find "^after" or file:find "^before" then return false end
  local version, name = file:match "^(%d+)([-_%w]*)%.sql$"
  if not version or not (name == "" or name:find "^%-") then return nil end
  return {
    version = version, name = name == "" and version or name:sub(2), label = version .. name,
  }
end

--- Whether a file shows that this is the folder around `committed`.
local function is_outer(path)
  return path:find "^committed/" or path:find "^current[./]" or path:find "^fixtures/"
end

--- There no other file is a migration.
local function parse_in_committed(path)
  local parsed = parse(path)
  if parsed and not path:find "^committed/" then return nil end
  return parsed
end

--- Whether the colon at a place is not the second one of a cast.
local function is_no_cast(text, at) return text:sub(at - 1, at - 1) ~= ":" end

-- Once at the start of a line, as it is written with a blank and without.
local function both(marker)
  local close = {}
  for key, value in pairs(marker) do close[key] = value end
  close.text = marker.text:gsub("^! ", "!")
  return marker, close
end

local no_transaction, no_transaction_close = both {
  text = "! no-transaction", kind = "setting", key = "transaction", value = "off",
  whole_file = true, options = true, margin = true,
}
local include, include_close = both {
  text = "! include ", kind = "refused", margin = true,
  hint = "`graphile-migrate commit` inserts the included file",
}

--- A line of a committed file's head, which graphile-migrate computes when it commits.
local function header(m, key)
  local head = ("\n" .. core.read_file(m.path)):match "^(.-)\n%s*\n" or ""
  local value = head:match("\n%-%-! " .. key .. ": *(%S+)")
  if value then return value end
  errors.raise("plan", ("it has no line --! %s"):format(key), {
    file = m.path, hint = "only `graphile-migrate commit` writes these lines",
  })
end

return {
  name = "graphile-migrate",
  about = "committed/NNNNNN-name.sql with --! Previous and --! Hash",
  naming = {
    pattern = "committed/NNNNNN-name.sql",
    deep = true,
    parse = parse,
    parser = function(paths)
      for _, path in ipairs(paths) do
        if is_outer(path) then return parse_in_committed end
      end
      return parse
    end,
    format = function(version, name) return ("committed/%s-%s.sql"):format(version, name) end,
  },
  create = "graphile-migrate creates its files itself: use `graphile-migrate commit`",
  vocabulary = {
    markers = { no_transaction, no_transaction_close, include, include_close },
    empty = true,
    transaction = "own",
    untransacted = "--! no-transaction",
    placeholder = ":DATABASE_",
  },
  fill = function(text, values)
    return placeholders.fill_pattern(text, ":(%u[%u%d_]*)", values, is_no_cast)
  end,
  signs = { lines = { "^%-%-! Previous: ", "^%-%-! Hash: " }, always = true },
  tracking = {
    table = "graphile_migrate.migrations",
    columns = { "hash", "previous_hash", "filename", "date" },
    -- it writes down the number only, not the rest of the file's name
    query = [[
      SELECT substring(filename FROM '^[0-9]+') AS version, date AS applied_at, hash AS mark
      FROM %s AS t ORDER BY t.filename]],
    mark = { "^%-%-! Hash: (%S+)", "its --! Hash line" },
  },
  unshared = "its rows are hashes that graphile-migrate computes",
  export = {
    create = [[
      CREATE SCHEMA IF NOT EXISTS %s;
      CREATE TABLE IF NOT EXISTS %t (hash pg_catalog.text PRIMARY KEY,
        previous_hash pg_catalog.text REFERENCES %t, filename pg_catalog.text NOT NULL,
        date pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now());
      CREATE TABLE IF NOT EXISTS %s.current (
        filename pg_catalog.text PRIMARY KEY DEFAULT 'current.sql',
        content pg_catalog.text NOT NULL,
        date pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now())]],
    key_of = function(m) return m.text .. ".sql" end,
    in_order = true,
    values = function(m)
      local previous = header(m, "Previous")
      return { hash = header(m, "Hash"), previous = previous ~= "-" and previous or nil }
    end,
    claim = "INSERT INTO %t (hash, previous_hash, filename, date) "
      .. "VALUES (%{hash}, %{previous}, %k, %a)",
    release = "DELETE FROM %t WHERE filename OPERATOR(pg_catalog.=) %k",
  },
}
