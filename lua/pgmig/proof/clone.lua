--- Databases with the schema that a migration would find, but without rows, on a server where
-- nothing is lost: a scratch server of our own, or one that the user names.
local connection = require "pgmig.db.connection"
local core = require "pgmig.core"
local dial = require "pgmig.db.dial"
local errors = require "pgmig.errors"
local likeness = require "pgmig.proof.likeness"
local loop = require "pgmig.db.loop"
local needed = require "pgmig.needed"
local scratch = require "pgmig.scratch"
local sweeper = require "pgmig.proof.sweeper"
local twins = require "pgmig.proof.twin"

local pg_dump, schema = needed "proof.pg_dump", needed "proof.schema"

local M = {}
local clone = {}
clone.__index = clone

-- No vacuum disturbs the template, and what lies in memory stays small.
local settings = { autovacuum = "off", max_wal_size = "128MB", max_locks_per_transaction = 1024 }

local OLDEST = 11 -- major version

local PREFIX = "pgmig_proof_%d_"

local function major(version) return math.floor(version / 10000) end

--- Note a sentence about what differs, once.
function clone:note(sentence)
  if self.noted[sentence] then return end
  self.noted[sentence] = true
  self.notes[#self.notes + 1] = sentence
end

-- ---- the server --------------------------------------------------------------

--- The major version of the server that it stands for, as far as it is known; nil.
local function wanted_major(options, like)
  if like then return major(like:server_version()) end
  local facts = options.facts
  return facts and facts.version_num and major(facts.version_num)
end

local function start_server(options, wanted)
  local ok, result = pcall(scratch.start, {
    bin = options.bin, major = wanted, memory = true, settings = settings,
  })
  if ok then return result end
  local signal = core.interrupted() -- it ends the programs that start the server, too
  if signal then loop.raise_interrupted(signal) end
  errors.raise("usage", "there is no scratch server to try the migrations on", {
    detail = tostring(result), hint = "--scratch-bin names the folder of a PostgreSQL server's "
      .. "programs (initdb, postgres), --scratch the URL of a server where databases may be "
      .. "created",
  })
end

--- Drop what killed processes left on a server. The pid of a backend is in the names of its
-- databases.
local function sweep(self)
  local left = self.admin:ask_rows("* name:text", [[
    SELECT d.datname::pg_catalog.text AS name FROM pg_catalog.pg_database d
    WHERE d.datname OPERATOR(pg_catalog.~) '^pgmig_proof_[0-9]+_' AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_stat_activity
      WHERE pid::pg_catalog.text OPERATOR(pg_catalog.=) pg_catalog.split_part(d.datname, '_', 3))]])
  for _, row in ipairs(left) do
    pcall(self.admin.exec, self.admin, "DROP DATABASE " .. self.admin:quote_ident(row.name))
  end
end

local function check_version(self)
  if major(self.version) >= OLDEST then return end
  errors.raise("usage", ("proof requires a scratch server of PostgreSQL %d or later, this one is "
    .. "%d"):format(OLDEST, major(self.version)), {
    hint = "--scratch-bin names the programs of another version",
  })
end

--- @param wanted the major version that it should have; nil
local function open_server(self, wanted)
  if self.options.url then
    self.url = self.options.url
  else
    self.server = start_server(self.options, wanted)
    self.url = self.server:url()
  end
  self.admin = connection.connect(self.url)
  self.version = self.admin:server_version()
  check_version(self)
  if wanted and wanted ~= major(self.version) then
    self:note(("the database runs PostgreSQL %d, the clone %d: what is seen here may differ; "
      .. "--scratch-bin names the programs of another version"):format(wanted,
      major(self.version)))
  end
  self.prefix = PREFIX:format(self.admin:backend_pid())
  if self.server then return end
  sweep(self)
  self.sweeper = sweeper.start(self.url, self.prefix)
end

-- ---- databases ---------------------------------------------------------------

--- A name for a new database, which is dropped at the end.
local function new_name(self)
  self.count = self.count + 1
  return self.prefix .. self.count
end

--- Copy a database. On our own server copying files is faster than copying blocks, where it knows
-- the choice.
local function copy(self, name, template)
  local command = ("CREATE DATABASE %s TEMPLATE %s"):format(name, template)
  if self.server and not self.has_no_strategy then
    local ok, err = pcall(self.admin.exec, self.admin, command .. " STRATEGY file_copy")
    if ok then return end
    if err.sqlstate ~= "42601" then error(err, 0) end
    self.has_no_strategy = true
  end
  self.admin:exec(command)
end

--- A new database like another one, with the settings of the one that it stands for.
local function copy_of(self, template)
  local name = new_name(self)
  copy(self, name, template)
  for _, unknown in ipairs(likeness.set(self.admin, name, self.settings)) do
    self:note(("the clone's server does not know the setting %s"):format(unknown))
  end
  return name
end

local function url_of(self, name) return dial.with_database(self.url, name) end

