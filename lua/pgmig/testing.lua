--- A migrated database for each spec within milliseconds, for busted.
--
--     local testing = require "pgmig.testing"
--     before_each(function() db = testing.database { dir = "migrations/" } end)
--     after_each(function() testing.drop(db) end)
--
-- The migrations run once per process, in a template; each database is a copy of it, and while a
-- spec runs, the server makes the copy for the next one. The server is a scratch server of the
-- process (pgmig.scratch), in memory where there is room, unless PGMIG_TEST_URL or `url` names
-- another.
-- @module pgmig.testing
local core = require "pgmig.c_module" -- before all others
local connection = require "pgmig.db.connection"
local dial = require "pgmig.db.dial"
local errors = require "pgmig.errors"
local migrator = require "pgmig.migrator"
local scratch = require "pgmig.scratch"

local M = {}

-- Busted loads modules anew for each spec file; the registry stays. By URL, "" for our own server.
local REGISTRY_KEY = "pgmig.testing"
local registry = debug.getregistry()
registry[REGISTRY_KEY] = registry[REGISTRY_KEY] or {}
local servers = registry[REGISTRY_KEY]

local EXIT_LIMIT = 0.1 -- seconds; then DROP DATABASE waits by itself
local EXIT_PAUSE = 0.001

-- Nobody is to be disturbed by a vacuum of the template, and what lies in memory is to stay small.
local settings = { autovacuum = "off", max_wal_size = "128MB" }

--- Have `fn` called when the Lua state is closed, before what was made earlier is finalized.
-- @return what must stay referenced until then
local function at_exit(fn)
  local newproxy = rawget(_G, "newproxy")
  if not newproxy then return setmetatable({}, { __gc = fn }) end
  local guard = newproxy(true) -- tables have no __gc in the 5.1 ABI
  getmetatable(guard).__gc = fn
  return guard
end

-- ---- what the server is asked ------------------------------------------------

--- Wait for the copy that the server is making. One that failed is left to who needs it: asked for
-- again, it fails again.
local function settle(server)
  local copy = server.making
  if not copy then return end
  server.making = nil
  local ok, err = pcall(function()
    server.maker:run()
    server.maker:finish()
  end)
  if ok then
    copy.template.spare = copy.name
  elseif not errors.is(err, "sql") then
    error(err, 0)
  end
end

--- A name for a new database, which is dropped at exit.
local function new_name(server)
  server.count = server.count + 1
  local name = server.prefix .. server.count
  server.databases[name] = true
  return name
end

local function drop_database(server, name)
  local force = server.admin:server_version() >= 130000 and " WITH (FORCE)" or ""
  server.admin:exec("DROP DATABASE IF EXISTS " .. server.admin:quote_ident(name) .. force)
  server.databases[name] = nil
end

--- Wait until the server process of a closed connection has ended: where DROP DATABASE still finds
-- it, it sleeps for a tenth of a second.
local function wait_for_exit(server, pid)
  local deadline = core.now() + EXIT_LIMIT
  local sql = "SELECT FROM pg_catalog.pg_stat_activity WHERE pid OPERATOR(pg_catalog.=) $1"
  while server.admin:query(sql, pid)[1] and core.now() < deadline do
    server.admin:sleep(EXIT_PAUSE)
  end
end

-- ---- servers -----------------------------------------------------------------

--- Drop what killed processes left on a server. The pid of a backend is in the names of its
-- databases; one that is still making a copy ends after that.
local function sweep(server)
  local left = server.admin:query [[
    SELECT d.datname FROM pg_catalog.pg_database d
    WHERE d.datname OPERATOR(pg_catalog.~) '^pgmig_test_[0-9]+_' AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_stat_activity
      WHERE pid::pg_catalog.text OPERATOR(pg_catalog.=) pg_catalog.split_part(d.datname, '_', 3))]]
  for _, row in ipairs(left) do pcall(drop_database, server, row.datname) end
end

local function clean_up(server)
  pcall(settle, server)
  for name in pairs(server.databases) do pcall(drop_database, server, name) end
  pcall(sweep, server)
end

local function open_server(url)
  local own = not url and scratch.start { memory = true, settings = settings } or nil
  local server = {
    own = own, url = url or own:url(), templates = {}, databases = {}, kept = {}, count = 0,
  }
  server.admin = connection.connect(server.url)
  server.maker = connection.connect(server.url) -- of copies
  server.prefix = "pgmig_test_" .. server.admin:backend_pid() .. "_"
  if not own then
    sweep(server)
    server.guard = at_exit(function() clean_up(server) end)
  end
  return server
end

local function server_at(url)
  if url == "" then url = nil end
  local key = url or ""
  servers[key] = servers[key] or open_server(url)
  return servers[key]
end

-- ---- templates ---------------------------------------------------------------

