--- Which object a row of a catalog is about, and words for what is in it.
local M = {}

-- ---- which object a row is about ----------------------------------------------

local relation_kinds = {
  r = "table", p = "table", v = "view", m = "materialized view", i = "index", I = "index",
  S = "sequence", f = "foreign table", c = "type", t = "table",
}
local type_kinds = { d = "domain", e = "enum", r = "range type", m = "range type" }
local routine_kinds = { p = "procedure", a = "aggregate" }

-- By catalog: what kind of object, the column that names it, and the word and column of the part.
local places = {
  pg_aggregate = { "aggregate", "aggfnoid" },
  pg_attrdef = { "table", "adrelid", "column", "adnum" },
  pg_attribute = { "table", "attrelid", "column", "attname" },
  pg_class = { "table", "name" }, pg_constraint = { "table", "conrelid", "constraint", "conname" },
  pg_enum = { "enum", "enumtypid", "value", "enumlabel" },
  pg_foreign_table = { "foreign table", "ftrelid" }, pg_index = { "index", "indexrelid" },
  pg_inherits = { "table", "inhrelid", "parent", "inhparent" },
  pg_partitioned_table = { "table", "partrelid" },
  pg_policy = { "table", "polrelid", "policy", "polname" },
  pg_proc = { "function", "name" }, pg_range = { "range type", "rngtypid" },
  pg_rewrite = { "view", "ev_class", "rule", "rulename" }, pg_sequence = { "sequence", "seqrelid" },
  pg_trigger = { "table", "tgrelid", "trigger", "tgname" }, pg_type = { "type", "name" },
  pg_publication_rel = { "publication", "prpubid", "table", "prrelid" },
  pg_publication_namespace = { "publication", "pnpubid", "schema", "pnnspid" },
}

-- Other catalogs by the word for their objects.
M.kinds = {
  pg_am = "access method", pg_amop = "operator of the family", pg_amproc = "function of the family",
  pg_auth_members = "membership", pg_authid = "role", pg_cast = "cast", pg_collation = "collation",
  pg_conversion = "conversion", pg_database = "the database", pg_db_role_setting = "settings of",
  pg_default_acl = "default privileges", pg_depend = "dependence on an extension",
  pg_event_trigger = "event trigger", pg_extension = "extension",
  pg_foreign_data_wrapper = "foreign data wrapper", pg_foreign_server = "server",
  pg_language = "language", pg_largeobject_metadata = "large object", pg_namespace = "schema",
  pg_opclass = "operator class", pg_operator = "operator", pg_opfamily = "operator family",
  pg_publication = "publication", pg_seclabel = "security label", pg_shdescription = "comment on",
  pg_statistic_ext = "statistics", pg_subscription = "subscription", pg_tablespace = "tablespace",
  pg_transform = "transform", pg_ts_config = "text search configuration",
  pg_ts_config_map = "text search mapping", pg_ts_dict = "text search dictionary",
  pg_ts_parser = "text search parser", pg_ts_template = "text search template",
  pg_user_mapping = "user mapping",
}

local fields = {
  acl = "privileges", amproc = "function", adbin = "default", atttypid = "type",
  attnotnull = "not null", attgenerated = "generated", attidentity = "identity",
  attcollation = "collation", attoptions = "options", attstattarget = "statistics target",
  attstorage = "storage", attcompression = "compression", definition = "definition",
  ev_action = "definition", indkey = "columns", indclass = "operator classes",
  indcollation = "collations", indoption = "order of the columns", indpred = "predicate",
  indexprs = "expressions",
  indisunique = "unique", reloptions = "options", toast_options = "options of TOAST",
  relpersistence = "persistence", relrowsecurity = "row security",
  relforcerowsecurity = "forced row security", relreplident = "replica identity",
  relpartbound = "partition bound", relispopulated = "populated", relkind = "kind",
  prosrc = "body", prorettype = "result type", provolatile = "volatility", proconfig = "settings",
  prosecdef = "security definer", description = "comment", typdefault = "default",
  typnotnull = "not null", owned_by = "owned by", position = "position", extversion = "version",
  seqincrement = "increment", seqstart = "start", seqmax = "maximum", seqmin = "minimum",
  seqcycle = "cycle", seqcache = "cache", seqtypid = "type", tgenabled = "enabled",
}

