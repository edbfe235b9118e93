--- The objects of a schema that rules ask about, and what each statement changes in them: by OID,
-- so that a renamed one is known again. Only rows that are new to the catalogs are read.
local M = {}
local shape = {}
shape.__index = shape

local OWN = [[n.nspname OPERATOR(pg_catalog.!~) '^pg_'
  AND n.nspname OPERATOR(pg_catalog.<>) 'information_schema']]
local NAME = "pg_catalog.format('%%I.%%I', n.nspname, c.relname)::pg_catalog.text"

-- By kind: what is asked, %s being the condition for rows that are new. Later versions' columns are
-- asked for by way of JSON: where there is none, it is NULL.
local questions = {}

questions.relation = [[
  SELECT c.oid::pg_catalog.int8 AS oid, ]] .. NAME .. [[ AS name,
    n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS bare,
    c.relkind::pg_catalog.text AS kind, c.relpersistence::pg_catalog.text AS persistence,
    c.reltablespace::pg_catalog.text AS tablespace, c.relam::pg_catalog.text AS method,
    c.relispopulated AS populated, c.relrowsecurity AS secured,
    c.relreplident::pg_catalog.text AS identity, c.relacl::pg_catalog.text AS acl,
    c.relispartition AS partition,
    pg_catalog.pg_get_expr(c.relpartbound, c.oid)::pg_catalog.text AS bound
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
  WHERE ]] .. OWN .. [[ AND c.relkind OPERATOR(pg_catalog.<>) 't'::pg_catalog."char" AND %s]]

questions.column = [[
  SELECT c.oid::pg_catalog.int8 AS oid, a.attnum::pg_catalog.int4 AS number, ]] .. NAME .. [[
      AS "table",
    pg_catalog.quote_ident(a.attname)::pg_catalog.text AS name, a.attisdropped AS dropped,
    pg_catalog.format_type(a.atttypid, a.atttypmod)::pg_catalog.text AS type,
    a.attnotnull AS not_null, a.attidentity::pg_catalog.text AS identity,
    pg_catalog.to_jsonb(a) OPERATOR(pg_catalog.->>) 'attgenerated'::pg_catalog.text AS generated,
    pg_catalog.pg_get_expr(d.adbin, d.adrelid)::pg_catalog.text AS "default",
    t.typdefault IS NOT NULL AS type_default
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
  LEFT JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid OPERATOR(pg_catalog.=) a.attrelid
    AND d.adnum OPERATOR(pg_catalog.=) a.attnum
  WHERE ]] .. OWN .. [[ AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2
    AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f,c}'::pg_catalog."char"[])
    AND (%s)]]

questions.constraint = [[
  SELECT k.oid::pg_catalog.int8 AS oid, pg_catalog.quote_ident(k.conname)::pg_catalog.text AS name,
    k.conrelid::pg_catalog.int8 AS of, k.contype::pg_catalog.text AS type,
    k.convalidated AS validated,
    CASE WHEN c.oid IS NOT NULL THEN ]] .. NAME .. [[ END AS "table",
    (SELECT pg_catalog.format('%%I.%%I', fn.nspname, f.relname) FROM pg_catalog.pg_class f
      JOIN pg_catalog.pg_namespace fn ON fn.oid OPERATOR(pg_catalog.=) f.relnamespace
      WHERE f.oid OPERATOR(pg_catalog.=) k.confrelid)::pg_catalog.text AS target,
    (SELECT pg_catalog.format('%%I.%%I', tn.nspname, t.typname) FROM pg_catalog.pg_type t
      JOIN pg_catalog.pg_namespace tn ON tn.oid OPERATOR(pg_catalog.=) t.typnamespace
      WHERE t.oid OPERATOR(pg_catalog.=) k.contypid)::pg_catalog.text AS domain,
    (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY o.i)
      FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY AS o (attnum, i)
      JOIN pg_catalog.pg_attribute a ON a.attnum OPERATOR(pg_catalog.=) o.attnum
        AND a.attrelid OPERATOR(pg_catalog.=) k.conrelid)::pg_catalog.text AS columns,
    pg_catalog.pg_get_constraintdef(k.oid)::pg_catalog.text AS def,
    k.conparentid OPERATOR(pg_catalog.<>) 0::pg_catalog.oid AS inherited
  FROM pg_catalog.pg_constraint k
  LEFT JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) k.conrelid
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) k.connamespace
  WHERE ]] .. OWN .. [[ AND %s]]

