-- Servers that refuse: a clear error, nothing half-applied, and all well once the obstacle is gone.
-- And what lets a server notice that its client is gone.
local faults = require "spec.faults.support"
local pgmig = require "pgmig"
local scratch = require "pgmig.scratch"
local states = require "spec.faults.state"
local summary = require "spec.faults.summary"
local support = require "spec.support"
local workload = require "spec.faults.workload"

local ALL = 3

describe("a server that refuses", function()
  local dir, database, url, admin

  before_each(function()
    dir = workload.many(ALL)
    database = faults.database()
    url = support.server():url(database)
    admin = pgmig.connect(url)
  end)

  after_each(function()
    admin:close()
    faults.drop(database)
  end)

  local function up(at, more)
    return faults.run(at or url, ("up --dir %s %s"):format(dir, more or ""))
  end

  --- The tables and the tracking rows tell the same, and a run without obstacle succeeds.
  local function check(name, at)
    local case = { problems = {}, lost = 0, doubled = 0 }
    local function compare(applied)
      local state = states.look(url)
      for n = 1, ALL do
        local rows, count = state.versions[n] or 0, state.counts[n] or 0
        if count < rows then case.lost = case.lost + 1 end
        if count > 1 or count > rows then case.doubled = case.doubled + 1 end
        if rows ~= count or applied and rows ~= 1 then
          case.problems[#case.problems + 1] = ("%d: %d rows, %d executions"):format(n, rows, count)
        end
      end
    end
    compare(false)
    local code, _, err = up(at)
    assert.same({ 0, "" }, { code, err })
    compare(true)
    summary.add(name, case)
    assert.same({}, case.problems)
  end

  --- A role that owns nothing but what `sql` gives it; returns its URL.
  local function role(name, sql)
    admin:exec(("DROP ROLE IF EXISTS %s; CREATE ROLE %s LOGIN; %s"):format(name, name, sql or ""))
    finally(function()
      admin:exec(("DROP OWNED BY %s CASCADE; DROP ROLE %s"):format(name, name))
    end)
    return (url:gsub("user=postgres", "user=" .. name))
  end

  it("because the database is read-only by default does not refuse a migration", function()
    admin:exec("ALTER DATABASE " .. database .. " SET default_transaction_read_only = on")
    check "read-only default"
  end)

  it("because a role may not create the tables is named", function()
    local own = role "poor"
    local code, _, err = up(own)
    assert.equal(2, code)
    assert.matches("cannot create the tables of .*: permission denied for schema public", err)
    assert.matches('GRANT USAGE, CREATE ON SCHEMA public TO "poor"', err, 1, true)
    admin:exec "GRANT CREATE, USAGE ON SCHEMA public TO poor"
    check("permission denied to create", own)
  end)

  it("because a role may not write the table is named", function()
    assert.equal(0, (faults.run(url, "up --to 2 --dir " .. dir)))
    local own = role("poor", "GRANT CREATE, USAGE ON SCHEMA public TO poor; "
      .. "GRANT SELECT ON ALL TABLES IN SCHEMA public TO poor; GRANT INSERT ON counter TO poor")
    local code, _, err = up(own)
    assert.equal(1, code)
    assert.matches("permission denied for table schema_migrations", err)
    assert.matches("GRANT ALL ON public.schema_migrations, public.schema_migrations_history", err,
      1, true)
    assert.matches("003_step was rolled back and is not applied", err)
    admin:exec "GRANT ALL ON ALL TABLES IN SCHEMA public TO poor"
    check("permission denied on the table", own)
  end)

  it("because a migration drops the tracking table is told, and nothing is recorded", function()
    support.write(dir, "002_step.sql", "-- UP\nDROP TABLE schema_migrations;\n"
      .. "INSERT INTO counter VALUES (2);\n-- DOWN\n-- pgmig: empty\n")
    local code, _, err = up()
    assert.equal(1, code)
    assert.matches("002_step", err)
    assert.same({ [1] = 1 }, states.look(url).versions)
    support.write(dir, "002_step.sql", "-- UP\nINSERT INTO counter VALUES (2);\n-- DOWN\n")
    check "table dropped by a migration"
  end)

  it("because the table was dropped between two migrations is told", function()
    local db = pgmig.connect(url)
    local migrator = pgmig.migrator(db, dir, { hooks = { committed = function(ctx)
      if ctx.migration.version == 2 then admin:exec "DROP TABLE schema_migrations" end
    end } })
    local ok, err = pcall(migrator.migrate, migrator)
    db:close()
    assert.is_false(ok)
    assert.matches('table "public"."schema_migrations" no longer exists', tostring(err), 1, true)
    local counts = states.look(url).counts
    assert.same({ [1] = 1, [2] = 1 }, counts) -- 3 was rolled back
    local case = { problems = {}, lost = 0, doubled = 0 }
    for n = 1, 2 do
      case.lost = case.lost + (counts[n] and 0 or 1)
      case.doubled = case.doubled + math.max(0, (counts[n] or 0) - 1)
    end
    summary.add("table dropped meanwhile", case)
  end)

  it("by a statement_timeout of the role says so, and the file may say otherwise", function()
    admin:exec("ALTER DATABASE " .. database .. " SET statement_timeout = '200ms'")
    support.write(dir, "002_step.sql", "-- UP\nINSERT INTO counter VALUES (2);\n"
      .. "SELECT pg_sleep(0.5);\n-- DOWN\n-- pgmig: empty\n")
    local code, _, err = up()
    assert.equal(1, code)
    assert.matches("002_step%.sql:3:1: canceling statement due to statement timeout", err)
    assert.matches("statement_timeout", err)
    assert.matches("002_step was rolled back and is not applied", err)
    local text = support.read(dir .. "/002_step.sql")
    support.write(dir, "002_step.sql", "-- pgmig: statement_timeout=0\n" .. text)
    check "statement_timeout"
  end)

  it("because it has no connection left is named", function()
    local own = role("poor", "GRANT CREATE, USAGE ON SCHEMA public TO poor; "
      .. "ALTER ROLE poor CONNECTION LIMIT 1")
    local code, _, err = up(own, "--lock-wait 1")
    assert.equal(6, code)
    assert.matches("waiting for a connection: .-too many connections for role", err)
    assert.matches("a run needs two", err)
    assert.same({}, states.look(url).versions)
    admin:exec "ALTER ROLE poor CONNECTION LIMIT 2"
    check("too many connections", own)
  end)

  it("because the disk of the tracking table is full is told, and nothing is recorded", function()
    local mount = support.tempdir()
    local code = support.run(("test $(id -u) = 0 && mount -t tmpfs -o size=1m none %s && "
      .. "chmod a+x %s/.. && chown postgres %s"):format(mount, mount, mount))
    if code ~= 0 then return pending "a full disk is made with a tmpfs, which needs root" end
    finally(function()
      admin:exec("DROP TABLE IF EXISTS filler, schema_migrations, schema_migrations_history, "
        .. "schema_migrations_journal")
      admin:exec "DROP TABLESPACE small"
      support.run("umount " .. mount)
    end)
    admin:exec(("CREATE TABLESPACE small LOCATION '%s'"):format(mount))
    assert.equal(0, (faults.run(url, "up --to 1 --dir " .. dir)))
    assert.equal(0, (faults.run(url, "down --dir " .. dir)))
    admin:exec "VACUUM schema_migrations" -- no page is left: the next row needs a new one
    admin:exec "ALTER TABLE schema_migrations SET TABLESPACE small"
    admin:exec [[CREATE TABLE filler (a text) TABLESPACE small;
      ALTER TABLE filler ALTER a SET STORAGE PLAIN]]
    for _ = 1, 500 do
      local row = "INSERT INTO filler VALUES (repeat('x', 4000))"
      if not pcall(admin.exec, admin, row) then break end
    end
    local status, _, full = up()
    assert.equal(1, status)
    assert.matches("No space left on device", full)
    assert.matches("001_step was rolled back and is not applied", full)
    assert.matches("run `pgmig up` again", full)
    support.run("mount -o remount,size=8m " .. mount)
    check "disk full"
  end)
end)

describe("a standby", function()
  it("shows its state and refuses to migrate", function()
    local standby = require("spec.faults.standby").start()
    local dir = workload.many(2)
    assert.equal(0, (faults.run(support.server():url(standby.database), "up --to 1 --dir " .. dir)))
    standby.catch_up()
    local code, out = faults.run(standby.url, "status --dir " .. dir)
    assert.equal(0, code)
    assert.matches("1 applied, 1 pending", out)
    local again, _, err = faults.run(standby.url, "up --dir " .. dir)
    assert.equal(2, again)
    assert.matches("this server is a standby: migrations run on the primary", err)
    support.write(dir, "011_typo.sql", "SELEC 1;\n")
    local planned, _, typo = faults.run(standby.url, "plan --dir " .. dir)
    assert.equal(2, planned)
    assert.matches('011_typo.sql:1:1: syntax error at or near "SELEC"', typo, 1, true)
    assert.matches("target_session_attrs", err)
    standby.stop()
  end)
end)

describe("a client that vanishes", function()
  it("is noticed by the server, through TCP also when its machine is gone", function()
    local own = scratch.start {
      settings = { listen_addresses = "127.0.0.1", port = support.free_port() },
    }
    local dir = support.tempdir()
    local look = "CREATE TABLE seen_%d AS SELECT current_setting("
      .. "'client_connection_check_interval') AS alive, current_setting('tcp_keepalives_idle') || "
      .. "' ' || current_setting('tcp_keepalives_interval') || ' ' || "
      .. "current_setting('tcp_keepalives_count') AS keepalives"
    local db = pgmig.connect(("postgresql://postgres:%s@127.0.0.1:%d/postgres"):format(
      own.password, own.port))
    for n, pipeline in ipairs { true, false } do
      support.write(dir, ("%03d_a.sql"):format(n), look:format(n))
      pgmig.migrator(db, dir, { pipeline = pipeline }):migrate()
      assert.same({ { alive = "1s", keepalives = "10 5 3" } },
        db:query("SELECT * FROM seen_" .. n))
    end
    db:close()
    own:stop()
  end)
end)
