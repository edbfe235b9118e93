--- Rules over what a statement changes in the schema. Each is a function as a user may write them:
-- fn(effect, facts, report, run); `run` knows what the schema is like at the end.
local advice = require "pgmig.proof.advice"

local M = {}

local short = advice.short

--- The changes of a statement, of some kinds.
local function each(effect, what)
  local i = 0
  return function()
    local list = effect.changes or {}
    repeat i = i + 1 until not list[i] or what[list[i].what]
    return list[i]
  end
end

local readable = {
  ["table"] = true, ["partitioned table"] = true, view = true, ["materialized view"] = true,
  ["foreign table"] = true,
}

-- ---- what old queries meet -----------------------------------------------------------

local breaking = {}

breaking["column dropped"] = function(change)
  return ("column %s of %s is dropped with its data: queries that name it fail"):format(
    change.column, short(change.table)),
    "-- first a release whose queries do not name it; then this migration"
end

breaking["column renamed"] = function(change)
  return ("column %s of %s is renamed to %s: queries that use the old name fail"):format(
    change.column, short(change.table), change.to),
    ("ALTER TABLE %s ADD COLUMN %s %s;\n-- a trigger keeps both in step until no query uses %s")
      :format(short(change.table), change.to, change.type, change.column)
end

--- What queries miss that use a relation's name, where another one has it now.
local function successor_lacks(change, name, columns, run)
  for _, column in ipairs(columns) do
    if not run:column(name, column) then
      return ("%s %s has no column %s any more: queries that name it fail"):format(change.kind,
        short(name), column), "-- first a release whose queries do not name it; then this migration"
    end
  end
end

local holds_rows = { ["table"] = true, ["partitioned table"] = true }

breaking["relation dropped"] = function(change, run)
  if not readable[change.kind] then return end
  if not run:has_relation(change.name) then
    return ("%s %s is dropped%s: queries that name it fail"):format(change.kind,
      short(change.name), change.kind:find "view" and "" or " with its data"),
      "-- first a release whose queries do not name it; then this migration"
  end
  if holds_rows[change.kind] then
    return ("%s %s is dropped with its data, and another one takes its name"):format(change.kind,
      short(change.name))
  end
  return successor_lacks(change, change.name, change.columns, run)
end

breaking["relation renamed"] = function(change, run)
  if not readable[change.kind] then return end
  if run:has_relation(change.from) then
    return successor_lacks(change, change.from, run:columns_of(change.to), run)
  end
  return ("%s %s is renamed to %s: queries that use the old name fail"):format(change.kind,
    short(change.from), short(change.to)),
    ("ALTER TABLE %s RENAME TO ...;\nCREATE VIEW %s AS SELECT * FROM %s; -- for the old name")
      :format(short(change.from), short(change.from), short(change.to))
end

breaking["constraint dropped"] = function(change, run)
  if change.type ~= "p" or not change.on_old or run:has_key(change.table)
    or not run:has_relation(change.table) then
    return
  end
  return ("the primary key of %s is dropped: ON CONFLICT (%s) fails, and so do updates of a "
    .. "published table"):format(short(change.table), change.columns or "..."),
    "-- first another unique index, then ADD PRIMARY KEY USING INDEX in the same migration"
end

breaking["enum value renamed"] = function(change)
  return ("value '%s' of %s is renamed to '%s': queries that use the old one fail"):format(
    change.from, short(change.type), change.name),
    ("ALTER TYPE %s ADD VALUE '%s'; -- and the old one stays"):format(short(change.type),
      change.name)
end

breaking["function dropped"] = function(change, run)
  if not run:has_function(change.name) then
    return ("function %s is dropped: queries that call it fail"):format(short(change.name)),
      "-- first a release that does not call it; then this migration"
  end
  local result = run:result_of(change.name)
  if result == change.result then return end
  return ("function %s returns %s, not %s any more"):format(short(change.name), result,
    change.result), "-- a function of another name; this one goes when nothing calls it"
end

breaking["function renamed"] = function(change, run)
  if run:has_function(change.from) then return end
  return ("function %s is renamed: queries that call %s fail"):format(short(change.from),
    short(change.from):match "^[^(]*"),
    "-- a function of the new name; the old one goes when nothing calls it"
end

breaking["schema renamed"] = function(change)
  return ("schema %s is renamed to %s: queries that use the old name fail"):format(change.from,
    change.name)
end

function M.breaks_application(effect, _, report, run)
  for change in each(effect, breaking) do
    local message, rewrite
    if change.existed then message, rewrite = breaking[change.what](change, run) end
    if message then
      report { severity = "warning", relation = change.table, message = message, rewrite = rewrite,
        why = "an application that runs while the migration is applied still has the old queries" }
    end
  end
end

--- A column that a table with users must not leave empty, and that old INSERTs do not know.
local function lacks_default(column)
  return column.not_null and not column.default and (column.identity or "") == ""
    and (column.generated or "") == "" and not column.type_default
end

local defaults = { ["default changed"] = true, ["identity removed"] = true }