questions.index = [[
  SELECT i.indexrelid::pg_catalog.int8 AS oid, i.indrelid::pg_catalog.int8 AS of,
    ]] .. NAME .. [[ AS name,
    pg_catalog.format('%%I.%%I', n.nspname, c2.relname)::pg_catalog.text AS "table",
    i.indisunique AS "unique", i.indisprimary AS "primary",
    i.indpred IS NOT NULL OR i.indexprs IS NOT NULL AS partial,
    (SELECT pg_catalog.string_agg(pg_catalog.pg_get_indexdef(i.indexrelid, g, false), ', '
        ORDER BY g)
      FROM pg_catalog.generate_series(1, i.indnatts) AS g)::pg_catalog.text AS columns,
    pg_catalog.pg_get_indexdef(i.indexrelid)::pg_catalog.text AS def
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid
  JOIN pg_catalog.pg_class c2 ON c2.oid OPERATOR(pg_catalog.=) i.indrelid
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
  WHERE ]] .. OWN .. [[ AND %s]]

questions["function"] = [[
  SELECT p.oid::pg_catalog.int8 AS oid,
    pg_catalog.format('%%I.%%I(%%s)', n.nspname, p.proname,
      pg_catalog.pg_get_function_identity_arguments(p.oid))::pg_catalog.text AS name,
    p.prosecdef AS definer, p.proconfig::pg_catalog.text AS config,
    pg_catalog.pg_get_function_result(p.oid)::pg_catalog.text AS result
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
  WHERE ]] .. OWN .. [[ AND %s AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
        AND d.objid OPERATOR(pg_catalog.=) p.oid
        AND d.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog."char")]]

questions.label = [[
  SELECT e.oid::pg_catalog.int8 AS oid, e.enumlabel::pg_catalog.text AS name,
    pg_catalog.format('%%I.%%I', n.nspname, t.typname)::pg_catalog.text AS type
  FROM pg_catalog.pg_enum e
  JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) e.enumtypid
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace
  WHERE ]] .. OWN .. [[ AND %s]]

questions.policy = [[
  SELECT p.oid::pg_catalog.int8 AS oid, p.polrelid::pg_catalog.int8 AS of,
    p.polname::pg_catalog.text AS name, ]] .. NAME .. [[
      AS "table"
  FROM pg_catalog.pg_policy p
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) p.polrelid
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
  WHERE ]] .. OWN .. [[ AND %s]]

questions.schema = [[
  SELECT n.oid::pg_catalog.int8 AS oid, pg_catalog.quote_ident(n.nspname)::pg_catalog.text AS name
  FROM pg_catalog.pg_namespace n
  WHERE ]] .. OWN .. [[ AND %s]]

-- What the answers have to be like (core/wire/answer.h).
local answers = {
  relation = "* oid:int name:text schema:text bare:text kind:text persistence:text "
    .. "tablespace:text method:text populated:bool secured:bool identity:text acl:text? "
    .. "partition:bool bound:text?",
  column = "* oid:int number:int table:text name:text dropped:bool type:text? not_null:bool "
    .. "identity:text generated:text? default:text? type_default:bool",
  constraint = "* oid:int name:text of:int type:text validated:bool table:text? target:text? "
    .. "domain:text? columns:text? def:text? inherited:bool",
  index = "* oid:int of:int name:text table:text unique:bool primary:bool partial:bool "
    .. "columns:text? def:text?",
  ["function"] = "* oid:int name:text definer:bool config:text? result:text?",
  label = "* oid:int name:text type:text",
  policy = "* oid:int of:int name:text table:text",
  schema = "* oid:int name:text",
}

