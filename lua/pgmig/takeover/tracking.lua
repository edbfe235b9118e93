--- What another tool's tracking table says. Only read: the table stays as it is.
-- A format's `tracking` is a table:
--
-- * `table`: its usual name, with its schema where it has one; `elsewhere`: its name where it is in
--   another schema, by the tool's settings; `columns`: some that it has;
--   `exact`: it has no other ones
-- * `query`: asks it; `%s` stands for the table, and a `%` is written twice. It yields a row for
--   each applied migration: `version` as the file says it, or `path` of the file, or `label`, or
--   `key` as the naming rule's `parse` says it, with `label` or `checksum`; and where there are,
--   `project`; `applied_at`; `dirty`, whether it was left half-way; `checksum`; `mark`; `baseline`,
--   whether everything up to it counts as applied; `repeatable`
-- * `newest`: it keeps one row only, of the newest migration
-- * `checksum`: how the tool computes `checksum`, "sha384", "crc32", ... (core.file_digest), or a
--   function of the migration and the row that does
-- * `same(text, row, m)`: whether the file's text is what the row tells of, where that takes more
-- * `judge(rows, set)`: what all rows together come to: other rows, and a list of what is wrong
-- * `mark`: { a Lua pattern that finds `mark` in the file, how that is called }
-- @module pgmig.takeover.tracking
local core = require "pgmig.core"
local errors = require "pgmig.errors"

local M = {}

-- The table as it was named; what speaks against it; as before; its bare name where no schema was
-- given
local TABLES = [[
  SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS name,
    (SELECT pg_catalog.string_agg(a.attname::pg_catalog.text, ',')
      FROM pg_catalog.pg_attribute a WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid
      AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped) AS columns,
    c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(%s) AS found,
    pg_catalog.row_security_active(c.oid) AS secured, %s AS objection
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
  WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(%s)
    OR c.relname OPERATOR(pg_catalog.=) %s::pg_catalog.name
    AND c.relkind::pg_catalog.text OPERATOR(pg_catalog.=) ANY ('{r,p}'::pg_catalog.text[])
  ORDER BY 1]]
local TABLES_SHAPE = "* name:text columns:text? found:bool? secured:bool objection:text?"

