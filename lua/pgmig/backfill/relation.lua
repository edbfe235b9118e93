--- The table that is filled: its key, and the SQL that walks along it. A key is compared with the
-- operators of the index that it has, whatever the search path says, and its values travel as texts
-- in forms that do not depend on settings.
local arrays = require "pgmig.backfill.arrays"
local errors = require "pgmig.errors"

local M = {}
local relation = {}
relation.__index = relation

local function refuse(message, hint) errors.raise("plan", message, { hint = hint }) end

local TABLE = [[
  SELECT c.oid, c.relkind::pg_catalog.text AS kind,
    pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
  WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1::pg_catalog.text)::pg_catalog.oid]]

-- Of each index that walks a key: its first columns are the key's, in this order, ascending, each
-- with the collation of its column. A unique one first, then the narrowest.
local KEY = [[
  WITH wanted AS (SELECT w.name, w.at FROM pg_catalog.unnest($2::pg_catalog.text[])
      WITH ORDINALITY AS w (name, at)),
  found AS (
    SELECT i.indexrelid, i.indisunique AND i.indnkeyatts OPERATOR(pg_catalog.=) k.n AS single,
      i.indnatts, i.indkey, i.indclass, k.n
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid
    JOIN pg_catalog.pg_am m ON m.oid OPERATOR(pg_catalog.=) x.relam,
    LATERAL (SELECT CASE WHEN EXISTS (SELECT FROM wanted)
      THEN (SELECT pg_catalog.count(*) FROM wanted)::pg_catalog.int4
      ELSE %s::pg_catalog.int4 END AS n) AS k
    WHERE i.indrelid OPERATOR(pg_catalog.=) $1::pg_catalog.int8::pg_catalog.oid
      AND i.indisvalid AND i.indpred IS NULL AND m.amname OPERATOR(pg_catalog.=) 'btree'
      AND (i.indisprimary OR EXISTS (SELECT FROM wanted))
      AND %s OPERATOR(pg_catalog.>=) k.n
      AND NOT EXISTS (SELECT FROM wanted w
        WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
          WHERE a.attrelid OPERATOR(pg_catalog.=) i.indrelid
            AND a.attnum OPERATOR(pg_catalog.=)
              i.indkey[(w.at OPERATOR(pg_catalog.-) 1)::pg_catalog.int4]
            AND a.attname OPERATOR(pg_catalog.=) w.name::pg_catalog.name
            AND a.attcollation OPERATOR(pg_catalog.=)
              i.indcollation[(w.at OPERATOR(pg_catalog.-) 1)::pg_catalog.int4]
            AND i.indoption[(w.at OPERATOR(pg_catalog.-) 1)::pg_catalog.int4]
              OPERATOR(pg_catalog.=) 0))),
  chosen AS (SELECT f.* FROM found f ORDER BY f.single DESC, f.indnatts, f.indexrelid LIMIT 1)
  SELECT a.attname::pg_catalog.text AS column, pg_catalog.quote_ident(a.attname) AS quoted,
    pg_catalog.format('%%I.%%I', tn.nspname, t.typname) AS type, a.attnotnull AS filled,
    pg_catalog.max(pg_catalog.format('OPERATOR(%%I.%%s)', pn.nspname, p.oprname))
      FILTER (WHERE o.amopstrategy OPERATOR(pg_catalog.=) 1) AS less,
    pg_catalog.max(pg_catalog.format('OPERATOR(%%I.%%s)', pn.nspname, p.oprname))
      FILTER (WHERE o.amopstrategy OPERATOR(pg_catalog.=) 2) AS most,
    pg_catalog.max(pg_catalog.format('OPERATOR(%%I.%%s)', pn.nspname, p.oprname))
      FILTER (WHERE o.amopstrategy OPERATOR(pg_catalog.=) 3) AS equal,
    pg_catalog.max(pg_catalog.format('OPERATOR(%%I.%%s)', pn.nspname, p.oprname))
      FILTER (WHERE o.amopstrategy OPERATOR(pg_catalog.=) 5) AS greater
  FROM chosen c
  CROSS JOIN LATERAL pg_catalog.generate_series(0, c.n OPERATOR(pg_catalog.-) 1) AS s (at)
  JOIN pg_catalog.pg_attribute a
    ON a.attrelid OPERATOR(pg_catalog.=) $1::pg_catalog.int8::pg_catalog.oid
    AND a.attnum OPERATOR(pg_catalog.=) c.indkey[s.at]
  JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
  JOIN pg_catalog.pg_namespace tn ON tn.oid OPERATOR(pg_catalog.=) t.typnamespace
  JOIN pg_catalog.pg_opclass oc ON oc.oid OPERATOR(pg_catalog.=) c.indclass[s.at]
  JOIN pg_catalog.pg_amop o ON o.amopfamily OPERATOR(pg_catalog.=) oc.opcfamily
    AND o.amoplefttype OPERATOR(pg_catalog.=) oc.opcintype
    AND o.amoprighttype OPERATOR(pg_catalog.=) oc.opcintype
  JOIN pg_catalog.pg_operator p ON p.oid OPERATOR(pg_catalog.=) o.amopopr
  JOIN pg_catalog.pg_namespace pn ON pn.oid OPERATOR(pg_catalog.=) p.oprnamespace
  GROUP BY s.at, a.attname, tn.nspname, t.typname, a.attnotnull
  ORDER BY s.at]]

local KEY_SHAPE = "* column:text quoted:text type:text filled:bool less:text most:text "
  .. "equal:text greater:text"