-- By kind: the catalogs whose rows may be new, by their names in the question; which count.
local sources = {
  relation = { "c" }, column = { "a", "d" }, constraint = { "k" }, index = { "i" },
  ["function"] = { "p" }, label = { "e" }, policy = { "p" }, schema = { "n" },
}
local catalogs = {
  relation = "pg_class", column = "pg_attribute", constraint = "pg_constraint", index = "pg_index",
  ["function"] = "pg_proc", label = "pg_enum", policy = "pg_policy",
  schema = "pg_namespace",
}
local keys = { index = "indexrelid", column = "attrelid" }

--- In this order changes are told.
M.kinds = {
  "schema", "relation", "column", "constraint", "index", "function", "label", "policy",
}

-- The catalogs of rows that can vanish: a column stays, as one that is dropped.
local vanishing = { "schema", "relation", "constraint", "index", "function", "label", "policy" }

-- The kinds of objects that belong to a relation, whose name they have.
local belonging = { "column", "constraint", "index", "policy" }

local function key_of(row) return row.number and row.oid .. "." .. row.number or row.oid end

--- The condition for rows that a transaction of at least this number has written.
local function newer(kind, mark)
  if not mark then return "true" end
  local parts = {}
  for i, alias in ipairs(sources[kind]) do
    parts[i] = ("pg_catalog.age(%s.xmin) OPERATOR(pg_catalog.<=) "
      .. "pg_catalog.age('%d'::pg_catalog.xid)"):format(alias, mark % 4294967296)
  end
  return table.concat(parts, " OR ")
end

--- Ask, past those who watch the calls of a migration in Lua.
local function query(db, answer, sql) return getmetatable(db).ask_rows(db, answer, sql) end

local function bare_name(name) return name and name:match "[^.]*$" end

local function ask(self, kind, mark)
  local rows = {}
  local question = questions[kind]:format(newer(kind, mark))
  for _, row in ipairs(query(self.db, answers[kind], question)) do
    if not self.without[bare_name(row.table or row.name)] and not row.inherited then
      row.object, rows[key_of(row)] = kind, row
    end
  end
  return rows
end

--- The number of this transaction: all that is written from now on has it, or a higher one.
local function mark_of(db)
  return query(db, "1 id:int", "SELECT pg_catalog.txid_current()::pg_catalog.int8 AS id")[1].id
end

--- How many rows of each kind the catalogs have, of all schemas.
local function counts_of(db)
  local parts = {}
  for i, kind in ipairs(vanishing) do
    parts[i] = ('(SELECT pg_catalog.count(*) FROM pg_catalog.%s)::pg_catalog.int8 AS "%s"'):format(
      catalogs[kind], kind)
  end
  local answer = "1 " .. table.concat(vanishing, ":int ") .. ":int"
  return query(db, answer, "SELECT " .. table.concat(parts, ", "))[1]
end

-- The tables whose changed and deleted rows are published, and so need a replica identity.
local PUBLISHED = [[
  SELECT DISTINCT pg_catalog.format('%I.%I', t.schemaname, t.tablename)::pg_catalog.text AS name
  FROM pg_catalog.pg_publication_tables t
  JOIN pg_catalog.pg_publication p ON p.pubname OPERATOR(pg_catalog.=) t.pubname
  WHERE p.pubupdate OR p.pubdelete]]

--- Give the parts of a renamed relation its new name.
local function rename_parts(self, row)
  for _, kind in ipairs(belonging) do
    for _, part in pairs(self.rows[kind]) do
      if (part.of or part.oid) == row.oid then part.table = row.name end
    end
  end
end