local function connect(self, name)
  local db = connection.connect(url_of(self, name))
  self.connections[#self.connections + 1] = db
  return db
end

--- Call a function with a connection to a database.
local function with_connection(self, name, fn)
  local db = connect(self, name)
  local ok, err = pcall(fn, db)
  db:close() -- a template must have no connections
  if not ok then error(err, 0) end
end

-- ---- what it is to be like -----------------------------------------------------

--- The role that an error misses; nil. Our own server speaks English.
local function missing_role(err)
  if not errors.is(err) or err.sqlstate ~= "42704" then return nil end
  return err.message:match '^role "(.*)" does not exist$'
end

--- Make what an error misses: a role, which files and dumps name, and which is none of a schema.
-- @param err what was raised
-- @return whether there is something new, so that another attempt makes sense
function clone:supply(err)
  local role = self.server and missing_role(err)
  if not role or self.roles[role] then return false end
  self.roles[role] = true
  likeness.role(self.admin, role)
  self:note(("there was no role %s: it was created for the clone, without any privileges"):format(
    role))
  return true
end

--- Note that the clone goes without extensions.
-- @param extensions a list of names
function clone:note_missing(extensions)
  for _, name in ipairs(extensions) do
    self:note(("the clone's server has no extension %s, so it goes without: install it there, or "
      .. "name a server that has it (--scratch, --scratch-bin)"):format(name))
  end
end

--- Whether the server has an extension; that it has not is noted.
-- @param db a connection to the server
function clone:has_extension(db, name)
  if likeness.has_extension(db, name) then return true end
  self:note_missing({ name })
  return false
end

--- What is taken over from the database that it stands for, whatever its schema.
local function take_over(self, like)
  local facts = self.options.facts
  if like then
    self.settings = likeness.settings(like)
    if self.server then likeness.roles(like, self.admin) end
  elseif facts then
    self.settings = likeness.settings_in(facts)
  end
end

--- The text of a schema, and what names it in messages.
local function read_schema(self, like)
  local from = self.options.schema_from
  if self.schema_db then
    return pg_dump.schema(like, { program = self.options.pg_dump }), "(pg_dump)"
  end
  local text = core.read_file(from)
  if not text then errors.raise("io", "the schema's file does not exist", { file = from }) end
  return text, from
end

local function load_schema(self, like)
  local text, path = read_schema(self, like)
  with_connection(self, self.base, function(db)
    local loaded = schema.load(db, text, path, {
      has_extension = function(name) return likeness.has_extension(db, name) end,
      supply = function(err) return self:supply(err) end,
    })
    self:note_missing(loaded.missing)
    if loaded.without_rights then
      self:note("privileges and owners of the schema are left out: its roles are not there")
    end
  end)
end

--- Whether a schema is to come from a database: it is no file, and looks like a connection string.
function M.is_database(from)
  return from ~= nil and not core.exists(from) and from:find "[=:]" ~= nil
end

--- Connect to the database that the schema is to come from.
local function open_schema(self)
  local from = self.options.schema_from
  if not M.is_database(from) then return end
  self.schema_db = connection.connect(from)
  self.connections[#self.connections + 1] = self.schema_db
end

local function prepare(self)
  open_schema(self)
  local like = self.schema_db or self.options.like
  open_server(self, wanted_major(self.options, like))
  take_over(self, like)
  self.base = copy_of(self, "template0")
  if self.options.schema_from then load_schema(self, like) end
end

--- Begin a clone. Takes half a second where a server is started.
-- @param options { bin = folder of the programs of the server to start; url = a server where
--   databases may be created, instead; schema_from = the URL of a database, or a file of pg_dump,
--   whose schema it begins with; pg_dump = the program for that; like = a connection to the
--   database that it stands for, or nil; facts = what is known of it without one
--   (pgmig.proof.facts), or nil; as_files_say = true: constraints are valid where the files make
--   them so, whatever they are in that database }
-- @return the clone: `notes`, sentences about what differs; `version` of its server
-- @raise kinds "usage" where there is no server, "connect", "sql", "io", "parse"
function M.open(options)
  local self = setmetatable({
    options = options, notes = {}, noted = {}, connections = {}, templates = {}, count = 0,
    roles = {}, settings = {},
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

-- ---- what it is used for -------------------------------------------------------

--- A fresh database with the starting schema.
-- @return its URL
function clone:database() return url_of(self, copy_of(self, self.base)) end

local function make_template(self, migrator, set)
  local name = copy_of(self, self.base)
  with_connection(self, name, function(db) twins.apply(self, migrator, db, set) end)
  return name
end

--- A migrator with the same files and options on a fresh database, where as much is applied.
-- @param migrator one, with a connection or without
-- @param options { applied = "live": what the migrator's database says, "schema": what the database
--   says whose schema it begins with, "none", or a version }
-- @return a migrator, with its connection `db`
-- @raise what `migrator:migrate` raises for a file that cannot be applied
function clone:twin(migrator, options)
  local set, word = twins.applied(self, migrator, options.applied)
  local templates = self.templates[migrator] or {}
  self.templates[migrator] = templates
  templates[word] = templates[word] or make_template(self, migrator, set)
  return twins.new(self, migrator, connect(self, copy_of(self, templates[word])))
end

--- Whether it has begun with a schema, on which no file was run.
function clone:has_schema() return self.options.schema_from ~= nil end

--- Remove the database of a twin.
-- @param twin of `twin`
function clone:discard(twin)
  local name = twin.db:query("SELECT pg_catalog.current_database() AS name")[1].name
  twin.db:close()
  sweeper.drop(self.admin, name)
end

--- Remove everything; a second call does nothing.
function clone:close()
  for _, db in ipairs(self.connections) do db:close() end
  self.connections = {}
  if self.server then
    self.server:stop()
  elseif self.prefix then
    pcall(sweeper.drop_all, self.admin, self.prefix)
  end
  if self.sweeper then sweeper.stop(self.sweeper) end
  if self.admin then self.admin:close() end
  self.server, self.prefix, self.sweeper, self.admin = nil, nil, nil, nil
end

return M
