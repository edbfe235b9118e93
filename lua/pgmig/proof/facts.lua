--- Facts of production: its version, settings, and how large its relations are. No data.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local settings_file = require "pgmig.settings_file"

local M = {}
local facts = {}
facts.__index = facts

--- A relation of at most so many bytes is read and written at once.
M.SMALL = 10 * 1024 * 1024

-- Of a partitioned table: all of its partitions together.
local RELATIONS = [[
  WITH RECURSIVE part AS (
    SELECT c.oid AS root, c.oid FROM pg_catalog.pg_class c
    WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,m,i,I}'::pg_catalog."char"[])
    UNION ALL
    SELECT p.root, i.inhrelid FROM part p
    JOIN pg_catalog.pg_inherits i ON i.inhparent OPERATOR(pg_catalog.=) p.oid
    JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.inhparent
    WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{p,I}'::pg_catalog."char"[]))
  SELECT pg_catalog.format('%I.%I', n.nspname, r.relname)::pg_catalog.text AS name,
    r.relkind::pg_catalog.text AS kind,
    pg_catalog.sum(CASE WHEN c.relkind OPERATOR(pg_catalog.=) ANY ('{p,I}'::pg_catalog."char"[])
      THEN 0 ELSE GREATEST(c.reltuples, 0) END)::pg_catalog.int8 AS "rows",
    pg_catalog.sum(pg_catalog.pg_table_size(c.oid))::pg_catalog.int8 AS bytes
  FROM part
  JOIN pg_catalog.pg_class r ON r.oid OPERATOR(pg_catalog.=) part.root
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) part.oid
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) r.relnamespace
  WHERE n.nspname OPERATOR(pg_catalog.<>) ALL
      ('{pg_catalog,information_schema,pg_toast}'::pg_catalog.name[])
    AND n.nspname OPERATOR(pg_catalog.!~) '^pg_temp'
  GROUP BY n.nspname, r.relname, r.relkind
  ORDER BY n.nspname, r.relname]]
local RELATIONS_SHAPE = "* name:text kind:text rows:int bytes:int"

-- What changes what a migration does, or how long it may wait.
local SETTINGS = [[
  SELECT s.name::pg_catalog.text AS name, s.setting::pg_catalog.text AS setting
  FROM pg_catalog.pg_settings s
  WHERE s.name OPERATOR(pg_catalog.=) ANY ('{TimeZone,server_version,lock_timeout,
      statement_timeout,idle_in_transaction_session_timeout,default_tablespace,
      default_table_access_method,default_toast_compression,maintenance_work_mem,work_mem,
      max_parallel_maintenance_workers,search_path,wal_level,standard_conforming_strings}'
    ::pg_catalog.text[])
  ORDER BY s.name]]

--- Read them from a database.
-- @param db a connection
-- @return the facts: version, version_num, settings by name, relations = { [name] = { kind =
--   of pg_class, rows, bytes } }
function M.read(db)
  local self = setmetatable({ settings = {}, relations = {} }, facts)
  for _, row in ipairs(db:ask_rows("* name:text setting:text", SETTINGS)) do
    self.settings[row.name] = row.setting
  end
  self.version = self.settings.server_version
  self.version_num = db:server_version()
  self.settings.server_version = nil
  for _, row in ipairs(db:ask_rows(RELATIONS_SHAPE, RELATIONS)) do
    self.relations[row.name] = { kind = row.kind, rows = row.rows, bytes = row.bytes }
  end
  return self
end

--- None are known.
function M.none() return setmetatable({ settings = {}, relations = {} }, facts) end

--- Facts as a table of the user's own, such as a file of `pgmig stats` that was read.
-- @raise kind "usage" where it cannot be one
function M.of(table_of, path)
  local relations = type(table_of) == "table" and table_of.relations
  if type(relations) ~= "table" then
    errors.raise("usage", "this is no file of `pgmig stats`: it has no \"relations\"", {
      file = path,
    })
  end
  for name, relation in pairs(relations) do
    if type(relation) ~= "table" or type(relation.bytes) ~= "number" then
      errors.raise("usage", ("the size of relation %s is no number"):format(tostring(name)), {
        file = path,
      })
    end
  end
  local self = { settings = table_of.settings or {}, relations = relations }
  self.version, self.version_num = table_of.version, table_of.version_num
  return setmetatable(self, facts)
end

--- Read a file that `pgmig stats` has written.
-- @raise kind "usage"
function M.load(path)
  local text = settings_file.read(path)
  if not text then errors.raise("usage", "the file does not exist", { file = path }) end
  local value, _, problem = require("dkjson").decode(text)
  if problem then errors.raise("usage", "this is not JSON: " .. problem, { file = path }) end
  return M.of(value, path)
end

--- Whether anything is known.
function facts:known() return next(self.relations) ~= nil end

--- The size of a relation in bytes; nil where it is not known.
function facts:bytes(name)
  local relation = self.relations[name]
  return relation and relation.bytes
end

--- How many rows a relation has, about; nil where that is not known.
function facts:rows(name)
  local relation = self.relations[name]
  return relation and relation.rows
end

--- Whether a relation is known to be small.
function facts:is_small(name)
  local bytes = self:bytes(name)
  return bytes ~= nil and bytes <= M.SMALL
end

local units = { "kB", "MB", "GB", "TB" }

--- A size for people: "12 GB".
function M.size_text(bytes)
  if bytes < 1024 then return ("%d bytes"):format(bytes) end
  local value, unit = bytes, 0
  while value >= 1024 and unit < #units do value, unit = value / 1024, unit + 1 end
  return (value < 10 and unit > 1 and "%.1f %s" or "%.0f %s"):format(value, units[unit])
end

--- The facts as text, for a file.
-- @return JSON of several lines, the same for the same facts
function M.encode(self)
  local dkjson = require "dkjson"
  local names, lines = {}, {}
  for name in pairs(self.relations) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do
    lines[i] = ("    %s: %s"):format(dkjson.encode(name), dkjson.encode(self.relations[name],
      { keyorder = { "kind", "rows", "bytes" } }))
  end
  local settings = {}
  for name in pairs(self.settings) do settings[#settings + 1] = name end
  table.sort(settings)
  return core.readable(('{\n  "version": %s,\n  "version_num": %d,\n  "settings": %s,\n'
    .. '  "relations": {\n%s\n  }\n}\n'):format(dkjson.encode(self.version), self.version_num,
    dkjson.encode(self.settings, { keyorder = settings }), table.concat(lines, ",\n")), "\\\\x")
end

return M
