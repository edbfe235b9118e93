--- What a finding says to people: what waits, why, and the same change in a safe way, with the
-- names of the migration's own objects.
local effects = require "pgmig.proof.effects"
local facts_of = require "pgmig.proof.facts"

local M = {}

--- Where a finding is explained.
M.PAGE = "docs/check.md"

--- A relation's name as people write it: without the schema that all have.
function M.short(name) return (name:gsub("^public%.", "")) end

local short = M.short

local function list_of(names)
  local list = {}
  for i, name in ipairs(names) do list[i] = short(name) end
  if #list < 3 then return table.concat(list, " and ") end
  return ("%s and %d more"):format(table.concat(list, ", ", 1, 2), #list - 2)
end

--- A name that goes with a table's: `orders_total_check`.
local function name_for(name, ...)
  local bare = name:match '([^."]+)"?$' or "t"
  return table.concat({ bare, ... }, "_")
end

--- The changes of a kind that a statement makes to a relation.
local function changed(finding, what)
  for _, change in ipairs(finding.effect.changes or {}) do
    if change.what == what and (change.table == finding.relation or change.table == nil) then
      return change
    end
  end
end

local NEXT = "-- and in the next migration:\n"
local OFF = "-- in a file of its own, with this line at its top:\n-- pgmig: transaction=off\n"

-- ---- safe ways -------------------------------------------------------------------

--- SQL that copies a column in pieces, each in a transaction of its own.
local function batches(catalog, name, assignment, where)
  local key = catalog:key(name) or "id"
  return ("UPDATE %s SET %s\n  WHERE %s%s BETWEEN 1 AND 10000; -- and so on, in pieces"):format(
    short(name), assignment, where and where .. " AND " or "", key)
end

--- NOT NULL without a scan that keeps others waiting.
local function not_null(name, column)
  local check = name_for(name, column, "not_null")
  return ("ALTER TABLE %s ADD CONSTRAINT %s CHECK (%s IS NOT NULL) NOT VALID;\n%s"
    .. "ALTER TABLE %s VALIDATE CONSTRAINT %s;\n%s"
    .. "ALTER TABLE %s ALTER COLUMN %s SET NOT NULL;\nALTER TABLE %s DROP CONSTRAINT %s;"):format(
    short(name), check, column, NEXT, short(name), check, NEXT, short(name), column, short(name),
    check)
end

local function type_change(catalog, name, change)
  local column, new = change.column, name_for(change.column, "new")
  return ("ALTER TABLE %s ADD COLUMN %s %s;\n"
    .. "-- a trigger keeps both columns in step; then, outside of this transaction:\n%s\n"
    .. "-- and when the application uses %s:\nALTER TABLE %s DROP COLUMN %s;"):format(
    short(name), new, change.to, batches(catalog, name, ("%s = %s"):format(new, column)), new,
    short(name), column)
end

local function added_column(catalog, name, change)
  local lines = {
    ("ALTER TABLE %s ADD COLUMN %s %s;"):format(short(name), change.column, change.type),
  }
  local value = change.default or "..."
  if change.generated then
    lines[1] = lines[1] .. "\n-- a trigger sets it in new rows; then the old ones:"
  else
    lines[#lines + 1] = ("ALTER TABLE %s ALTER COLUMN %s SET DEFAULT %s;"):format(short(name),
      change.column, value)
    lines[#lines + 1] = "-- then, outside of this transaction:"
  end
  lines[#lines + 1] = batches(catalog, name, ("%s = %s"):format(change.column, value),
    change.column .. " IS NULL")
  if change.not_null then lines[#lines + 1] = NEXT .. not_null(name, change.column) end
  return table.concat(lines, "\n")
end

local function identity_column(catalog, name, change)
  local sequence = name_for(name, change.column, "seq")
  return ("CREATE SEQUENCE %s;\nALTER TABLE %s ADD COLUMN %s bigint;\n"
    .. "ALTER TABLE %s ALTER COLUMN %s SET DEFAULT nextval('%s');\n"
    .. "-- then, outside of this transaction:\n%s"):format(sequence, short(name), change.column,
    short(name), change.column, sequence,
    batches(catalog, name, ("%s = nextval('%s')"):format(change.column, sequence),
      change.column .. " IS NULL"))
end

--- A constraint in two steps.
local function in_two_steps(change, target)
  return ("%s ADD CONSTRAINT %s %s NOT VALID;\n%s%s VALIDATE CONSTRAINT %s;"):format(target,
    change.name, (change.def:gsub("%s+NOT VALID$", "")), NEXT, target, change.name)
end

--- A unique or primary key constraint on an index that was built before.
local function using_index(name, change)
  local columns = change.def:match "%b()" or "(...)"
  local primary = change.type == "p"
  return ("%sCREATE UNIQUE INDEX CONCURRENTLY %s ON %s %s;\n%sALTER TABLE %s ADD CONSTRAINT %s %s "
    .. "USING INDEX %s;"):format(OFF, change.name, short(name), columns, NEXT, short(name),
    change.name, primary and "PRIMARY KEY" or "UNIQUE", change.name)
end

local function concurrently(definition)
  return OFF .. (definition:gsub("^CREATE UNIQUE INDEX", "CREATE UNIQUE INDEX CONCURRENTLY")
    :gsub("^CREATE INDEX", "CREATE INDEX CONCURRENTLY")
    :gsub(" ON public%.", " ON "):gsub(" USING btree ", " ")) .. ";"
end

-- ---- why, and how else: by id ------------------------------------------------------

-- Each takes the finding and the catalog; returns why, and the safe SQL or nil.
local explain = {}

local MOVE = "-- move this statement into a migration of its own: the lock ends with COMMIT"

local function of_kind(finding)
  local kind = finding.effect.kind
  if kind == "CLUSTER" or kind == "VACUUM" then
    return "the command copies the whole table; pg_repack does the same while the table is used"
  end
  if kind == "REFRESH MATERIALIZED VIEW" or finding.kind == "materialized view" then
    return "the view is computed and written anew, and nobody reads it meanwhile; CONCURRENTLY "
      .. "lets reads go on, and needs a unique index on the view",
      OFF .. ("REFRESH MATERIALIZED VIEW CONCURRENTLY %s;"):format(short(finding.relation))
  end
  return "the command copies the whole table"
end

local function rewritten_by_column(finding, catalog, change)
  local name = finding.relation
  if change.identity or (change.default or ""):find("^nextval%(") then
    return "each existing row gets a number of its own", identity_column(catalog, name, change)
  end
  if change.generated then
    return "the value is computed and stored for each existing row",
      added_column(catalog, name, change)
  end
  if change.default then
    return ("the default %s has to be computed for each existing row; one that is the same for all "
      .. "rows would be instant"):format(change.default), added_column(catalog, name, change)
  end
  return ("the type %s has a constraint, which is checked for each existing row"):format(
    change.type), ("-- add it with the type below it, then:\nALTER TABLE %s ADD CONSTRAINT %s "
    .. "CHECK (...) NOT VALID;"):format(short(name), name_for(name, change.column, "check"))
end

function explain.rewrite(finding, catalog)
  local retyped = changed(finding, "type changed")
  if retyped then
    return ("values of type %s are stored in another way than those of %s: each row is converted")
      :format(retyped.to, retyped.from), type_change(catalog, finding.relation, retyped)
  end
  local added = changed(finding, "column added")
  if added then return rewritten_by_column(finding, catalog, added) end
  return of_kind(finding)
end

explain["index-build-blocks"] = function(finding, catalog)
  local constraint = changed(finding, "constraint added")
  if constraint and (constraint.type == "u" or constraint.type == "p") then
    return "the constraint needs an index, which is built while all others wait",
      using_index(finding.relation, constraint)
  end
  if constraint and constraint.type == "x" then
    return "the constraint needs an index, and no such index can be built beforehand: do this "
      .. "while the table is small or not in use"
  end
  local retyped = changed(finding, "type changed")
  if retyped then
    return ("the indexes on %s order their values in another way now"):format(retyped.column),
      type_change(catalog, finding.relation, retyped)
  end
  local index = finding.indexes[1]
  if finding.effect.kind:find "^REINDEX" then
    return "CONCURRENTLY rebuilds it beside the old one",
      OFF .. ("REINDEX INDEX CONCURRENTLY %s;"):format(short(index))
  end
  local definition = catalog:index(index)
  if catalog:is_partitioned(finding.relation) then
    return "an index of a partitioned table is built on each partition at once",
      ("-- CREATE INDEX ... ON ONLY %s, then for each partition CREATE INDEX CONCURRENTLY and\n"
      .. "-- ALTER INDEX %s ATTACH PARTITION ..."):format(short(finding.relation), short(index))
  end
  return "CONCURRENTLY builds it while the table is written to",
    definition and concurrently(definition) or nil
end

local function scanned_again(finding)
  local at = finding.earlier and finding.earlier.line
  return ("its lock was taken%s, and lasts until the end of the transaction"):format(
    at and (" by the statement in line %d"):format(at) or " by a statement before it")
end

local function of_dml(finding, catalog)
  if finding.effect.kind ~= "UPDATE" and finding.effect.kind ~= "DELETE" then return MOVE end
  return MOVE .. ("\n-- and let it work in pieces: ... WHERE %s BETWEEN 1 AND 10000"):format(
    catalog:key(finding.relation) or "id")
end

local function of_domain(finding)
  for _, change in ipairs(finding.effect.changes or {}) do
    if change.domain and change.what == "constraint added" then return change end
  end
end

explain["scan-under-lock"] = function(finding, catalog)
  local name = finding.relation
  if finding.earlier and not changed(finding, "constraint added") then
    if changed(finding, "constraint validated") then
      return scanned_again(finding) .. ": NOT VALID saves nothing where VALIDATE follows in the "
        .. "same transaction", "-- move this statement into the next migration:\n"
        .. ("ALTER TABLE %s VALIDATE CONSTRAINT %s;"):format(short(name),
          changed(finding, "constraint validated").name)
    end
    if not changed(finding, "not null added") then
      return scanned_again(finding), of_dml(finding, catalog)
    end
  end
  local domain = of_domain(finding)
  if domain then
    return ("all tables with a column of the domain %s are checked"):format(short(domain.domain)),
      in_two_steps(domain, "ALTER DOMAIN " .. short(domain.domain))
  end
  local constraint = changed(finding, "constraint added")
  if constraint and (constraint.type == "c" or constraint.type == "f") then
    return "each existing row is checked while others wait; NOT VALID checks new rows only, and "
      .. "VALIDATE the old ones while the table is in use",
      in_two_steps(constraint, "ALTER TABLE " .. short(name))
  end
  local attached = changed(finding, "partition attached")
  if attached then
    return "each row is checked against the bounds of the partition, unless a valid CHECK implies "
      .. "them", ("ALTER TABLE %s ADD CONSTRAINT %s CHECK (%s) NOT VALID;\n%sALTER TABLE %s "
      .. "VALIDATE CONSTRAINT %s;\n%s-- the statement as it is"):format(short(name),
        name_for(name, "bounds"), attached.bound or "...", NEXT, short(name),
        name_for(name, "bounds"), NEXT)
  end
  local column = changed(finding, "not null added")
  if column then
    return "each existing row is checked while others wait; a valid CHECK saves that",
      not_null(name, column.column)
  end
  local added = changed(finding, "column added")
  if added and added.not_null and not added.default then
    return "each existing row would have to have a value", nil
  end
  if catalog:is_default_partition(name) then
    return "no row of the default partition may belong to the new one; a valid CHECK that excludes "
      .. "them saves the scan", ("ALTER TABLE %s ADD CONSTRAINT %s CHECK (...) NOT VALID;\n%sALTER "
      .. "TABLE %s VALIDATE CONSTRAINT %s;"):format(short(name), name_for(name, "outside"), NEXT,
        short(name), name_for(name, "outside"))
  end
  return "each existing row is checked while others wait"
end

function explain.held(finding, catalog)
  local at = finding.earlier and finding.earlier.line
  return ("the lock%s lasts until the end of the transaction"):format(
    at and (" of the statement in line %d"):format(at) or ""), of_dml(finding, catalog)
end

explain["many-tables"] = function()
  return "an application that uses them in another order can run into a deadlock, and the locks "
    .. "of all last as long as the slowest statement", "-- a migration for each table"
end

explain["hidden-lock"] = function(finding)
  if changed(finding, "constraint added") or finding.effect.kind == "CREATE TABLE" then
    return "a foreign key locks both of its tables"
  end
  return "it belongs to what the statement changes"
end

function explain.queue(finding)
  if finding.endless then
    return "lock_timeout is 0: it waits without limit, and all later queries of the table wait "
      .. "behind it", "-- pgmig: lock_timeout=5s"
  end
  local limit = finding.effect.settings and finding.effect.settings.lock_timeout
  return "it waits for transactions that use the table, and later queries wait behind it"
    .. (limit and (", for at most %s (lock_timeout)"):format(limit) or "")
end

-- ---- what happens: by id -------------------------------------------------------------

--- "writes to orders wait until COMMIT (SHARE)"
local function waiting(finding)
  local preposition = finding.blocks == "writes" and "writes to" or "reads and writes of"
  local ending = finding.effect.transaction and "until COMMIT" or "until it is done"
  return ("%s %s wait %s (%s)"):format(preposition, short(finding.relation), ending, finding.lock)
end

local say = {}

function say.rewrite(finding)
  local count = #(finding.indexes or {})
  local indexes = count > 0 and (", with %d %s"):format(count, count == 1 and "index" or "indexes")
  return ("the whole of %s is written anew%s; %s"):format(short(finding.relation), indexes or "",
    waiting(finding))
end

say["index-build-blocks"] = function(finding)
  return ("index %s is built; %s"):format(list_of(finding.indexes), waiting(finding))
end

say["scan-under-lock"] = function(finding)
  return ("all rows of %s are read; %s"):format(short(finding.relation), waiting(finding))
end

function say.held(finding)
  local more = #finding.others > 1 and (", and %d other tables"):format(#finding.others - 1) or ""
  return ("%s%s, while %s is %s"):format(waiting(finding), more, short(finding.work), finding.how)
end

say["many-tables"] = function(finding)
  return ("%s is locked beside %s: %s"):format(short(finding.relation), list_of(finding.others),
    waiting(finding))
end

say["hidden-lock"] = function(finding)
  return ("%s, though the statement does not name it"):format(waiting(finding))
end

function say.queue(finding)
  if finding.endless then
    return waiting(finding) .. ", and for as long as it waits for its lock itself"
  end
  return ("%s, for a moment"):format(waiting(finding):gsub(" until [%w ]+ %(", " ("))
end

-- ---- all of it -----------------------------------------------------------------------

local function size_note(finding, facts)
  local bytes = facts:bytes(finding.work or finding.relation)
  return bytes and (" [%s]"):format(facts_of.size_text(bytes)) or ""
end

--- Fill in what a finding says.
-- @param finding of pgmig.proof.findings
-- @param catalog the clone's objects (pgmig.proof.catalog)
-- @param facts of production
-- @return the finding, with message, why, rewrite = SQL or nil, link
function M.complete(finding, catalog, facts)
  finding.message = say[finding.id](finding) .. size_note(finding, facts)
  finding.why, finding.rewrite = explain[finding.id](finding, catalog)
  finding.link = M.link(finding.id)
  return finding
end

--- The page's place for an id.
function M.link(id) return M.PAGE .. "#" .. id end

M.blocked = effects.blocked

return M
