-- Migrations with transaction=off: the journal, going on after a failure, and what is refused.
local pgmig = require "pgmig"
local support = require "spec.support"

describe("a migration with transaction=off", function()
  local url, db, dir, migrator

  before_each(function()
    url, dir = support.database(), support.tempdir()
    db = pgmig.connect(url)
    migrator = pgmig.migrator(db, dir, { retries = 0 })
    db:exec "CREATE TABLE t (a int, b int); CREATE TABLE counter (n int)"
  end)

  after_each(function() db:close() end)

  local function write(up, down)
    support.write(dir, "001_off.sql", "-- UP\n-- pgmig: transaction=off\n" .. up .. "-- DOWN\n"
      .. (down or "-- pgmig: empty\n"))
  end

  local function fails()
    local ok, err = pcall(migrator.migrate, migrator)
    assert.is_false(ok)
    return err
  end

  local function counts()
    local list = {}
    for _, row in ipairs(db:query "SELECT n FROM counter ORDER BY n") do list[#list + 1] = row.n end
    return list
  end

  --- Let the journal say what it would if the run had died in the middle of a statement that is
  -- done.
  local function leave_running(number, text)
    db:exec(([[UPDATE schema_migrations_journal SET state = 'running', pid = NULL,
      running = done[%d], statement = '%s', done = done[1:%d] ]]):format(number, text, number - 1))
  end

  it("goes on behind the statements that are done", function()
    write "INSERT INTO counter VALUES (1);\nVACUUM t;\nINSERT INTO missing VALUES (1);\n"
    local err = fails()
    assert.equal(5, err.line)
    assert.matches("2 statements before it stay done; the next run resumes after them", err.hint)
    local m = migrator:status().pending[1]
    assert.same({ "unfinished", 2, "up" }, { m.state, m.unfinished.done, m.unfinished.direction })
    assert.equal("unfinished", migrator:doctor()[1].kind)
    write "INSERT INTO counter VALUES (1);\nVACUUM t;\nINSERT INTO counter VALUES (3);\n"
    assert.equal(1, #migrator:migrate())
    assert.same({ 1, 3 }, counts())
    assert.same({}, db:query "SELECT 1 FROM schema_migrations_journal")
  end)

  it("runs the settings of its session again when it goes on", function()
    write("SET search_path = public, other;\nINSERT INTO counter VALUES (1);\nSELECT 1/0;\n")
    fails()
    write("SET search_path = public, other;\nINSERT INTO counter VALUES (1);\n"
      .. "INSERT INTO counter SELECT length(current_setting('search_path'));\n")
    migrator:migrate()
    assert.same({ 1, #"public, other" }, counts())
  end)

  it("is refused when a statement that is done was edited", function()
    write "INSERT INTO counter VALUES (1);\nSELECT 1/0;\n"
    fails()
    write "INSERT INTO counter VALUES (2);\nINSERT INTO counter VALUES (3);\n"
    local err = fails()
    assert.equal("drift", err.kind)
    assert.matches("statement 1 was edited after it was run", err.message)
    assert.equal(3, err.line)
    assert.matches("pgmig resolve 1 %-%-restart", err.hint)
    assert.same({ 1 }, counts())
    migrator:resolve(1, "restart")
    migrator:migrate()
    assert.same({ 1, 2, 3 }, counts())
  end)

  it("is refused when a statement that is done was taken out", function()
    write "INSERT INTO counter VALUES (1);\nINSERT INTO counter VALUES (2);\nSELECT 1/0;\n"
    fails()
    write "INSERT INTO counter VALUES (1);\n"
    assert.equal("drift", fails().kind)
  end)

  it("that stopped in an unknown place is refused until somebody settles it", function()
    support.needs(pending, 11, "CREATE PROCEDURE")
    write("INSERT INTO counter VALUES (1);\nCREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN "
      .. "INSERT INTO counter VALUES (2); COMMIT; END $$;\nCALL p();\n"
      .. "INSERT INTO counter VALUES (4);\nSELECT 1/0;\n")
    fails()
    leave_running(3, "CALL p()")
    support.write(dir, "001_off.sql", (support.read(dir .. "/001_off.sql"):gsub("SELECT 1/0;", "")))
    local err = fails()
    assert.equal("unknown", err.kind)
    assert.matches("it is not known whether statement 3 took effect", err.message)
    assert.equal("CALL p()", err.statement)
    assert.matches("pgmig resolve 1 %-%-done", err.hint)
    assert.equal("unknown", migrator:doctor()[1].kind)
    local ok = pcall(migrator.resolve, migrator, 1, "maybe")
    assert.is_false(ok)
  end)

  for _, case in ipairs { { "done", { 1, 2 } }, { "redo", { 1, 2, 2 } } } do
    local how, expected = case[1], case[2]

    it("goes on as somebody says: " .. how, function()
      support.needs(pending, 11, "COMMIT in a DO block")
      write("INSERT INTO counter VALUES (1);\nDO $$ BEGIN INSERT INTO counter VALUES (2); COMMIT; "
        .. "END $$;\nSELECT 1/0;\n")
      fails()
      leave_running(2, "DO $$ BEGIN INSERT INTO counter VALUES (2); COMMIT; END $$")
      support.write(dir, "001_off.sql", (support.read(dir .. "/001_off.sql"):gsub("SELECT 1/0;",
        "SELECT 1;")))
      assert.equal("unknown", fails().kind)
      migrator:resolve(1, how)
      assert.equal("resolved", migrator:history(1)[1].event)
      migrator:migrate()
      assert.same(expected, counts())
    end)
  end

  it("removes the INVALID index that its own failed CREATE INDEX has left", function()
    db:exec "INSERT INTO t VALUES (1), (1)"
    write "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a);\nINSERT INTO counter VALUES (1);\n"
    assert.matches("could not create unique index", fails().message)
    assert.equal("unfinished", migrator:doctor()[1].kind)
    assert.is_nil(migrator:doctor()[2]) -- the index is what the run leaves it to be
    db:exec "DELETE FROM t"
    local warnings = {}
    migrator:run(migrator:plan(), { on_event = function(event)
      if event.type == "warning" then warnings[#warnings + 1] = event.message end
    end })
    assert.same({ "dropped the INVALID index public.i that an earlier attempt left "
      .. "behind" }, warnings)
    assert.same({ { valid = true } }, db:query [[SELECT indisvalid AS valid FROM pg_index
      WHERE indexrelid = 'i'::regclass]])
    assert.same({ 1 }, counts())
  end)

  it("leaves an INVALID index alone that it has not made", function()
    db:exec "INSERT INTO t VALUES (1), (1)"
    pcall(db.exec, db, "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)")
    db:exec "DELETE FROM t"
    write "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a);\n"
    assert.matches('relation "i" already exists', fails().message)
    assert.equal(1, #db:query "SELECT 1 FROM pg_index WHERE NOT indisvalid")
  end)

  it("is not recorded while an index that it names is INVALID, also with IF NOT EXISTS", function()
    db:exec "INSERT INTO t VALUES (1), (1)"
    pcall(db.exec, db, "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)")
    db:exec "DELETE FROM t"
    write "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a);\n"
    local err = fails()
    assert.matches("this index is INVALID", err.message)
    assert.matches("DROP INDEX CONCURRENTLY", err.hint)
    assert.same({}, migrator:applied())
  end)

  it("goes one way only: the other waits until the first is done or given up", function()
    write("INSERT INTO counter VALUES (1);\n",
      "-- pgmig: transaction=off\nINSERT INTO counter VALUES (-1);\nSELECT 1/0;\n")
    migrator:migrate()
    assert.is_false(pcall(migrator.rollback, migrator))
    assert.same({ -1, 1 }, counts())
    local m = migrator:status().applied[1]
    assert.same({ "down", 1 }, { m.unfinished.direction, m.unfinished.done })
    write("INSERT INTO counter VALUES (1);\n",
      "-- pgmig: transaction=off\nINSERT INTO counter VALUES (-1);\n")
    assert.equal(1, #migrator:rollback())
    assert.same({ -1, 1 }, counts())
  end)

  it("counts a statement that a hook leaves out as done, and goes on behind it", function()
    write "INSERT INTO counter VALUES (1);\nINSERT INTO counter VALUES (2);\nSELECT 1/0;\n"
    migrator:on("before_statement", function(ctx)
      if ctx.statement.index == 1 then ctx:skip() end
    end)
    fails()
    assert.equal(2, migrator:status().pending[1].unfinished.done)
    write "INSERT INTO counter VALUES (1);\nINSERT INTO counter VALUES (2);\nSELECT 1;\n"
    pgmig.migrator(db, dir):migrate()
    assert.same({ 2 }, counts())
  end)

  it("knows what a hook has sent in place of a statement", function()
    db:exec "INSERT INTO t VALUES (1), (1)"
    write "CREATE UNIQUE INDEX i ON t (a);\nINSERT INTO counter VALUES (1);\n"
    migrator:on("before_statement", function(ctx)
      ctx.sql = ctx.sql:gsub("INDEX i", "INDEX CONCURRENTLY i")
    end)
    fails()
    db:exec "DELETE FROM t"
    migrator:migrate()
    assert.same({ { valid = true } }, db:query [[SELECT indisvalid AS valid FROM pg_index
      WHERE indexrelid = 'i'::regclass]])
    assert.same({ 1 }, counts())
  end)

  it("lets DO and CALL that do not commit share a transaction with the journal", function()
    if db:server_version() < 110000 then return end -- it has no procedures
    db:exec [[CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO counter VALUES (2); END $$]]
    write("DO $$ BEGIN INSERT INTO counter VALUES (1); END $$;\nCALL p();\n"
      .. "DO $$ BEGIN INSERT INTO counter VALUES (3); PERFORM 1/0; END $$;\n")
    assert.equal("22012", fails().sqlstate)
    assert.same({ 1, 2 }, counts())
    assert.is_nil(migrator:status().pending[1].unfinished.running)
    write("DO $$ BEGIN INSERT INTO counter VALUES (1); END $$;\nCALL p();\n"
      .. "DO $$ BEGIN INSERT INTO counter VALUES (3); END $$;\n")
    migrator:migrate()
    assert.same({ 1, 2, 3 }, counts())
  end)

  it("does not run again what had committed before it failed, unless somebody says so", function()
    if db:server_version() < 110000 then return end -- nothing commits there by itself
    write("INSERT INTO counter VALUES (1);\nDO $$ BEGIN INSERT INTO counter VALUES (2); COMMIT;\n"
      .. "INSERT INTO missing VALUES (3); END $$;\n")
    local err = fails()
    assert.matches("pgmig resolve 1 %-%-done, or %-%-redo", err.hint)
    assert.equal(5, err.line)
    assert.same({ 1, 2 }, counts())
    err = fails()
    assert.equal("unknown", err.kind)
    assert.matches("statement 2 failed, and what it had committed before that is not "
      .. "known", err.message)
    assert.same({ 1, 2 }, counts())
    assert.equal("unknown", migrator:doctor()[1].kind)
    migrator:resolve(1, "done")
    migrator:migrate()
    assert.same({ 1, 2 }, counts())
  end)

  it("says how many statements stay done, those of a block rolled back not among them", function()
    write("INSERT INTO counter VALUES (1);\nBEGIN;\nINSERT INTO counter VALUES (2);\n"
      .. "SELECT 1/0;\nCOMMIT;\n")
    assert.matches("1 statement before it stays done", fails().hint)
    assert.same({ 1 }, counts())
  end)

  it("keeps what the server advises", function()
    write "INSERT INTO counter VALUES (1);\nSELECT nn FROM counter;\n"
    local hint = fails().hint
    assert.matches('Perhaps you meant to reference the column "counter.n"', hint, 1, true)
    assert.matches("1 statement before it stays done", hint)
  end)

  it("places an error in a statement that runs alone", function()
    write "/* a */ CREATE INDEX CONCURRENTLY i ON t (a, missing);\n"
    local err = fails()
    assert.same({ 3, 9 }, { err.line, err.column })
    write "CREATE INDEX CONCURRENTLY i\n  ON t (a) WHERE missing > 0;\n"
    err = fails()
    assert.same({ 4, 18 }, { err.line, err.column })
  end)

  it("is over when it is recorded as applied by hand", function()
    write "INSERT INTO counter VALUES (1);\nSELECT 1/0;\n"
    fails()
    assert.equal(1, #migrator:fake(1))
    assert.same({}, db:query "SELECT 1 FROM schema_migrations_journal")
    assert.same({}, migrator:doctor())
    assert.same({ 1 }, counts())
  end)

  it("has nothing to resolve when nothing is unknown", function()
    write "INSERT INTO counter VALUES (1);\n"
    migrator:migrate()
    local ok, err = pcall(migrator.resolve, migrator, 1, "done")
    assert.is_false(ok)
    assert.matches("001_off has nothing to resolve", err.message)
  end)

  it("waits for the statement of a run that was killed", function()
    write("INSERT INTO counter VALUES (1);\nSELECT pg_sleep(3);\n"
      .. "INSERT INTO counter VALUES (3);\n")
    local pid_file = support.tempdir() .. "/pid"
    local command = support.lua_command(([[
      local pgmig = require "pgmig"
      local db = pgmig.connect(%q)
      pgmig.migrator(db, %q):migrate()]]):format(url, dir))
    local pipe = assert(io.popen(("env %s & echo $! >%s; wait"):format(command, pid_file)))
    support.wait(function()
      return db:query([[SELECT 1 FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep'
        AND state = 'active' AND datname = current_database()]])[1]
    end, "its statement")
    os.execute("kill -9 " .. support.read(pid_file))
    pipe:close()
    assert.equal("unfinished", migrator:status().pending[1].state)
    assert.equal(1, #migrator:migrate())
    assert.same({ 1, 3 }, counts())
  end)
end)
