-- Backfills that code asks for: the walk along a key, what a batch does when it fails, and what is
-- there when it was cut off. `n = n + 1` is the witness: a row that was changed twice shows it.
local core = require "pgmig.core"
local pgmig = require "pgmig"
local support = require "spec.support"

local STATE = "SELECT * FROM schema_migrations_backfill ORDER BY migration, step"

describe("a backfill", function()
  local url, db, other

  before_each(function()
    url = support.database()
    db, other = pgmig.connect(url), pgmig.connect(url)
  end)

  after_each(function()
    db:close()
    other:close()
  end)

  local function raises(fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    assert.is_true(pgmig.is_error(err), tostring(err))
    return err
  end

  --- How many rows have each n, as text: "1 300".
  local function witness(from)
    local list = {}
    for _, row in ipairs(db:query("SELECT n, count(*) AS c FROM " .. (from or "t")
      .. " GROUP BY n ORDER BY n")) do list[#list + 1] = row.n .. " " .. row.c end
    return table.concat(list, ", ")
  end

  local function make(rows, key)
    db:exec(([[CREATE TABLE t (id %s PRIMARY KEY, n int NOT NULL DEFAULT 0);
      INSERT INTO t (id) SELECT i FROM generate_series(1, %d) AS i]]):format(key or "int", rows))
  end

  local function fill(more)
    local options = { name = "count", table = "t", set = "n = n + 1", batch = 100 }
    for key, value in pairs(more or {}) do options[key] = value end
    return db:backfill(options)
  end

  -- ---- keys ----------------------------------------------------------------------

  for _, key in ipairs {
    { "int", "id int PRIMARY KEY", "i" },
    { "text with a collation", 'id text COLLATE "C" PRIMARY KEY',
      [[CASE i % 3 WHEN 0 THEN 'Ä' ELSE 'a''\"{,}' END || i]] },
    { "uuid", "id uuid PRIMARY KEY", "md5(i::text)::uuid" },
    { "timestamptz", "id timestamptz PRIMARY KEY", "'2026-01-31 23:59:59.123457+01'::timestamptz "
      .. "+ i * interval '7 hours'" },
    { "interval", "id interval PRIMARY KEY", "i * interval '-1 month 3 days -04:05:06.7'" },
    { "numeric", "id numeric PRIMARY KEY", "i * 10.0 ^ 20 + 1.5 / i" },
    { "float8", "id float8 PRIMARY KEY", "i / 3.0" },
    { "bytea", "id bytea PRIMARY KEY", [[decode(md5(i::text), 'hex')]] },
    { "char(n)", "id char(9) PRIMARY KEY", "i::text" },
    { "enum", "id e, id2 int, PRIMARY KEY (id, id2)",
      "(ARRAY['low', 'HIGH', 'a b'])[i % 3 + 1]::e, i" },
    { "several columns", "a int, b text, c date, PRIMARY KEY (a, b, c)",
      "i % 7, 'x' || i % 50, '2026-01-31'::date + i" },
    { "a name that needs quotes", '"Id;" int PRIMARY KEY', "i" },
  } do
    it("walks along a key: " .. key[1], function()
      db:exec(([[CREATE TYPE e AS ENUM ('HIGH', 'a b', 'low');
        CREATE TABLE t (%s, n int NOT NULL DEFAULT 0);
        INSERT INTO t SELECT %s FROM generate_series(1, 537) AS i;
        SET datestyle = 'SQL, DMY'; SET intervalstyle = 'sql_standard'; SET bytea_output = 'escape';
        SET extra_float_digits = -5]]):format(key[2], key[3]))
      local done = fill()
      assert.equal("1 537", witness())
      assert.same({ "done", 537, 537 }, { done.state, done.rows, done.seen })
      fill()
      assert.equal("1 537", witness())
    end)
  end

  it("compares a key with the operators of its index, not those of the search path", function()
    make(300)
    db:exec [[CREATE SCHEMA trap;
      CREATE FUNCTION trap.no(int, int) RETURNS bool LANGUAGE sql AS 'SELECT false';
      CREATE OPERATOR trap.> (LEFTARG = int, RIGHTARG = int, FUNCTION = trap.no);
      CREATE OPERATOR trap.<= (LEFTARG = int, RIGHTARG = int, FUNCTION = trap.no);
      SET search_path = trap, public, pg_catalog]]
    fill { tracking = "public.schema_migrations" }
    assert.equal("1 300", witness "public.t")
  end)

  it("takes a partitioned table, a part of a key, and a condition", function()
    db:exec [[CREATE TABLE t (id int, day date, n int NOT NULL DEFAULT 0) PARTITION BY RANGE (day);
      CREATE TABLE t1 PARTITION OF t FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
      CREATE TABLE t2 PARTITION OF t FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
      INSERT INTO t SELECT i, '2026-01-01'::date + i % 50 FROM generate_series(1, 400) AS i;]]
    assert.matches("no primary key", raises(fill).message)
    db:exec "UPDATE schema_migrations_backfill SET state = 'cancelled'"
    assert.matches("no index of public.t begins with", raises(fill, { key = "id" }).message)
    db:exec [[UPDATE schema_migrations_backfill SET state = 'cancelled';
      CREATE INDEX ON t1 (id, day); CREATE INDEX ON t2 (id, day); CREATE INDEX ON t (id, day)]]
    local done = fill { key = "id", where = "id > 100" }
    assert.equal("0 100, 1 300", witness())
    assert.same({ 300, 400 }, { done.rows, done.seen })
  end)

  it("refuses a key that is NULL somewhere", function()
    db:exec [[CREATE TABLE t (id int UNIQUE, n int NOT NULL DEFAULT 0);
      INSERT INTO t VALUES (1), (2), (NULL)]]
    local err = raises(fill, { key = "id" })
    assert.same("plan backfill of t: the key of some rows is NULL", err.kind .. " " .. err.message)
    assert.equal("0 3", witness())
  end)

  it("ends at the row that was the last when it began", function()
    make(250)
    local done = fill { on_progress = function(event)
      if event.phase == "progress" then
        other:exec [[INSERT INTO t SELECT max(id) + i, 0 FROM t, generate_series(1, 100) AS i
          GROUP BY i]]
      end
    end }
    assert.equal(250, done.rows)
  end)

  it("is done with an empty table, and analyzes one that it has filled", function()
    make(0)
    assert.equal("done", fill().state)
    db:exec "INSERT INTO t SELECT i FROM generate_series(1, 300) i"
    fill { name = "again" }
    assert.equal(300, db:query "SELECT reltuples AS n FROM pg_class WHERE relname = 't'"[1].n)
  end)

  -- ---- what is refused ---------------------------------------------------------

  it("refuses what is no definition, before anything is touched", function()
    make(3)
    for _, case in ipairs {
      { { set = "n = 1; DROP TABLE t" }, "must be one expression" },
      { { set = "n = 1 WHERE true" }, "cannot have WHERE" },
      { { set = "n = (1" }, "unclosed parenthesis" },
      { { where = "true) OR (true" }, "must be one expression" },
      { { where = "id = 'a" }, "unterminated quote" },
      { { set = " " }, "must be a string" },
      { { batch = 0 }, "batch must be a whole number" },
      { { each = function() end }, "either set or each" },
      { { sets = "n = 1" }, "unknown option sets" },
      { { target = 60 }, "target must be a number of seconds" },
    } do
      local err = raises(fill, case[1])
      assert.equal("usage", err.kind)
      assert.matches(case[2], err.message, 1, true)
    end
    local err = raises(db.backfill, db, { table = "t", set = "n = 1" })
    assert.matches("requires a name", err.message)
    db:exec "BEGIN"
    assert.matches("a transaction is open", raises(fill).message)
    db:exec "ROLLBACK"
    assert.equal("0 3", witness())
  end)

  it("tells what is wrong with an expression before the first batch", function()
    make(3)
    local err = raises(fill, { set = "m = 1" })
    assert.matches('backfill of t: column "m" of relation "t" does not exist', err.message)
    assert.equal("done", fill().state)
    err = raises(fill, { name = "x", table = "nosuch" })
    assert.matches("table nosuch does not exist", err.message)
  end)

  it("refuses another definition under a name that has begun", function()
    make(300)
    local batches = 0
    fill { stop = function()
      batches = batches + 1
      return batches > 3
    end }
    local err = raises(fill, { set = "n = n + 2" })
    assert.matches("was begun with another definition", err.message)
    fill()
    assert.equal("1 300", witness())
  end)

  it("refuses a table of its name that is another one, or another role's", function()
    make(3)
    db:exec "CREATE TABLE schema_migrations_backfill (migration text, step int)"
    assert.matches("is not a table of backfills", raises(fill).message)
    assert.same({}, db:query "SELECT * FROM schema_migrations_backfill")
    local owner, app = "o" .. core.token(), "a" .. core.token()
    db:exec "DROP TABLE schema_migrations_backfill"
    fill()
    db:exec(([[CREATE ROLE %s; CREATE ROLE %s; ALTER TABLE schema_migrations_backfill OWNER TO %s;
      GRANT ALL ON ALL TABLES IN SCHEMA public TO %s; SET ROLE %s]]):format(owner, app, owner, app,
      app))
    assert.matches("belongs to the role", raises(fill, { name = "more" }).message)
    db:exec(("RESET ROLE; DROP OWNED BY %s, %s; DROP ROLE %s, %s"):format(owner, app, owner, app))
  end)

  -- ---- rows that fail ------------------------------------------------------------

  it("names the row that fails, keeps what is done, and goes on behind a correction", function()
    make(1000)
    db:exec "ALTER TABLE t ADD CONSTRAINT odd CHECK (n < 1 OR id <> 637)"
    local err = raises(fill)
    assert.matches("backfill of t at the row with id = 637: .*odd", err.message)
    assert.equal("23514", err.sqlstate)
    assert.equal("0 364, 1 636", witness())
    local row = db:query(STATE)[1]
    assert.same({ "failed", "{637}", "{636}" }, { row.state, row.failed_key, row.cursor })
    assert.matches("at the row with id = 637: .*odd", raises(fill).message)
    db:exec "ALTER TABLE t DROP CONSTRAINT odd"
    fill()
    assert.equal("1 1000", witness())
  end)

  it("leaves rows out that fail, as many as it may, and writes them down", function()
    make(1000)
    db:exec "ALTER TABLE t ADD CONSTRAINT odd CHECK (n < 1 OR id NOT IN (100, 101, 637))"
    local done = fill { skip = 3 }
    assert.equal("0 3, 1 997", witness())
    assert.same({ 997, 1000 }, { done.rows, done.seen })
    local keys = {}
    for i, skipped in ipairs(done.skipped) do
      keys[i] = skipped.key[1]
      assert.matches("odd", skipped.error)
    end
    assert.same({ "100", "101", "637" }, keys)
    assert.matches("id = 101", raises(fill, { name = "more", skip = 1 }).message)
  end)

  it("takes fewer rows where one is locked, and names it when it stays so", function()
    make(400)
    other:exec "BEGIN; UPDATE t SET n = n WHERE id = 333"
    local retries, fewest = 0, 1e9
    fill { target = 0.02, on_progress = function(event)
      if event.phase ~= "retry" then return end
      retries, fewest = retries + 1, math.min(fewest, event.backfill.batch)
      if retries == 9 then other:exec "COMMIT" end
    end }
    assert.equal("1 400", witness())
    assert.is_true(retries >= 9 and fewest <= 2)
  end)

  -- ---- what a batch waits for ---------------------------------------------------------

  it("waits while something speaks against the next batch, and says its figure", function()
    make(900)
    db:exec "CREATE TABLE u ()"
    local reasons, calls = {}, 0
    local waiter = pgmig.connect(url)
    other:exec "BEGIN; LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE; LOCK TABLE u"
    waiter.handle:send "BEGIN; LOCK TABLE u"
    support.wait(function()
      waiter.handle:step()
      return db:query("SELECT count(*) AS n FROM pg_locks WHERE NOT granted")[1].n > 0
    end, "who waits")
    fill {
      throttle = {
        vacuum = true, lock_waiters = 0,
        check = function(figures)
          calls = calls + 1
          return calls == 2 and ("figure %s"):format(figures.wal and "known" or "?")
        end,
      },
      on_progress = function(event)
        if event.phase ~= "waiting" then return end
        reasons[#reasons + 1] = event.message
        assert.equal(event.message, event.backfill.waiting)
        if #reasons == 1 then
          other:query("SELECT pg_terminate_backend($1)", waiter:backend_pid())
        end
        if #reasons == 2 then other:exec "ROLLBACK" end
      end,
    }
    waiter:close()
    assert.same("1 sessions wait for locks (limit 0)", reasons[1])
    assert.matches("^pid %d+ vacuums, analyzes or indexes the table$", reasons[2])
    assert.same({ "figure known", 3 }, { reasons[3], #reasons })
    assert.equal("1 900", witness())
  end)

  it("keeps to a rate, and to hours", function()
    make(300)
    local stopped = false
    local hour = tonumber(os.date "%H")
    fill {
      hours = ("%02d:00-%02d:00"):format((hour + 2) % 24, (hour + 3) % 24),
      on_progress = function(event)
        stopped = event.phase == "waiting" and event.message:find "not within the hours" ~= nil
      end,
      stop = function() return stopped end,
    }
    assert.equal("0 300", witness())
    local largest, seen = 0, 0
    fill { rate = 200, on_progress = function(event)
      largest, seen = math.max(largest, event.backfill.seen - seen), event.backfill.seen
    end }
    assert.equal("1 300", witness())
    assert.equal(50, largest)
    for _, options in ipairs { { duty = 2 }, { rate = 0 }, { hours = "night" },
      { throttle = { lag = 1 } }, { throttle = { replica_lag = "much" } }, { throttle = 1 } } do
      assert.equal("usage", raises(fill, options).kind)
    end
  end)

  -- ---- what is there when it is cut off ---------------------------------------------

  it("changes each row once, though its server process is ended again and again", function()
    make(9000)
    local ended = 0
    local done = fill { on_progress = function(event)
      if event.phase ~= "progress" or ended == 6 then return end
      ended = ended + 1
      other:query("SELECT pg_terminate_backend($1)", db:backend_pid())
    end }
    assert.equal(6, ended)
    assert.same({ "done", 9000, 9000 }, { done.state, done.rows, done.seen })
    assert.equal("1 9000", witness())
  end)

  it("is gone on with by another process; the one overtaken changes nothing", function()
    make(900)
    local overtaken
    local err = raises(fill, { on_progress = function(event)
      if event.phase ~= "progress" or overtaken then return end
      overtaken = true -- as if it had been silent for long
      other:exec "UPDATE schema_migrations_backfill SET lease_until = now() - interval '1 hour'"
      other:backfill { name = "count", table = "t", set = "n = n + 1" }
      other:exec "UPDATE schema_migrations_backfill SET state = 'paused'"
    end })
    assert.matches("is paused", err.message)
    assert.equal("1 900", witness())
  end)

  it("waits for another process that works on it, and stops when it is paused", function()
    make(900)
    local told
    fill { on_progress = function(event)
      if event.phase ~= "progress" or told then return end
      local looks = 0
      other:backfill {
        name = "count", table = "t", set = "n = n + 1",
        on_progress = function(seen) told = seen.message end,
        stop = function()
          looks = looks + 1
          return looks > 1
        end,
      }
    end }
    assert.matches("another process works on it", told)
    assert.equal("1 900", witness())
    local err = raises(fill, { name = "again", on_progress = function(event)
      if event.phase == "progress" then
        other:exec "UPDATE schema_migrations_backfill SET state = 'paused' WHERE state = 'ready'"
      end
    end })
    assert.matches("is paused", err.message)
    db:exec "UPDATE schema_migrations_backfill SET state = 'ready' WHERE state = 'paused'"
    fill { name = "again" }
    assert.equal("2 900", witness())
  end)

  -- ---- code -------------------------------------------------------------------------

  it("hands the rows of a batch to a function, in the batch's transaction", function()
    make(1000)
    local calls, fail = 0, true
    local function each(rows, tx)
      calls = calls + 1
      for _, row in ipairs(rows) do
        tx:query("UPDATE t SET n = n + 1 WHERE id = $1", row.id)
        if row.id == 500 and fail then error "not this one" end
      end
    end
    local options = { name = "code", table = "t", each = each, where = "n = 0" }
    local err = raises(db.backfill, db, options)
    assert.matches("at the row with id = 500: .*not this one", err.message)
    assert.equal("0 501, 1 499", witness())
    fail = false
    db:backfill(options)
    assert.equal("1 1000", witness())
    assert.is_true(calls < 100)
  end)

  it("refuses a function that ends the batch's transaction", function()
    make(150)
    local err = raises(db.backfill, db, {
      name = "code", table = "t", each = function(_, tx) tx:exec "COMMIT; BEGIN" end,
    })
    assert.matches("ended the batch's transaction", err.message)
    assert.equal("idle", db:transaction_status())
  end)

  describe("of a Lua migration", function()
    local dir, migrator

    before_each(function()
      make(700)
      dir = support.tempdir()
      migrator = pgmig.migrator(db, dir, { drift_check = false })
    end)

    local function write(transaction, rest)
      support.write(dir, "001_fill.lua", ([[return { transaction = %s, up = function(db)
        db:backfill { table = "t", set = "n = n + 1" } %s end,
        down = function(db) db:exec "UPDATE t SET n = 0" end }]]):format(transaction, rest or ""))
    end

    it("needs one without a transaction", function()
      write "true"
      local err = raises(migrator.migrate, migrator)
      assert.matches("which a migration in a transaction cannot", err.message)
      assert.matches("transaction = false", err.hint)
      assert.equal("0 700", witness())
    end)

    it("goes on where the last attempt has stopped, and again behind a rollback", function()
      write("false", "if not passed then error 'stop' end")
      rawset(_G, "passed", nil)
      assert.matches("stop", raises(migrator.migrate, migrator).message)
      assert.equal("1 700", witness())
      rawset(_G, "passed", true)
      migrator:migrate()
      assert.equal("1 700", witness())
      migrator:rollback()
      assert.same({}, db:query(STATE))
      migrator:migrate()
      rawset(_G, "passed", nil)
      assert.equal("1 700", witness())
      assert.same({ "1", 1, "001_fill", "done" }, (function(row)
        return { row.migration, row.step, row.label, row.state }
      end)(db:query(STATE)[1]))
    end)
  end)
end)