--- The default of a mandatory column goes: a column that was added with one in the same run, too.
function M.default_removed(effect, _, report, run)
  for change in each(effect, defaults) do
    local column = change.on_old and not change.to and run:column(change.table, change.column)
    if column and lacks_default(column) then
      report { id = "breaks-application", severity = "warning", relation = change.table,
        message = ("column %s of %s has no default any more and may not be NULL: an INSERT that "
          .. "does not name it fails"):format(change.column, short(change.table)),
        why = "an application that runs while the migration is applied does not know the column",
        rewrite = "-- drop the default when all writers name the column" }
    end
  end
end

-- What a sequence goes with, where it is not dropped for itself.
local owners = {
  ["relation dropped"] = true, ["column dropped"] = true, ["identity removed"] = true,
}

local function owner_goes(effect)
  for change in each(effect, owners) do
    if change.kind ~= "sequence" then return true end
  end
  return false
end

function M.sequence_dropped(effect, _, report, run)
  if owner_goes(effect) then return end
  for change in each(effect, { ["relation dropped"] = true }) do
    if change.kind == "sequence" and change.existed and not run:has_relation(change.name) then
      report { id = "breaks-application", severity = "warning", relation = change.name,
        message = ("sequence %s is dropped: queries that take numbers of it fail"):format(
          short(change.name)),
        why = "an application that runs while the migration is applied still has the old queries" }
    end
  end
end

-- What may leave a published table without a way to tell its rows apart.
local identities = {
  ["constraint dropped"] = true, ["replica identity changed"] = true, ["index dropped"] = true,
}

function M.replica_identity(effect, _, report, run)
  local told = {}
  for change in each(effect, identities) do
    local name = change.table
    if change.on_old and not told[name] and run:lacks_identity(name) then
      told[name] = true
      report { id = "breaks-application", severity = "warning", relation = name,
        message = ("%s is published and has no replica identity any more: each UPDATE and DELETE "
          .. "of it fails"):format(short(name)),
        why = "those who subscribe are told of a changed row by its primary key",
        rewrite = ("ALTER TABLE %s REPLICA IDENTITY FULL; -- before it, or an index of its own")
          :format(short(name)) }
    end
  end
end

function M.not_null_added(effect, _, report)
  for change in each(effect, { ["not null added"] = true }) do
    if change.on_old and change.existed and lacks_default(change) then
      report { id = "breaks-application", severity = "note", relation = change.table,
        message = ("column %s of %s may not be NULL any more: an INSERT that leaves it out fails")
          :format(change.column, short(change.table)),
        why = "the application has to set it before this migration is applied" }
    end
  end
end

function M.type_changed(effect, _, report)
  for change in each(effect, { ["type changed"] = true }) do
    if change.on_old and change.existed then
      report { id = "breaks-application", severity = "note", relation = change.table,
        message = ("column %s of %s is %s, was %s: prepared statements that return it fail once")
          :format(change.column, short(change.table), change.type, change.from),
        why = "\"cached plan must not change result type\" (0A000), until the client prepares them "
          .. "again" }
    end
  end
end

function M.not_null_without_default(effect, facts, report)
  for change in each(effect, { ["column added"] = true }) do
    if change.on_old and lacks_default(change) and facts:rows(change.table) ~= 0 then
      report { severity = "error", relation = change.table,
        message = ("column %s may not be NULL and has no default: the statement fails as soon as "
          .. "%s has a row"):format(change.column, short(change.table)),
        why = "on the empty clone it works; existing rows have no value for it, nor do the INSERTs "
          .. "of an application that does not know it",
        rewrite = ("ALTER TABLE %s ADD COLUMN %s %s NOT NULL DEFAULT ...;"):format(
          short(change.table), change.column, change.type),
        instead_of = "scan-under-lock" }
    end
  end
end

--- What only the rows themselves can tell.
function M.may_fail(effect, _, report)
  for change in each(effect, { ["constraint added"] = true }) do
    if change.on_old and change.columns and (change.type == "u" or change.type == "p") then
      report { severity = "note", relation = change.table,
        message = ("it fails if two rows of %s have the same %s"):format(short(change.table),
          change.columns),
        why = "the clone has no rows: ask the database itself",
        rewrite = ("-- no row may come of this:\nSELECT %s, count(*) FROM %s GROUP BY %s "
          .. "HAVING count(*) > 1;"):format(change.columns, short(change.table), change.columns) }
    end
  end
end

-- ---- security ----------------------------------------------------------------------------

function M.security_definer(effect, _, report)
  for change in each(effect, { ["function changed"] = true }) do
    if change.definer and not (change.config or ""):find "search_path=" then
      report { severity = "warning",
        message = ("function %s runs with its owner's rights (SECURITY DEFINER) and sets no "
          .. "search_path"):format(short(change.name)),
        why = "whoever calls it chooses which tables and functions its names stand for",
        rewrite = ("ALTER FUNCTION %s SET search_path = pg_catalog, public, pg_temp;"):format(
          short(change.name)) }
    end
  end
