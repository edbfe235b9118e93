--- Queries for the rows of the catalogs in which each OID is a name, made from what the server says
-- of its catalogs: which columns there are, and which catalog each refers to.
local known = require "pgmig.proof.catalogs"
local references = require "pgmig.proof.references"

local M = {}

local FIRST_NORMAL_OID = "16384"

-- Each row: a kind, and three texts. `relisshared` does not matter: filters choose the database's.
local COLUMNS = [[
  SELECT 'column' AS kind, c.relname::pg_catalog.text AS a, a.attname::pg_catalog.text AS b,
    pg_catalog.format_type(a.atttypid, NULL) AS c
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a
    ON a.attrelid OPERATOR(pg_catalog.=) c.oid
  WHERE c.relnamespace OPERATOR(pg_catalog.=) 'pg_catalog'::pg_catalog.regnamespace
    AND c.relkind OPERATOR(pg_catalog.=) 'r' AND NOT a.attisdropped
    AND (a.attnum OPERATOR(pg_catalog.>) 0 OR a.attname OPERATOR(pg_catalog.=) 'oid')
    AND (pg_catalog.has_table_privilege(c.oid, 'SELECT')
      OR a.attnum OPERATOR(pg_catalog.>) 0
        AND pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT'))
  UNION ALL
  SELECT 'unreadable', c.relname::pg_catalog.text, a.attname::pg_catalog.text, NULL
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a
    ON a.attrelid OPERATOR(pg_catalog.=) c.oid
  WHERE c.relnamespace OPERATOR(pg_catalog.=) 'pg_catalog'::pg_catalog.regnamespace
    AND c.relkind OPERATOR(pg_catalog.=) 'r' AND NOT a.attisdropped
    AND a.attnum OPERATOR(pg_catalog.>) 0
    AND NOT pg_catalog.has_table_privilege(c.oid, 'SELECT')
    AND NOT pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT')
  UNION ALL
  SELECT 'key', c.relname::pg_catalog.text, (SELECT pg_catalog.string_agg(a.attname, ' '
        ORDER BY k.n) FROM pg_catalog.unnest(i.indkey) WITH ORDINALITY AS k(number, n)
      JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
        AND a.attnum OPERATOR(pg_catalog.=) k.number), NULL
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c
    ON c.oid OPERATOR(pg_catalog.=) i.indrelid
  WHERE c.relnamespace OPERATOR(pg_catalog.=) 'pg_catalog'::pg_catalog.regnamespace
    AND c.relkind OPERATOR(pg_catalog.=) 'r' AND i.indisunique]]
local REFERENCES = [[
  UNION ALL
  SELECT 'reference', t.relname::pg_catalog.text, pg_catalog.array_to_string(f.fkcols, ','),
    p.relname::pg_catalog.text
  FROM pg_catalog.pg_get_catalog_foreign_keys() f
  JOIN pg_catalog.pg_class t ON t.oid OPERATOR(pg_catalog.=) f.fktable
  JOIN pg_catalog.pg_class p ON p.oid OPERATOR(pg_catalog.=) f.pktable]]
local SAYS_REFERENCES = 140000

-- ---- what the server says -----------------------------------------------------

local add = {}

local function catalog_of(self, name)
  self[name] = self[name] or {
    name = name, columns = {}, types = {}, targets = {}, indexes = {}, unreadable = {},
  }
  return self[name]
end

function add.column(catalog, name, type_name)
  if catalog.types[name] then return end
  catalog.types[name] = type_name
  if name ~= "oid" then catalog.columns[#catalog.columns + 1] = name end
end

function add.unreadable(catalog, name) catalog.unreadable[name] = true end

function add.key(catalog, columns) catalog.indexes[#catalog.indexes + 1] = columns end

--- A column refers to a catalog, or, beside the column of its relation, to an attribute.
function add.reference(catalog, columns, target)
  local relation, number = columns:match "^(.+),(.+)$"
  if relation then
    catalog.targets[number] = { attribute_of = relation }
  else
    catalog.targets[columns] = { catalog = target }
  end
end

local function add_shipped(self)
  local catalog
  for word in references:gmatch "%S+" do
    local columns, target = word:match "^(.-):(.+)$"
    catalog = columns and catalog or catalog_of(self, word)
    if columns then add.reference(catalog, columns, target) end
  end
end

--- Ask a server for its catalogs.
-- @param db the connection
-- @return by name: { name, columns, types, targets, indexes, unreadable }
function M.describe(db)
  local says = db:server_version() >= SAYS_REFERENCES
  local self = {}
  for _, row in ipairs(db:query(COLUMNS .. (says and REFERENCES or ""))) do
    add[row.kind](catalog_of(self, row.a), row.b, row.c)
  end
  if not says then add_shipped(self) end
  for name, catalog in pairs(self) do
    if not next(catalog.types) then self[name] = nil end -- of another version
    table.sort(catalog.columns)
  end
  return self
end

-- ---- expressions ---------------------------------------------------------------

local translate

--- The name of a row of a catalog.
local function name_of(self, catalog, alias)
  local given = known.names[catalog]
  if given then return (given:gsub("%%s", alias)) end
  local parts = {}
  for _, column in ipairs(self.catalogs[catalog].key) do
    parts[#parts + 1] = translate(self, catalog, column, alias)
  end
  if #parts == 1 then return parts[1] end
  return "pg_catalog.concat_ws(' ', " .. table.concat(parts, ", ") .. ")"
end

local function has_reg(self, target)
  local reg = known.reg[target]
  return reg and self.version >= reg[2] and "pg_catalog." .. reg[1] or nil
end

--- The name of what an OID refers to.
local function resolve(self, target, oid, alias)
  local reg = has_reg(self, target)
  if reg then return oid .. "::pg_catalog.oid::" .. reg end
  local row = alias .. "y"
  return ("(SELECT %s FROM pg_catalog.%s %s WHERE %s.oid OPERATOR(pg_catalog.=) %s)"):format(
    name_of(self, target, row), target, row, row, oid)
end

local ELEMENTS = "CASE WHEN %s IS NOT NULL THEN ARRAY(SELECT %s FROM pg_catalog.unnest(%s) "
  .. "WITH ORDINALITY AS u(e, n) ORDER BY u.n) END"
local ATTRIBUTE = "(SELECT a.attname FROM pg_catalog.pg_attribute a WHERE "
  .. "a.attrelid OPERATOR(pg_catalog.=) %s AND a.attnum OPERATOR(pg_catalog.=) %s)"

local function is_list(type_name) return type_name:find "%[%]$" or type_name:find "vector$" end

local function resolve_list(self, target, column, alias)
  local reg = has_reg(self, target)
  if reg then return ("(%s::pg_catalog.oid[]::%s[])[:]"):format(column, reg) end -- from 1 on
  return ELEMENTS:format(column, resolve(self, target, "u.e", alias), column)
end

-- what is granted, sorted, unless it is what holds without any grant
local PRIVILEGES = [[CASE WHEN %s IS NOT NULL THEN (SELECT a.given FROM (SELECT
    ARRAY(SELECT i::pg_catalog.text FROM pg_catalog.unnest(%s) AS i
      ORDER BY i::pg_catalog.text COLLATE pg_catalog."C") AS given,
    ARRAY(SELECT i::pg_catalog.text FROM pg_catalog.unnest(%s) AS i
      ORDER BY i::pg_catalog.text COLLATE pg_catalog."C") AS usual) AS a
  WHERE a.given OPERATOR(pg_catalog.<>) a.usual) END]]

local function privileges(catalog, column)
  local default = known.privileges[catalog]
  local usual = default and ([[pg_catalog.acldefault((%s)::pg_catalog."char", %s)]]):format(
    default[1], default[2]) or "'{}'::pg_catalog.aclitem[]"
  return PRIVILEGES:format(column, column, usual)
end

--- What stands for a column of a row.
function translate(self, catalog, column, alias)
  local instead = (known.instead[catalog] or {})[column]
  if instead and alias == "x" then return instead end
  local of, full = self.catalogs[catalog], alias .. "." .. column
  local target, type_name = of.targets[column], of.types[column]
  if type_name == "aclitem[]" then return privileges(catalog, full) end
  if not target then return full end
  if target.attribute_of then
    local relation = alias .. "." .. target.attribute_of
    if not is_list(type_name) then return ATTRIBUTE:format(relation, full) end
    return ELEMENTS:format(full, ATTRIBUTE:format(relation, "u.e"), full)
  end
  if is_list(type_name) then return resolve_list(self, target.catalog, full, alias) end
  return resolve(self, target.catalog, full, alias)
end

-- ---- keys -----------------------------------------------------------------------

local function split(text)
  local list = {}
  for word in text:gmatch "%S+" do list[#list + 1] = word end
  return list
end

--- Which unique index names a row: one without an OID of its own, and with a name where there is.
local function naming_index(catalog)
  local best, best_rank
  table.sort(catalog.indexes)
  for _, index in ipairs(catalog.indexes) do
    local rank = 0
    for _, column in ipairs(split(index)) do
      if column == "oid" then rank = rank - 2 end
      if catalog.types[column] == "name" then rank = rank + 1 end
    end
    if not best_rank or rank > best_rank then best, best_rank = index, rank end
  end
  return split(best or table.concat(catalog.columns, " "))
end

--- The expressions of the key, and the names that they have for people.
local function key_parts(self, catalog)
  local parts, names = {}, {}
  for _, given in ipairs(known.keys[catalog.name] or catalog.key) do
    local is_pair = type(given) == "table"
    names[#names + 1] = is_pair and given[2] or given
    parts[#parts + 1] = is_pair and given[1] or translate(self, catalog.name, given, "x")
  end
  return parts, names
end

--- The identity of a row as long as it exists: its OID, otherwise what is unique and no name.
local function identity(catalog)
  if catalog.types.oid then return "x.oid" end
  local best
  for _, index in ipairs(catalog.indexes) do
    local parts = {}
    for _, column in ipairs(split(index)) do parts[#parts + 1] = "x." .. column end
    if not (index:find "name" or best) then best = parts end
  end
  best = best or { "x.ctid" }
  if #best == 1 then return best[1] end
  return "pg_catalog.concat_ws(' ', " .. table.concat(best, ", ") .. ")"
end

-- ---- which rows -------------------------------------------------------------------

local has_parts = {
  pg_class = true, pg_type = true, pg_proc = true, pg_opfamily = true, pg_ts_config = true,
}

--- The columns that name the object of which a row is a part: column, catalog.
local function owners(catalog)
  local list = {}
  if known.independent[catalog.name] then return list end
  for _, column in ipairs(known.owners[catalog.name] or { catalog.key[1] }) do
    local target = catalog.targets[column]
    if target and has_parts[target.catalog] then
      list[#list + 1] = { "x." .. column, target.catalog }
    end
  end
  return list
end

--- What a scan for new rows can look at: the columns of the row alone.
local function cheap_filter(catalog)
  local given = known.cheap[catalog.name]
  if given or known.with_system_rows[catalog.name] then return given end
  local columns = {}
  if catalog.types.oid then
    columns[1] = "x.oid"
  else
    for _, owner in ipairs(owners(catalog)) do columns[#columns + 1] = owner[1] end
  end
  for i, column in ipairs(columns) do
    columns[i] = ("%s OPERATOR(pg_catalog.>=) %s"):format(column, FIRST_NORMAL_OID)
  end
  if not columns[1] then return nil end
  return "(" .. table.concat(columns, " OR ") .. ")"
end

local MEMBER = [[NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
  WHERE d.classid OPERATOR(pg_catalog.=) %s AND d.objid OPERATOR(pg_catalog.=) %s
    AND d.deptype OPERATOR(pg_catalog.=) 'e')]]
local RELATION = [[EXISTS (SELECT FROM pg_catalog.pg_class r
  WHERE r.oid OPERATOR(pg_catalog.=) %s AND r.oid OPERATOR(pg_catalog.<>) ALL ($2)
    AND r.relnamespace OPERATOR(pg_catalog.<>) ALL ($3)%s)]]
local OWN_OBJECT = [[NOT (x.%s OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
  AND x.%s OPERATOR(pg_catalog.=) ANY ($2))]]

local function class_literal(name)
  return ("'pg_catalog.%s'::pg_catalog.regclass"):format(name)
end

--- The relation of a row, and what hides the row beside it.
local function parts_of(catalog)
  local relation, list = known.relations[catalog.name], {}
  for _, owner in ipairs(owners(catalog)) do
    if owner[2] == "pg_class" then relation = relation or owner[1] else list[#list + 1] = owner end
  end
  return relation, list
end

local function has_schema(catalog)
  for column, target in pairs(catalog.targets) do
    if target.catalog == "pg_namespace" and catalog.types[column] then return column end
  end
end

--- Conditions on objects and their extensions.
local function object_filters(catalog, list)
  local name, types = catalog.name, catalog.types
  local relation, others = parts_of(catalog)
  if relation then
    local extra = name == "pg_attribute" and " AND " .. known.with_columns or ""
    local visible = RELATION:format(relation, extra)
    if name == "pg_constraint" then
      visible = "(x.conrelid OPERATOR(pg_catalog.=) 0 OR " .. visible .. ")"
    end
    list[#list + 1] = visible
    list[#list + 1] = MEMBER:format(class_literal "pg_class", relation)
  end
  for _, other in ipairs(others) do
    list[#list + 1] = MEMBER:format(class_literal(other[2]), other[1])
  end
  if types.oid and name ~= "pg_class" then
    list[#list + 1] = MEMBER:format(class_literal(name), "x.oid")
  end
  local schema = has_schema(catalog)
  if schema and not relation and not known.independent[name] then
    list[#list + 1] = ("x.%s OPERATOR(pg_catalog.<>) ALL ($3)"):format(schema)
  end
end

local function filter_of(catalog)
  local list, types = { cheap_filter(catalog) }, catalog.types
  list[#list + 1] = known.filters[catalog.name]
  if types.classoid and catalog.name ~= "pg_shdescription" then
    list[#list + 1] = MEMBER:format("x.classoid", "x.objoid")
    list[#list + 1] = OWN_OBJECT:format("classoid", "objoid")
  elseif catalog.name == "pg_depend" then
    list[#list + 1] = "x.deptype OPERATOR(pg_catalog.=) 'x'"
  else
    object_filters(catalog, list)
  end
  return table.concat(list, "\n  AND ")
end

-- ---- queries ------------------------------------------------------------------------

--- The columns of a row that are compared, and what stands for each.
local function value_parts(self, catalog, in_key)
  local dropped, instead = known.dropped[catalog.name] or {}, known.instead[catalog.name] or {}
  local names, parts = {}, {}
  for _, column in ipairs(catalog.columns) do
    local left_out = dropped[column] or in_key[column] or instead[column] == false
      or self.unreadable[catalog.name .. "." .. column]
    if not left_out then
      names[#names + 1] = column
      parts[#parts + 1] = translate(self, catalog.name, column, "x")
    end
  end
  local added = {}
  for name in pairs(known.added[catalog.name] or {}) do added[#added + 1] = name end
  table.sort(added)
  for _, name in ipairs(added) do
    names[#names + 1] = name
    parts[#parts + 1] = known.added[catalog.name][name]
  end
  return parts, names
end

local function set_of(list)
  local result = {}
  for _, name in ipairs(list) do result[name] = true end
  return result
end

--- The query for the rows of a catalog: columns id, key and row, the last two as text of a record.
-- $2 and $3 stand for arrays of OIDs: relations and schemas that are left out.
local function build(self, catalog)
  local key, key_names = key_parts(self, catalog)
  local values, names = value_parts(self, catalog, set_of(key_names))
  local filter = filter_of(catalog)
  return {
    name = catalog.name, key = key_names, values = names, group = known.groups[catalog.name],
    id = identity(catalog), cheap = cheap_filter(catalog),
    query = ("SELECT '%s' AS catalog, (%s)::pg_catalog.text AS id, "
      .. "ROW(%s)::pg_catalog.text AS key, ROW(%s)::pg_catalog.text AS row\n"
      .. "FROM pg_catalog.%s x%s"):format(catalog.name, identity(catalog),
      table.concat(key, ", "), table.concat(values, ", "), catalog.name,
      filter ~= "" and "\nWHERE " .. filter or ""),
    has_filter = filter ~= "",
    has_places = next(catalog.unreadable) == nil, -- otherwise xmin and ctid may not be read
  }
end

local function is_taken(name, options)
  if known.skipped[name] then return false end
  for option, names in pairs(known.optional) do
    if names[name] then return options[option] end
  end
  return true
end

--- Whether the rows of a catalog can be told apart: before PostgreSQL 14 only a superuser can read
-- the OIDs of subscriptions.
local function is_identified(catalog)
  for _, columns in ipairs(catalog.indexes) do
    if columns == "oid" then return catalog.types.oid ~= nil end
  end
  return true
end

--- Note what cannot be read of a catalog: columns, or all of it.
local function note_unreadable(self, catalog)
  local name = catalog.name
  if not is_identified(catalog) then self.unreadable[name] = true end
  for column in pairs(catalog.unreadable) do
    local counts = not (known.dropped[name] or {})[column]
    if counts then self.unreadable[name .. "." .. column] = true end
  end
end

--- Make the queries for a server.
-- @param db the connection
-- @param options { database, roles, large_objects = whether those count; unreadable = a set of
--   "catalog.column" and "catalog" that are not to be read, beside those that cannot be }
-- @return { list = the catalogs by name, each { name, key = columns, values = columns, query, id,
--   cheap, group, has_filter, has_places }, unreadable = a set of "catalog.column" and "catalog" }
function M.make(db, options)
  local self = {
    version = db:server_version(), catalogs = M.describe(db), unreadable = {}, list = {},
  }
  for name in pairs(options.unreadable or {}) do self.unreadable[name] = true end
  local names = {}
  for name, catalog in pairs(self.catalogs) do
    catalog.key = naming_index(catalog)
    if is_taken(name, options) then
      note_unreadable(self, catalog)
      if not self.unreadable[name] then names[#names + 1] = name end
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    self.list[#self.list + 1] = build(self, self.catalogs[name])
  end
  return { list = self.list, unreadable = self.unreadable }
end

return M
