--- Databases with the schema that a migration would find, but without rows, on a server where
-- nothing is lost: a scratch server of our own, or one that the user names.
local connection = require "pgmig.db.connection"
local core = require "pgmig.core"
local dial = require "pgmig.db.dial"
local errors = require "pgmig.errors"
local ledger = require "pgmig.state.ledger"
local migrators = require "pgmig.migrator"
local planning = require "pgmig.state.plan"
local scratch = require "pgmig.scratch"
local states = require "pgmig.state.compare"

local M = {}
local clone = {}
clone.__index = clone

-- No vacuum disturbs the template, and what lies in memory stays small.
local settings = { autovacuum = "off", max_wal_size = "128MB", max_locks_per_transaction = 1024 }

local OLDEST = 110000

-- Hooks that take part in what runs; the others tell somebody, and nothing happens here.
local shaping = { "before_all", "before_each", "before_statement", "after_statement", "after_each" }

-- ---- the server --------------------------------------------------------------

local function start_server(bin)
  local ok, result = pcall(scratch.start, { bin = bin, memory = true, settings = settings })
  if ok then return result end
  if errors.is(result) then error(result, 0) end
  errors.raise("usage", "there is no scratch server to try the migrations on", {
    detail = tostring(result), hint = "--scratch-bin names the folder of a PostgreSQL server's "
      .. "programs (initdb, postgres), --scratch the URL of a server where databases may be "
      .. "created",
  })
end

local function major(version) return math.floor(version / 10000) end

local function note(self, sentence) self.notes[#self.notes + 1] = sentence end

--- Drop what killed processes left on a server. The pid of a backend is in the names of its
-- databases.
local function sweep(self)
  local left = self.admin:query [[
    SELECT d.datname::pg_catalog.text AS name FROM pg_catalog.pg_database d
    WHERE d.datname OPERATOR(pg_catalog.~) '^pgmig_proof_[0-9]+_' AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_stat_activity
      WHERE pid::pg_catalog.text OPERATOR(pg_catalog.=) pg_catalog.split_part(d.datname, '_', 3))]]
  for _, row in ipairs(left) do pcall(self.admin.exec, self.admin, "DROP DATABASE " .. row.name) end
end

