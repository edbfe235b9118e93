--- The application's own queries, run again after each statement of a migration: which of them fail
-- then, as a statement that a driver has prepared before, and anew.
local errors = require "pgmig.errors"
local settings_file = require "pgmig.settings_file"
local words = require "pgmig.proof.words"

local M = {}
local replay = {}
replay.__index = replay

local MOST = 2000 -- queries of pg_stat_statements, those that are called most

-- ---- where queries come from --------------------------------------------------------------

--- The queries of a file: one a line; comments and empty lines are left out.
-- @return a list of { sql }
-- @raise kind "usage"
function M.read(path)
  local text = settings_file.read(path)
  if not text then errors.raise("usage", "the file of queries does not exist", { file = path }) end
  local list = {}
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    local sql = line:gsub("^%s+", ""):gsub("[%s;]+$", "")
    if sql ~= "" and not sql:find "^%-%-" then list[#list + 1] = { sql = sql } end
  end
  return list
end

local VIEW = [[
  SELECT pg_catalog.quote_ident(n.nspname)::pg_catalog.text AS schema
  FROM pg_catalog.pg_extension e
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
  WHERE e.extname OPERATOR(pg_catalog.=) 'pg_stat_statements']]

local SEEN = [[
  SELECT s.query::pg_catalog.text AS sql, pg_catalog.sum(s.calls)::pg_catalog.int8 AS calls
  FROM %s.pg_stat_statements s
  JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) s.dbid
  WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
    AND s.query OPERATOR(pg_catalog.~*)
      '^\s*(select|insert|update|delete|with|merge|values|table)\M'
    AND s.query OPERATOR(pg_catalog.!~) 'pg_catalog|pgmig'
  GROUP BY s.query ORDER BY 2 DESC, 1 LIMIT ]] .. MOST

--- The queries that a database has seen (pg_stat_statements).
-- @return a list of { sql, calls }
-- @raise kind "usage" where the extension is not there
function M.seen(db)
  local row = db:ask_rows("? schema:text", VIEW)[1]
  if not row then
    errors.raise("usage", "the database does not have the extension pg_stat_statements", {
      hint = "CREATE EXTENSION pg_stat_statements, or name a file of queries, one a line",
    })
  end
  return db:ask_rows("* sql:text calls:int", SEEN:format(row.schema))
end

-- ---- running them ---------------------------------------------------------------------------

-- Each query runs in a block that ends with an error, so that nothing of it stays.
local TRY = [[
CREATE FUNCTION pg_temp.pgmig_try(names pg_catalog.text[], texts pg_catalog.text[],
  arguments pg_catalog.text[], anew pg_catalog.bool, OUT number pg_catalog.int4,
  OUT state pg_catalog.text, OUT said pg_catalog.text, OUT "column" pg_catalog.text)
RETURNS SETOF pg_catalog.record LANGUAGE plpgsql AS $pgmig$
DECLARE i pg_catalog.int4; word pg_catalog.text;
BEGIN
  FOR i IN 1 .. pg_catalog.cardinality(names) LOOP
    number := i; state := NULL; said := NULL; "column" := NULL; word := names[i];
    BEGIN
      IF anew THEN
        word := 'pgmig_anew';
        EXECUTE pg_catalog.concat('PREPARE pgmig_anew AS ', texts[i]);
      END IF;
      EXECUTE pg_catalog.concat('EXECUTE ', word, arguments[i]);
      RAISE EXCEPTION USING ERRCODE = 'PM000';
    EXCEPTION
      WHEN query_canceled THEN RAISE;
      WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, said = MESSAGE_TEXT,
          "column" = COLUMN_NAME;
    END;
    IF anew THEN
      BEGIN EXECUTE 'DEALLOCATE pgmig_anew'; EXCEPTION WHEN OTHERS THEN NULL; END;
    END IF;
    IF state OPERATOR(pg_catalog.<>) 'PM000' THEN RETURN NEXT; END IF;
  END LOOP;
END $pgmig$]]

local RUN = [[
  SELECT number, state, said, "column"
  FROM pg_temp.pgmig_try($1::pg_catalog.text[], $2::pg_catalog.text[], $3::pg_catalog.text[],
    $4::pg_catalog.bool)]]

local PARAMETERS = [[
  SELECT p.name::pg_catalog.text AS name, t.typcategory::pg_catalog.text AS category,
    t.typname::pg_catalog.text AS type,
    (SELECT pg_catalog.quote_literal(e.enumlabel) FROM pg_catalog.pg_enum e
      WHERE e.enumtypid OPERATOR(pg_catalog.=) t.oid
      ORDER BY e.enumsortorder LIMIT 1)::pg_catalog.text AS label
  FROM pg_catalog.pg_prepared_statements p,
    pg_catalog.unnest(p.parameter_types::pg_catalog.oid[]) WITH ORDINALITY AS o (oid, i)
  JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) o.oid
  ORDER BY p.name, o.i]]

-- What a parameter may be, by its type and by the category of that: any value that is not NULL.
local by_type = {
  time = "'12:00'", timetz = "'12:00'", uuid = "'00000000-0000-0000-0000-000000000001'",
  json = "'{}'", jsonb = "'{}'", bytea = "''",
}
local by_category = {
  A = "'{}'", B = "true", D = "'2000-01-01'", I = "'127.0.0.1'", N = "'1'", R = "'empty'",
  S = "'1'", T = "'1 day'",
}

