--- drizzle: `0001_tag.sql` in the order of `meta/_journal.json`; newer ones are folders,
-- `20240115103000_name/migration.sql`, in the order of their names. A statement may end at a
-- `--> statement-breakpoint` instead of a semicolon.
local errors = require "pgmig.errors"
local naming = require "pgmig.naming"

local JOURNAL = "meta/_journal.json"
local STAMP = 14 -- digits of a folder's time

-- ---- the journal -----------------------------------------------------------

local function broken(path, message)
  errors.raise("naming", message, {
    file = path, hint = "restore it, or let drizzle-kit write it again: the journal decides which "
      .. "files are migrations, and their order",
  })
end

--- A whole number that a JSON object has.
local function number_in(object, key)
  return tonumber(object:match('"' .. key .. '"%s*:%s*(%d+)%s*[,}]'))
end

--- The objects of the journal's list, each as text.
local function objects_in(text, path)
  local list = text:match '^%s*{.*"entries"%s*:%s*(%b[])[^%[%]]*}%s*$'
  if not list then broken(path, "the journal is not the JSON that drizzle-kit writes") end
  local left = list:gsub("%b{}", "")
  if left:find "[^%[%],%s]" then broken(path, "the journal's list of entries is damaged") end
  return list:gmatch "%b{}"
end

--- The journal's entries in their order: { tag, idx, when }.
local function entries_of(text, path)
  local entries, seen = {}, {}
  for object in objects_in(text, path) do
    local entry = {
      tag = object:match '"tag"%s*:%s*"([^"\\]+)"', idx = number_in(object, "idx"),
      when = number_in(object, "when"),
    }
    if not (entry.tag and entry.when) then
      broken(path, ("entry %d of the journal has no tag or no time"):format(#entries + 1))
    end
    if seen[entry.tag] then broken(path, entry.tag .. " is twice in the journal") end
    seen[entry.tag] = true
    entries[#entries + 1] = entry
  end
  return entries
end

--- Whether the numbers that the journal gives its entries are in its order; after a merge by hand
-- they may not be, and to drizzle only the order counts.
local function is_numbered(entries)
  local last = -1
  for _, entry in ipairs(entries) do
    if not entry.idx or entry.idx <= last then return false end
    last = entry.idx
  end
  return true
end

local function check_files(entries, paths, where)
  local there = {}
  for _, path in ipairs(paths) do there[path] = true end
  for _, entry in ipairs(entries) do
    if not there[entry.tag .. ".sql"] then
      broken(where, ("the journal lists %s, but there is no file %s.sql"):format(entry.tag,
        entry.tag))
    end
  end
end

--- The rule of a folder with a journal.
local function journal_parser(paths, text, where)
  local entries, by_path = entries_of(text, where), {}
  check_files(entries, paths, where)
  local numbered = is_numbered(entries)
  for i, entry in ipairs(entries) do
    by_path[entry.tag .. ".sql"] = {
      version = ("%.0f"):format(numbered and entry.idx or i - 1), label = entry.tag,
      name = entry.tag:match "^%d+_(.+)$" or entry.tag, key = ("%.0f"):format(entry.when),
    }
  end
  return function(path) return by_path[path] end
end

-- ---- folders ---------------------------------------------------------------

local function parse(path)
  local folder, file = path:match "^([^/]+)/([^/]+)$"
  if file ~= "migration.sql" then return nil end
  local version, name = folder:match "^(%d+)_?(.*)$"
  if not version or #version ~= STAMP then
    errors.raise("naming", "the name of a migration's folder must begin with its time", {
      hint = "14 digits: 20240115103000_" .. (name or folder),
    })
  end
  return {
    version = version, name = name ~= "" and name or version, label = folder,
    key = naming.milliseconds(version),
  }
end

local function parser(paths, read)
  local text, where = read(JOURNAL)
  if text then return journal_parser(paths, text, where) end
  for _, path in ipairs(paths) do
    if path:find "^%d[^/]*%.sql$" then broken(where, "there is no journal") end
  end
  return parse
end

return {
  name = "drizzle",
  about = "NNNN_tag.sql and meta/_journal.json, or folders YYYYMMDDHHMMSS_name/migration.sql",
  naming = {
    pattern = "YYYYMMDDHHMMSS_name/migration.sql",
    listed = JOURNAL,
    deep = true,
    parse = parse,
    parser = parser,
    format = function(version, name) return ("%s_%s/migration.sql"):format(version, name) end,
  },
  create = "drizzle-kit writes a journal or a snapshot for each file: use `drizzle-kit generate "
    .. "--custom --name NAME`",
  vocabulary = {
    markers = { { text = "> statement-breakpoint", kind = "end", anywhere = true } },
    empty = true,
    transaction = "own",
    untransacted = "-- pgmig: transaction=off",
  },
  signs = {
    lines = { "^%-%-> statement%-breakpoint" },
    paths = { "^meta/_journal%.json$", "^%d[^/]*/snapshot%.json$" },
  },
  -- `created_at` is the time of the migration, in milliseconds; newer tables have its name, too
  tracking = {
    table = "drizzle.__drizzle_migrations",
    elsewhere = "__drizzle_migrations",
    columns = { "id", "hash", "created_at" },
    query = [[
      SELECT label, CASE WHEN label IS NULL THEN created_at::pg_catalog.text END AS key,
        hash AS checksum, applied AS applied_at
      FROM (SELECT t.*, pg_catalog.jsonb_extract_path_text(pg_catalog.to_jsonb(t), 'name') AS label,
          pg_catalog.jsonb_extract_path_text(pg_catalog.to_jsonb(t), 'applied_at')
            ::pg_catalog.timestamptz AS applied
        FROM %s AS t) AS rows ORDER BY id]],
    checksum = "sha256",
  },
  export = {
    create = [[
      CREATE SCHEMA IF NOT EXISTS %s;
      CREATE TABLE IF NOT EXISTS %t (id SERIAL PRIMARY KEY, hash pg_catalog.text NOT NULL,
        created_at bigint)]],
    key_of = function(m) return m.key end,
    in_order = true,
    values = function(m, path)
      if not path:find("/", 1, true) then return { at = m.key } end
      errors.raise("plan", "only the rows of a folder with a journal can be written", {
        file = m.path, hint = "what newer versions of drizzle keep of such folders is theirs; let "
          .. "drizzle-kit write the rows",
      })
    end,
    claim = "INSERT INTO %t (hash, created_at) VALUES (%d, %{at})",
    correct = "UPDATE %t SET hash = %d WHERE created_at OPERATOR(pg_catalog.=) %k",
    release = "DELETE FROM %t WHERE created_at OPERATOR(pg_catalog.=) %k",
  },
  unshared = "to drizzle, everything up to the newest row's time is applied",
}