local NO_INDEX = "without one each batch would read the whole table: CREATE INDEX CONCURRENTLY "
  .. "first"

local function check_table(row, name)
  if not row then
    refuse(("table %s does not exist"):format(name), "name it as a query would, with its schema if "
      .. "it is not in the search path")
  end
  if row.kind ~= "r" and row.kind ~= "p" then
    refuse(row.name .. " is not a table")
  end
end

local function find_key(db, found, wanted)
  -- INCLUDE columns came with PostgreSQL 11
  local keys = db:server_version() >= 110000 and "i.indnkeyatts" or "i.indnatts"
  local sql = KEY:gsub("i%.indnkeyatts", keys):format(keys, keys)
  local key = db:ask_rows(KEY_SHAPE, sql, ("%d"):format(found.oid), arrays.text(wanted or {}))
  if key[1] then return key end
  if not wanted then
    refuse(("table %s has no primary key"):format(found.name),
      "name a key with an index: key=..., columns that are NOT NULL and never change")
  end
  refuse(("no index of %s begins with (%s)"):format(found.name,
    table.concat(wanted, ", ")), NO_INDEX)
end

--- Look at the table.
-- @param db the connection, with the search path that the table's name is meant in
-- @param target the table, as it is written
-- @param key a list of columns; nil: the primary key
-- @raise kind "plan"
function M.look(db, target, key)
  local found = db:ask_row("? oid:int kind:text name:text", TABLE, target)
  check_table(found, target)
  local self = setmetatable({ name = found.name, oid = found.oid }, relation)
  self.key = find_key(db, found, key)
  return self
end

-- ---- SQL ---------------------------------------------------------------------

--- The key's columns, one behind the other, with something behind each.
local function list_of(self, part)
  local parts = {}
  for i, column in ipairs(self.key) do parts[i] = part(column, i) end
  return table.concat(parts, ", ")
end

--- ORDER BY, along the key; downwards: from its end.
function relation:order(downwards)
  return "ORDER BY " .. list_of(self, function(column)
    return ("%s USING %s"):format(column.quoted, downwards and column.greater or column.less)
  end)
end

--- The key's values as texts: columns k1, k2, ...
function relation:texts()
  return list_of(self, function(column, i)
    return ("%s::pg_catalog.text AS k%d"):format(column.quoted, i)
  end)
end

--- The shape of such an answer, behind its number of rows.
function relation:shape()
  return (list_of(self, function(_, i) return ("k%d:text"):format(i) end):gsub(",", ""))
end

--- Such a row's values.
function relation:values(row)
  local values = {}
  for i in ipairs(self.key) do values[i] = row["k" .. i] end
  return values
end

local function literal(db, column, value)
  return ("%s::%s"):format(db:quote_literal(value), column.type)
end

--- Whether all columns have one operator for a comparison: then the row has it, too.
local function shares(self, operator)
  for _, column in ipairs(self.key) do
    if column[operator] ~= self.key[1][operator] then return false end
  end
  return true
end

--- The rows on one side of a key; of a key of several columns as a comparison of rows, which an
-- index is used for; where the columns' operators differ, column by column.
local function side(self, db, operator, strict, values, from)
  local column = self.key[from]
  if not column then return nil end
  local value = literal(db, column, values[from])
  local here = ("%s %s %s"):format(column.quoted, column[from == #self.key and operator or strict],
    value)
  local rest = side(self, db, operator, strict, values, from + 1)
  if not rest then return here end
  return ("(%s OR %s %s %s AND %s)"):format(here, column.quoted, column.equal, value, rest)
end

local function compare(self, db, operator, strict, values)
  if #self.key == 1 or not shares(self, operator) then
    return side(self, db, operator, strict, values, 1)
  end
  return ("ROW(%s) %s ROW(%s)"):format(list_of(self, function(column) return column.quoted end),
    self.key[1][operator], list_of(self, function(column, i)
      return literal(db, column, values[i])
    end))
end

--- The rows behind a key, up to another one.
-- @param after values; nil: from the first row on
-- @param upto values
-- @return a condition
function relation:between(db, after, upto)
  local parts = { compare(self, db, "most", "less", upto) }
  if after then table.insert(parts, 1, compare(self, db, "greater", "greater", after)) end
  return table.concat(parts, " AND ")
end

--- The rows with a key.
function relation:at(db, values)
  local parts = {}
  for i, column in ipairs(self.key) do
    parts[i] = ("%s %s %s"):format(column.quoted, column.equal, literal(db, column, values[i]))
  end
  return table.concat(parts, " AND ")
end

--- Let the server look at the expressions: an error names what is wrong with them, and nothing has
-- happened.
-- @param set what stands behind SET
-- @param where a condition; nil
function relation:check(db, set, where)
  db:ask_rows("-", ("EXPLAIN UPDATE %s SET %s\n WHERE (%s\n)"):format(self.name, set,
    where or "true"))
end

--- A key for people.
function relation:shown(values)
  local parts = {}
  for i, column in ipairs(self.key) do parts[i] = ("%s = %s"):format(column.column, values[i]) end
  return table.concat(parts, ", ")
end

--- Whether a row has no key: nothing would come to it.
function relation:nulls()
  local parts = {}
  for _, column in ipairs(self.key) do
    if not column.filled then parts[#parts + 1] = column.quoted .. " IS NULL" end
  end
  return parts[1] and ("SELECT EXISTS (SELECT FROM %s WHERE %s) AS found"):format(self.name,
    table.concat(parts, " OR "))
end

return M
