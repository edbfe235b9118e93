-- The history: what has happened, kept in the same transactions, and upgraded in place.
local pgmig = require "pgmig"
local support = require "spec.support"

describe("the history", function()
  local url, db, dir, migrator

  before_each(function()
    url, dir = support.database(), support.tempdir()
    db = pgmig.connect(url)
    migrator = pgmig.migrator(db, dir)
    support.write(dir, "001_a.sql", "-- UP\nCREATE TABLE a (n int);\n-- DOWN\nDROP TABLE a;\n")
    support.write(dir, "002_b.sql", "-- UP\nCREATE TABLE b (n int);\n-- DOWN\nDROP TABLE b;\n")
  end)

  after_each(function() db:close() end)

  local function events()
    local list = {}
    for i, event in ipairs(migrator:history()) do
      list[i] = event.event .. " " .. tostring(event.version)
    end
    return list
  end

  it("has an event for each change, with what is known of it", function()
    migrator:migrate()
    migrator:rollback()
    assert.same({ "up 1", "up 2", "down 2" }, events())
    local first = migrator:history()[1]
    local _, sum = support.run("sha256sum <" .. dir .. "/001_a.sql")
    assert.equal(sum:match "^%x+", first.checksum)
    assert.equal("a", first.name)
    assert.equal("postgres", first.db_user)
    assert.matches("^pgmig %d", first.program)
    assert.equal(select(2, support.run "hostname"):match "%S+", first.host)
    assert.is_true(first.duration >= 0)
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT", first.started_at)
    assert.is_true(first.started_at <= first.finished_at)
  end)

  it("begins with the run's oldest when a number is asked for", function()
    migrator:migrate()
    migrator:rollback()
    assert.equal("down", migrator:history(1)[1].event)
    assert.equal(1, #migrator:history(1))
  end)

  it("is empty, and nothing is created, before the first run", function()
    assert.same({}, migrator:history())
    assert.same({}, db:query "SELECT 1 FROM pg_tables WHERE tablename ~ 'schema_migrations'")
  end)

  it("keeps failures, in a transaction of their own", function()
    support.write(dir, "002_b.sql", "-- UP\nCREATE TABLE b (n int);\nSELECT 1/0;\n-- DOWN\n")
    assert.is_false(pcall(migrator.migrate, migrator))
    assert.same({ "up 1", "failed 2" }, events())
    assert.equal("division by zero", migrator:history(1)[1].message)
    local status = migrator:status()
    assert.equal("failed", status.pending[1].state)
    assert.equal("division by zero", status.pending[1].failure.message)
    support.write(dir, "002_b.sql", "-- UP\nCREATE TABLE b (n int);\n-- DOWN\n")
    migrator:migrate()
    assert.same({ "up 1", "failed 2", "up 2" }, events())
    assert.is_nil(migrator:status().applied[2].failure)
  end)

  it("has a failure that a program meets again and again once", function()
    local hook_error = { code = 1 }
    local function try(options)
      local m = pgmig.migrator(db, dir, options)
      assert.is_false(pcall(m.run, m, m:plan(), { unattended = true }))
    end
    support.write(dir, "001_a.sql", "SELECT 1/0;")
    try()
    try()
    assert.same({ "failed 1" }, events())
    support.write(dir, "001_a.sql", "SELECT 2/0;") -- another file
    try()
    try()
    assert.same({ "failed 1", "failed 1" }, events())
    try { hooks = { before_each = function() error(hook_error) end } } -- another message
    hook_error = {} -- its address differs
    try { hooks = { before_each = function() error(hook_error) end } }
    assert.same({ "failed 1", "failed 1", "failed 1" }, events())
    assert.is_false(pcall(migrator.migrate, migrator)) -- asked for by somebody
    assert.equal(4, #events())
  end)

  it("says no more of a failure once the file is another one", function()
    support.write(dir, "001_a.sql", "SELECT 1/0;")
    support.write(dir, "R__v.sql", "SELECT 1/0;")
    assert.is_false(pcall(migrator.migrate, migrator))
    assert.equal("failed", migrator:status().pending[1].state)
    support.run(("mv %s/001_a.sql %s/001_other.sql"):format(dir, dir))
    assert.equal("failed", migrator:status().pending[1].state) -- still the same text
    support.write(dir, "001_other.sql", "CREATE TABLE other ();")
    local found = migrator:status()
    assert.equal("pending", found.pending[1].state)
    assert.is_nil(found.pending[1].failure)
    assert.same({}, migrator:doctor())
    assert.is_false(pcall(migrator.migrate, migrator)) -- the view's
    assert.is_table(migrator:status().repeatable[1].failure)
    support.write(dir, "R__v.sql", "SELECT 1;")
    assert.is_nil(migrator:status().repeatable[1].failure)
  end)

  it("tells of a failure what the server said, and where", function()
    support.write(dir, "002_b.sql", "-- UP\nCREATE TABLE b (n int PRIMARY KEY);\n"
      .. "INSERT INTO b VALUES (1),\n  (1);\n-- DOWN\n")
    local _, err = pcall(migrator.migrate, migrator)
    local event = migrator:history(1)[1]
    assert.same({ "failed", "23505", "Key (n)=(1) already exists.", dir .. "/002_b.sql", 3, 1 },
      { event.event, event.sqlstate, event.detail, event.file, event.line, event.column })
    for _, key in ipairs { "message", "sqlstate", "detail", "file", "line", "column" } do
      assert.equal(err[key], event[key])
    end
    for _, key in ipairs { "sqlstate", "detail", "file", "line", "column" } do
      assert.is_nil(migrator:history()[1][key])
    end
  end)

  it("commits with the change or not at all", function()
    local m = pgmig.migrator(db, dir, { hooks = { after_each = function() error "no" end } })
    assert.is_false(pcall(m.migrate, m))
    assert.same({ "failed 1" }, events())
    assert.equal(0, #migrator:applied())
  end)

  it("has baseline and fake, which run nothing", function()
    assert.equal(1, #migrator:baseline(1))
    assert.equal(1, #migrator:fake(2))
    assert.same({}, migrator:fake(2)) -- applied already
    assert.same({ "baseline 1", "fake 2" }, events())
    assert.equal(2, #migrator:applied())
    assert.is_false(db:query("SELECT to_regclass('a') IS NOT NULL AS there")[1].there)
  end)

  it("tells a fake version that is not the next", function()
    migrator:fake(2)
    assert.same({ "fake 2" }, events())
    assert.equal("out_of_order", migrator:pending()[1].state)
  end)

  for format = 1, 2 do
    it(("of format %d is brought to this one by the next run"):format(format), function()
      support.psql(url, support.read(("spec/fixtures/history_%d.sql"):format(format)))
      local FORMATS = "SELECT string_agg(format::text, ' ' ORDER BY id) AS f, count(*) AS n "
        .. "FROM schema_migrations_history"
      local old = db:query(FORMATS)[1]
      assert.equal("up", migrator:history()[1].event)
      assert.equal(format == 2 and "it was busy" or nil, migrator:history(1)[1].message)
      assert.equal(1, #migrator:pending()) -- reading has changed nothing
      assert.is_false(pcall(db.query, db, "SELECT sqlstate FROM schema_migrations_history"))
      migrator:migrate()
      local upgraded = migrator:history()
      assert.equal("up", upgraded[#upgraded].event)
      assert.equal(format == 2 and "r1" or nil, upgraded[1].run)
      assert.equal("string", type(upgraded[#upgraded].run))
      assert.equal(old.f .. " 3", db:query(FORMATS)[1].f)
    end)
  end

  it("of a newer pgmig is refused before anything is touched", function()
    migrator:migrate(1)
    db:exec "ALTER TABLE schema_migrations_history ALTER format SET DEFAULT 99"
    local ok, err = pcall(migrator.migrate, migrator)
    assert.is_false(ok)
    assert.equal("plan", err.kind)
    assert.matches("written by a newer pgmig %(format 99%)", err.message)
    assert.equal(1, db:query("SELECT count(*) AS n FROM schema_migrations")[1].n)
  end)

  it("whose name another table has is refused before anything is touched", function()
    db:exec "CREATE TABLE schema_migrations_history (thing text)"
    local ok, err = pcall(migrator.migrate, migrator)
    assert.is_false(ok)
    assert.matches('"schema_migrations_history" is not a pgmig history', err.message)
    assert.matches("%-%-table", err.hint)
    assert.is_false(db:query("SELECT to_regclass('schema_migrations') IS NOT NULL AS x")[1].x)
    db:exec "DROP TABLE schema_migrations_history"
    migrator:migrate()
    db:exec "DROP TABLE schema_migrations_history; CREATE TABLE schema_migrations_history ()"
    ok, err = pcall(migrator.migrate, migrator)
    assert.is_false(ok)
    assert.matches("schema_migrations_history\" RENAME", err.hint)
    assert.is_nil(err.hint:find "%-%-table") -- rows are in the tracking table
  end)

  it("lies beside a tracking table of another name and schema", function()
    db:exec 'CREATE SCHEMA "my schema"; CREATE SCHEMA ops'
    local m = pgmig.migrator(db, dir, { table = "ops.applied" })
    m:migrate()
    assert.equal(2, #m:history())
    assert.equal(2, db:query("SELECT count(*) AS n FROM ops.applied_history")[1].n)
  end)
end)
