--- What became of a statement that builds or drops an index concurrently, when nobody has told; and
-- INVALID indexes. Such a statement works in several transactions: it leaves an INVALID index
-- behind when it fails (PostgreSQL manual, CREATE INDEX, "Building Indexes Concurrently"; REINDEX
-- likewise). The journal knows table and indexes by their oids, as the statement found them; a name
-- counts only among the indexes of that table.
local core = require "pgmig.core"
local errors = require "pgmig.errors"

local unpack = unpack or table.unpack

local M = {}

local PAUSE = 0.1 -- seconds between two looks at an index that somebody builds

-- $1: the table. A table stands for its partitions and their TOAST tables, too.
local TABLES = [[
  WITH RECURSIVE tables AS (SELECT $1::pg_catalog.oid AS oid
    UNION SELECT p.inhrelid FROM tables t
      JOIN pg_catalog.pg_inherits p ON p.inhparent OPERATOR(pg_catalog.=) t.oid)]]
local OF_RELATION = TABLES .. [[
  SELECT i.indexrelid::pg_catalog.text AS oid, c.relname::pg_catalog.text AS name,
    i.indisvalid AS valid, n.nspname::pg_catalog.text AS schema,
    pg_catalog.format('%I.%I', n.nspname, c.relname) AS qualified
  FROM tables t JOIN pg_catalog.pg_class r ON r.oid OPERATOR(pg_catalog.=) t.oid
  JOIN pg_catalog.pg_index i ON i.indrelid OPERATOR(pg_catalog.=) r.oid
    OR i.indrelid OPERATOR(pg_catalog.=) r.reltoastrelid
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace]]

local function of_relation(db, oid)
  return db:ask_rows("* oid:text name:text valid:bool schema:text qualified:text", OF_RELATION, oid)
end

--- A name as the server would make it: case folded, cut to its length. Of a qualified one, the last
-- part.
local function bare_name(db, name)
  if not name then return nil end
  return db:ask_row("1 name:text?", [[
    SELECT (parts[pg_catalog.array_upper(parts, 1)])::pg_catalog.name::pg_catalog.text AS name
    FROM pg_catalog.parse_ident($1) AS parts]], name).name
end

local function set_of(list)
  local set = {}
  for _, item in ipairs(list) do set[item] = true end
  return set
end

-- ---- INVALID ones ----------------------------------------------------------

-- Who builds or rebuilds an index, or may do so: a REINDEX of many shows only one, but has locks on
-- the tables of all. Servers before 12 show only the lock, which VACUUM takes as well.
local LOCKERS = [[
  SELECT l.pid, l.relation AS relid, NULL::pg_catalog.oid AS index_relid FROM pg_catalog.pg_locks l
  WHERE l.mode OPERATOR(pg_catalog.=) 'ShareUpdateExclusiveLock'
    AND l.database OPERATOR(pg_catalog.=) (SELECT d.oid FROM pg_catalog.pg_database d
      WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
    AND l.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()]]
local BUILDERS = [[
  SELECT p.pid, p.relid, p.index_relid FROM pg_catalog.pg_stat_progress_create_index p
  WHERE p.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
  UNION ALL ]] .. LOCKERS .. [[
    AND EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p
      WHERE p.pid OPERATOR(pg_catalog.=) l.pid)]]

local function builders(db) return db:server_version() >= 120000 and BUILDERS or LOCKERS end

local INVALID = [[
  SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS name,
    pg_catalog.format('%%I.%%I', tn.nspname, t.relname) AS "table",
    c.relname OPERATOR(pg_catalog.~) '_cc(new|old)[0-9]*$|^pgmig_invalid_[0-9]+$' AS copy,
    i.indexrelid::pg_catalog.text AS oid, i.indisunique AS "unique",
    i.indexprs IS NOT NULL OR i.indpred IS NOT NULL AS computed,
    pg_catalog.pg_get_indexdef(i.indexrelid) AS definition
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
  JOIN pg_catalog.pg_class t ON t.oid OPERATOR(pg_catalog.=) i.indrelid
  JOIN pg_catalog.pg_namespace tn ON tn.oid OPERATOR(pg_catalog.=) t.relnamespace
  WHERE NOT i.indisvalid AND c.relkind OPERATOR(pg_catalog.=) 'i' AND NOT EXISTS (
    SELECT FROM (%s) AS b WHERE b.index_relid OPERATOR(pg_catalog.=) i.indexrelid
      OR b.relid OPERATOR(pg_catalog.=) i.indrelid)
  ORDER BY 1]]

