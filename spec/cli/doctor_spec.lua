-- doctor, as a person at night uses it: every command that it prints is run as it is printed, by
-- sh, and cures what it was printed for. `up` and `status` say the same.
local cli = require "spec.cli.helper"
local dkjson = require "dkjson"
local pgmig = require "pgmig"
local support = require "spec.support"

describe("doctor", function()
  local project, bin, others, runs

  before_each(function()
    project, others, runs = cli.project(), {}, {}
    bin = support.tempdir()
    support.write(bin, "pgmig", "#!/bin/sh\nexec " .. cli.command('"$@"', project.env {
      PGMIG_DIR = project.dir,
    }) .. "\n")
    os.execute("chmod +x " .. bin .. "/pgmig")
  end)

  after_each(function()
    for _, run in ipairs(runs) do
      if run:is_running() then run:kill "KILL" end
    end
    for _, other in ipairs(others) do other:close() end
    project.close()
  end)

  --- Run words as somebody types them.
  local function type_in(words, env)
    local variables = { PATH = bin .. ":" .. os.getenv "PATH", DATABASE_URL = project.url }
    for name, value in pairs(env or {}) do variables[name] = value end
    local parts = { "env" }
    for name, value in pairs(variables) do parts[#parts + 1] = name .. "=" .. cli.quote(value) end
    return support.run(table.concat(parts, " ") .. " sh -c " .. cli.quote(words))
  end

  --- What it says, and the commands that it prints.
  local function examine()
    local code, out, err = type_in "pgmig doctor"
    assert.equal(0, code, err)
    local commands = {}
    for line in out:gmatch "[^\n]+" do commands[#commands + 1] = line:match "^   (%S.*)$" end
    return out, commands
  end

  --- Its only finding, which has a command; that must be all there is to do.
  local function check_cured(kind, command, env)
    local out, commands = examine()
    assert.matches("^" .. kind .. ": ", out)
    assert.matches("\n1 finding\n$", out)
    assert.same({ command or commands[1] }, commands)
    local code, _, err = type_in(commands[1], env)
    assert.equal(0, code, err)
    assert.equal("all is well\n", (examine()))
    return out
  end

  local function another()
    local db = pgmig.connect(project.url)
    others[#others + 1] = db
    return db
  end

  local function wait_for(what, fn) return (support.wait(fn, what)) end

  --- The pid of the server process that runs a statement.
  local function worker(pattern)
    return wait_for(pattern, function()
      local row = project.db:query([[SELECT pid FROM pg_stat_activity WHERE state = 'active'
        AND datname = current_database() AND pid <> pg_backend_pid() AND query ~ $1]], pattern)[1]
      return row and row.pid
    end)
  end

  local function start(words)
    local run = cli.start(project.words(words), project.env())
    runs[#runs + 1] = run
    return run
  end

  local function off(name, up, down)
    project.write(name, ("-- UP\n-- pgmig: transaction=off\n%s\n-- DOWN\n%s"):format(up,
      down or "SELECT 1;\n"))
  end

  -- ---- what has failed -----------------------------------------------------

  it("runs again what waited too long for a lock, and names who was in the way", function()
    project.run "up --to 1"
    local other = another()
    project.write("002_create_b.sql", "ALTER TABLE a ADD b int;")
    other:exec "BEGIN; SELECT * FROM a"
    assert.equal(4, (project.run "--lock-timeout 50ms --retries 0 up"))
    other:exec "ROLLBACK"
    assert.matches("lock timeout %(blocked by pid %d+.*run it again:", check_cured("failed",
      "pgmig up"))
  end)

  it("runs again what was interrupted", function()
    project.write("003_create_c.sql", "SELECT pg_sleep(100);")
    local run = start "up"
    worker "^SELECT pg_sleep"
    run:kill "INT"
    assert.equal(130, run:code())
    local out, commands = examine()
    assert.matches("failed: 003_create_c .*interrupted by SIGINT; run it again:", out)
    assert.same({ "pgmig up" }, commands)
    assert.matches("run it again: pgmig up\n", select(2, project.run "status"))
  end)

  it("has a broken file mended, then runs it", function()
    project.write("003_create_c.sql", "CREATE TABLE c ();\nCREATE TABLE d (n nix);\n")
    project.run "up"
    local editor = support.write(bin, "editor", "#!/bin/sh\nsed -i s/nix/int/ \"$2\"\n")
    os.execute("chmod +x " .. editor)
    local out = check_cured("failed", nil, { EDITOR = editor .. " --wait" })
    assert.matches("failed at .*, in line 2: type .* does not exist; correct the file, then", out)
  end)

  it("leaves alone what could not be rolled back", function()
    project.write("003_create_c.sql", "-- UP\nCREATE TABLE c ();\n-- DOWN\nDROP TABLE nix;")
    project.run "up"
    assert.equal(1, (project.run "down"))
    assert.matches("003_create_c is still applied: the rollback failed .* \"nix\" does not exist; "
      .. "roll it back again with pgmig down, or leave it", check_cured("failed", "pgmig repair 3"))
    assert.equal(1, (project.run "down"))
    os.remove(project.dir .. "/003_create_c.sql")
    assert.equal(0, (type_in "pgmig repair 3 && pgmig repair 3 --gone"))
    assert.equal("all is well\n", (examine()))
  end)

  -- ---- what is at work -----------------------------------------------------

  it("knows a run at work, and how it is stopped", function()
    project.write("003_create_c.sql", "SELECT pg_sleep(100);")
    local run = start "up"
    local pid = worker "^SELECT pg_sleep"
    local out, commands = examine()
    assert.matches(("^running: a run is at work on 003_create_c: .*its worker pid %d: SELECT "
      .. "pg_sleep.*wait for it.*\n1 finding\n$"):format(pid), out)
    assert.same({}, commands)
    assert.matches("\nrunning: a run is at work on 003_create_c: ", select(2, project.run "status"))
    local _, _, err = project.run "--lock-wait 0 up"
    local stop = err:match "cancel its statement: ([^\n]+)"
    assert.equal(("SELECT pg_catalog.pg_cancel_backend(%d)"):format(pid), stop)
    assert.truthy(out:find(stop, 1, true))
    support.psql(project.url, stop)
    assert.equal(1, run:code())
    assert.same({ "pgmig up" }, select(2, examine()))
  end)

  it("knows a run without a transaction at work", function()
    off("003_create_c.sql", "CREATE TABLE c (n int);\nCREATE INDEX CONCURRENTLY i ON c (n);\n")
    local other = another()
    other:exec "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1"
    local run = start "up"
    worker "CREATE INDEX CONCURRENTLY"
    local out = examine()
    assert.matches("^running: a run is at work on 003_create_c: [^\n]*; it waits for pid %d+ "
      .. "[^\n]*, idle in transaction since [^\n]*\n1 finding\n$", out)
    local _, status = project.run "status"
    assert.matches("\nrunning: ", status)
    local _, json = project.run "status --json"
    assert.equal("idle in transaction", dkjson.decode(json).at_work.blockers[1].state)
    assert.not_matches("resume", status)
    other:exec "COMMIT"
    assert.equal(0, run:code())
    assert.equal("all is well\n", (examine()))
  end)

  it("knows who holds the lock and is no run", function()
    project.run "up"
    another():query("SELECT pg_advisory_lock(1885826409, hashtext($1))",
      '"public"."schema_migrations"')
    check_cured "locked"
  end)

  it("has what a killed rollback left written down, and does not apply it again", function()
    project.write("003_create_c.sql", "-- UP\nCREATE TABLE c ();\n-- DOWN\nSELECT pg_sleep(100);")
    project.run "up"
    local run = start "down"
    local pid = worker "^SELECT pg_sleep"
    run:kill "KILL"
    run:code()
    project.db:query("SELECT pg_terminate_backend($1::int)", pid)
    wait_for("its end", function()
      return not project.db:query("SELECT 1 FROM pg_stat_activity WHERE pid = $1::int", pid)[1]
    end)
    check_cured("interrupted", "pgmig repair 3")
    assert.matches("nothing to apply", select(2, project.run "up"))
  end)

  -- ---- what was left half-way ----------------------------------------------

  local PROCEDURE = [[CREATE TABLE z (n int); CREATE PROCEDURE p() LANGUAGE plpgsql AS
    'BEGIN INSERT INTO z VALUES (1); COMMIT; PERFORM pg_sleep(100); END']]

  --- Leave a statement whose outcome nobody knows.
  local function leave_unknown()
    project.db:exec(PROCEDURE)
    off("004_call.sql", "CREATE TABLE d ();\nCALL p();\n")
    local run = start "up"
    local pid = worker "CALL p"
    wait_for("its COMMIT", function()
      return project.db:query("SELECT 1 FROM pg_stat_activity WHERE pid = $1::int "
        .. "AND wait_event = 'PgSleep'", pid)[1]
    end)
    run:kill "KILL"
    run:code()
    project.db:query("SELECT pg_terminate_backend($1::int)", pid)
    wait_for("its end", function()
      return not project.db:query("SELECT 1 FROM pg_stat_activity WHERE pid = $1::int", pid)[1]
    end)
    project.db:exec "CREATE OR REPLACE PROCEDURE p() LANGUAGE sql AS 'INSERT INTO z VALUES (2)'"
  end

  it("leaves an unknown outcome to a person, with line and SQL: it did not take effect", function()
    support.needs(pending, 11, "CALL")
    leave_unknown()
    local said = "statement 2 of 004_call, line 4, .*not known: CALL p%(%); look into the "
      .. "database; if it took effect: pgmig resolve 4 %-%-done; if it did not: *\n? *"
      .. "pgmig resolve 4 %-%-redo && pgmig up"
    assert.matches("\nunknown: " .. said, select(2, project.run "status"))
    for _ = 1, 2 do
      local code, _, err = project.run "up"
      assert.equal(5, code)
      assert.matches("004_call.sql:4: it is not known .*CALL p.*pgmig resolve 4 %-%-done, or "
        .. "%-%-redo", err)
    end
    assert.matches("^unknown: " .. said, check_cured("unknown",
      "pgmig resolve 4 --redo && pgmig up"))
  end)

  it("and the same: it did take effect", function()
    support.needs(pending, 11, "CALL")
    leave_unknown()
    local out = examine()
    assert.matches("\n1 finding\n$", out)
    assert.equal(0, (type_in(out:match "if it took effect: (pgmig resolve 4 %-%-done)")))
    check_cured("unfinished", "pgmig up")
  end)

  it("lets the next run find out what it can", function()
    off("003_create_c.sql", "CREATE TABLE c (n int);\nCREATE INDEX CONCURRENTLY i ON c (n);\n")
    local other = another()
    other:exec "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1"
    local run = start "up"
    local pid = worker "CREATE INDEX CONCURRENTLY"
    run:kill "STOP" -- its client is silent, and no run is at work any more
    project.db:query [[SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE application_name = 'pgmig lock' AND datname = current_database()]]
    local out = wait_for("the lock", function()
      local said = examine()
      return not said:find "a run is at work" and said
    end)
    assert.matches("^running: statement 2 of 003_create_c is still running on the server", out)
    assert.matches(("pg_terminate_backend%%(%d%%)"):format(pid), out)
    run:kill "KILL"
    other:exec "COMMIT"
    wait_for("its end", function()
      return not project.db:query("SELECT 1 FROM pg_stat_activity WHERE pid = $1::int", pid)[1]
    end)
    check_cured("unfinished", "pgmig up")
  end)

  it("starts again where a finished statement was edited", function()
    off("003_create_c.sql", "CREATE TABLE c ();\nSELECT 1/0;\n")
    project.run "up"
    off("003_create_c.sql", "CREATE TABLE c (n int);\nSELECT 1;\n")
    assert.matches("resolve 3 %-%-restart", select(3, project.run "up"))
    assert.matches("edited after it was run.*pgmig resolve 3 %-%-restart\n",
      select(2, project.run "status"))
    assert.matches("stopped at statement 2, and statement 1, line 3, was edited after it was run; "
      .. "restore its text; or undo by hand", check_cured("unfinished",
      "pgmig resolve 3 --restart"))
    project.db:exec "DROP TABLE c"
    assert.equal(0, (project.run "up"))
  end)

  it("names the key that keeps a unique index from being built, which a run builds", function()
    project.run "up"
    project.db:exec "INSERT INTO a VALUES (7), (7)"
    off("004_index.sql", "CREATE UNIQUE INDEX CONCURRENTLY i ON a (id);\n")
    assert.matches("remove the duplicates, or correct the file, then run", select(3,
      project.run "up"))
    assert.matches("Key %(id%)=%(7%) is duplicated%); remove the duplicates", (examine()))
    project.db:exec "DELETE FROM a WHERE ctid = '(0,1)'"
    assert.not_matches("REINDEX", check_cured("unfinished", "pgmig up"))
  end)

  -- ---- the database --------------------------------------------------------

  it("has an index dropped that cannot be built as long as there are duplicates", function()
    project.run "up"
    project.db:exec "INSERT INTO a VALUES (7), (7), (NULL), (NULL)"
    pcall(project.db.exec, project.db, "CREATE UNIQUE INDEX CONCURRENTLY i ON a (id)")
    assert.matches("its key %(id%)=%(7%) is duplicated.*; drop it, remove the duplicates, and "
      .. "build it again: CREATE UNIQUE INDEX CONCURRENTLY i ON public.a USING btree %(id%):\n",
      check_cured "invalid_index")
    assert.is_nil(project.db:query "SELECT to_regclass('i')::text AS i"[1].i)
  end)

  it("has one built again that nothing keeps from it any more", function()
    project.run "up"
    project.db:exec "INSERT INTO a VALUES (7), (7), (NULL), (NULL)"
    pcall(project.db.exec, project.db, "CREATE UNIQUE INDEX CONCURRENTLY i ON a (id)")
    project.db:exec "DELETE FROM a WHERE ctid = '(0,1)'"
    assert.matches("REINDEX INDEX", check_cured "invalid_index")
  end)

  it("evaluates nobody's expressions to look for duplicates", function()
    project.run "up"
    project.db:exec [[INSERT INTO a VALUES (7), (7);
      CREATE FUNCTION spy(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_notify(''spy'', ''''); RETURN $1; END']]
    pcall(project.db.exec, project.db, "CREATE UNIQUE INDEX CONCURRENTLY i ON a (spy(id))")
    project.db:exec [[CREATE OR REPLACE FUNCTION spy(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
      'BEGIN RAISE ''called''; END']]
    assert.matches("duplicates may be in the way", check_cured "invalid_index")
  end)

  it("has dropped what an interrupted REINDEX left, also of several tables", function()
    support.needs(pending, 12, "REINDEX CONCURRENTLY")
    project.run "up"
    project.db:exec "CREATE INDEX i ON a (id)"
    local other = another()
    for _, what in ipairs { "SCHEMA CONCURRENTLY public", "TABLE CONCURRENTLY a" } do
      other:exec "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM a"
      local reindex = io.popen(("psql -Xqd %s -c 'REINDEX %s' 2>&1"):format(cli.quote(project.url),
        what))
      wait_for("the copy", function()
        return project.db:query "SELECT 1 FROM pg_class WHERE relname ~ '_ccnew$'"[1]
      end)
      assert.equal("all is well\n", (examine())) -- it is being built
      project.db:query("SELECT pg_cancel_backend($1::int)", worker "^REINDEX")
      reindex:read "*a"
      reindex:close()
      other:exec "COMMIT"
      local out, commands = examine()
      assert.matches("left by a REINDEX CONCURRENTLY that failed", out)
      assert.truthy(commands[1])
      for _, command in ipairs(commands) do
        assert.matches("'DROP INDEX CONCURRENTLY [%w_]+%.[%w_]+_ccnew'$", command)
        assert.equal(0, (type_in(command)))
      end
      assert.equal("all is well\n", (examine()))
    end
  end)

  it("has the journal made again where it is gone", function()
    project.run "up"
    project.db:exec "DROP TABLE schema_migrations_journal"
    check_cured("no_journal", "pgmig up")
  end)

  it("does not let a run begin again what a lost journal knew", function()
    off("003_create_c.sql", "CREATE TABLE c ();\nSELECT 1/0;\n")
    project.run "up"
    project.db:exec "DROP TABLE schema_migrations_journal"
    local function failing() return (examine()):match "unknown: (003_create_c failed [^\n]*)" end
    assert.matches("the journal, which recorded its progress, no longer exists", failing())
    local _, commands = examine()
    assert.same({ "pgmig repair 3 && pgmig up" }, commands)
    project.db:exec "DROP TABLE c"
    support.write(project.dir, "003_create_c.sql", "CREATE TABLE c ();\n")
    assert.equal(0, (type_in(commands[1])))
    assert.equal("all is well\n", (examine()))
  end)

  it("asks for the table that is meant, and leaves those of others alone", function()
    project.run "up"
    project.db:exec "CREATE SCHEMA other"
    for _, case in ipairs {
      { "other.schema_migrations", [[ALTER TABLE schema_migrations SET SCHEMA other;
        ALTER TABLE schema_migrations_history SET SCHEMA other;
        ALTER TABLE schema_migrations_journal SET SCHEMA other;
        ALTER TABLE schema_migrations_run_journal SET SCHEMA other]] },
      { "pgmig_migrations", "CREATE TABLE schema_migrations (id uuid)" },
    } do
      project.db:exec(case[2])
      local _, commands = examine()
      assert.same({ ("pgmig --table %s status"):format(case[1]) }, commands)
      assert.equal(0, (type_in(commands[1])))
      local doctor = commands[1]:gsub("status$", "doctor")
      assert.equal("all is well\n", select(2, type_in(doctor)))
    end
  end)

  -- ---- files ---------------------------------------------------------------

  for how, words in pairs {
    ["not committed"] = "true", ["staged"] = "$git add -A", ["committed"] = "$git commit -qam 2",
    ["committed long ago"] = "$git commit -qam 2 && $git commit -q --allow-empty -m 3",
  } do
    it("brings a file back whose deletion is " .. how, function()
      local git = "git=\"git -c user.name=a -c user.email=a@b -C " .. project.dir .. "\"; "
      type_in("git init -q " .. project.dir .. ";" .. git .. "$git add -A && $git commit -qm 1")
      project.run "up"
      os.remove(project.dir .. "/002_create_b.sql")
      assert.equal(0, (type_in(git .. words)))
      assert.matches("002_create_b is applied, but its file is missing", check_cured "missing")
    end)
  end

  it("gives files that are passed over or clash a name that is free", function()
    project.run "up"
    project.write("03_twin.sql", "SELECT 1;")
    check_cured("naming", ("mv %s/03_twin.sql %s/004_twin.sql"):format(project.dir, project.dir))
    project.write("5 notes.SQL", "SELECT 1;")
    check_cured("ignored", ("mv '%s/5 notes.SQL' %s/5_notes.sql"):format(project.dir, project.dir))
    project.write("old_down.sql", "DROP TABLE a;") -- which must not become an UP
    local out, commands = examine()
    assert.matches("^ignored: .*old_down.sql .*; move it out of the folder\n1 finding\n$", out)
    assert.same({}, commands)
  end)

  it("gives a file its old number, and a new one to one that took it", function()
    project.run "up"
    local function move(from, to)
      os.rename(project.dir .. "/" .. from, project.dir .. "/" .. to)
    end
    move("003_create_c.sql", "004_create_c.sql")
    check_cured("renumbered", ("mv %s/004_create_c.sql %s/003_create_c.sql"):format(project.dir,
      project.dir))
    move("003_create_c.sql", "004_create_c.sql")
    project.write("003_other.sql", "CREATE TABLE other ();")
    local _, commands = examine()
    assert.same({ ("mv %s/003_other.sql %s/005_other.sql"):format(project.dir, project.dir),
      ("mv %s/004_create_c.sql %s/003_create_c.sql"):format(project.dir, project.dir) }, commands)
    for _, command in ipairs(commands) do assert.equal(0, (type_in(command))) end
    assert.equal("all is well\n", (examine()))
  end)

  it("reads a file of another tool's as that tool does", function()
    project.run "up"
    project.write("004_d.sql", "-- +goose Up\nCREATE TABLE d ();\n-- +goose Down\nDROP TABLE d;")
    local out, commands = examine()
    assert.matches("^parse: .*section marker of goose", out)
    assert.same({ "pgmig --format goose status" }, commands)
    assert.equal(0, (type_in(commands[1])))
  end)

  it("numbers anew what may not be applied out of order", function()
    project.run "up"
    project.write("000_z.sql", "CREATE TABLE z ();")
    local strict = "pgmig --policy out_of_order=error "
    local _, out = type_in(strict .. "doctor")
    local command = out:match "\n   ([^\n]*)"
    assert.equal(("mv %s/000_z.sql %s/004_z.sql"):format(project.dir, project.dir), command)
    assert.equal(0, (type_in(command .. " && " .. strict .. "up")))
  end)

  it("applies what is out of order, and writes again rows that were lost", function()
    project.run "up"
    project.write("002_create_b.sql", "CREATE TABLE IF NOT EXISTS b ();")
    project.db:exec "DELETE FROM schema_migrations_history WHERE version = 2"
    project.db:exec "DELETE FROM schema_migrations WHERE version = 2"
    check_cured("out_of_order", "pgmig up")
    project.db:exec "DELETE FROM schema_migrations WHERE version > 1"
    check_cured("forgotten", "pgmig repair --all")
  end)

  it("goes on, on a person's word, where what was worked on is gone", function()
    off("003_create_c.sql", "CREATE TABLE c ();\nSELECT 1/0;\n")
    project.run "up"
    off("003_create_c.sql", "CREATE TABLE c ();\nSELECT 1;\n")
    project.db:exec "DROP TABLE c"
    assert.matches("no longer exists: table public.c; finish or undo it by hand", check_cured(
      "unfinished", "pgmig resolve 3 --redo && pgmig up"))
  end)

  it("runs again what was killed", function()
    project.write("003_create_c.sql", "SELECT pg_sleep(100);")
    local run = start "up"
    local pid = worker "^SELECT pg_sleep"
    run:kill "KILL"
    run:code()
    project.db:query("SELECT pg_terminate_backend($1::int)", pid)
    project.write("003_create_c.sql", "SELECT 1;")
    check_cured("interrupted", "pgmig up")
  end)

  it("says where to look where all files are missing", function()
    project.run "up"
    os.execute(("rm %s/*.sql"):format(project.dir))
    local out, commands = examine()
    assert.matches("^all_missing: .*`pgmig config` shows both", out)
    assert.same({}, commands)
  end)

  it("repairs those without checksum, and not what else is odd", function()
    project.run "up"
    project.db:exec "DELETE FROM schema_migrations_history WHERE version < 3"
    project.write("003_create_c.sql", "SELECT 1;")
    local _, commands = examine()
    assert.same({ "pgmig repair 3", 'for v in 1 2; do pgmig repair "$v"; done' }, commands)
    assert.equal(0, (type_in(commands[2])))
    check_cured("edited", "pgmig repair 3")
    local _, json = project.run "doctor --json"
    assert.same({}, dkjson.decode(json).findings)
  end)

  it("prints commands for the flags that it was given, without a password", function()
    local dir = project.dir .. "/its own"
    os.execute(("mkdir %s && mv %s/*.sql %s"):format(cli.quote(dir), project.dir, cli.quote(dir)))
    support.write(bin, "pgmig", "#!/bin/sh\nexec " .. cli.command '"$@"' .. "\n")
    local flags = (" --dir %s --table its_rows --no-pipeline --database "):format(cli.quote(dir))
    for url, shown in pairs {
      [project.url] = project.url, [project.url .. "&password=secret"] = "host=",
    } do
      local words = "pgmig" .. flags .. cli.quote(url)
      assert.equal(0, (type_in(words .. " up")))
      support.write(dir, "001_create_a.sql", "-- " .. shown)
      project.db:exec "DROP INDEX IF EXISTS i; INSERT INTO a VALUES (1), (1)"
      pcall(project.db.exec, project.db, "CREATE UNIQUE INDEX CONCURRENTLY i ON a (id)")
      local code, out = type_in(words .. " doctor", { DATABASE_URL = "postgresql:///nowhere" })
      assert.equal(0, code)
      assert.matches("\n   pgmig [^\n]*%-%-dir '[^']+' ", out)
      assert.truthy(out:match " %-%-database ([^\n]+)":find(shown, 1, true))
      assert.not_matches("secret", out)
      for command in out:gmatch "\n   (%S[^\n]*)" do
        local failed, _, err = type_in(command, { DATABASE_URL = "postgresql:///nowhere" })
        assert.equal(0, failed, command .. ": " .. err)
      end
      assert.equal("all is well\n", select(2, type_in(words .. " doctor")))
    end
  end)
end)