--- The tables of a name: { name = qualified, columns = a set, secured = by row-level security,
-- objection = for `core.refuse`; nil }.
-- @return the one that the search_path finds; nil
-- @return a list of those in other schemas, where the name has none
local function find(db, name)
  local named = db:quote_literal(name)
  local bare = name:find(".", 1, true) and "NULL" or named
  local found, elsewhere = nil, {}
  local distrust = core.objection "ARRAY[c.oid]"
  for _, row in ipairs(db:ask_rows(TABLES_SHAPE, TABLES:format(named, distrust, named, bare))) do
    local columns = {}
    for column in (row.columns or ""):gmatch "[^,]+" do columns[column] = true end
    row.columns = columns
    if row.found then found = row else elsewhere[#elsewhere + 1] = row end
  end
  return found, elsewhere
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

--- Whether a tool has kept a tracking table in a database, in whatever schema. One of another
-- schema that belongs to somebody else is not meant.
-- @param tracking a format's
-- @return its qualified name, or nil
function M.exists(db, tracking)
  local found, elsewhere = find(db, tracking.table)
  if not found and tracking.elsewhere then found, elsewhere = find(db, tracking.elsewhere) end
  if found and not objection(tracking, found.columns) then return found.name end
  for _, t in ipairs(elsewhere) do
    if not (objection(tracking, t.columns) or t.objection) then return t.name end
  end
end

local function refuse_missing(name, format, elsewhere)
  local message = ("there is no table %s: %s has recorded nothing here"):format(name, format.name)
  local hint = "if it has another name, use --from-table NAME"
  for _, t in ipairs(elsewhere) do
    if not objection(format.tracking, t.columns) then
      message = ("there is no table %s in the schemas of this session's search_path"):format(name)
      hint = ("there is one in another schema: use --from-table %s"):format(t.name)
    end
  end
  errors.raise("plan", message, { hint = hint })
end

-- Times as JSON has them, whatever DateStyle is: what reads them back takes an abbreviated time
-- zone for another one.
local WITH_TIMES = [[
  SELECT r.*, pg_catalog.row_to_json(r) OPERATOR(pg_catalog.->>) 'applied_at'::pg_catalog.text
    AS applied_at_iso
  FROM (%s) AS r]]

--- Refuse a table that is not the tool's, or that may not be used.
-- @param option of the command line, which names the table
local function check(found, format, option)
  local wrong = objection(format.tracking, found.columns)
  if wrong then
    errors.raise("plan", ("table %s is not %s's: %s"):format(found.name, format.name, wrong), {
      hint = ("name the right one with --%s-table, or the right tool with --%s"):format(option,
        option),
    })
  end
  if found.objection then core.refuse(found.objection) end
  if found.secured then
    errors.raise("plan", ("row-level security may hide rows of %s from this role")
      :format(found.name), {
      hint = "connect as the table's owner or as a role with BYPASSRLS",
    })
  end
end

--- The tables that may be a tool's: the name, and what `find` returns of it.
local function find_of(db, format, given)
  local how = format.tracking
  if not how then
    errors.raise("usage", ("the format %s does not define how to read its "
      .. "table"):format(format.name))
  end
  local name = given or how.elsewhere and M.exists(db, how) or how.table
  return name, find(db, name)
end

--- The rows of a table that was checked.
local function rows_of(db, format, qualified)
  local rows = db:ask_rows("* ...", WITH_TIMES:format(format.tracking.query:format(qualified)))
  if format.tracking.newest and #rows > 1 then
    errors.raise("plan", ("table %s has %d rows; %s keeps one"):format(qualified, #rows,
      format.name))
  end
  return rows
end

--- Read a tool's table.
-- @param format whose (pgmig.formats)
-- @param given the table; nil: its usual name
-- @return its rows, with `applied_at_iso` where they have a time
-- @return its qualified name
-- @raise kind "plan" when there is no such table, it is not the tool's, somebody else's,
--   row-level security may hide its rows, or it has more than the tool keeps
function M.read(db, format, given)
  local name, found, elsewhere = find_of(db, format, given)
  if not found then refuse_missing(name, format, elsewhere) end
  check(found, format, "from")
  return rows_of(db, format, found.name), found.name
end

-- Where an unqualified name would be created; its parts, quoted.
local PLACE = [[
  SELECT CASE WHEN p.parts[2] IS NULL THEN pg_catalog.quote_ident(pg_catalog.current_schema())
      ELSE pg_catalog.quote_ident(p.parts[1]) END AS schema,
    COALESCE(p.parts[2], p.parts[1]) AS bare,
    pg_catalog.quote_ident(COALESCE(p.parts[2], p.parts[1])) AS quoted
  FROM pg_catalog.parse_ident(%s) AS p (parts)]]

local function parts_of(db, name)
  return db:ask_row("1 schema:text? bare:text quoted:text", PLACE:format(db:quote_literal(name)))
end

--- A table's name as the names here are written: with its schema, and quoted where it has to be.
function M.written(db, name)
  local at = parts_of(db, name)
  return at.schema and at.schema .. "." .. at.quoted
end

--- Refuse to make a second table beside one of another schema, which the tool may mean.
local function check_alone(format, name, elsewhere)
  for _, t in ipairs(elsewhere) do
    if not objection(format.tracking, t.columns) then
      errors.raise("plan", ("there is no table %s in the schemas of this session's search_path, "
        .. "but %s"):format(name, t.name), {
        hint = ("if that is the tool's, use --to-table %s; if not, name the other one with its "
          .. "schema"):format(t.name),
      })
    end
  end
end

--- Where a tool's table is to be written to. It is only looked for.
-- @param format whose
-- @param given the table; nil: its usual name
-- @return { name = qualified, schema = its schema, quoted, bare = its name without it, exists =
--   whether it is there, rows = as of `read` }
-- @raise kind "plan" as `read`, but for a missing table, and where there is no schema for it
function M.place(db, format, given)
  local name, found, elsewhere = find_of(db, format, given)
  if found then check(found, format, "to") else check_alone(format, name, elsewhere) end
  local at = parts_of(db, found and found.name or name)
  if not at.schema then
    errors.raise("plan", ("no schema is available for the table %s"):format(name), {
      hint = "name it as schema.table: --to-table",
    })
  end
  return {
    name = found and found.name or at.schema .. "." .. at.quoted, schema = at.schema,
    bare = at.bare, exists = found ~= nil,
    rows = found and rows_of(db, format, found.name) or {},
  }
end

--- Whether a row is about a folder's migrations: a tool may keep those of several projects.
-- @param row of `read`
-- @param project what the tool calls the folder; nil: it does not tell
function M.is_of(row, project)
  return not (row.project and project) or row.project == project
end

local function has_rows(rows, project)
  for _, row in ipairs(rows) do
    if M.is_of(row, project) then return true end
  end
  return false
end

--- Refuse a database in which the format's own tool has applied migrations.
-- @param project what the tool calls the folder, or nil
-- @raise kind "plan"
function M.check_unused(db, format, project)
  local qualified = format.tracking and M.exists(db, format.tracking)
  if not (qualified and has_rows(M.read(db, format, qualified), project)) then return end
  errors.raise("plan", ("%s has applied migrations here, according to its table "
    .. "%s"):format(format.name,
    qualified), {
    hint = ("take them over first: pgmig --format %s adopt%s"):format(format.name,
      format.shared and "; or use its table in place: --shared" or ""),
  })
end

return M