--- The INVALID indexes that nobody is building.
-- @return a list of { oid, name and table = qualified and quoted, copy = whether REINDEX
--   CONCURRENTLY has made it, or a run has renamed it to drop it, unique, computed = whether it has
--   expressions or a predicate, definition }
function M.invalid(db)
  return db:ask_rows("* name:text table:text copy:bool oid:text unique:bool computed:bool "
    .. "definition:text", INVALID:format(builders(db)))
end

--- The command that drops an INVALID index; that builds it again; that makes it when it is gone.
function M.drop(index) return "DROP INDEX CONCURRENTLY " .. index.name end
function M.rebuild(db, index)
  local how = db:server_version() >= 120000 and "REINDEX INDEX CONCURRENTLY " or "REINDEX INDEX "
  return how .. index.name
end
function M.definition(index)
  return (index.definition:gsub("^(CREATE [UNIQUE ]*INDEX) ", "%1 CONCURRENTLY "))
end

local BUILDERS_OF = TABLES .. [[
  SELECT b.pid FROM tables t JOIN pg_catalog.pg_class r ON r.oid OPERATOR(pg_catalog.=) t.oid
  JOIN (%s) AS b ON b.relid OPERATOR(pg_catalog.=) r.oid
    OR b.relid OPERATOR(pg_catalog.=) r.reltoastrelid LIMIT 1]]

--- Wait until nobody builds an index of the table, or may do so.
local function wait_for_builders(case)
  local sql = BUILDERS_OF:format(builders(case.db))
  local deadline = core.now() + case.limit
  while true do
    local row = case.db:ask_row("? pid:int", sql, case.relation)
    if not row then return end
    if core.now() >= deadline then
      errors.raise("lock", "another session is building an index on the same table", {
        hint = ("wait for it, or terminate it: SELECT pg_catalog.pg_terminate_backend(%d)")
          :format(row.pid),
      })
    end
    case.db:sleep(PAUSE)
  end
end

--- Call a function with the role and the search path that the file had.
local function as_file(case, fn)
  if not (case.role or case.path) then return fn(case) end
  local db = case.db
  local function set(role, path)
    db:ask_rows("-", [[SELECT pg_catalog.set_config('search_path', $1, false),
      pg_catalog.set_config('role', $2, false)]], path, role)
  end
  local was = db:ask_row("1 role:text path:text", [[
    SELECT pg_catalog.current_setting('role') AS role,
      pg_catalog.current_setting('search_path') AS path]])
  set(case.role or was.role, case.path or was.path)
  local results = { pcall(fn, case) }
  if not db:is_lost() then set(was.role, was.path) end
  if results[1] then return unpack(results, 2, 3) end
  error(results[2], 0)
end

--- Run a statement that cannot share a transaction with the journal.
local function run_alone(case, sql)
  as_file(case, function() case.db:exec(case.tag .. sql) end)
end

--- The name of an index that is to be dropped: no other one ever has it.
local function set_aside_name(index) return "pgmig_invalid_" .. index.oid end

--- Give the index that name, unless it has it.
-- @return how to drop it
local function set_aside(case, index)
  -- The server renames none of these; a copy that REINDEX makes there is never valid by its name.
  if index.schema == "pg_toast" then return index.qualified end
  local name = set_aside_name(index)
  if index.name ~= name then
    case.set_aside { role = case.role, oid = index.oid, name = index.qualified, set_aside = name }
  end
  return ("%s.%s"):format(case.db:quote_ident(index.schema), name)
end

--- Drop what a statement has left, and nobody works on. The DROP finds it by a name, and cannot
-- share a transaction with the journal: by its old name it might find that of another run, which
-- has taken over meanwhile.
local function drop(case, index)
  local name = set_aside(case, index)
  run_alone(case, "DROP INDEX CONCURRENTLY IF EXISTS " .. name)
  case.tell(("dropped the INVALID index %s that an earlier attempt left behind")
    :format(index.qualified))
