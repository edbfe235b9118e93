-- dump: the schema as one file, the same each time; a database made of it has all applied.
local cli = require "spec.cli.helper"
local pgmig = require "pgmig"
local support = require "spec.support"

local sql = [[
-- UP
CREATE SCHEMA shop AUTHORIZATION dump_owner;
CREATE TABLE shop.item (id int PRIMARY KEY, gone int, note text DEFAULT ' OWNER TO me; -- UP');
ALTER TABLE shop.item DROP COLUMN gone;
GRANT SELECT ON shop.item TO dump_reader;
COMMENT ON TABLE shop.item IS 'a line
-- Name: no; Type: heading; Owner: at all
SET lock_timeout = 0;';
CREATE FUNCTION shop.later() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT count(*) FROM shop.item);
END $$;
CREATE MATERIALIZED VIEW shop.filled AS SELECT id FROM shop.item;
CREATE MATERIALIZED VIEW shop.empty AS SELECT id FROM shop.item WITH NO DATA;
ALTER TABLE shop.item OWNER TO dump_owner;
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO dump_reader;
-- DOWN
DROP SCHEMA shop CASCADE;
]]

--- A program that stands before pg_dump.
local function before_pg_dump(script)
  local path = support.write(support.tempdir(), "pg_dump", "#!/bin/sh\n" .. script
    .. '\nexec pg_dump "$@"\n')
  os.execute("chmod 755 " .. path)
  return path
end

if not support.has_pg_dump() then
  return pending "there is no pg_dump that is new enough for this server"
end

