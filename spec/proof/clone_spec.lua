-- Clones: what they take over from the database that they stand for, what they go without, and that
-- nothing of them is left.
local clones = require "pgmig.proof.clone"
local pgmig = require "pgmig"
local support = require "spec.support"

--- A folder of migrations, by name.
local function folder(files)
  local dir = support.tempdir()
  for name, text in pairs(files) do support.write(dir, name, text) end
  return dir
end

--- A database where migrations were applied, and a migrator on it.
local function live(dir, sql)
  local url = support.database()
  support.psql(url, ("ALTER DATABASE %s SET TimeZone = 'UTC'"):format(url:match "///([^?]*)"))
  pgmig.migrator(pgmig.connect(url), dir):migrate { to = 1 }
  if sql then support.psql(url, (sql:gsub("THIS", (url:match "///([^?]*)")))) end
  return pgmig.migrator(pgmig.connect(url), dir), url
end

local function notes_like(traced, pattern)
  for _, note in ipairs(traced.notes) do
    if note:find(pattern) then return note end
  end
  return nil
end

describe("a clone", function()
  it("has the time zone of the database, which decides whether a column is rewritten", function()
    local dir = folder {
      ["1_t.sql"] = "CREATE TABLE t (id int, ts timestamp);",
      ["2_x.sql"] = "ALTER TABLE t ALTER ts TYPE timestamptz;",
    }
    local berlin = live(dir, "ALTER DATABASE THIS SET TimeZone = 'Europe/Berlin'")
    assert.same({ "public.t" }, berlin:trace().effects[1].rewrites)
    if live(dir).db:server_version() >= 120000 then
      assert.same({}, live(dir):trace().effects[1].rewrites)
    end
  end)

  it("has the database's settings, constraints that are not valid, and roles", function()
    local dir = folder {
      ["1_t.sql"] = "CREATE TABLE t (id int, CONSTRAINT c CHECK (id IS NOT NULL));\n"
        .. "CREATE SCHEMA other; CREATE TABLE other.t (id int, v int);\n"
        .. "ALTER TABLE other.t ADD CONSTRAINT d CHECK (v > 0) NOT VALID;",
      ["2_x.sql"] = "ALTER TABLE public.t VALIDATE CONSTRAINT c;\n"
        .. "ALTER TABLE t VALIDATE CONSTRAINT d;\nALTER TABLE t OWNER TO clone_owner;",
    }
    local migrator, url = live(dir, "ALTER DATABASE THIS SET search_path = other, public;"
      .. "ALTER TABLE public.t DROP CONSTRAINT c;"
      .. "ALTER TABLE public.t ADD CONSTRAINT c CHECK (id IS NOT NULL) NOT VALID;"
      .. "ALTER TABLE other.t VALIDATE CONSTRAINT d;")
    support.psql(url, "DROP ROLE IF EXISTS clone_owner; CREATE ROLE clone_owner")
    local traced = migrator:trace()
    assert.is_nil(traced.error)
    assert.equal(1, traced.effects[1].scans["public.t"])
    assert.is_nil(traced.effects[2].scans["other.t"])
    assert.equal("ACCESS EXCLUSIVE", traced.effects[3].locks["other.t"])
    support.psql(url, "DROP ROLE clone_owner")
  end)

  it("makes roles that files name, and says so", function()
    local traced = pgmig.migrator(nil, folder {
      ["1_t.sql"] = "CREATE TABLE t (id int); GRANT SELECT ON t TO reader;",
      ["2_x.sql"] = "ALTER TABLE t ADD x int; GRANT UPDATE ON t TO writer;",
    }):trace { applied_to = 1 }
    assert.is_nil(traced.error)
    assert.equal(2, #traced.effects)
    assert.is_truthy(notes_like(traced, "role reader: it was created"))
    assert.is_truthy(notes_like(traced, "role writer: it was created"))
  end)

  it("goes without an extension that its server does not have, and says what to do", function()
    local traced = pgmig.migrator(nil, folder {
      ["1_t.sql"] = "CREATE EXTENSION IF NOT EXISTS no_such_thing; CREATE TABLE t (id int);",
      ["2_x.sql"] = "CREATE EXTENSION \"nor this\";\nALTER TABLE t ADD x int;",
    }):trace { applied_to = 1 }
    assert.is_nil(traced.error)
    assert.equal("ALTER TABLE", traced.effects[#traced.effects].kind)
    assert.is_truthy(notes_like(traced, "no extension no_such_thing.*install it there"))
    assert.is_truthy(notes_like(traced, "no extension nor this"))
  end)

  it("begins with the schema of a file of pg_dump", function()
    local dir = folder {
      ["1_t.sql"] = "SELECT this_is_not_run();", ["2_x.sql"] = "CREATE INDEX i ON t (id);",
    }
    local path = support.write(dir, "schema.txt", [[
\restrict abc
SET of_a_newer_version = 0;
SET statement_timeout = 0;
CREATE SCHEMA public;
CREATE EXTENSION IF NOT EXISTS no_such_thing WITH SCHEMA public;
COMMENT ON EXTENSION no_such_thing IS 'x';
CREATE TABLE public.t (id integer);
ALTER TABLE public.t OWNER TO some_owner;
COPY public.t (id) FROM stdin;
1
2
\.
\unrestrict abc
]])
    local traced = pgmig.migrator(nil, dir):trace { applied_to = 1, schema_from = path }
    assert.is_nil(traced.error)
    assert.same({ ["public.t"] = "SHARE" }, traced.effects[1].locks)
    assert.is_truthy(notes_like(traced, "no extension no_such_thing"))
  end)

  it("begins with the schema of a database, its time zone and its NOT VALID constraints", function()
    local _, program = support.run "pg_dump --version"
    local of_server = support.psql(support.server():url(), "SHOW server_version")
    if tonumber(program:match "%d+") < tonumber(of_server:match "%d+") then
      pending "pg_dump is older than the server"
    end
    support.psql(support.server():url(), "CREATE ROLE clone_owner LOGIN SUPERUSER")
    local url = support.database():gsub("user=postgres", "user=clone_owner")
    pgmig.migrator(pgmig.connect(url), folder { ["1_x.sql"] = "SELECT 1;" }):migrate()
    support.psql(url, [[CREATE TABLE t (id int, ts timestamp);
      ALTER TABLE t ADD CONSTRAINT c CHECK (id > 0) NOT VALID]])
    support.psql(url, ("ALTER DATABASE %s SET TimeZone = 'Europe/Berlin'"):format(
      url:match "///([^?]*)"))
    local traced = pgmig.migrator(nil, folder {
      ["1_x.sql"] = "SELECT 1;",
      ["2_x.sql"] = "ALTER TABLE t VALIDATE CONSTRAINT c;\n"
        .. "ALTER TABLE t ALTER ts TYPE timestamptz;",
    }):trace { schema_from = url }
    assert.is_nil(traced.error)
    assert.same({ ["public.t"] = 1 }, traced.effects[1].scans)
    assert.same({ "public.t" }, traced.effects[2].rewrites)
  end)

  it("says where the schema's file is wrong", function()
    local dir = folder { ["2_x.sql"] = "SELECT 1;" }
    local path = support.write(dir, "schema.txt", "CREATE TABLE t (id int);\nCREATE VIEW v AS "
      .. "SELECT nope;\n")
    local ok, err = pcall(function() pgmig.migrator(nil, dir):trace { schema_from = path } end)
    assert.is_false(ok)
    assert.same({ path, 2, "42703" }, { err.file, err.line, err.sqlstate })
    ok, err = pcall(function() pgmig.migrator(nil, dir):trace { schema_from = "nope.sql" } end)
    assert.is_false(ok)
    assert.equal("nope.sql: the schema's file does not exist", tostring(err))
  end)

  it("says of an applied file that fails that it is applied, and what helps", function()
    local ok, err = pcall(function()
      pgmig.migrator(nil, folder {
        ["1_t.sql"] = "ALTER TABLE made_elsewhere ADD x int;", ["2_x.sql"] = "SELECT 1;",
      }):trace { applied_to = 1 }
    end)
    assert.is_false(ok)
    assert.matches("this migration is applied", err.detail)
    assert.matches("--schema-from", err.hint, 1, true)
  end)

  it("runs hooks that take part in a migration, and tells them where they are", function()
    local seen = {}
    local function note(ctx) seen[#seen + 1] = ctx.event .. tostring(ctx.clone) end
    pgmig.migrator(nil, folder { ["1_t.sql"] = "CREATE TABLE t ();" }, {
      hooks = { before_each = note, committed = note, after_all = note },
    }):trace()
    assert.same({ "before_eachtrue" }, seen)
  end)

  it("refuses a folder without a server", function()
    local ok, err = pcall(clones.open, { bin = "/nowhere" })
    assert.is_false(ok)
    assert.equal("usage", err.kind)
    assert.matches("--scratch-bin names the folder", err.hint, 1, true)
  end)
end)

describe("what a clone leaves", function()
  --- The databases of clones on the specs' server.
  local function databases()
    return support.psql(support.server():url(), "SELECT count(*) FROM pg_database "
      .. "WHERE datname LIKE 'pgmig_proof_%'")
  end

  local function slow_folder()
    return folder { ["1_t.sql"] = "CREATE TABLE t ();", ["2_x.sql"] = "SELECT pg_sleep(600);" }
  end

  it("is nothing on a server of the user's, where all went well, or failed", function()
    local options = { scratch = support.server():url() }
    local migrator = pgmig.migrator(nil, folder { ["1_t.sql"] = "CREATE TABLE t ();" })
    assert.equal(1, #migrator:trace(options).effects)
    assert.equal("0", databases())
    support.psql(support.server():url(), "DROP ROLE IF EXISTS clone_maker; "
      .. "CREATE ROLE clone_maker LOGIN CREATEDB")
    local traced = migrator:trace {
      scratch = support.server():url():gsub("user=postgres", "user=clone_maker"),
    }
    assert.same({ kind = "table", name = "public.t" }, traced.effects[1].created[1])
    assert.matches("no superuser", traced.notes[1])
    assert.equal("0", databases())
    migrator = pgmig.migrator(nil, folder { ["1_t.sql"] = "nonsense;" })
    assert.is_truthy(migrator:trace(options).error)
    assert.equal("0", databases())
  end)

  --- Start a trace, and end it by a signal when its slow statement runs.
  -- @param options of the command
  -- @param is_there fn() whether its statement runs
  local function interrupt(signal, options, is_there)
    local dir = support.tempdir()
    os.execute(("env --default-signal=INT bin/pgmig --dir %s trace %s >%s/out 2>&1 & "
      .. "echo $! >%s/pid"):format(support.quote(slow_folder()), options, dir, dir))
    local pid = support.read(dir .. "/pid"):match "%d+"
    support.wait(is_there, function() return support.read(dir .. "/out") end)
    os.execute(("kill -%s %s"):format(signal, pid))
    support.wait(function() return support.run("kill -0 " .. pid) ~= 0 end)
    return support.read(dir .. "/out")
  end

  for _, signal in ipairs { "INT", "TERM", "KILL" } do
    it("is nothing on a server of the user's behind SIG" .. signal, function()
      interrupt(signal, "--scratch " .. support.quote(support.server():url()), function()
        return support.psql(support.server():url(), "SELECT count(*) FROM pg_stat_activity "
          .. "WHERE query LIKE 'SELECT pg_sleep(600)%' AND state = 'active'") ~= "0"
      end)
      support.wait(function() return databases() == "0" end, databases)
    end)
  end
end)