end

-- ---- CREATE INDEX ----------------------------------------------------------

-- What defines an index, without its name and its table's.
local SHAPES = [[
  SELECT i.indexrelid::pg_catalog.text AS oid, pg_catalog.format('%%s %%s', i.indisunique,
    pg_catalog.substr(d.def, pg_catalog.strpos(d.def, t.mark)
      OPERATOR(pg_catalog.+) pg_catalog.length(t.mark))) AS shape
  FROM pg_catalog.pg_index i
  CROSS JOIN LATERAL pg_catalog.pg_get_indexdef(i.indexrelid) AS d(def)
  JOIN (SELECT c.oid, pg_catalog.format('.%%I USING ', c.relname) AS mark
    FROM pg_catalog.pg_class c) AS t ON t.oid OPERATOR(pg_catalog.=) i.indrelid
  WHERE i.indrelid OPERATOR(pg_catalog.=) %s]]

local function shapes(db, condition, ...)
  local set = {}
  for _, row in ipairs(db:ask_rows("* oid:text shape:text?", SHAPES:format(condition), ...)) do
    set[row.oid] = row.shape
  end
  return set
end

--- A relation's name, qualified and quoted; nil when it is gone.
local function name_of(db, oid)
  local row = db:ask_row("? name:text", [[
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE c.oid OPERATOR(pg_catalog.=) $1::pg_catalog.oid]], oid)
  return row and row.name
end

--- The shape of the index that the statement would make, seen on an empty table like its own.
-- @param name of that table, qualified and quoted
local function shape_on(case, name)
  local db, change = case.db, case.change
  db:exec "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
  local ok, shape = pcall(function()
    db:ask_rows("-", ("CREATE TABLE %s (LIKE %s)"):format(name, name_of(db, case.relation)))
    db:ask_rows("-", ("CREATE %sINDEX ON %s %s"):format(change.unique and "UNIQUE " or "", name,
      change.rest))
    local _, made = next(shapes(db,
      "$1::pg_catalog.regclass::pg_catalog.oid", name))
    return made
  end)
  db:exec "ROLLBACK"
  return ok and shape or nil
end

--- The same; where no temporary tables may be made, beside its own table.
local function intended_shape(case)
  local schema = case.db:ask_row("1 name:text", [[
    SELECT pg_catalog.format('%I', n.nspname) AS name
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE c.oid OPERATOR(pg_catalog.=) $1::pg_catalog.oid]], case.relation).name
  return shape_on(case, "pg_temp.pgmig_twin") or shape_on(case, schema .. ".pgmig_twin")
end