--- A name for a new database, which is dropped at the end.
local function new_name(self)
  self.count = self.count + 1
  local name = self.prefix .. self.count
  self.databases[#self.databases + 1] = name
  return name
end

--- Copying files is faster than copying blocks where no checkpoint has to write much.
local function copy_of(self, template)
  local name = new_name(self)
  local by_files = self.server and self.version >= 150000
  self.admin:exec(("CREATE DATABASE %s TEMPLATE %s%s"):format(name, template,
    by_files and " STRATEGY file_copy" or ""))
  return name
end

local function url_of(self, name) return dial.with_database(self.url, name) end

--- What of the database that it stands for changes what a statement does.
local function take_over(self, base)
  local like = self.options.like
  if not like then return end
  if major(like:server_version()) ~= major(self.version) then
    note(self, ("the database runs PostgreSQL %d, the clone %d: what is seen here may differ; "
      .. "--scratch-bin names the programs of another version"):format(
      major(like:server_version()), major(self.version)))
  end
  local zone = like:ask_row("1 zone:text",
    "SELECT pg_catalog.current_setting('TimeZone')::pg_catalog.text AS zone").zone
  self.admin:exec(("ALTER DATABASE %s SET TimeZone = %s"):format(base,
    self.admin:quote_literal(zone)))
end

local function prepare(self)
  if self.options.url then
    self.url = self.options.url
  else
    self.server = start_server(self.options.bin)
    self.url = self.server:url()
  end
  self.admin = connection.connect(self.url)
  self.version = self.admin:server_version()
  if self.version < OLDEST then
    errors.raise("usage", ("proof requires a scratch server of PostgreSQL %d or later, this one is "
      .. "%d"):format(major(OLDEST), major(self.version)), {
      hint = "--scratch-bin names the programs of another version",
    })
  end
  self.prefix = ("pgmig_proof_%d_"):format(self.admin:backend_pid())
  if not self.server then sweep(self) end
  self.base = new_name(self)
  self.admin:exec(("CREATE DATABASE %s TEMPLATE template0"):format(self.base))
  take_over(self, self.base)
end

--- Begin a clone. Takes half a second where a server is started.
-- @param options { bin = folder of the programs of the server to start; url = a server where
--   databases may be created, instead; like = a connection to the database that it stands for, or
--   nil }
-- @return the clone: `notes`, sentences about what differs; `version` of its server
-- @raise kinds "usage" where there is no server, "connect", "sql"
function M.open(options)
  local self = setmetatable({
    options = options, notes = {}, databases = {}, connections = {}, templates = {}, count = 0,
  }, clone)
  local ok, err = pcall(prepare, self)
  if ok then return self end
  self:close()
  error(err, 0)
end

--- Call a function with a clone, which is removed when it returns or raises.
-- @param options of `open`
-- @param fn fn(clone)
-- @return what it returns, one value
function M.with(options, fn)
  local self = M.open(options)
  local ok, result = pcall(fn, self)
  self:close()
  if ok then return result end
  error(result, 0)
end

-- ---- databases ---------------------------------------------------------------

--- A fresh database with the starting schema.
-- @return its URL
function clone:database() return url_of(self, copy_of(self, self.base)) end

local function connect(self, url)
  local db = connection.connect(url)
  self.connections[#self.connections + 1] = db
  return db
end

--- The hooks of a migrator that take part in what runs; `ctx.clone` tells them where they are.
local function hooks_of(migrator)
  local hooks = {}
  for _, event in ipairs(shaping) do
    hooks[event] = {}
    for i, fn in ipairs(migrator.hooks.handlers[event] or {}) do
      hooks[event][i] = function(ctx)
        ctx.clone = true
        return fn(ctx)
      end
    end
    if not hooks[event][1] then hooks[event] = nil end
  end
  return hooks
end

--- A migrator with the same files and options on another database.
local function same(migrator, db)
  local options = {}
  for key, value in pairs(migrator.given) do options[key] = value end
  options.format, options.naming = migrator.format, migrator.naming
  options.hooks = hooks_of(migrator)
  options.shared, options.log, options.drift_check = nil, nil, false
  return migrators.new(db, migrator.dirs, options)
end

--- Which migrations count as applied: a set of keys (pgmig.state.ledger), and a word for it.
local function applied_of(migrator, applied)
  local set = {}
  if applied == "none" then return set, applied end
  if applied ~= "live" then
    local files = migrator:files()
    local target = planning.find({ by_id = files.by_id }, applied)
    for _, m in ipairs(files.list) do
      if core.compare(m.id, target.id) <= 0 then set[ledger.key(m)] = true end
    end
    return set, "to " .. target.id
  end
  local state = states.read(migrator)
  for _, list in ipairs { state.applied, state.repeatable } do
    for _, m in ipairs(list) do
      if m.applied_at then set[ledger.key(m)] = true end
    end
  end
  return set, applied
end

--- Bring a database to where the applied migrations have brought the other one.
local function apply(self, migrator, set)
  local plan = migrator:plan()
  local applied = { direction = "up", files = plan.files }
  for _, m in ipairs(plan) do
    if set[ledger.key(m)] then applied[#applied + 1] = m end
  end
  if self.has_schema then applied.record_only = "baseline" end
  migrator:run(applied)
end

local function make_template(self, migrator, set)
  local name = copy_of(self, self.base)
  local db = connect(self, url_of(self, name))
  apply(self, same(migrator, db), set)
  db:close() -- a template must have no connections
  return name
end

--- A migrator with the same files and options on a fresh database, where as much is applied.
-- @param migrator one, with a connection or without
-- @param options { applied = "live": what the migrator's database says, "none", or a version }
-- @return a migrator, with its connection `db`
-- @raise what `migrator:migrate` raises for a file that cannot be applied
function clone:twin(migrator, options)
  local set, word = applied_of(migrator, options.applied)
  local templates = self.templates[migrator] or {}
  self.templates[migrator] = templates
  templates[word] = templates[word] or make_template(self, migrator, set)
  return same(migrator, connect(self, url_of(self, copy_of(self, templates[word]))))
end

--- Remove everything; a second call does nothing.
function clone:close()
  for _, db in ipairs(self.connections) do db:close() end
  self.connections = {}
  if self.server then
    self.server:stop()
  elseif self.admin then
    for _, name in ipairs(self.databases) do
      pcall(self.admin.exec, self.admin, "DROP DATABASE IF EXISTS " .. name)
    end
  end
  self.databases = {}
  if self.admin then self.admin:close() end
end

return M