--- Begin with what there is.
-- @param db a connection
-- @param without a set of tables that are left out, by their names without a schema
-- @return the shape, whose `rows` hold the objects by kind and key, each with its kind as `object`
function M.open(db, without)
  local self = setmetatable({ db = db, without = without or {}, rows = {}, first = {} }, shape)
  for _, kind in ipairs(M.kinds) do
    self.rows[kind], self.first[kind] = ask(self, kind), {}
    for key in pairs(self.rows[kind]) do self.first[kind][key] = true end
  end
  self.published = {}
  for _, row in ipairs(query(db, "* name:text", PUBLISHED)) do self.published[row.name] = true end
  self.counts, self.mark = counts_of(db), mark_of(db)
  return self
end

--- The keys of a kind that are there.
local function present(self, kind)
  local set = {}
  local question = "SELECT %s::pg_catalog.int8 AS oid FROM pg_catalog.%s"
  question = question:format(keys[kind] or "oid", catalogs[kind])
  for _, row in ipairs(query(self.db, "* oid:int", question)) do
    set[row.oid] = true
  end
  return set
end

--- The objects that are gone: looked for where a catalog has fewer rows than it had, with the new
-- ones.
local function find_gone(self, kind, added, counts, gone)
  if counts[kind] >= self.counts[kind] + added then return end
  local there = present(self, kind)
  for key, row in pairs(self.rows[kind]) do
    if not there[row.oid] then
      gone[#gone + 1] = { kind = kind, old = row }
      self.rows[kind][key] = nil
      if kind == "relation" then row.columns = self:forget_columns(row.oid) end
    end
  end
end

--- Forget those of a relation that is gone.
-- @return their names
function shape:forget_columns(oid)
  local names = {}
  for key, row in pairs(self.rows.column) do
    if row.oid == oid then
      self.rows.column[key] = nil
      if not row.dropped then names[#names + 1] = row.name end
    end
  end
  table.sort(names)
  return names
end

--- Whether two rows say the same.
local function same(a, b)
  for key, value in pairs(a) do
    if b[key] ~= value then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

local function by_key(a, b)
  local x, y = a.new or a.old, b.new or b.old
  if x.oid ~= y.oid then return x.oid < y.oid end
  return (x.number or 0) < (y.number or 0)
end

--- What has changed since the last step, in the transaction that is open.
-- @return a list of { kind, old = row or nil, new = row or nil }
function shape:step()
  local changes, counts = {}, counts_of(self.db)
  for _, kind in ipairs(M.kinds) do
    local list, added = {}, 0
    for key, row in pairs(ask(self, kind, self.mark)) do
      local old = self.rows[kind][key]
      if not old then added = added + 1 end
      if not old or not same(old, row) then
        list[#list + 1] = { kind = kind, old = old, new = row }
      end
      self.rows[kind][key] = row
      if kind == "relation" and old and old.name ~= row.name then rename_parts(self, row) end
    end
    if counts[kind] then find_gone(self, kind, added, counts, list) end
    table.sort(list, by_key)
    for _, change in ipairs(list) do changes[#changes + 1] = change end
  end
  self.counts, self.mark = counts, mark_of(self.db)
  return changes
end

--- Whether an object was there when the shape was opened.
function shape:existed(row) return self.first[row.object][key_of(row)] ~= nil end

--- Whether the relation that an object belongs to, or is, was.
function shape:had_relation(row) return self.first.relation[row.of or row.oid] ~= nil end

--- The objects of a kind for which a function returns true.
function shape:where(kind, fn)
  local list = {}
  for _, row in pairs(self.rows[kind]) do
    if fn(row) then list[#list + 1] = row end
  end
  table.sort(list, function(a, b) return by_key({ new = a }, { new = b }) end)
  return list
end

--- The relation of a name; nil.
function shape:relation(name)
  return self:where("relation", function(row) return row.name == name end)[1]
end

return M
