--- Atlas, in its own format: `20240115103000_name.sql` in the order of the files' names.
-- `atlas.sum` must fit the folder. Lines at a file's top, apart from its statements, say `--
-- atlas:txmode none`, or `-- atlas:checkpoint`: such a file is for new databases.
local atlas_text = require "pgmig.formats.atlas_text"
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local naming = require "pgmig.naming"

local SUM = "atlas.sum"
local WIDTH = 20 -- digits of the longest versions

-- ---- directives ------------------------------------------------------------

--- The comments at a file's top, where a blank line sets them apart from what follows.
local function head_of(text)
  local lines, at = {}, 1
  while text:find("^#", at) or text:find("^%-%-", at) do
    local line, behind = text:match("^([^\n]*)\n?()", at)
    lines[#lines + 1], at = line:match "^(.-)%s*$", behind
  end
  if at <= #text and not text:find("^[ \t]*\n", at) and not text:find("^[ \t]*\r\n", at) then
    return {}
  end
  return lines
end

--- The argument of a file's directive: "" for none; nil: it has no such directive.
local function directive(text, name)
  for _, line in ipairs(head_of(text)) do
    local argument = line:match("^[ -~]-atlas:" .. name .. "%f[^%w_] *(.*)$")
    if argument then return argument end
  end
end

-- ---- atlas.sum -------------------------------------------------------------

local function wrong(where, message, line)
  errors.raise("naming", message, {
    file = where, line = line, hint = "look at what has changed, then run `atlas migrate hash`; "
      .. "--format sqlx reads such files without a sum",
  })
end

--- The hashes of the files: { name, hash }, each of all files up to it; and of all of them.
local function hashes_of(names, texts)
  local pieces, list = {}, {}
  for _, name in ipairs(names) do
    pieces[#pieces + 1] = name
    if texts[name]:match "^[ -~]-atlas:sum +([^\n]*)" ~= "ignore" then
      pieces[#pieces + 1] = texts[name]
      list[#list + 1] = { name = name, place = #pieces }
    end
  end
  local running = core.running_digests(pieces)
  for _, entry in ipairs(list) do entry.hash = running[entry.place] end
  return list
end

--- The hash over all entries, which the first line has.
local function total_of(entries)
  local pieces = {}
  for _, entry in ipairs(entries) do pieces[#pieces + 1] = entry.name .. entry.hash end
  return core.running_digests({ table.concat(pieces) })[1]
end

--- The entries that the sum file has.
local function read_sum(text, where)
  local entries, number, total = {}, 0, nil
  for line in (text:gsub("\n$", "") .. "\n"):gmatch "(.-)\r?\n" do
    number = number + 1
    local name, hash = line:match "^%s*(.-)%s*h1:(.*)$"
    if number == 1 then
      total = line:gsub("^h1:", "")
    elseif not name then
      wrong(where, "the line has no checksum", number)
    else
      entries[#entries + 1] = { name = name, hash = hash }
    end
  end
  if total ~= total_of(entries) then
    wrong(where, "the sum in the first line does not fit the others", 1)
  end
  return entries
end

local function place_of(entries, name)
  for i, entry in ipairs(entries) do
    if entry.name == name then return i end
  end
end

--- Say which file is not as it was when the sum was written.
local function compare(entries, found, where)
  for i, entry in ipairs(entries) do
    local now = found[i]
    if not now or now.name ~= entry.name or now.hash ~= entry.hash then
      local place = place_of(found, entry.name)
      if not place then wrong(where, entry.name .. " was removed", i + 1) end
      if place == i then wrong(where, entry.name .. " was edited", i + 1) end
      wrong(where, found[i].name .. " was added", i + 1)
    end
  end
  local added = found[#entries + 1]
  if added then wrong(where, added.name .. " was added", #entries + 2) end
end

local function check_sum(found, read)
  local text, where = read(SUM)
  if not text then
    if found[1] then wrong(where, "there is no atlas.sum") end
    return
  end
  compare(read_sum(text, where), found, where)
end

-- ---- files -----------------------------------------------------------------

local function parse(path)
  local stem = path:match "^([^/]+)%.sql$"
  if not stem then return nil end
  local version, name = stem:match "^([^_]*)_?(.*)$"
  if not version:find "^%d+$" then
    errors.raise("naming", "the version of an Atlas migration must be a number here", {
      hint = "rename the file, and run `atlas migrate hash`",
    })
  end
  return { version = version, name = name ~= "" and name or version, label = stem }
end

--- The rule of a folder whose sum fits it.
local function parser(paths, read)
  local names, texts, hashes = {}, {}, {}
  for _, path in ipairs(paths) do
    if path:find "^[^/]+%.sql$" then names[#names + 1], texts[path] = path, read(path) or "" end
  end
  table.sort(names)
  local found = hashes_of(names, texts)
  check_sum(found, read)
  local checkpoints = {}
  for _, name in ipairs(names) do
    checkpoints[name] = directive(texts[name], "checkpoint") ~= nil
  end
  for _, entry in ipairs(found) do hashes[entry.name] = entry.hash end
  return function(path)
    local parsed = parse(path)
    if not parsed then return nil end
    parsed.key, parsed.baseline = hashes[path], checkpoints[path]
    return parsed
  end
end

return {
  name = "atlas",
  about = "NNN_name.sql and atlas.sum",
  naming = {
    pattern = "NNN_name.sql",
    parse = parse,
    parser = parser,
    digits = function(version) return naming.sortable_name(version, WIDTH) end,
    format = naming.numbered.format,
  },
  create = "Atlas writes a checksum of each file to atlas.sum: use `atlas migrate new NAME`, and "
    .. "`atlas migrate hash` when it is written",
  settings = function(path, read)
    local text = read(path, 65536)
    return text and directive(text, "txmode") == "none" and { transaction = "off" } or nil
  end,
  rewrites = "^%-%- atlas:[dt][ex][lt][ia]", -- delimiter, txtar
  rewrite = atlas_text.rewrite,
  vocabulary = {
    empty = true,
    transaction = "own",
    untransacted = "-- atlas:txmode none",
  },
  signs = { paths = { "^atlas%.sum$" }, never = { "%.up%.sql$", "%.down%.sql$" }, weak = true },
  tracking = {
    table = "atlas_schema_revisions.atlas_schema_revisions",
    elsewhere = "atlas_schema_revisions",
    columns = { "version", "type", "applied", "total", "executed_at", "hash" },
    query = [[
      SELECT version, executed_at AS applied_at, hash,
        applied OPERATOR(pg_catalog.<>) total AND type OPERATOR(pg_catalog.<) 4 AS dirty,
        type OPERATOR(pg_catalog.=) 1 AS baseline
      FROM %s AS t WHERE version OPERATOR(pg_catalog.~) '^[0-9]' ORDER BY t.version]],
    same = function(_, row, m) return row.hash == "" or row.hash == m.key end,
  },
  unexported = "let Atlas record what is applied: atlas migrate set VERSION --url URL, with the "
    .. "newest version; it runs nothing",
  unshared = "its rows hold hashes that Atlas computes, of each statement while a file runs",
}