--- The values for the parameters of all that is prepared: lists by its name.
local function values_of(db)
  local lists = {}
  for _, row in ipairs(db:query(PARAMETERS)) do
    local value = row.label or by_type[row.type] or by_category[row.category] or "NULL"
    lists[row.name] = lists[row.name] and lists[row.name] .. ", " .. value or value
  end
  return lists
end

local LEFT = [[
  SELECT p.name::pg_catalog.text AS name FROM pg_catalog.pg_prepared_statements p
  WHERE p.name OPERATOR(pg_catalog.~) '^pgmig_q[0-9]+$']]

--- A list as the server writes an array of text.
local function array(list)
  local items = {}
  for i, item in ipairs(list) do items[i] = '"' .. item:gsub('[\\"]', "\\%0") .. '"' end
  return "{" .. table.concat(items, ",") .. "}"
end

--- Prepare a query as a driver would have; nil where the schema does not have what it needs.
local function prepare(db, query, name)
  db:exec "SAVEPOINT pgmig_replay"
  local ok, err = pcall(db.exec, db, ("PREPARE %s AS %s"):format(name, query.sql))
  if not ok and not errors.is(err, "sql") then error(err, 0) end
  db:exec(ok and "RELEASE SAVEPOINT pgmig_replay" or "ROLLBACK TO SAVEPOINT pgmig_replay")
  return ok
end

--- Run queries, each in a block of its own.
-- @return their errors by number: { state, said, column }
local function try(db, list, anew)
  local names, texts, arguments, failed = {}, {}, {}, {}
  for i, query in ipairs(list) do
    names[i], texts[i], arguments[i] = query.name, query.sql, query.arguments
  end
  for _, row in ipairs(db:query(RUN, array(names), array(texts), array(arguments), anew)) do
    failed[row.number] = row
  end
  return failed
end

--- Whether an error is one of data, which an empty schema does not have.
local function is_of_data(failure)
  if not failure then return true end
  local class = failure.state:sub(1, 2)
  return (class == "22" or class == "23") and failure.state ~= "23502"
end

--- Whether what failed now worked before.
local function is_new(before, now)
  if is_of_data(now) then return false end
  if is_of_data(before) then return true end
  return before.state == "23502" and (now.state ~= "23502" or now.column ~= before.column)
end

--- Call a function in a transaction that leaves nothing: in the migration's own, or in one of ours.
local function apart(db, fn)
  local own = db:transaction_status() == "idle"
  db:exec(own and "BEGIN" or "SAVEPOINT pgmig_apart")
  local ok, err = pcall(fn)
  if db:is_lost() then error(err, 0) end
  db:exec(own and "ROLLBACK" or "ROLLBACK TO SAVEPOINT pgmig_apart; RELEASE SAVEPOINT pgmig_apart")
  if not ok then error(err, 0) end
end

--- A migration begins: the queries that work on the schema as it is are prepared.
function replay:open(db)
  apart(db, function()
    for _, row in ipairs(db:query(LEFT)) do db:exec("DEALLOCATE " .. row.name) end
    self.ready = {}
    for i, query in ipairs(self.queries) do
      query.number, query.name = i, "pgmig_q" .. i
      if prepare(db, query, query.name) then
        self.ready[#self.ready + 1] = query
      elseif query.works == nil then
        self.skipped = self.skipped + 1
        query.works = false
      end
    end
    local lists = values_of(db)
    for _, query in ipairs(self.ready) do
      query.works, query.stale = true, false
      query.arguments = lists[query.name] and "(" .. lists[query.name] .. ")" or ""
    end
    db:exec(TRY)
    self.before = try(db, self.ready, false)
  end)
end

--- A statement has run: find what has worked before and does no longer.
function replay:look(ctx)
  local db = ctx.db
  if not self.ready[1] then return end
  local cached, anew
  apart(db, function()
    db:exec(TRY)
    cached, anew = try(db, self.ready, false), try(db, self.ready, true)
  end)
  local rest, before = {}, {}
  for i, query in ipairs(self.ready) do
    local by_anew = is_new(self.before[i], anew[i])
    local by_cached = not query.stale and is_new(self.before[i], cached[i])
    if by_cached or by_anew then
      self.on_broken(query, by_cached and cached[i] or nil, by_anew and anew[i] or nil, ctx)
    end
    if not by_anew then
      query.stale = query.stale or by_cached -- told once; anew it may fail later
      rest[#rest + 1] = query
      before[#rest] = self.before[i]
    end
  end
  self.ready, self.before = rest, before
end

-- Statements that change no schema.
local harmless = {
  INSERT = true, UPDATE = true, DELETE = true, SELECT = true, COPY = true, SET = true,
  COMMENT = true, ANALYZE = true,
}

--- Run an application's queries beside a migrator's.
-- @param migrator on a clone, which is watched by nobody else
-- @param queries of `read` or `seen`
-- @param on_broken fn(query, cached, anew, ctx): a query fails from now on, as one that was
--   prepared before and anew: { state, said } each, or nil
-- @return { skipped = how many have never worked }
function M.watch(migrator, queries, on_broken)
  local self = setmetatable({
    queries = queries, on_broken = on_broken, ready = {}, before = {}, skipped = 0,
  }, replay)
  migrator:on("before_each", function(ctx) self:open(ctx.db) end)
  migrator:on("after_statement", function(ctx)
    local first = words.read(ctx.sql)[1]
    if not (first and harmless[first.word]) then self:look(ctx) end
  end)
  migrator:on("after_each", function(ctx)
    if ctx.migration.language == "lua" then self:look(ctx) end
  end)
  return self
end

return M