--- What is in an option, as text. Functions count by themselves: each is kept, so that no other
-- ever has its address.
local function text_of(server, value)
  if type(value) == "string" then return ("%q"):format(value) end
  if type(value) == "function" then server.kept[value] = true end
  if type(value) ~= "table" then return tostring(value) end
  local fields = {}
  for key, field in pairs(value) do
    fields[#fields + 1] = text_of(server, key) .. "=" .. text_of(server, field)
  end
  table.sort(fields)
  return "{" .. table.concat(fields, ",") .. "}"
end

--- What decides whether two templates are the same: the files, their contents, the options.
local function fingerprint(server, dir, options)
  local files = migrator.new(nil, dir, options):files()
  local parts = { text_of(server, options) }
  for _, list in ipairs { files.list, files.repeatable } do
    for _, m in ipairs(list) do
      parts[#parts + 1] = m.path .. " " .. core.file_checksum(m.path)
    end
  end
  return table.concat(parts, "\n")
end

local function make_template(server, dir, options)
  local name = new_name(server)
  server.admin:exec("CREATE DATABASE " .. name)
  local db = connection.connect(dial.with_database(server.url, name))
  local ok, err = pcall(function() migrator.new(db, dir, options):migrate() end)
  db:close() -- a template must have no connections
  if ok then return { name = name } end
  drop_database(server, name)
  error(err, 0)
end

--- The statement that copies a template. Where copying files needs a checkpoint of somebody's own
-- server, the server decides how.
local function copy_statement(server, template, name)
  local by_files = server.own and server.admin:server_version() >= 150000
  return ("CREATE DATABASE %s TEMPLATE %s%s"):format(name, template.name,
    by_files and " STRATEGY file_copy" or "")
end

--- Let the server make the next copy, while somebody works with the last one.
local function begin_copy(server, template)
  local copy = { template = template, name = new_name(server) }
  server.maker.handle:send(copy_statement(server, template, copy.name))
  server.making = copy
end

local function take_copy(server, template)
  settle(server)
  local name = template.spare
  template.spare = nil
  if not name then
    name = new_name(server)
    server.maker:exec(copy_statement(server, template, name))
  end
  begin_copy(server, template)
  return name
end

-- ---- what specs call ---------------------------------------------------------

--- The options of the migrator among those of `database`.
local function of_migrator(options)
  local of = {}
  for key, value in pairs(options) do
    if key ~= "dir" and key ~= "url" then of[key] = value end
  end
  return of
end

--- Make a database with all migrations applied.
-- @param options { dir = migrations folder or list of folders, default "migrations"; url = a
--   server, by the URL of one of its databases, with the privilege to create databases; default
--   PGMIG_TEST_URL, otherwise a scratch server }, and those of `pgmig.migrator`: `table`, `format`,
--   `naming`, `placeholders`, ...
-- @return a connection, with database_name and database_url
-- @raise what `migrator:migrate` and `pgmig.connect` raise
function M.database(options)
  options = options or {}
  local server = server_at(options.url or os.getenv "PGMIG_TEST_URL")
  local dir, migrator_options = options.dir or "migrations", of_migrator(options)
  local key = fingerprint(server, dir, migrator_options)
  server.templates[key] = server.templates[key] or make_template(server, dir, migrator_options)
  local name = take_copy(server, server.templates[key])
  local url = dial.with_database(server.url, name)
  local db = connection.connect(url)
  db.database_name, db.database_url = name, url
  return db
end

--- Check that each migration of a folder can be rolled back and applied again, on a clone.
-- @param dir migrations folder or list of folders; default "migrations"
-- @param options those of `migrator:verify`, `url` = a server as for `database`, and those of
--   `pgmig.migrator`
-- @return what `migrator:verify` returns
-- @raise a text that says what does not lead back; and as `migrator:verify`
function M.verify(dir, options)
  local known, of_migrator_only, own = require("pgmig.arguments").known.verify, {}, {}
  for key, value in pairs(options or {}) do
    if known[key] then own[key] = value elseif key ~= "url" then of_migrator_only[key] = value end
  end
  own.scratch = own.scratch or (options or {}).url or os.getenv "PGMIG_TEST_URL"
  if own.scratch == "" then own.scratch = nil end
  local verified = migrator.new(nil, dir or "migrations", of_migrator_only):verify(own)
  if not verified.ok then error(table.concat(verified.complaints, "\n"), 2) end
  return verified
end

--- Close a connection from `database` and drop its database; without one, after a `before_each`
-- that failed, do nothing. Others are dropped at exit.
function M.drop(db)
  if not db then return end
  db:close()
  for _, server in pairs(servers) do
    if server.databases[db.database_name] then
      wait_for_exit(server, db:backend_pid())
      return drop_database(server, db.database_name)
    end
  end
end

return M
