local core = require "pgmig.core"
local pgmig = require "pgmig"
local support = require "spec.support"

describe("a hook", function()
  local url, db, dir, migrator

  before_each(function()
    url = support.database()
    db = pgmig.connect(url)
    dir = support.tempdir()
    support.write(dir, "001_a.sql", "-- UP\nCREATE TABLE a (n int);\nINSERT INTO a VALUES (1);\n" ..
      "-- DOWN\nDROP TABLE a;\n")
    support.write(dir, "002_b.sql", "-- UP\nCREATE TABLE b (n int);\n-- DOWN\nDROP TABLE b;\n")
    migrator = pgmig.migrator(db, dir)
  end)

  after_each(function() db:close() end)

  local function fails(fn, ...)
    local ok, err = pcall(fn, migrator, ...)
    assert.is_false(ok)
    assert.is_true(pgmig.is_error(err), tostring(err))
    return err
  end

  local function exists(name)
    return db:query("SELECT to_regclass($1) IS NOT NULL AS there", name)[1].there
  end

  --- Register handlers that note down what they are called for.
  local function record(events)
    local seen = {}
    for _, event in ipairs(events) do
      migrator:on(event, function(ctx)
        local what = ctx.statement and ctx.statement.kind or tostring(ctx.migration or #ctx.plan)
        seen[#seen + 1] = ("%s %s"):format(event, what)
      end)
    end
    return seen
  end

  local all = { "before_all", "before_each", "before_statement", "after_statement", "after_each",
    "committed", "after_all" }

  it("is called at each point, in order, on the way up", function()
    local seen = record(all)
    migrator:migrate()
    assert.same({ "before_all 2",
      "before_each 001_a", "before_statement CREATE TABLE", "after_statement CREATE TABLE",
      "before_statement INSERT", "after_statement INSERT", "after_each 001_a", "committed 001_a",
      "before_each 002_b", "before_statement CREATE TABLE", "after_statement CREATE TABLE",
      "after_each 002_b", "committed 002_b",
      "after_all 2" }, seen)
  end)

  it("cannot replace a statement by what is no text: all of it counts", function()
    for _, sql in ipairs { "SELECT 1\0; DROP TABLE a", 1, false } do
      local m = pgmig.migrator(db, dir, { hooks = { before_statement = function(ctx)
        ctx.sql = sql
      end } })
      local ok, err = pcall(m.migrate, m)
      assert.is_false(ok)
      assert.matches("ctx.sql must be a string without NUL bytes", tostring(err))
      assert.equal(0, #m:applied())
    end
  end)

  it("is called at each point on the way down", function()
    migrator:migrate()
    local seen = record(all)
    migrator:rollback()
    assert.same({ "before_all 1", "before_each 002_b", "before_statement DROP TABLE",
      "after_statement DROP TABLE", "after_each 002_b", "committed 002_b", "after_all 1" }, seen)
  end)

  it("is not called when there is nothing to do", function()
    migrator:migrate()
    local seen = record(all)
    migrator:migrate()
    assert.same({}, seen)
  end)

  it("shares its event with others, in the order of registration", function()
    local order = {}
    for i = 1, 3 do migrator:on("before_all", function() order[#order + 1] = i end) end
    migrator:migrate()
    assert.same({ 1, 2, 3 }, order)
  end)

  it("may be given to migrator, also as a list", function()
    local count = 0
    local function add() count = count + 1 end
    pgmig.migrator(db, dir, { hooks = { committed = add, before_each = { add, add } } }):migrate()
    assert.equal(6, count)
  end)

  it("needs a known event and a function", function()
    local err = fails(migrator.on, "before_lunch", print)
    assert.equal("usage", err.kind)
    assert.matches("before_each", err.hint)
    assert.equal("usage", fails(migrator.on, "before_each", "print").kind)
  end)

  it("knows the migration, its direction, the statement and the duration", function()
    local contexts = {}
    migrator:on("after_statement", function(ctx) contexts[#contexts + 1] = ctx end)
    migrator:migrate(1)
    local ctx = contexts[2]
    assert.equal("001_a", tostring(ctx.migration))
    assert.equal("up", ctx.direction)
    assert.equal(db, ctx.db)
    assert.equal(1, ctx.attempt)
    assert.same({ 2, 2, 3, 1, "INSERT", "INSERT INTO a VALUES (1)" }, { ctx.statement.index,
      ctx.statement.count, ctx.statement.line, ctx.statement.column, ctx.statement.kind, ctx.sql })
    assert.is_true(ctx.duration >= 0)
  end)

  describe("before_each", function()
    it("skips a migration: not run, not recorded, and the next one goes on", function()
      migrator:on("before_each", function(ctx)
        if ctx.migration.version == 1 then ctx:skip "not today" end
      end)
      local reasons = {}
      local applied = migrator:migrate { on_event = function(event)
        if event.type == "skipped" then reasons[#reasons + 1] = event.message end
      end }
      assert.equal(1, #applied)
      assert.equal("002_b", tostring(applied[1]))
      assert.same({ "not today" }, reasons)
      assert.is_false(exists "a")
      assert.same({ "001_a" }, { tostring(migrator:pending()[1]) })
    end)

    it("vetoes by raising: rolled back, the run stops", function()
      migrator:on("before_each", function(ctx)
        if ctx.migration.version == 2 then error "freeze until monday" end
      end)
      local err = fails(migrator.migrate)
      assert.equal("hook", err.kind)
      assert.equal("before_each", err.hook)
      assert.equal("002_b", err.migration)
      assert.matches("freeze until monday", err.message)
      assert.matches("hooks_spec", err.traceback)
      assert.equal(1, #err.applied)
      assert.is_false(exists "b")
      assert.equal(1, #migrator:applied())
    end)

    it("works in the migration's transaction", function()
      migrator:on("before_each", function(ctx)
        ctx.db:exec("CREATE TABLE by_hook_" .. ctx.migration.version .. " ()")
        if ctx.migration.version == 2 then error "no" end
      end)
      fails(migrator.migrate)
      assert.is_true(exists "by_hook_1")
      assert.is_false(exists "by_hook_2")
    end)

    it("leaves no trace in the session", function()
      migrator:on("before_each", function(ctx) ctx.db:exec "SET work_mem = '99MB'" end)
      migrator:migrate()
      assert.not_equal("99MB", db:query("SHOW work_mem")[1].work_mem)
    end)

    it("that ends the transaction is found out", function()
      migrator:on("before_each", function(ctx) ctx.db:exec "ROLLBACK" end)
      assert.matches("transaction", fails(migrator.migrate).message)
      assert.equal(0, #migrator:applied())
    end)

    it("keeps the kind of a database error that it lets through", function()
      migrator:on("before_each", function(ctx) ctx.db:query "SELECT nix" end)
      local err = fails(migrator.migrate)
      assert.same({ "sql", "42703", "before_each" }, { err.kind, err.sqlstate, err.hook })
    end)

    it("cannot start another migration on the same connection", function()
      migrator:on("before_each", function() migrator:migrate() end)
      assert.equal("usage", fails(migrator.migrate).kind)
      assert.equal(0, #migrator:applied())
    end)

    it("may read the state on the migration's connection", function()
      local counts = {}
      migrator:on("before_each", function() counts[#counts + 1] = #migrator:applied() end)
      migrator:migrate()
      assert.same({ 1, 2 }, counts) -- the claim is there already
    end)
  end)

  describe("before_statement", function()
    it("replaces the SQL that is sent", function()
      migrator:on("before_statement", function(ctx)
        ctx.sql = ctx.sql:gsub("VALUES %(1%)", "VALUES (42)")
      end)
      local sent = {}
      migrator:on("after_statement", function(ctx) sent[#sent + 1] = ctx.sql end)
      migrator:migrate(1)
      assert.equal(42, db:query("SELECT n FROM a")[1].n)
      assert.equal("INSERT INTO a VALUES (42)", sent[2])
    end)

    it("skips a statement", function()
      migrator:on("before_statement", function(ctx)
        if ctx.statement.kind == "INSERT" then ctx:skip "no data" end
      end)
      assert.equal(2, #migrator:migrate())
      assert.equal(0, db:query("SELECT count(*) AS n FROM a")[1].n)
    end)

    it("vetoes by raising", function()
      migrator:on("before_statement", function(ctx)
        if ctx.statement.kind == "INSERT" then error({ code = 7 }) end
      end)
      local err = fails(migrator.migrate)
      assert.equal("hook", err.kind)
      assert.same({ code = 7 }, err.cause)
      assert.is_false(exists "a")
    end)

    it("that begins a transaction within it is found out, whatever it says before", function()
      for _, notices in ipairs { 1, 1500 } do
        local sql = ("DO $$ BEGIN FOR i IN 1..%d LOOP RAISE NOTICE 'n'; END LOOP; END $$; BEGIN")
          :format(notices)
        local other = pgmig.migrator(db, dir, { hooks = { before_statement = function(ctx)
          if ctx.statement.kind == "INSERT" then ctx.sql = sql end
        end } })
        local err = fails(function() other:migrate() end)
        assert.matches("migration's transaction", err.message)
        assert.is_false(exists "a")
      end
    end)

    local ends = {
      { "COMMIT; BEGIN", 1 }, { "COMMIT AND CHAIN", 1 }, { "COMMIT", 1 }, { "ROLLBACK; BEGIN", 0 },
      { "COMMIT; BEGIN; SELECT 1/0", 1 }, { "/* */ END; START TRANSACTION; CREATE TABLE b ()", 1 },
    }
    for _, case in ipairs(ends) do
      for index = 1, 2 do
        it(("that ends the transaction is found out: %s, %d"):format(case[1], index), function()
          if case[1]:find "AND CHAIN" then support.needs(pending, 12, "AND CHAIN") end
          migrator:on("before_statement", function(ctx)
            if ctx.statement.index == index then ctx.sql = case[1] end
          end)
          local err = fails(migrator.migrate)
          assert.equal("hook", err.kind)
          assert.matches("ended the migration's transaction", err.message)
          assert.equal(case[2] == 1 and "committed" or "aborted", err.transaction)
          assert.equal(case[2], #migrator:applied())
        end)
      end
    end

    it("whose SQL fails points at the statement that it replaced", function()
      migrator:on("before_statement", function(ctx)
        if ctx.statement.index == 2 then ctx.sql = "SELECT 'ü', nix" end
      end)
      local err = fails(migrator.migrate)
      assert.same({ 3, 1, "42703" }, { err.line, err.column, err.sqlstate })
    end)
  end)

  it("after_statement and after_each see the changes, and undo them by raising", function()
    for _, event in ipairs { "after_statement", "after_each" } do
      local seen
      migrator = pgmig.migrator(db, dir):on(event, function(ctx)
        seen = ctx.db:query("SELECT to_regclass('a') IS NOT NULL AS there")[1].there
        error "undo"
      end)
      assert.equal("hook", fails(migrator.migrate).kind)
      assert.is_true(seen)
      assert.is_false(exists "a")
    end
  end)

  it("committed that raises is reported, and the migration stays", function()
    migrator:on("committed", function() error "mail server down" end)
    local warnings = {}
    assert.equal(2, #migrator:migrate { on_event = function(event)
      if event.type == "warning" then warnings[#warnings + 1] = event.message end
    end })
    assert.equal(2, #warnings)
    assert.matches("mail server down", warnings[1])
    assert.is_true(exists "a")
  end)

  it("before_all that raises stops the run before anything happens", function()
    migrator:on("before_all", function() error "closed" end)
    local err = fails(migrator.migrate)
    assert.equal("hook", err.kind)
    assert.same({}, err.applied)
    assert.is_false(exists "a")
  end)

  it("after_all sees the result outside any transaction, also of a failure", function()
    support.write(dir, "002_b.sql", "SELECT nix;")
    local ctx, status
    migrator:on("after_all", function(given)
      ctx, status = given, given.db.handle:transaction_status()
      error "hidden by the first failure"
    end)
    local err = fails(migrator.migrate)
    assert.equal("42703", err.sqlstate)
    assert.equal(err, ctx.error)
    assert.equal("001_a", tostring(ctx.applied[1]))
    assert.equal("idle", status)
  end)

  it("error and progress look on", function()
    support.write(dir, "002_b.sql", "CREATE TABLE b ();\nSELECT nix;")
    local progress, failed = {}, nil
    migrator:on("progress", function(ctx)
      progress[#progress + 1] = ("%d/%d %s"):format(ctx.done, ctx.total,
        ctx.statement and ctx.statement.kind or "-")
    end)
    migrator:on("error", function(ctx)
      failed = ctx
      error "does not matter"
    end)
    fails(migrator.migrate)
    assert.same({ "0/2 CREATE TABLE", "0/2 INSERT", "1/2 -", "1/2 CREATE TABLE" }, progress)
    assert.equal("002_b", tostring(failed.migration))
    assert.equal("42703", failed.error.sqlstate)
  end)

  it("may skip only where that has a meaning", function()
    migrator:on("after_each", function(ctx) ctx:skip "too late" end)
    assert.equal("usage", fails(migrator.migrate).kind)
  end)

  it("works with transaction=off, where there is no transaction", function()
    support.write(dir, "003_c.sql", "-- pgmig: transaction=off\nCREATE TABLE c ();\nVACUUM c;\n")
    local seen = record(all)
    migrator:migrate()
    assert.equal("before_each 003_c", seen[14])
    assert.equal("before_statement VACUUM", seen[17])
    assert.equal("committed 003_c", seen[20])
    support.write(dir, "004_d.sql", "-- pgmig: transaction=off\nCREATE TABLE d ();\n")
    migrator:on("before_each", function(ctx) ctx:skip "no" end)
    assert.same({}, migrator:migrate())
    assert.is_false(exists "d")
    assert.equal(1, #migrator:pending())
  end)

  it("may yield, with a driver that yields", function()
    local own, seen = nil, {}
    local thread = coroutine.create(function()
      own = pgmig.connect { url = url, wait = pgmig.drivers.coroutine }
      local yielding = pgmig.migrator(own, dir)
      for _, event in ipairs(all) do
        yielding:on(event, function()
          coroutine.yield "hook"
          seen[#seen + 1] = event
        end)
      end
      return #yielding:migrate()
    end)
    local ok, a, want
    for _ = 1, 100000 do
      ok, a, want = coroutine.resume(thread)
      assert.is_true(ok, tostring(a))
      if coroutine.status(thread) == "dead" then break end
      if a ~= "hook" then core.wait_fd(a:fd(), want, 1) end
    end
    assert.equal(2, a)
    assert.equal(14, #seen)
    own:close()
  end)
end)

describe("a log function", function()
  it("is told what happens, with levels", function()
    local db, dir = pgmig.connect(support.database()), support.tempdir()
    support.write(dir, "001_a.sql", "DO $$ BEGIN RAISE NOTICE 'hello'; END $$;")
    support.write(dir, "002_b.sql", "SELECT nix;")
    local lines = {}
    local migrator = pgmig.migrator(db, dir, { log = function(level, message)
      lines[#lines + 1] = level .. " " .. message:match "^[^\n]*"
    end })
    assert.is_false(pcall(migrator.migrate, migrator))
    db:close()
    assert.same({ "debug start 001_a", "info notice 001_a: hello", "info applied 001_a",
      "debug progress 001_a", "debug start 002_b" },
      { lines[1], lines[2], lines[3], lines[4], lines[5] })
    assert.matches("^error .*nix", lines[6])
  end)
end)
