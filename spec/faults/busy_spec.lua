-- Tables and tuples that others hold: a migration gives up its place soon, and tries again.
local faults = require "spec.faults.support"
local pgmig = require "pgmig"
local states = require "spec.faults.state"
local support = require "spec.support"

describe("a busy table", function()
  local dir, url, db, other

  before_each(function()
    dir, url = support.tempdir(), support.database()
    db, other = pgmig.connect(url), pgmig.connect(url)
    other:exec [[CREATE TABLE busy (a int); INSERT INTO busy VALUES (1);
      CREATE TABLE counter (version int)]]
    support.write(dir, "001_step.sql", "-- UP\nINSERT INTO counter VALUES (1);\n"
      .. "ALTER TABLE busy ADD b int;\n-- DOWN\nALTER TABLE busy DROP b;\n")
  end)

  after_each(function()
    db:close()
    other:close()
  end)

  --- A migrator, and the list of the events of its runs.
  local function migrator(options)
    local events = {}
    options.lock_timeout = options.lock_timeout or "50ms"
    options.log = function(_, _, event) events[#events + 1] = event end
    return pgmig.migrator(db, dir, options), events
  end

  local function of_type(events, type)
    local list = {}
    for _, event in ipairs(events) do
      if event.type == type then list[#list + 1] = event end
    end
    return list
  end

  local function block() other:exec "BEGIN; LOCK TABLE busy IN ACCESS SHARE MODE" end

  it("is waited for, in turns, until it is free", function()
    block()
    local retries = 0
    local m, events = migrator { hooks = { retry = function(ctx)
      retries = retries + 1
      if retries == 2 then other:exec "COMMIT" end
      ctx.delay = 0.01
    end } }
    assert.equal(1, #m:migrate())
    assert.equal(2, #of_type(events, "retry"))
    assert.same({ [1] = 1 }, states.look(url).counts) -- each failed attempt was undone
    local blocked = of_type(events, "blocked")[1]
    assert.equal(other:backend_pid(), blocked.blockers[1].pid)
    assert.matches("LOCK TABLE busy", blocked.blockers[1].query)
  end)

  it("does not make others wait longer than lock_timeout at a time", function()
    block()
    local third, answered = pgmig.connect(url .. "&application_name=app"), 0
    third:exec "SET statement_timeout = '20s'"
    local m = migrator { retries = 3, lock_timeout = "200ms", hooks = {
      lock_wait = function() -- the ALTER TABLE waits: this queues behind it
        third:query "SELECT * FROM busy"
        answered = answered + 1
      end,
      retry = function(ctx) ctx.delay = 0 end,
    } }
    assert.is_false(pcall(m.migrate, m))
    third:close()
    assert.equal(4, answered) -- in each attempt, though the blocker stays
  end)

  it("ends the run after the last attempt, with who is in the way", function()
    block()
    local m = migrator { retries = 1, hooks = { retry = function(ctx) ctx.delay = 0 end } }
    local ok, err = pcall(m.migrate, m)
    assert.is_false(ok)
    assert.equal("lock", err.kind)
    assert.equal("55P03", err.sqlstate)
    assert.equal(other:backend_pid(), err.blockers[1].pid)
    assert.matches("blocked by pid " .. other:backend_pid(), err.detail)
    assert.matches("LOCK TABLE busy", err.detail)
    assert.equal(3, err.line)
    assert.same({}, states.look(url).counts)
    assert.same({}, states.look(url).versions)
  end)

  it("is tried as often as the file says", function()
    block()
    local text = support.read(dir .. "/001_step.sql")
    support.write(dir, "001_step.sql", "-- pgmig: retries=2\n-- pgmig: lock_timeout=20ms\n" .. text)
    local attempts = {}
    local m = migrator { retries = 0, hooks = { retry = function(ctx)
      attempts[#attempts + 1] = ctx.attempt
      ctx.delay = 0
    end } }
    assert.is_false(pcall(m.migrate, m))
    assert.same({ 1, 2 }, attempts)
  end)

  it("is not tried again when a hook stops it", function()
    block()
    local seen
    local m, events = migrator { hooks = { retry = function(ctx)
      seen = { type(ctx.delay), ctx.error.sqlstate, #ctx.blockers, ctx.direction }
      ctx:stop()
    end } }
    local ok, err = pcall(m.migrate, m)
    assert.is_false(ok)
    assert.equal("55P03", err.sqlstate)
    assert.same({ "number", "55P03", 1, "up" }, seen)
    assert.same({}, of_type(events, "retry"))
  end)

  it("ends the program with code 4, and the blockers", function()
    block()
    local code, _, err = faults.run(url, "--retries 1 --lock-timeout 50ms up --dir " .. dir)
    assert.equal(4, code)
    assert.matches("001_step%.sql:3:1: canceling statement due to lock timeout", err)
    assert.matches("trying again in", err)
    assert.matches("blocked by pid " .. other:backend_pid(), err)
  end)

  it("is not waited for by a wrong file: other errors are not tried again", function()
    support.write(dir, "001_step.sql", "-- UP\nSELECT 1/0;\n-- DOWN\n")
    local m = migrator { hooks = { retry = function() error "no retry expected" end } }
    local ok, err = pcall(m.migrate, m)
    assert.is_false(ok)
    assert.equal("22012", err.sqlstate)
  end)

  it("of a rollback is waited for as well", function()
    local m, events = migrator { hooks = { retry = function(ctx)
      other:exec "COMMIT"
      ctx.delay = 0
    end } }
    m:migrate()
    block()
    assert.equal(1, #m:rollback())
    assert.equal(1, #of_type(events, "retry"))
  end)

  it("in a deadlock is tried again", function()
    other:exec "SET deadlock_timeout = '1h'; BEGIN; LOCK TABLE busy"
    support.write(dir, "001_step.sql", "-- pgmig: lock_timeout=0\n-- UP\n"
      .. "SET LOCAL deadlock_timeout = '10ms';\nINSERT INTO counter VALUES (1);\n"
      .. "ALTER TABLE counter ADD c int;\nALTER TABLE busy ADD b int;\n-- DOWN\n")
    local waiting = coroutine.wrap(function() -- the other session waits for the migration in turn
      other.handle:send "SELECT * FROM counter"
      while true do
        other.handle:step()
        coroutine.yield()
      end
    end)
    local m, events = migrator { hooks = {
      after_statement = function(ctx)
        if ctx.sql:find "^ALTER TABLE counter" and ctx.attempt == 1 then waiting() end
      end,
      retry = function(ctx)
        assert.equal("40P01", ctx.error.sqlstate)
        support.wait(function() return not other.handle:step() end, "the other's answer")
        other:finish()
        other:exec "COMMIT"
        ctx.delay = 0
      end,
    } }
    assert.equal(1, #m:migrate())
    assert.equal(1, #of_type(events, "retry"))
    assert.same({ [1] = 1 }, states.look(url).counts)
  end)

  it("that changed under a serializable migration is read again", function()
    support.write(dir, "001_step.sql", "-- UP\nBEGIN ISOLATION LEVEL SERIALIZABLE;\n"
      .. "SELECT * FROM busy;\nUPDATE busy SET a = a + 1;\n"
      .. "INSERT INTO counter VALUES (1);\nCOMMIT;\n-- DOWN\n-- pgmig: empty\n")
    local m, events = migrator { hooks = {
      before_statement = function(ctx)
        if ctx.attempt == 1 and ctx.sql:find "^UPDATE" then other:exec "UPDATE busy SET a = 10" end
      end,
      retry = function(ctx)
        assert.equal("40001", ctx.error.sqlstate)
        ctx.delay = 0
      end,
    } }
    assert.equal(1, #m:migrate())
    assert.equal(1, #of_type(events, "retry"))
    assert.equal(11, other:query("SELECT a FROM busy")[1].a)
    assert.same({ [1] = 1 }, states.look(url).counts)
  end)
end)

describe("the lock's transaction", function()
  it("asks nothing that takes a snapshot while a statement runs", function()
    -- CREATE INDEX CONCURRENTLY would wait for its end, and it for the end of the run
    local dir, url = support.tempdir(), support.database()
    support.write(dir, "001_step.sql", "-- UP\nSELECT pg_sleep(0.2);\n-- DOWN\n")
    local admin, queries = pgmig.connect(url), { ["pgmig lock"] = {}, ["pgmig watch"] = {} }
    local db = pgmig.connect { url = url, wait = function(...)
      for _, row in ipairs(admin:query [[SELECT application_name AS name, query
        FROM pg_stat_activity WHERE application_name ~ '^pgmig (lock|watch)$'
        AND datname = current_database()]]) do
        queries[row.name][row.query] = true
      end
      return pgmig.drivers.blocking(...)
    end }
    pgmig.migrator(db, dir):migrate()
    db:close()
    admin:close()
    local watched = false
    for query in pairs(queries["pgmig watch"]) do
      watched = watched or query:find "me.wait_event" ~= nil
    end
    assert.is_true(watched)
    for query in pairs(queries["pgmig lock"]) do
      local harmless = query == "" or query == "ROLLBACK" or query:find "pg_try_advisory_xact_lock"
      assert.is_truthy(harmless, query)
    end
  end)
end)

describe("a connection that was lost between two runs", function()
  it("is replaced by the next one", function()
    local dir, url = support.tempdir(), support.database()
    support.write(dir, "001_step.sql", "-- UP\nSELECT 1;\n-- DOWN\n")
    local db, admin = pgmig.connect(url), pgmig.connect(url)
    local m = pgmig.migrator(db, dir)
    local plan = m:plan()
    admin:query("SELECT pg_terminate_backend($1::int4)", db:backend_pid())
    assert.is_false(pcall(db.query, db, "SELECT 1"))
    assert.equal(1, #m:run(plan))
    admin:query("SELECT pg_terminate_backend($1::int4)", db:backend_pid())
    assert.equal(1, m:status().applied_count)
    db:close()
    admin:close()
  end)
end)

describe("tables of the bookkeeping that somebody has locked", function()
  local dir, url, db, other

  before_each(function()
    dir, url = support.tempdir(), support.database()
    db, other = pgmig.connect { url = url, response_timeout = 0.5 }, pgmig.connect(url)
    support.write(dir, "001_step.sql", "CREATE TABLE a (n int);")
  end)

  after_each(function()
    db:close()
    other:close()
  end)

  --- A migrator; the first time that it waits, the other session lets go.
  local function migrator()
    local waits = {}
    return pgmig.migrator(db, dir, { lock_timeout = "300ms", log = function(_, _, event)
      if event.type ~= "waiting" then return end
      waits[#waits + 1] = event
      if #waits == 1 then other:exec "COMMIT" end
    end }), waits
  end

  local function check(err)
    assert.equal("lock", err.kind)
    assert.equal("55P03", err.sqlstate)
    assert.equal(1, #err.blockers)
    assert.equal(other:backend_pid(), err.blockers[1].pid)
    assert.matches("blocked by pid " .. other:backend_pid(), err.detail)
  end

  for _, name in ipairs { "schema_migrations", "schema_migrations_history" } do
    it("are not waited for by what reads: the error names who has " .. name, function()
      local m = migrator()
      m:migrate()
      other:exec("BEGIN; LOCK TABLE " .. name)
      local ok, err = pcall(m.status, m)
      assert.is_false(ok)
      check(err)
      assert.matches("^cannot .* the tables of", err.message)
      assert.equal("idle", db.handle:transaction_status())
      local code, _, said = faults.run(url, "status --dir " .. dir)
      assert.equal(4, code)
      assert.matches("blocked by pid " .. other:backend_pid(), said)
      other:exec "COMMIT"
      assert.equal(1, m:status().applied_count)
    end)
  end

  it("are waited for, in turns, where they are to be made", function()
    local m, waits = migrator()
    other:exec("BEGIN; CREATE TABLE schema_migrations (version int PRIMARY KEY, "
      .. "name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())")
    assert.equal(1, #m:migrate())
    assert.equal(other:backend_pid(), waits[1].blockers[1].pid)
    assert.matches("cannot create the tables of .*; trying again in", waits[1].message)
  end)

  it("are waited for, in turns, where they are to be widened", function()
    local m, waits = migrator()
    m:migrate()
    support.write(dir, "20240101120000_step.sql", "SELECT 1;")
    other:exec "BEGIN; LOCK TABLE schema_migrations IN SHARE MODE"
    assert.equal(1, #m:migrate())
    assert.equal(other:backend_pid(), waits[1].blockers[1].pid)
    assert.matches("cannot make room for a longer version", waits[1].message)
  end)

  it("are said to be locked, not another run to be at work", function()
    local m = migrator()
    m:migrate()
    support.write(dir, "002_step.sql", "SELECT 1;")
    other:exec "BEGIN; LOCK TABLE schema_migrations IN SHARE MODE"
    m = pgmig.migrator(db, dir, { retries = 0, lock_timeout = "300ms" })
    local ok, err = pcall(m.migrate, m)
    assert.is_false(ok)
    check(err)
    assert.matches("the whole tracking table", err.message)
  end)
end)

describe("another run that holds the lock", function()
  local dir, url, first, second

  before_each(function()
    dir, url = support.tempdir(), support.database()
    first, second = pgmig.connect(url), pgmig.connect(url)
    support.write(dir, "001_step.sql", "-- UP\nCREATE TABLE a (n int);\n-- DOWN\nDROP TABLE a;\n")
  end)

  after_each(function()
    first:close()
    second:close()
  end)

  --- Run `fn` while the first connection's run is in its migration.
  local function during(fn)
    pgmig.migrator(first, dir, { hooks = { before_each = fn } }):migrate()
  end

  it("is waited for until the limit; then the error names it", function()
    local holders = {}
    during(function()
      local m = pgmig.migrator(second, dir, { lock_wait = 0.2, hooks = { lock_wait = function(ctx)
        holders[#holders + 1] = ctx.holder
      end } })
      local ok, err = pcall(m.migrate, m)
      assert.is_false(ok)
      assert.equal("lock", err.kind)
      assert.matches("another run has held the lock for longer than 0.2 s", err.message)
      assert.equal("pgmig lock", err.holder.application_name)
      assert.matches("held by pid " .. err.holder.pid, err.detail)
      assert.matches("its worker pid " .. first:backend_pid(), err.detail)
    end)
    assert.equal(1, #holders)
    assert.equal(first:backend_pid(), holders[1].worker)
  end)

  it("ends the program with code 4, and its name", function()
    local code, err
    during(function()
      local _
      code, _, err = faults.run(url, "--lock-wait 0.1 up --dir " .. dir)
    end)
    assert.equal(4, code)
    assert.matches("another run holds the lock: pid %d+, pgmig lock, user postgres, since", err)
    assert.matches("SELECT pg_catalog.pg_terminate_backend%(%d+%)", err)
  end)

  it("does not hold up what only reads", function()
    local status
    during(function() status = pgmig.migrator(second, dir):status() end)
    assert.equal(1, status.pending_count)
  end)

  it("of another tracking table is not waited for", function()
    local other_dir = support.tempdir()
    support.write(other_dir, "001_b.sql", "-- UP\nCREATE TABLE b (n int);\n-- DOWN\n")
    local done
    during(function()
      done = pgmig.migrator(second, other_dir, { table = "others", lock_wait = 0.1 }):migrate()
    end)
    assert.equal(1, #done)
  end)

  it("leaves no double application when its lock is ended by force", function()
    local done
    during(function()
      second:exec [[SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'pgmig lock' AND datname = current_database()]]
      support.wait(function()
        return not second:query([[SELECT 1 FROM pg_stat_activity
          WHERE application_name = 'pgmig lock' AND datname = current_database()]])[1]
      end, "the end of the lock's session")
      local m = pgmig.migrator(second, dir, { retries = 0, lock_timeout = "100ms" })
      done = { pcall(m.migrate, m) }
    end)
    assert.is_false(done[1]) -- the claim made it wait, and give up
    assert.matches("another session holds a lock on the migration's row", tostring(done[2]))
    assert.equal(1, #pgmig.migrator(second, dir):applied())
  end)
end)
