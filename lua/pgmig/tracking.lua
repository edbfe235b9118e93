--- What another tool's tracking table says. Only read: the table stays as it is.
-- A format's `tracking` is a table:
--
-- * `table`: its usual name, with its schema where it has one; `columns`: some that it has;
--   `exact`: it has no other ones
-- * `query`: asks it; `%s` stands for the table, and a `%` is written twice. It yields a row for
--   each applied migration: `version` as the file says it, or `path` of the file, or `label`; and
--   where there are, `applied_at`; `dirty`, whether it was left half-way; `checksum`; `mark`;
--   `baseline`, whether everything up to it counts as applied; `repeatable`
-- * `newest`: it keeps one row only, of the newest migration
-- * `checksum`: how the tool computes `checksum`, "sha384" or "crc32" (core.file_digest)
-- * `mark`: { a Lua pattern that finds `mark` in the file, how that is called }
-- @module pgmig.tracking
local errors = require "pgmig.errors"

local M = {}

local TABLE = [[
  SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS name, a.attname AS column
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
  JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
    AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
  WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(%s)]]

--- The table's qualified name, and its columns as a set; nil when there is none.
local function find(db, name)
  local rows, columns = db:ask(TABLE:format(db:quote_literal(name))), {}
  for _, row in ipairs(rows) do columns[row.column] = true end
  if rows[1] then return rows[1].name, columns end
end

local function keys(set)
  local list = {}
  for key in pairs(set) do list[#list + 1] = key end
  table.sort(list)
  return list
end

--- What speaks against a table being the tool's; nil.
local function objection(how, columns)
  local missing, wanted = {}, {}
  for _, name in ipairs(how.columns) do
    wanted[name] = true
    if not columns[name] then missing[#missing + 1] = name end
  end
  if missing[1] then return "it has no column " .. table.concat(missing, ", ") end
  for _, name in ipairs(how.exact and keys(columns) or {}) do
    if not wanted[name] then return "it has a column " .. name end
  end
end

--- Whether a tool has kept a tracking table in a database.
-- @param tracking a format's
-- @return its qualified name, or nil
function M.exists(db, tracking)
  local qualified, columns = find(db, tracking.table)
  return qualified and not objection(tracking, columns) and qualified or nil
end

--- Read a tool's table.
-- @param format whose (pgmig.formats)
-- @param name the table; nil: its usual name
-- @return its rows
-- @return its qualified name
-- @raise kind "plan" when there is no such table, or it is not the tool's
function M.read(db, format, name)
  local tracking = format.tracking
  if not tracking then
    errors.raise("usage", ("the format %s does not say how its table reads"):format(format.name))
  end
  name = name or tracking.table
  local qualified, columns = find(db, name)
  if not qualified then
    local message = ("there is no table %s: %s has kept nothing here"):format(name, format.name)
    errors.raise("plan", message, {
      hint = "if it has another name: --from-table NAME",
    })
  end
  local wrong = objection(tracking, columns)
  if wrong then
    errors.raise("plan", ("table %s is not %s's: %s"):format(name, format.name, wrong), {
      hint = "name the right one with --from-table, or the right tool with --from",
    })
  end
  return db:ask(tracking.query:format(qualified)), qualified
end

--- Refuse a database in which the format's own tool has applied migrations.
-- @raise kind "plan"
function M.check_unused(db, format)
  local qualified = format.tracking and M.exists(db, format.tracking)
  local rows = qualified and M.read(db, format)
  if not rows or not rows[1] then return end
  errors.raise("plan", ("%s has applied migrations here, as its table %s says"):format(format.name,
    qualified), {
    hint = ("take them over first: pgmig --format %s adopt; or use its table in place: --shared")
      :format(format.name),
  })
end

return M
