--- The schema of the database as one file: byte for byte the same each time, for version control.
-- A database made of it has the same migrations applied.
local arguments = require "pgmig.arguments"
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local pg_dump = require "pgmig.proof.pg_dump"
local recovery = require "pgmig.db.recovery"
local schema_text = require "pgmig.proof.schema_text"
local tracking_rows = require "pgmig.proof.tracking_rows"

local M = {}

local ATTEMPTS = 3 -- while other runs change the schema

-- One transaction: a database has all of it, or nothing, whatever stops at an error or goes on.
local HEAD = [[
-- The schema and its applied migrations, written by `pgmig dump`: not to be edited.
-- Into an empty database: psql -X -v ON_ERROR_STOP=1 -f FILE

BEGIN;
SET LOCAL client_encoding = 'UTF8';
SET LOCAL standard_conforming_strings = on;
SET LOCAL check_function_bodies = false;
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = '';
]]

local ROLE = [[
  SELECT current_user::pg_catalog.text AS name,
    pg_catalog.quote_ident(current_user)::pg_catalog.text AS quoted]]

local POPULATED = [[
  SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
  WHERE c.relkind OPERATOR(pg_catalog.=) 'm' AND c.relispopulated]]

local function populated(db)
  local set = {}
  for _, row in ipairs(db:ask_rows("* name:text", POPULATED)) do set[row.name] = true end
  return set
end

--- How long pg_dump waits for a lock: as a migration's statement does.
local function lock_wait(migrator)
  local ms = core.duration_setting(migrator.lock_timeout)
  return ms and ms > 0 and ms or nil
end

--- The schema of a migrator's database, normalised.
-- @param options { without = tables that are left out, quoted; data = true: with all rows; secrets
--   = true: nothing is left out because it may hold a password }; nil
-- @return as of `schema_text.normalise`
function M.schema(migrator, options)
  local db = migrator.db
  options = options or {}
  local text = pg_dump.schema(db, {
    program = migrator.pg_dump, lock_wait = lock_wait(migrator), without = options.without,
    data = options.data,
  })
  return schema_text.normalise(text, {
    role = db:ask_row("1 name:text quoted:text", ROLE).quoted, secrets = options.secrets,
    populated = options.data and {} or populated(db),
  })
end

local function persist(migrator, fn)
  return recovery.persist(migrator.db, migrator.reconnect, fn)
end

--- The file's text. What another run does meanwhile would be in one half of it only.
local function read(migrator)
  local rows = persist(migrator, function() return tracking_rows.read(migrator) end)
  for _ = 1, ATTEMPTS do
    local schema = persist(migrator, function() return M.schema(migrator) end)
    local before = rows
    rows = persist(migrator, function() return tracking_rows.read(migrator) end)
    if rows == before then return HEAD .. schema.text .. rows .. "\nCOMMIT;\n", schema.left_out end
  end
  errors.raise("lock", "another run keeps changing the schema", {
    hint = "run pgmig dump again when it has ended",
  })
end

--- Write a file, unless it is the same already. What is no file is written to.
-- @return whether it has changed
local function write(path, text)
  local kind = core.file_kind(path)
  if not kind then
    if core.read_file(path) == text then return false end
    core.replace_file(path, text)
    return true
  end
  local file, why = io.open(path, "wb")
  local written = file and file:write(text) and file:close()
  if written then return true end
  errors.raise("io", ("cannot write to %s: %s"):format(kind, why or "?"), { file = path })
end

--- Dump a database.
-- @param migrator with a connection
-- @param given a path, or { output = path }; nil: no file is written
-- @return { text, path, changed = whether the file has changed, left_out = what is not in it
--   because it may hold a password }
-- @raise kinds "usage" for a pg_dump that is missing or older than the server, "plan" for a
--   database with a half-done migration, "sql" for what pg_dump says, "lock", "io"
function M.run(migrator, given)
  local path = arguments.read("dump", given).output
  local text, left_out = read(migrator)
  return {
    text = text, path = path, changed = path and write(path, text), left_out = left_out,
  }
end

return M
