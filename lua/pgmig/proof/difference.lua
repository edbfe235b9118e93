--- What differs between two snapshots of schemas (pgmig.proof.fingerprint), by object, for people:
-- what only has another name or another place is told apart.
local places = require "pgmig.proof.places"
local record = require "pgmig.proof.record"

local M = {}

local function first(list) return list[1] end

-- ---- renames --------------------------------------------------------------------

-- Columns that are names, which a rename changes beside the key.
local own_names = { relname = true, typname = true, proname = true, oprname = true }

local function without_names(row)
  local parts = {}
  for column, value in pairs(row) do
    if not own_names[column] and column ~= "name" and column ~= "position"
      and not column:find "namespace$" then
      parts[#parts + 1] = column .. "=" .. value
    end
  end
  table.sort(parts)
  return table.concat(parts, "\n")
end

--- The names of a relation's columns.
local function column_names(snapshot, relation)
  local names = {}
  for _, row in pairs(snapshot.rows.pg_attribute) do
    local key = record.fields(row.key)
    if key[1] == relation then names[#names + 1] = key[2] end
  end
  table.sort(names)
  return table.concat(names, ",")
end

--- What a row has in common with itself under another name, in another database.
local function likeness(snapshot, catalog, row)
  local decoded = record.decode(snapshot.columns[catalog], row.key, row.row)
  if catalog == "pg_class" then
    if decoded.relkind == "i" then return row.id .. tostring(snapshot) end -- told by its table
    return without_names(decoded) .. "\n" .. column_names(snapshot, decoded.name)
  end
  decoded.attname = nil
  return without_names(decoded)
end

local guessed = { pg_class = true, pg_attribute = true, pg_proc = true, pg_type = true }

--- Rows of one snapshot whose keys the other one does not have.
local function only_in(one, other, catalog)
  local list = {}
  for key, row in pairs(one.rows[catalog]) do
    if not (other.rows[catalog] or {})[key] then list[#list + 1] = row end
  end
  return list
end

--- By what identifies it, the only such row of a list; false where there are several.
local function unique(list, identify)
  local by = {}
  for _, row in ipairs(list) do
    local identity = identify(row)
    by[identity] = by[identity] == nil and row or false
  end
  return by
end

--- Rows that have another key and are otherwise the same: in one database, those of the same OID.
local function renamed(before, after, catalog)
  local is_same_database = before.origin == after.origin
  if not is_same_database and not guessed[catalog] then return {} end
  local function identify(snapshot)
    return function(row)
      return is_same_database and row.id or likeness(snapshot, catalog, row)
    end
  end
  local gone = unique(only_in(before, after, catalog), identify(before))
  local come = unique(only_in(after, before, catalog), identify(after))
  local list = {}
  for identity, row in pairs(gone) do
    if row and come[identity] then
      list[#list + 1] = { catalog = catalog, old = row, new = come[identity] }
    end
  end
  return list
end

local function escape(text) return (text:gsub("%W", "%%%0")) end

--- Put a new name where an old one stands as a whole word.
local function substitute(text, old, new)
  local pattern = escape(old)
  if old:find "^[%w_]" then pattern = "%f[%w_]" .. pattern end
  if old:find "[%w_]$" then pattern = pattern .. "%f[^%w_]" end
  return (text:gsub(pattern, (new:gsub("%%", "%%%%"))))
end

local function bare(name) return name:match '[^."]+"?$' end

--- Add what a rename does to the texts of other rows: { old, new, what they have to mention }.
local function add_replacements(list, snapshot, pair)
  local columns = snapshot.columns[pair.catalog].key
  local old, new = record.fields(pair.old.key), record.fields(pair.new.key)
  if #columns == 1 then
    list[#list + 1] = { old[1], new[1] }
    if pair.catalog == "pg_class" then list[#list + 1] = { bare(old[1]), bare(new[1]), new[1] } end
  elseif pair.catalog == "pg_attribute" and old[1] == new[1] then
    list[#list + 1] = { old[2], new[2], old[1] }
  end
end

-- ---- comparing --------------------------------------------------------------------

--- The relations of a snapshot, by name.
local function names_of(snapshot)
  local relations = {}
  for key, row in pairs(snapshot.rows.pg_class) do
    relations[first(record.fields(key))] =
      record.decode(snapshot.columns.pg_class, row.key, row.row)
  end
  return { pg_class = relations }
end

--- A row after the renames.
local function follow(row, replacements)
  local key, text = row.key, row.row
  for _, r in ipairs(replacements) do
    local is_about = not r[3] or key:find(r[3], 1, true) or text:find(r[3], 1, true)
    if is_about then
      key, text = substitute(key, r[1], r[2]), substitute(text, r[1], r[2])
    end
  end
  return { id = row.id, key = key, row = text }
end

local function sorted_catalogs(before, after)
  local names = {}
  for name in pairs(before.rows) do
    if after.rows[name] then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

--- All renames: pairs of rows, and what to put in place of what.
local function all_renames(before, after, catalogs)
  local pairs_of, replacements = {}, {}
  for _, catalog in ipairs(catalogs) do
    for _, pair in ipairs(renamed(before, after, catalog)) do
      pairs_of[#pairs_of + 1] = pair
      add_replacements(replacements, before, pair)
    end
  end
  return pairs_of, replacements
end

--- Rows of a catalog that differ: { catalog, old, new }, after the renames.
-- @param was, is its rows before and after
-- @param to the renamed rows, by their old key
local function add_differing(list, catalog, was, is, to, replacements)
  local seen = {}
  for key, row in pairs(was) do
    local new = is[key]
    if to[key] or not new or new.row ~= row.row then
      local old = follow(row, replacements)
      new = to[key] or is[old.key]
      if new then seen[new.key] = true end
      if not new or new.row ~= old.row then
        list[#list + 1] = { catalog = catalog, old = old, new = new }
      end
    end
  end
  for key, row in pairs(is) do
    if not was[key] and not seen[key] then list[#list + 1] = { catalog = catalog, new = row } end
  end
end

local function differing(before, after, catalogs, pairs_of, replacements)
  local list, to = {}, {}
  for _, catalog in ipairs(catalogs) do to[catalog] = {} end
  for _, pair in ipairs(pairs_of) do to[pair.catalog][pair.old.key] = pair.new end
  for _, catalog in ipairs(catalogs) do
    add_differing(list, catalog, before.rows[catalog], after.rows[catalog], to[catalog],
      replacements)
  end
  return list
end

local function decode_side(snapshot, catalog, row)
  if not row then return nil, nil end
  return record.decode(snapshot.columns[catalog], row.key, row.row), record.fields(row.key)
end

--- The columns of both rows, in order.
local function columns_of(old, new)
  local names, seen = {}, {}
  for _, row in ipairs { old, new } do
    for column in pairs(row) do
      if not seen[column] then names[#names + 1] = column end
      seen[column] = true
    end
  end
  table.sort(names)
  return names
end

-- They say nothing beyond others; what is in a definition is told by it.
local derived = {
  atthasdef = true, attinhcount = true, relispartition = true, position = true, name = true,
  relname = true, typname = true, proname = true, oprname = true,
}
local in_definition = { pg_constraint = true, pg_trigger = true }
local by_column = { indclass = true, indcollation = true, indoption = true }

local function add_changed(items, place, catalog, old, new)
  local is_defined = in_definition[catalog] and old.definition ~= new.definition
  for _, column in ipairs(columns_of(old, new)) do
    local is_told = derived[column] or is_defined and column ~= "definition"
      or by_column[column] and old.indkey ~= new.indkey
    if old[column] ~= new[column] and not is_told then
      items[#items + 1] = {
        object = place.object, part = place.part, field = places.field(column),
        old = places.value(column, old[column]), new = places.value(column, new[column]),
        change = "changed",
      }
    end
  end
end

-- Catalogs whose rows are parts of what another one has.
local details = {
  pg_attrdef = "default", pg_rewrite = "definition", pg_description = "comment",
  pg_seclabel = "security label",
}

--- What a row says of an object, in one line.
local function summary(catalog, row)
  if catalog == "pg_attribute" then return row.attname .. " " .. tostring(row.atttypid) end
  if catalog == "pg_constraint" or catalog == "pg_trigger" then return row.definition end
  return row.adbin or places.value("ev_action", row.ev_action) or row.description or row.label
end

local function add_whole(items, place, catalog, old, new)
  local row = new or old
  items[#items + 1] = {
    object = place.object, part = place.part, field = details[catalog],
    old = old and summary(catalog, row), new = new and summary(catalog, row),
    change = old and "dropped" or "added", position = tonumber(row.position),
    is_detail = details[catalog] ~= nil, catalog = catalog,
  }
end

-- Catalogs whose rows have names of their own.
local named = {}
for catalog in pairs(places.kinds) do named[catalog] = true end
for _, catalog in ipairs {
  "pg_class", "pg_attribute", "pg_constraint", "pg_trigger", "pg_policy", "pg_type", "pg_proc",
  "pg_enum", "pg_rewrite",
} do named[catalog] = true end
for _, catalog in ipairs {
  "pg_depend", "pg_seclabel", "pg_shdescription", "pg_ts_config_map", "pg_amop", "pg_amproc",
} do named[catalog] = nil end

local function add_renames(items, names, pairs_of, before, after)
  for _, pair in ipairs(pairs_of) do
    local old, old_key = decode_side(before, pair.catalog, pair.old)
    local new, new_key = decode_side(after, pair.catalog, pair.new)
    local from, from_part = places.place(names, pair.catalog, old, old_key)
    local to, to_part = places.place(names, pair.catalog, new, new_key)
    local is_own = from_part and from_part ~= to_part or not from_part and from.name ~= to.name
    if is_own and named[pair.catalog] then
      items[#items + 1] = {
        object = to, part = from_part and to_part, field = "name", change = "renamed",
        old = from_part or from.name, new = to_part and to_part:match " (.*)" or to.name,
      }
    end
  end
end

-- Catalogs whose rows have a place among others of the same first part of their key.
local ordered = { pg_attribute = "columns", pg_enum = "values", pg_inherits = "parents" }

--- Note that a row has another place than before, which it may owe to others.
local function note_position(moved, catalog, object, old, new)
  if ordered[catalog] and old.position ~= new.position then
    moved[catalog .. object.name] = { catalog = catalog, object = object }
  end
end

--- The names in their order; only those of a set, if there is one.
local function order_of(snapshot, place, only)
  local list, set = {}, {}
  for _, row in pairs(snapshot.rows[place.catalog]) do
    local key = record.fields(row.key)
    if key[1] == place.object.name and (not only or only[key[2]]) then
      local decoded = record.decode(snapshot.columns[place.catalog], row.key, row.row)
      list[#list + 1], set[key[2]] = { tonumber(decoded.position), key[2] }, true
    end
  end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  for i, pair in ipairs(list) do list[i] = pair[2] end
  return table.concat(list, ", "), set
end

--- What is in both, when it is in another order.
local function add_order(items, place, before, after)
  local _, were = order_of(before, place)
  local is, both = order_of(after, place, were)
  local was = order_of(before, place, both)
  if was == is then return end
  items[#items + 1] = {
    object = place.object, field = "order of the " .. ordered[place.catalog], old = was, new = is,
    change = "order",
  }
end

--- Leave out the parts of what came or went as a whole; its columns are told with it.
local function fold(items)
  local whole, kept = {}, {}
  for _, item in ipairs(items) do
    local is_object = not item.part and not item.is_detail
    if is_object and (item.change == "added" or item.change == "dropped") then
      local id = item.change .. item.object.name
      if not whole[id] or item.catalog == "pg_class" then whole[id] = item end
    end
  end
  for _, item in ipairs(items) do
    local of = whole[item.change .. item.object.name]
    if not of or of == item then
      kept[#kept + 1] = item
    elseif item.catalog == "pg_attribute" then
      of.columns = of.columns or {}
      of.columns[#of.columns + 1] = { item.position or 0, item.new or item.old }
    end
  end
  return kept
end

--- Leave out constraints that say of a column what is told of it (PostgreSQL 18).
local function drop_not_null(items)
  local told, kept = {}, {}
  for _, item in ipairs(items) do
    local column = item.part and item.part:match "^column (.*)"
    if column and (item.field == "not null" or not item.field) then
      told[item.object.name .. "." .. column] = true
    end
  end
  for _, item in ipairs(items) do
    local column = item.catalog == "pg_constraint"
      and (item.new or item.old):match "^NOT NULL (.*)$"
    if not (column and told[item.object.name .. "." .. column]) then kept[#kept + 1] = item end
  end
  return kept
end

local function tidy(items)
  for _, item in ipairs(items) do
    if item.columns then
      table.sort(item.columns, function(a, b) return a[1] < b[1] end)
      for i, column in ipairs(item.columns) do item.columns[i] = column[2] end
    end
    item.position, item.is_detail, item.catalog = nil, nil, nil
  end
  local function rank(item)
    return ("%s\t%s\t%s\t%s"):format(item.object.name, item.object.kind, item.part or "",
      item.field or "")
  end
  table.sort(items, function(a, b) return rank(a) < rank(b) end)
  return items
end

--- Compare two snapshots of one major version.
-- @param before, after of `fingerprint:take`
-- @return a list of { object = { kind, name }, part = "column total" or nil, field = such as
--   "type", old, new = texts or nil, columns = of a table that came or went, as texts, change =
--   "added", "dropped", "changed", "renamed" or "order" }; empty if they are the same
function M.of(before, after)
  local catalogs = sorted_catalogs(before, after)
  local pairs_of, replacements = all_renames(before, after, catalogs)
  local names, items = { names_of(after), names_of(before) }, {}
  local moved = {}
  add_renames(items, names, pairs_of, before, after)
  for _, pair in ipairs(differing(before, after, catalogs, pairs_of,
    replacements)) do
    local old, old_key = decode_side(before, pair.catalog, pair.old)
    local new, new_key = decode_side(after, pair.catalog, pair.new)
    local object, part = places.place(names, pair.catalog, new or old, new_key or old_key)
    local place = { object = object, part = part }
    if old and new then
      add_changed(items, place, pair.catalog, old, new)
      note_position(moved, pair.catalog, object, old, new)
    else
      add_whole(items, place, pair.catalog, old, new)
    end
  end
  for _, place in pairs(moved) do add_order(items, place, before, after) end
  return tidy(drop_not_null(fold(items)))
end

-- ---- for people ----------------------------------------------------------------------

local function value(text)
  if text == nil then return "(none)" end
  return (text:gsub("%s+", " "))
end

local verbs = { added = "is new", dropped = "is gone" }

local function line_of(item)
  local words = { item.object.kind .. " " .. item.object.name }
  if item.part then words[#words + 1] = item.part end
  if item.change == "renamed" then
    words = { item.part and words[1] or item.object.kind,
      ("%s is now called %s"):format(item.old, item.new) }
  elseif verbs[item.change] then
    local text = item.new or item.old
    if item.columns then text = table.concat(item.columns, ", ") end
    words[#words + 1] = (item.field and item.field .. " " or "") .. verbs[item.change]
      .. (text and " (" .. value(text) .. ")" or "")
  else
    words[#words + 1] = ("%s %s -> %s"):format(item.field, value(item.old), value(item.new))
  end
  return table.concat(words, ": ")
end

--- Whether only the order of columns, or of the values of an enum, differs.
function M.is_order(list)
  for _, item in ipairs(list) do
    if item.change ~= "order" then return false end
  end
  return list[1] ~= nil
end

--- A list of differences as text: one line each.
-- @param list of `of`
-- @return a list of lines
function M.lines(list)
  local lines = {}
  for i, item in ipairs(list) do lines[i] = line_of(item) end
  return lines
end

return M