describe("dump", function()
  local project, file

  setup(function()
    support.psql(support.server():url(), "CREATE ROLE dump_owner; CREATE ROLE dump_reader LOGIN")
  end)

  before_each(function()
    project = cli.project()
    file = support.tempdir() .. "/schema.sql"
  end)

  after_each(function() project.close() end)

  local function migrator(options) return pgmig.migrator(project.db, project.dir, options) end

  --- A database made of a dump.
  local function made_of(text)
    local url = support.database()
    local code, _, err = support.run(("psql -X -q -v ON_ERROR_STOP=1 -d %s -f %s"):format(
      support.quote(url), support.write(support.tempdir(), "dump.sql", text)))
    assert.same({ 0, "" }, { code, err })
    return pgmig.connect(url)
  end

  it("is the same twice, and of a database made of it, where all is applied", function()
    project.write("004_shop.sql", sql)
    project.write("005_gone.sql", "SELECT 1;")
    project.write("R__view.sql", "CREATE OR REPLACE VIEW v AS SELECT 1 AS one;")
    migrator():migrate()
    os.remove(project.dir .. "/005_gone.sql")
    migrator():repair(5, { gone = true })
    local text = migrator():dump().text
    assert.equal(text, migrator():dump().text)
    local db = made_of(text)
    local copy = pgmig.migrator(db, project.dir)
    assert.equal(text, copy:dump().text)
    local status = copy:status()
    assert.same({ 5, 0, 1 }, { status.applied_count, status.pending_count, #status.repeatable })
    for _, list in ipairs { status.applied, status.repeatable } do
      for _, m in ipairs(list) do assert.equal("applied", m.state, m.label) end
    end
    assert.same({}, copy:migrate())
    db:close()
  end)

  it("says nothing that differs between releases and roles", function()
    project.write("004_shop.sql", sql)
    migrator():migrate()
    local text = migrator():dump().text
    for _, word in ipairs {
      "restrict", "Dumped", "SET lock_timeout = 0;\n\n", "; Owner: postgres", "FOR ROLE",
    } do
      assert.is_nil(text:find(word, 1, true), word)
    end
    assert.is_nil(text:find("OWNER TO postgres", 1, true))
    for _, word in ipairs {
      "ALTER TABLE shop.item OWNER TO dump_owner;",
      "GRANT SELECT ON TABLE shop.item TO dump_reader;",
      "ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES",
      "-- Name: no; Type: heading; Owner: at all\nSET lock_timeout = 0;';",
      "REFRESH MATERIALIZED VIEW shop.filled;", "' OWNER TO me; -- UP'::text",
    } do
      assert.is_truthy(text:find(word, 1, true), word)
    end
    assert.is_nil(text:find("REFRESH MATERIALIZED VIEW shop.empty", 1, true))
  end)

  it("finds an edited file in a database made of it", function()
    migrator():migrate()
    local db = made_of(migrator():dump().text)
    project.write("002_create_b.sql", "CREATE TABLE b (id bigint);")
    assert.equal("edited", pgmig.migrator(db, project.dir):status().applied[2].state)
    db:close()
  end)

  it("keeps another tool's table as a run of it would", function()
    local dir = support.tempdir()
    support.write(dir, "00001_a.sql", "-- +goose Up\nCREATE TABLE ga (id int);\n")
    support.write(dir, "00002_b.sql", "-- +goose Up\nCREATE TABLE gb (id int);\n")
    local options = { format = "goose", shared = true }
    local shared = pgmig.migrator(project.db, dir, options)
    shared:migrate()
    local text = shared:dump().text
    local db = made_of(text)
    local copy = pgmig.migrator(db, dir, options)
    assert.equal(2, copy:status().applied_count)
    assert.equal(text, copy:dump().text)
    support.write(dir, "00003_c.sql", "-- +goose Up\nCREATE TABLE gc (id int);\n")
    assert.equal(1, #copy:migrate())
    db:close()
  end)

  it("leaves out what may hold a password, and says so", function()
    project.write("004_fdw.sql", [[
      CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;
      CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (user 'u', password 'hidden');
      CREATE SUBSCRIPTION sub CONNECTION 'host=/nowhere password=hidden' PUBLICATION p
        WITH (connect = false);]])
    migrator():migrate()
    local code, out, err = project.run "dump --output -"
    assert.equal(0, code)
    assert.is_nil(out:find("hidden", 1, true))
    assert.matches("left out, as it may hold a password: user mapping FOR %w+ SERVER far", err)
    assert.matches("left out, as it may hold a password: subscription sub", err)
    project.db:exec "ALTER SUBSCRIPTION sub SET (slot_name = NONE); DROP SUBSCRIPTION sub"
  end)

  it("gives pg_dump the password in its environment only", function()
    local seen = support.tempdir() .. "/seen"
    local program = before_pg_dump((
      "{ env | grep ^PG; grep -lzs 'ses[a]m' /proc/[0-9]*/cmdline; grep -r 'ses[a]m' .; } >%s")
      :format(seen))
    migrator():migrate()
    local host = support.server().host
    local db = pgmig.connect {
      url = project.url, host = "/nowhere," .. host, password = "open 'sesam'",
      connect_timeout = 7,
    }
    assert(pgmig.migrator(db, project.dir, { pg_dump = program }):dump().text:find "CREATE TABLE")
    db:close()
    local said = support.read(seen)
    assert.matches("\nPGPASSWORD=open 'sesam'\n", said)
    assert.matches("\nPGCONNECT_TIMEOUT=7\n", said)
    assert.is_truthy(said:find("PGHOST=" .. host .. "\n", 1, true)) -- the one that was found
    assert.equal(1, select(2, said:gsub("sesam", "")))
  end)

  it("has what another run does meanwhile in both of its halves", function()
    local once = support.tempdir() .. "/once"
    local program = before_pg_dump(([[
      case "$*" in *--version*) exec pg_dump "$@";; esac
      [ -e %s ] || { touch %s; psql -X -q -c 'CREATE TABLE late ();
        INSERT INTO schema_migrations (version, name) VALUES (9, $$late$$)'; }]]):format(once,
      once))
    migrator():migrate()
    local text = migrator { pg_dump = program }:dump().text
    assert.is_truthy(text:find("(9, 'late')", 1, true))
    assert.is_truthy(text:find("CREATE TABLE public.late", 1, true))
  end)

  it("is refused while a migration is half done", function()
    project.write("004_half.sql", "-- pgmig: transaction=off\nCREATE TABLE half ();\nSELECT 1/0;")
    pcall(migrator().migrate, migrator())
    local ok, err = pcall(migrator().dump, migrator())
    assert.is_false(ok)
    assert.equal("plan", err.kind)
    assert.matches("4 is half finished", err.message)
  end)

  -- ---- the file ------------------------------------------------------------------

  it("replaces the file whole, where it changes", function()
    local link = support.tempdir() .. "/link"
    assert(os.execute(("ln -s %s %s && touch %s && chmod 640 %s"):format(file, link, file, file)))
    assert.matches("link  written\n$", select(2, project.run("dump --output " .. link)))
    local _, before = support.run("stat -Lc '%i %a' " .. link)
    assert.matches(" 640\n$", before)
    assert.matches("link  unchanged\n$", select(2, project.run("dump --output " .. link)))
    assert.equal(before, select(2, support.run("stat -Lc '%i %a' " .. link)))
    assert.equal(0, (support.run("test -h " .. link)))
    local text = support.read(file)
    assert.equal(2, (project.run("dump --pg-dump /nowhere/pg_dump --output " .. file)))
    assert.equal(text, support.read(file))
    assert.equal(2, (project.run("dump --output " .. support.tempdir())))
    assert.equal(0, (project.run "dump --output /dev/null"))
    assert.equal(0, (support.run "test -c /dev/null"))
  end)

  it("goes to standard output", function()
    project.run "up"
    local code, out = project.run "dump --output -"
    assert.equal(0, code)
    assert.equal(migrator():dump().text, out)
    assert.equal(2, (project.run "dump --output - --json"))
  end)

  it("is written behind up, down and others that are told to", function()
    local code, out = project.run("up --to 2 --dump " .. file)
    assert.equal(0, code)
    assert.matches("2 migrations applied  %([^\n]+%)\n%S+schema.sql  written\n$", out)
    assert.equal(migrator():dump().text, support.read(file))
    local env = {
      PGMIG_CONFIG = support.write(support.tempdir(), "c.lua",
        ("return { dump_to = %q }"):format(file)),
    }
    local written = cli.objects(select(2, project.run("up --json", env)))
    assert.same({ "dumped", true }, { written[#written].event, written[#written].changed })
    for _, words in ipairs { "down", "unapply 2", "up --fake 2", "redo" } do
      assert.equal(0, (project.run(words, env)), words)
      assert.equal(migrator():dump().text, support.read(file), words)
    end
    local before = support.read(file)
    project.run("down --dry-run", env)
    assert.equal(before, support.read(file))
  end)

  it("writes beside the config file where that says so", function()
    local dir = support.tempdir()
    local path = support.write(dir, "pgmig.conf.lua", 'return { dump_to = "schema.sql" }')
    assert.equal(0, (project.run("--config " .. path .. " up")))
    assert.matches("create_c", support.read(dir .. "/schema.sql"))
  end)

  -- ---- pg_dump itself --------------------------------------------------------------

  it("says what to do without pg_dump, and with one that is too old", function()
    local old = support.write(support.tempdir(), "pg_dump",
      "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'; exit $(( $# != 1 ))\n")
    os.execute("chmod 755 " .. old)
    for program, message in pairs {
      ["/nowhere/pg_dump"] = "cannot run /nowhere/pg_dump: no such program",
      [old] = "is of version 9 and cannot dump a server of version %d+",
    } do
      local code, _, err = project.run(("dump --pg-dump %s --output %s"):format(program, file))
      assert.equal(2, code)
      assert.matches(message, err)
      assert.matches("HINT: install PostgreSQL's client programs of version %d+.*%-%-pg%-dump", err)
    end
    local code, out, err = project.run(("up --dump %s --pg-dump /nowhere/pg_dump"):format(file))
    assert.equal(2, code)
    assert.matches("3 migrations applied  %([^\n]+%)\n$", out)
    assert.matches("the migrations are applied, but %S+ was not written: cannot run", err)
  end)

  it("passes on what pg_dump says", function()
    project.db:exec [[CREATE TABLE secret (); GRANT SELECT ON ALL
      TABLES IN SCHEMA public TO dump_reader; REVOKE ALL ON secret FROM dump_reader]]
    local code, _, err = project.run("-d '" .. project.url:gsub("user=postgres", "user=dump_reader")
      .. "' dump --output " .. file)
    assert.equal(1, code)
    assert.matches("pg_dump failed: .*permission denied", err)
  end)

  it("ends pg_dump when it is interrupted, and leaves nothing", function()
    local tmp, pid = support.tempdir(), support.tempdir() .. "/pid"
    local program = before_pg_dump(([[
      case "$*" in *--version*) exec pg_dump "$@";; esac
      echo $$ >%s; exec sleep 1000]]):format(pid))
    local run = cli.start(project.words(("dump --pg-dump %s --output %s"):format(program, file)),
      project.env { TMPDIR = tmp })
    local id = support.wait(function()
      local f = io.open(pid)
      local found = f and f:read "*n"
      if f then f:close() end
      return found
    end, "pg_dump's start")
    run:kill "TERM"
    assert.equal(143, run:code())
    support.wait(function() return (support.run("kill -0 " .. id)) ~= 0 end, "pg_dump's end")
    assert.equal("", select(2, support.run("ls " .. tmp)))
  end)
end)