end

function M.row_security(effect, _, report, run)
  for change in each(effect, { ["row security enabled"] = true }) do
    if not run:has_policy(change.table) then
      report { severity = change.on_old and "warning" or "note", relation = change.table,
        message = ("row security of %s is enabled, and there is no policy: nobody but its owner "
          .. "sees a row"):format(short(change.table)),
        why = "without a policy all rows are refused",
        rewrite = ("CREATE POLICY ... ON %s USING (...);"):format(short(change.table)) }
    end
  end
end

function M.public_grant(effect, _, report)
  for change in each(effect, { ["granted to public"] = true }) do
    report { severity = "note", relation = change.table,
      message = ("all roles get privileges on %s (PUBLIC)"):format(short(change.table)),
      why = "roles that are made later get them, too" }
  end
end

-- ---- style ----------------------------------------------------------------------------------

--- A rule about the type of new columns.
local function about_type(pattern, message, why)
  return function(effect, _, report)
    for change in each(effect, { ["column added"] = true }) do
      if change.type and change.type:find(pattern) then
        report { severity = "note", relation = change.table, why = why,
          message = message:format(change.column, change.type) }
      end
    end
  end
end

M.timestamp = about_type("^timestamp.* without time zone",
  "column %s: timestamp without time zone",
  "what moment it means depends on who reads it: timestamptz")
M.json = about_type("^json$", "column %s is json", "jsonb is smaller to read and can be indexed")
M.char = about_type("^character%(", "column %s is %s", "it is filled up with blanks: text")
M.varchar = about_type("^character varying%(", "column %s is %s",
  "text with a CHECK can be changed later without a lock that reads wait for")
M.money = about_type("^money$", "column %s is money",
  "its currency is a setting of the server: numeric")

function M.serial(effect, _, report)
  for change in each(effect, { ["column added"] = true }) do
    if (change.default or ""):find "^nextval%(" and not change.identity then
      report { severity = "note", relation = change.table,
        message = ("column %s is serial"):format(change.column),
        why = "GENERATED ALWAYS AS IDENTITY is the standard's; its sequence needs no privileges" }
    end
  end
end

function M.int_key(effect, _, report, run)
  for change in each(effect, { ["constraint added"] = true }) do
    local type = change.type == "p" and change.columns and not change.columns:find(", ", 1, true)
      and run:type_of(change.table, change.columns)
    if type == "integer" or type == "smallint" then
      report { severity = "note", relation = change.table,
        message = ("the key %s of %s is %s"):format(change.columns, short(change.table), type),
        why = "its numbers may be used up; making it bigint later rewrites the table" }
    end
  end
end

function M.no_primary_key(effect, _, report, run)
  for change in each(effect, { ["relation added"] = true }) do
    if (change.kind == "table" or change.kind == "partitioned table")
      and run:has_relation(change.name) and not run:has_key(change.name) then
      report { severity = "note", relation = change.name,
        message = ("table %s has no primary key"):format(short(change.name)),
        why = "logical replication and many tools need one" }
    end
  end
end

function M.fk_without_index(effect, _, report, run)
  for change in each(effect, { ["constraint added"] = true }) do
    local is_key = change.type == "f" and change.table and change.columns
    if is_key and not run:has_index_on(change.table, change.columns) then
      report { severity = "note", relation = change.table,
        message = ("no index of %s begins with %s"):format(short(change.table), change.columns),
        why = ("deleting a row of %s has to look at all rows of %s"):format(
          short(change.target or "?"), short(change.table)),
        rewrite = ("CREATE INDEX CONCURRENTLY ON %s (%s);"):format(short(change.table),
          change.columns) }
    end
  end
end

function M.duplicate_index(effect, _, report, run)
  for change in each(effect, { ["index added"] = true }) do
    local other = run:same_index(change)
    if other then
      report { severity = "note", relation = change.table,
        message = ("index %s does what %s does"):format(short(change.name), short(other)),
        why = "each write has to keep both" }
    end
  end
end

-- ---- all -------------------------------------------------------------------------------------

--- The rules, in order: { id, function }.
M.list = {
  { "breaks-application", M.breaks_application },
  { "breaks-application", M.default_removed },
  { "breaks-application", M.sequence_dropped },
  { "breaks-application", M.replica_identity },
  { "breaks-application", M.not_null_added },
  { "breaks-application", M.type_changed },
  { "not-null-without-default", M.not_null_without_default },
  { "may-fail", M.may_fail },
  { "security-definer", M.security_definer },
  { "rls-without-policy", M.row_security },
  { "public-grant", M.public_grant },
  { "timestamp-without-zone", M.timestamp },
  { "json-type", M.json },
  { "char-type", M.char },
  { "varchar-limit", M.varchar },
  { "money-type", M.money },
  { "serial", M.serial },
  { "int-key", M.int_key },
  { "no-primary-key", M.no_primary_key },
  { "fk-without-index", M.fk_without_index },
  { "duplicate-index", M.duplicate_index },
}

return M
