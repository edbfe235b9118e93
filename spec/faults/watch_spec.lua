-- The connections that stand beside the one that works: what becomes of the work without them, what
-- they see, and what all do when the network falls silent.
local core = require "pgmig.core"
local faults = require "spec.faults.support"
local pgmig = require "pgmig"
local proxies = require "spec.faults.proxy"
local states = require "spec.faults.state"
local support = require "spec.support"

describe("a long statement", function()
  local dir, url, admin, db, each_wait, always

  --- A connection; `each_wait` is called whenever it waits for migrations that were sent ahead, or
  -- `always` when it waits.
  local function connect(options)
    local own
    options.url, options.response_timeout = url, 0.7
    options.wait = function(handle, ...)
      if own and handle == own.handle and (always or not handle:sent()) then each_wait() end
      return pgmig.drivers.blocking(handle, ...)
    end
    own = pgmig.connect(options)
    return own
  end

  before_each(function()
    dir, url = support.tempdir(), support.database()
    admin = pgmig.connect(url)
    support.write(dir, "001_step.sql", "-- UP\nCREATE TABLE a (n int);\nSELECT pg_sleep(2.5);\n")
    each_wait, always = function() end, false
    db = connect {}
  end)

  after_each(function()
    db:close()
    admin:close()
  end)

  --- Run; returns the events by type. Nothing but migrations is sent ahead.
  local function migrate(options)
    local events = {}
    options = options or {}
    options.syntax_check = false
    options.log = function(_, _, event)
      events[event.type] = events[event.type] or {}
      table.insert(events[event.type], event)
    end
    pgmig.migrator(db, dir, options):migrate()
    return events
  end

  local function end_helpers()
    admin:query [[SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE application_name IN ('pgmig lock', 'pgmig watch') AND datname = current_database()]]
  end

  it("goes on when the connections beside it are ended again and again", function()
    each_wait = end_helpers
    assert.is_nil(migrate().lost)
  end)

  it("leaves no session behind, wherever it ends", function()
    for i = 1, 10 do
      support.write(dir, "001_step.sql", ("-- UP\nSELECT pg_sleep(%.3f);\n-- DOWN\n"
        .. "-- pgmig: empty\n"):format(0.008 + i / 1000))
      migrate()
      pgmig.migrator(db, dir):rollback()
    end
    support.wait(function()
      return admin:query([[SELECT count(*) AS n FROM pg_stat_activity
        WHERE application_name IN ('pgmig lock', 'pgmig watch')
        AND datname = current_database()]])[1].n == 0
    end, "the end of the sessions")
  end)

  it("goes on when no connection is to be had beside it", function()
    admin:exec "CREATE ROLE alone LOGIN; GRANT ALL ON SCHEMA public TO alone"
    finally(function() admin:exec "DROP OWNED BY alone CASCADE; DROP ROLE alone" end)
    db:close()
    db = connect { user = "alone" }
    local alone = false
    each_wait = function()
      if alone then return end
      alone = true
      admin:exec "ALTER ROLE alone CONNECTION LIMIT 1"
      end_helpers()
    end
    assert.is_nil(migrate().lost)
    assert.is_true(alone)
  end)

  it("lets the lock's connection take no snapshot without a transaction", function()
    admin:exec "CREATE ROLE two LOGIN CONNECTION LIMIT 2; GRANT ALL ON SCHEMA public TO two"
    finally(function() admin:exec "DROP OWNED BY two CASCADE; DROP ROLE two" end)
    db:close()
    db = connect { user = "two" }
    support.write(dir, "001_step.sql", "-- pgmig: transaction=off\n-- UP\nSELECT pg_sleep(1);\n"
      .. "CREATE TABLE a (n int);\nCREATE INDEX CONCURRENTLY a_n ON a (n);")
    local looks, asked = 0, {}
    always = true
    each_wait = function()
      for _, row in ipairs(admin:query [[SELECT query FROM pg_stat_activity
        WHERE application_name = 'pgmig lock' AND state = 'idle in transaction']]) do
        looks = looks + 1
        -- a question about one of its statements
        if row.query:find "'SELECT pg_sleep" then asked[#asked + 1] = row.query end
      end
    end
    migrate()
    assert.is_true(looks > 2)
    assert.same({}, asked)
  end)

  it("is looked after behind a hook that has run a migrator of its own", function()
    local inner, seen = support.tempdir(), nil
    support.write(inner, "001_inner.sql", "SELECT 1;")
    migrate { hooks = {
      before_all = function(ctx)
        if not seen then seen = 0 end
        pgmig.migrator(ctx.db, inner, { table = "inner_migrations" }):migrate()
      end,
      progress = function() seen = seen + 1 end,
    } }
    assert.is_true(seen > 2) -- one when it has ended, the others from looks at it
  end)

  it("is not said to be blocked by those who look after it", function()
    support.write(dir, "001_step.sql",
      "CREATE TABLE a AS SELECT n FROM generate_series(1, 10000) n;")
    local texts = { "-- pgmig: transaction=off\n" }
    for i = 1, 40 do texts[i + 1] = ("CREATE INDEX CONCURRENTLY a%d ON a (n);\n"):format(i) end
    support.write(dir, "002_step.sql", table.concat(texts))
    local holder, blockers = pgmig.connect(url .. "&application_name=holder"), {}
    migrate { hooks = {
      before_all = function() holder:exec "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1" end,
      lock_wait = function(ctx)
        for _, b in ipairs(ctx.blockers) do blockers[b.application_name] = true end
        holder:exec "COMMIT"
      end,
    } }
    holder:close()
    assert.same({ holder = true }, blockers)
  end)
end)

describe("a network that falls silent", function()
  local dir, database, proxy

  before_each(function()
    dir, database = support.tempdir(), faults.database()
    proxy = proxies.start("none", 0)
  end)

  after_each(function()
    proxy.signal "CONT"
    proxy.stop()
    faults.drop(database)
  end)

  --- Wait until the server is in the middle of `pattern`.
  local function wait_for(pattern)
    local db = pgmig.connect(support.server():url(database))
    support.wait(function()
      return db:query("SELECT 1 FROM pg_stat_activity WHERE query ~ $1 AND state = 'active' "
        .. "AND pid <> pg_backend_pid() AND datname = current_database()", pattern)[1]
    end, pattern)
    db:close()
  end

  --- Run the program with a proxy that falls silent in the middle of a statement.
  -- @param signals the names of signals that it gets then, a while apart
  -- @param ends whether the statement comes to its end meanwhile
  -- @return exit code, errors
  local function run_into_silence(signals, ends)
    local out = support.tempdir()
    support.run(("(env DATABASE_URL=%s PGMIG_RESPONSE_TIMEOUT=1 PGMIG_RECONNECT=1 "
      .. "bin/pgmig up --dir %s >%s/out 2>%s/err & echo $! >%s/pid; wait $!; echo $? >%s/code) "
      .. ">/dev/null 2>&1 &"):format(support.quote(proxy.url(database)), dir, out, out, out, out))
    wait_for "pg_sleep"
    proxy.signal "STOP"
    if ends then support.release(support.server():url(database)) end
    local pid = support.read(out .. "/pid"):match "%d+"
    for i, name in ipairs(signals) do
      if i > 1 then core.poll({}, {}, 0.5) end
      support.run(("kill -%s %s"):format(name, pid))
    end
    local code = support.wait(function()
      local file = io.open(out .. "/code")
      local number = file and file:read "*n"
      if file then file:close() end
      return number
    end, "the program's end")
    return code, support.read(out .. "/err")
  end

  it("leaves what was sent to COMMIT unknown, not undone", function()
    support.write(dir, "001_step.sql", "CREATE TABLE counter (version int);\n" .. support.held
      .. "\nINSERT INTO counter VALUES (1);")
    support.write(dir, "002_step.sql", "INSERT INTO counter VALUES (2);")
    local code, err = run_into_silence({}, true)
    assert.equal(5, code)
    assert.matches("the same applies to those sent after it, up to 002_step", err)
    assert.is_nil(err:find("not applied", 1, true))
    assert.same({ [1] = 1, [2] = 1 }, states.look(support.server():url(database)).counts)
  end)

  for _, signals in ipairs { { "TERM" }, { "TERM", "TERM" } } do
    it(("does not keep a program from ending by %d signals"):format(#signals), function()
      support.write(dir, "001_step.sql", support.held)
      local code, err = run_into_silence(signals)
      assert.equal(143, code)
      assert.matches("001_step: see `pgmig status`", err)
    end)
  end
end)