--- The indexes that may be the statement's: not there before it, and of its name, or shape.
-- @return those that are valid, those that are not
local function candidates(case)
  local existed, name = set_of(case.existed), bare_name(case.db, case.change.name)
  local valid, invalid, intended = {}, {}, nil
  local shape_of = shapes(case.db, "$1::pg_catalog.oid", case.relation)
  for _, index in ipairs(of_relation(case.db, case.relation)) do
    local named = not name or index.name == name or index.name == set_aside_name(index)
    if shape_of[index.oid] and not existed[index.oid] and named then
      intended = intended or intended_shape(case)
      if not intended then return nil end
      if shape_of[index.oid] == intended then
        local list = index.valid and valid or invalid
        list[#list + 1] = index
      end
    end
  end
  return valid, invalid
end

-- What each finds without touching anything: whether the statement is done (nil: nobody can know),
-- the INVALID indexes that it has left, and what would finish it, where that is another statement.
local look = {}

--- CREATE INDEX: done when there is such an index, valid, that was not there before.
function look.create(case)
  local valid, invalid = as_file(case, candidates)
  if not valid then return nil, {} end
  if #valid == 0 and #invalid < 2 then return false, invalid end
  if #invalid == 0 then return true, {} end
  return nil, invalid
end

-- ---- the others ------------------------------------------------------------

--- Whether REINDEX CONCURRENTLY has named an index so, of the one that is named.
local function is_copy(index, name, suffix)
  local copy_of = index.name:match("^(.*)_" .. suffix .. "%d*$")
  return copy_of ~= nil and (not name or name:sub(1, #copy_of) == copy_of)
end

--- What REINDEX has left: new copies that are not finished, and old ones, which were valid before.
local function copies(case)
  local existed, broken = set_of(case.existed), set_of(case.invalid)
  local name, list = bare_name(case.db, case.change.name), {}
  for _, index in ipairs(of_relation(case.db, case.relation)) do
    local was_valid = existed[index.oid] and not broken[index.oid]
    local made = not existed[index.oid] and is_copy(index, name, "ccnew")
      or was_valid and is_copy(index, name, "ccold") or index.name == set_aside_name(index)
    if made and not index.valid then list[#list + 1] = index end
  end
  return list
end

--- The INVALID indexes that a statement which has not ended well may have left, and which a run
-- removes.
-- @param row of the journal
-- @return a set of oids
function M.left_by(db, row)
  local left, existed, broken = {}, set_of(row.existed), set_of(row.invalid)
  if not row.running or not row.relation then return left end
  for _, index in ipairs(of_relation(db, row.relation)) do
    local was_invalid = existed[index.oid] and broken[index.oid]
    if not index.valid and not was_invalid then left[index.oid] = true end
  end
  return left
end

--- REINDEX: it is run again; its copies are in the way.
function look.reindex(case) return false, copies(case) end

look.reindex_table = look.reindex

--- DROP INDEX: done when there was one and it is gone.
function look.drop(case)
  if case.target == "0" then return false, {} end
  return case.db:ask_row("1 gone:bool", [[SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_class c
    WHERE c.oid OPERATOR(pg_catalog.=) $1::pg_catalog.oid) AS gone]], case.target).gone, {}
end

--- DETACH PARTITION CONCURRENTLY: one that has come half-way is finished.
function look.detach(case)
  local db = case.db
  if db:server_version() < 140000 then return false, {} end -- it has no such statement
  local table_name, partition = name_of(db, case.relation), name_of(db, case.target)
  if not (table_name and partition) then return false, {} end
  local left = db:ask_row("? pending:bool", [[
    SELECT i.inhdetachpending AS pending FROM pg_catalog.pg_inherits i
    WHERE i.inhparent OPERATOR(pg_catalog.=) $1::pg_catalog.oid
      AND i.inhrelid OPERATOR(pg_catalog.=) $2::pg_catalog.oid]], case.relation, case.target)
  if not left then return not case.failed, {} end -- it may never have been attached
  if not left.pending then return false, {} end
  return true, {}, {
    sql = ("ALTER TABLE %s DETACH PARTITION %s FINALIZE"):format(table_name, partition),
    message = ("detached %s, which an earlier attempt had left pending"):format(partition),
  }
end

--- Find out whether a statement is done, without touching anything.
-- @param case as of `settle`
-- @return as `settle`; the INVALID indexes that it drops first, a list of { oid, qualified }; the
--   statement { sql } with which it finishes that one, or nil
function M.look(case)
  if not case.relation then return nil, {} end -- the row is of a version that did not note it
  return look[case.change.action](case)
end

--- Find out whether a statement is done, and remove what it has left INVALID.
-- @param case { db, change = the statement's `index_change` (pgmig.parse); relation, target,
--   existed, invalid = of the journal's row; role and path = the file's, nil: the session's;
--   failed = whether the server has said that it failed; tag = what our own statements begin with;
--   limit = seconds to wait for others that build an index of the table; set_aside = fn(index), as
--   that of pgmig.state.ledger, for the journal's row; tell = fn(message) }
-- @return true: it need not run again; false: it has to; nil: nobody can know
-- @raise kind "lock"; as that function does
function M.settle(case)
  local done, left, finish = M.look(case)
  if left[1] then
    wait_for_builders(case)
    done, left = M.look(case)
  end
  if done == false then
    for _, index in ipairs(left) do drop(case, index) end
  end
  if finish then
    run_alone(case, finish.sql)
    case.tell(finish.message)
  end
  return done
end

return M