--- The word for a column of a catalog.
function M.field(column)
  if fields[column] then return fields[column] end
  if column:find "acl$" then return "privileges" end
  if column:find "owner$" or column == "datdba" then return "owner" end
  if column:find "options$" then return "options" end
  return column
end

-- What letters stand for.
local when = { O = "yes", D = "no", A = "always", R = "on replicas" }
local actions = {
  a = "no action", r = "restrict", c = "cascade", n = "set null", d = "set default", [" "] = "-",
}
local letters = {
  relpersistence = { p = "permanent", u = "unlogged", t = "temporary" },
  relreplident = { d = "default", n = "nothing", f = "full", i = "index" },
  attidentity = { [""] = "no", a = "always", d = "by default" },
  attgenerated = { [""] = "no", s = "stored", v = "virtual" },
  attstorage = { p = "plain", e = "external", m = "main", x = "extended" },
  attcompression = { [""] = "default", p = "pglz", l = "lz4" },
  provolatile = { i = "immutable", s = "stable", v = "volatile" },
  proparallel = { s = "safe", r = "restricted", u = "unsafe" },
  tgenabled = when, evtenabled = when, ev_enabled = when, confdeltype = actions,
  confupdtype = actions,
}

local RETURN_RULE = '^CREATE RULE "_RETURN" AS%s+ON SELECT TO .- DO INSTEAD%s+'

--- A value of a column in words.
function M.value(column, text)
  if not text then return nil end
  if letters[column] then return letters[column][text] or text end
  if column == "ev_action" then return (text:gsub(RETURN_RULE, "")) end
  return text == "t" and "yes" or text == "f" and "no" or text
end

--- The kind of a relation or a type, as a snapshot says it.
local function kind_in(names, catalog, name, column, words, default)
  for _, known in ipairs(names) do
    local row = (known[catalog] or {})[name]
    if row then return words[row[column]] or default end
  end
  return default
end

--- The object and the part of it that a comment or a label is about: "pg_class public.orders".
local function described(names, row)
  local catalog, name = (row.objoid or ""):match "^(%S+) (.*)$"
  if catalog == "pg_class" then
    local kind = kind_in(names, catalog, name, "relkind", relation_kinds, "relation")
    return { kind = kind, name = name }, row.objsubid and "column " .. row.objsubid or nil
  end
  local place = places[catalog or ""]
  local kind = place and (place[3] or place[1]) or M.kinds[catalog] or catalog
  return { kind = kind or "object", name = name or "" }
end

--- The object that a row is about.
-- @param names of relations: a list of { pg_class = rows by name }, where the kind is looked up
-- @param catalog its name
-- @param row the row by column
-- @param key the fields of its key
-- @return { kind, name }
-- @return the part of it, such as "column total"; nil: the object itself
function M.place(names, catalog, row, key)
  local place = places[catalog]
  if row.objoid and catalog ~= "pg_shdescription" then return described(names, row) end
  if not place then
    return { kind = M.kinds[catalog] or catalog, name = table.concat(key, " ") }
  end
  local kind, name = place[1], row[place[2]]
  if catalog == "pg_constraint" and name == "-" then
    return { kind = "domain", name = row.contypid }, "constraint " .. row.conname
  elseif catalog == "pg_type" then
    kind = type_kinds[row.typtype] or kind
  elseif catalog == "pg_proc" then
    kind = routine_kinds[row.prokind] or kind
  elseif catalog ~= "pg_enum" and catalog ~= "pg_range" and catalog ~= "pg_aggregate"
    and not catalog:find "^pg_publication" then
    kind = kind_in(names, "pg_class", name, "relkind", relation_kinds, kind)
  end
  local is_view = catalog == "pg_rewrite" and row.rulename == "_RETURN"
  return { kind = kind, name = name }, place[3] and not is_view
    and place[3] .. " " .. tostring(row[place[4]]) or nil
end

return M
