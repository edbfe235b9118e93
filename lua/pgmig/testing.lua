--- A migrated database for each spec within milliseconds, for busted.
--
--     local testing = require "pgmig.testing"
--     before_each(function() db = testing.database { dir = "migrations/" } end)
--     after_each(function() testing.drop(db) end)
--
-- The migrations run once per process, in a template; each database is a copy of it. The server
-- is a scratch server of the process (pgmig.scratch), unless PGMIG_TEST_URL or `url` names another.
-- @module pgmig.testing
local connection = require "pgmig.db.connection"
local core = require "pgmig.core"
local migrator = require "pgmig.migrator"
local scratch = require "pgmig.scratch"

local M = {}

-- Busted loads modules anew for each spec file; the registry stays. By URL, "" for our own server.
local REGISTRY_KEY = "pgmig.testing"
local registry = debug.getregistry()
registry[REGISTRY_KEY] = registry[REGISTRY_KEY] or {}
local servers = registry[REGISTRY_KEY]

--- A URL or connection string with another database name: what comes last counts.
local function with_database(url, name)
  if not url:find "^postgres%l*://" then return url .. " dbname=" .. name end
  return url .. (url:find("?", 1, true) and "&" or "?") .. "dbname=" .. name
end

--- Have `fn` called when the Lua state is closed, before what was made earlier is finalized.
-- @return what must stay referenced until then
local function at_exit(fn)
  local newproxy = rawget(_G, "newproxy")
  if not newproxy then return setmetatable({}, { __gc = fn }) end
  local guard = newproxy(true) -- tables have no __gc in the 5.1 ABI
  getmetatable(guard).__gc = fn
  return guard
end

local function drop_database(admin, name)
  local force = admin:server_version() >= 130000 and " WITH (FORCE)" or ""
  admin:exec("DROP DATABASE IF EXISTS " .. admin:quote_ident(name) .. force)
end

--- Drop what a killed process left on a server. Its backend's pid is in the name of its databases.
local function sweep(admin)
  local left = admin:query [[
    SELECT d.datname FROM pg_catalog.pg_database d
    WHERE d.datname OPERATOR(pg_catalog.~) '^pgmig_test_[0-9]+_' AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_stat_activity
      WHERE pid::pg_catalog.text OPERATOR(pg_catalog.=) pg_catalog.split_part(d.datname, '_', 3))]]
  for _, row in ipairs(left) do pcall(drop_database, admin, row.datname) end
end

local function drop_all(server)
  for name in pairs(server.databases) do pcall(drop_database, server.admin, name) end
end

local function open_server(url)
  local own = not url and scratch.start() or nil
  local server = { own = own, url = url or own:url(), templates = {}, databases = {}, count = 0 }
  server.admin = connection.connect(server.url)
  server.prefix = "pgmig_test_" .. server.admin:backend_pid() .. "_"
  if not own then
    sweep(server.admin)
    server.guard = at_exit(function() drop_all(server) end)
  end
  return server
end

local function server_at(url)
  if url == "" then url = nil end
  local key = url or ""
  servers[key] = servers[key] or open_server(url)
  return servers[key]
end

local function create_database(server, template)
  server.count = server.count + 1
  local name = server.prefix .. server.count
  server.admin:exec("CREATE DATABASE " .. name .. (template and " TEMPLATE " .. template or ""))
  server.databases[name] = true
  return name
end

--- What decides whether two templates are the same: the files, their contents, the options.
local function fingerprint(dir, options)
  local parts = { options.table or "" }
  for _, m in ipairs(migrator.new(nil, dir, options):files().list) do
    parts[#parts + 1] = m.path .. " " .. core.file_checksum(m.path)
  end
  return table.concat(parts, "\n")
end

local function make_template(server, dir, options)
  local name = create_database(server)
  local db = connection.connect(with_database(server.url, name))
  local ok, err = pcall(function() migrator.new(db, dir, options):migrate() end)
  db:close() -- a template must have no connections
  if ok then return name end
  server.databases[name] = nil
  drop_database(server.admin, name)
  error(err, 0)
end

--- Make a database with all migrations applied.
-- @param options { dir = migrations folder or list of folders, default "migrations"; table =
--   tracking table; url = a server, by the URL of one of its databases, with the privilege to
--   create databases; default PGMIG_TEST_URL, otherwise a scratch server }
-- @return a connection, with database_name and database_url
-- @raise what `migrator:migrate` and `pgmig.connect` raise
function M.database(options)
  options = options or {}
  local server = server_at(options.url or os.getenv "PGMIG_TEST_URL")
  local dir, migrator_options = options.dir or "migrations", { table = options.table }
  local key = fingerprint(dir, migrator_options)
  server.templates[key] = server.templates[key] or make_template(server, dir, migrator_options)
  local name = create_database(server, server.templates[key])
  local url = with_database(server.url, name)
  local db = connection.connect(url)
  db.database_name, db.database_url = name, url
  return db
end

--- Close a connection from `database` and drop its database. Others are dropped at exit.
function M.drop(db)
  db:close()
  for _, server in pairs(servers) do
    if server.databases[db.database_name] then
      server.databases[db.database_name] = nil
      return drop_database(server.admin, db.database_name)
    end
  end
end

return M
