-- The documentation of the original tool, walked through line by line.
local pgmig = require "pgmig"
local support = require "spec.support"

local function labels(list)
  local result = {}
  for i, m in ipairs(list) do result[i] = tostring(m) end
  return result
end

local function table_names(db)
  local rows = db:query [[SELECT tablename::text AS name FROM pg_tables
    WHERE schemaname = 'public' AND tablename !~ '_(history|journal)$' ORDER BY 1]]
  for i, row in ipairs(rows) do rows[i] = row.name end
  return rows
end

local function raises(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_true(pgmig.is_error(err), tostring(err))
  return err
end

describe("a migrator", function()
  local db, dir, migrator

  before_each(function()
    db = pgmig.connect(support.database())
    dir = support.tempdir()
    for i, name in ipairs { "a", "b", "c" } do
      support.write(dir, ("%03d_create_%s.sql"):format(i, name),
        ("-- UP\nCREATE TABLE %s (id int);\n-- DOWN\nDROP TABLE %s;\n"):format(name, name))
    end
    migrator = pgmig.migrator(db, dir)
  end)

  after_each(function() db:close() end)

  describe("made", function()
    it("for a missing directory is an error that names it", function()
      local err = raises(pgmig.migrator, db, dir .. "/nothing")
      assert.equal("io", err.kind)
      assert.matches("nothing", tostring(err))
    end)

    it("with an invalid table name is an error", function()
      for _, name in ipairs { "", "1a", "a-b", "a;b", 'a"b', "a.b.c", "a.", ("x"):rep(64),
        '"a"', '"a', '"".a', '"a"b', '"a".', '"a"".a', '"pg_x".a',
        ('"%s".a'):format(("x"):rep(64)) } do
        assert.equal("usage", raises(pgmig.migrator, db, dir, { table = name }).kind, name)
      end
    end)

    it("with an unknown option is an error", function()
      assert.matches("tabel", raises(pgmig.migrator, db, dir, { tabel = "x" }).message)
    end)

    it("takes folders with and without a final slash, and several", function()
      local other = support.tempdir()
      support.write(other, "004_d.sql", "CREATE TABLE d ();")
      local both = pgmig.migrator(db, { dir .. "/", other })
      assert.same({ "001_create_a", "002_create_b", "003_create_c", "004_d" },
        labels(both:migrate()))
    end)
  end)

  describe("asked for its status", function()
    it("counts and lists applied and pending ones", function()
      migrator:migrate(2)
      local s = migrator:status()
      assert.equal(2, s.applied_count)
      assert.equal(1, s.pending_count)
      assert.same({ "001_create_a", "002_create_b" }, labels(s.applied))
      assert.same({ "003_create_c" }, labels(s.pending))
      assert.equal(3, s.pending[1].version)
      assert.equal("create_c", s.pending[1].name)
    end)

    it("gives the time of applied ones, ISO 8601 and epoch", function()
      migrator:migrate()
      local m = migrator:applied()[1]
      assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d[%.%d]*[+-]%d%d:%d%d$", m.applied_at)
      assert.is_true(math.abs(m.applied_at_epoch - os.time()) < 3600)
    end)

    it("creates and writes nothing", function()
      migrator:status()
      migrator:pending()
      migrator:applied()
      migrator:plan()
      assert.same({}, table_names(db))
    end)

    it("shows broken, missing and ignored files", function()
      migrator:migrate()
      os.remove(dir .. "/002_create_b.sql")
      support.write(dir, "004_bad.sql", "-- UP\nSELECT 'x\n")
      support.write(dir, "oops.sql", "SELECT 1;")
      support.write(dir, "README.md", "not a migration")
      local s = migrator:status()
      assert.equal("missing", s.applied[2].state)
      assert.equal("002_create_b", tostring(s.applied[2]))
      assert.same({ dir .. "/oops.sql" }, s.ignored)
      assert.equal("parse", s.problems[1].kind)
      assert.matches("004_bad.sql:2:8", s.problems[1].message, 1, true)
    end)

    it("tells the ways back apart", function()
      support.write(dir, "004_none.sql", "SELECT 1;")
      support.write(dir, "005_empty.sql", "-- UP\nSELECT 1;\n-- DOWN\n-- nothing\n")
      support.write(dir, "006_no_way.sql", "-- pgmig: irreversible gone\n-- UP\nSELECT 1;\n")
      support.write(dir, "007_said.sql", "-- UP\nSELECT 1;\n-- DOWN\n-- pgmig: empty\n")
      migrator:migrate()
      local states = {}
      for i, m in ipairs(migrator:status().applied) do states[i] = m.down end
      assert.same({ "ready", "ready", "ready", "none", "empty", "irreversible", "ready" }, states)
    end)
  end)

  describe("that migrates", function()
    it("applies all in order and returns them", function()
      assert.same({ "001_create_a", "002_create_b", "003_create_c" }, labels(migrator:migrate()))
      assert.same({ "a", "b", "c", "schema_migrations" }, table_names(db))
      assert.same({}, migrator:pending())
    end)

    it("applies nothing twice", function()
      migrator:migrate()
      assert.same({}, migrator:migrate())
    end)

    it("goes to a target, inclusive, in both forms", function()
      assert.same({ "001_create_a" }, labels(migrator:migrate(1)))
      assert.same({ "002_create_b" }, labels(migrator:migrate { target = 2 }))
    end)

    it("refuses an unknown target and says what there is", function()
      local err = raises(migrator.migrate, migrator, 9)
      assert.equal("plan", err.kind)
      assert.matches("1 to 3", err.hint)
    end)

    it("returns {} for a known target with nothing below it", function()
      migrator:migrate()
      assert.same({}, migrator:migrate(2))
    end)

    it("orders by number, never by text", function()
      support.write(dir, "10_ten.sql", "CREATE TABLE ten ();")
      support.write(dir, "9_nine.sql", "CREATE TABLE nine ();")
      local applied = labels(migrator:migrate())
      assert.equal("9_nine", applied[4])
      assert.equal("10_ten", applied[5])
    end)

    it("refuses two files of one version and names both", function()
      support.write(dir, "1_other.sql", "SELECT 1;")
      local err = raises(migrator.migrate, migrator)
      assert.equal("naming", err.kind)
      assert.matches("001_create_a.sql", err.message, 1, true)
      assert.matches("1_other.sql", err.message, 1, true)
      assert.same({}, table_names(db))
    end)

    it("checks every file before the first statement runs", function()
      support.write(dir, "004_bad.sql", "-- UP\nCOMMIT;\n")
      local err = raises(migrator.migrate, migrator)
      assert.equal("parse", err.kind)
      assert.equal("004_bad", err.migration)
      assert.same({}, table_names(db))
      assert.same({ "001_create_a", "002_create_b", "003_create_c" }, labels(migrator:migrate(3)))
    end)

    it("refuses misnamed files when it is strict", function()
      support.write(dir, "oops.sql", "SELECT 1;")
      assert.equal("naming", raises(function()
        pgmig.migrator(db, dir, { strict = true }):pending()
      end).kind)
    end)

    it("refuses a Lua file without functions instead of passing over it", function()
      support.write(dir, "004_later.lua", "return {}")
      assert.matches("004_later.lua", tostring(raises(migrator.migrate, migrator)), 1, true)
    end)

    it("reports what happens as events", function()
      support.write(dir, "004_notice.sql", "DO $$ BEGIN RAISE NOTICE 'hello'; END $$;")
      local seen = {}
      migrator:migrate { target = 4, on_event = function(event)
        if event.type == "progress" then return end
        seen[#seen + 1] = event.type .. " " .. tostring(event.message or event.migration)
      end }
      assert.same({ "start 001_create_a", "applied 001_create_a" }, { seen[1], seen[2] })
      assert.same({ "start 004_notice", "notice hello", "applied 004_notice" },
        { seen[7], seen[8], seen[9] })
    end)

    it("stops at a number of steps", function()
      assert.same({ "001_create_a", "002_create_b" }, labels(migrator:migrate { steps = 2 }))
    end)
  end)

  it("ends between two migrations when it is told to stop", function()
    local asked, stopped = 0, { after_all = 0 }
    migrator:on("after_all", function() stopped.after_all = stopped.after_all + 1 end)
    local applied = migrator:migrate { stop = function()
      asked = asked + 1
      return asked > 2
    end }
    assert.same({ "001_create_a", "002_create_b" }, labels(applied))
    assert.same({ "a", "b", "schema_migrations" }, table_names(db))
    assert.equal(1, stopped.after_all)
    assert.same({ "003_create_c" }, labels(migrator:migrate()))
  end)

  it("breathes between files, where the connection can", function()
    local breaths = 0
    local other = pgmig.connect {
      url = db.options.url, breathe = function() breaths = breaths + 1 end,
    }
    local slow = pgmig.migrator(other, dir)
    slow:plan()
    assert.is_true(breaths >= 3) -- for what each says; and some are read while the server is asked
    slow:migrate()
    breaths = 0
    slow:status()
    assert.equal(4, breaths) -- their checksums together, and what each says
    other:close()
  end)

  describe("that fails", function()
    before_each(function()
      support.write(dir, "003_create_c.sql",
        "-- UP\nCREATE TABLE c (id int);\nINSERT INTO c VALUES ('x');\n")
    end)

    it("rolls back the whole migration with its tracking row", function()
      local err = raises(migrator.migrate, migrator)
      assert.equal("sql", err.kind)
      assert.equal("003_create_c", err.migration)
      assert.equal("22P02", err.sqlstate)
      assert.equal(3, err.line)
      assert.same({ "001_create_a", "002_create_b" }, labels(err.applied))
      assert.same({ "a", "b", "schema_migrations" }, table_names(db))
      assert.equal(2, migrator:status().applied_count)
    end)

    it("goes on once the file is mended", function()
      raises(migrator.migrate, migrator)
      support.write(dir, "003_create_c.sql", "CREATE TABLE c (id int);")
      assert.same({ "003_create_c" }, labels(migrator:migrate()))
    end)

    it("leaves the connection usable", function()
      raises(migrator.migrate, migrator)
      assert.equal(1, db:query("SELECT 1 AS one")[1].one)
    end)
  end)

  describe("that rolls back", function()
    before_each(function() migrator:migrate() end)

    it("undoes the last one", function()
      assert.same({ "003_create_c" }, labels(migrator:rollback()))
      assert.same({ "a", "b", "schema_migrations" }, table_names(db))
    end)

    it("undoes N, newest first, in both forms", function()
      assert.same({ "003_create_c", "002_create_b" }, labels(migrator:rollback(2)))
      migrator:migrate()
      assert.same({ "003_create_c", "002_create_b" }, labels(migrator:rollback { steps = 2 }))
    end)

    it("keeps a version, or none", function()
      assert.same({ "003_create_c", "002_create_b" }, labels(migrator:rollback { to = 1 }))
      assert.same({ "001_create_a" }, labels(migrator:rollback { to = 0 }))
      assert.same({}, migrator:rollback())
    end)

    it("undoes what there is when asked for more", function()
      assert.equal(3, #migrator:rollback(99))
    end)

    it("refuses steps below one and unknown versions", function()
      for _, steps in ipairs { 0, -1, 1.5, "x" } do
        assert.equal("usage", raises(migrator.rollback, migrator, steps).kind)
      end
      assert.equal("plan", raises(migrator.rollback, migrator, { to = 7 }).kind)
    end)

    it("looks at all of them before it undoes the first", function()
      support.write(dir, "002_create_b.sql", "CREATE TABLE b (id int);")
      os.remove(dir .. "/001_create_a.sql")
      for _, options in ipairs { { steps = 3 }, { steps = math.huge }, { to = 0 } } do
        local err = raises(migrator.rollback, migrator, options)
        assert.equal("plan", err.kind)
        assert.equal("002_create_b", err.migration)
        assert.matches("cannot roll back 002_create_b: it has no DOWN section", err.message)
        assert.matches("also: migration 001_create_a is applied, but its file is missing",
          err.detail)
        assert.same({}, err.rolled_back)
      end
      assert.equal("plan", raises(migrator.redo, migrator, 2).kind)
      assert.equal(3, migrator:status().applied_count)
      assert.same({ "003_create_c" }, labels(migrator:rollback()))
    end)

    it("looks whether all their files can be read, before it undoes the first", function()
      support.write(dir, "002_create_b.sql", "-- UP\nSELECT 1;\n-- DOWN\nCOMMIT;\n")
      local err = raises(migrator.rollback, migrator, 3)
      assert.equal("parse", err.kind)
      assert.equal(dir .. "/002_create_b.sql", err.file)
      assert.equal(3, migrator:status().applied_count)
    end)

    it("names a version whose file is missing", function()
      os.remove(dir .. "/003_create_c.sql")
      local err = raises(migrator.rollback, migrator)
      assert.matches("003_create_c", err.message)
      assert.matches("missing", err.message)
      assert.same({}, err.rolled_back)
    end)

    it("refuses an empty DOWN and an irreversible one, with the reason", function()
      support.write(dir, "003_create_c.sql", "-- UP\nSELECT 1;\n-- DOWN\n")
      assert.matches("no SQL", raises(migrator.rollback, migrator).message)
      support.write(dir, "003_create_c.sql", "-- UP\n-- pgmig: irreversible we lost it\nSELECT 1;")
      assert.matches("we lost it", raises(migrator.rollback, migrator).message)
    end)

    it("runs a DOWN that is said to be empty", function()
      support.write(dir, "003_create_c.sql", "-- UP\nSELECT 1;\n-- DOWN\n-- pgmig: empty\n")
      assert.same({ "003_create_c" }, labels(migrator:rollback()))
    end)

    it("keeps the row and the schema when DOWN fails", function()
      support.write(dir, "003_create_c.sql",
        "-- UP\nSELECT 1;\n-- DOWN\nDROP TABLE c;\nDROP TABLE nothing;\n")
      local err = raises(migrator.rollback, migrator)
      assert.equal(5, err.line)
      assert.same({ "a", "b", "c", "schema_migrations" }, table_names(db))
      assert.equal(3, migrator:status().applied_count)
    end)

    it("redoes the last ones", function()
      local result = migrator:redo(2)
      assert.same({ "003_create_c", "002_create_b" }, labels(result.rolled_back))
      assert.same({ "002_create_b", "003_create_c" }, labels(result.applied))
    end)

    it("redoes nothing when the file no longer parses", function()
      support.write(dir, "003_create_c.sql", "-- UP\nCOMMIT;\n-- DOWN\nDROP TABLE c;\n")
      assert.equal("parse", raises(migrator.redo, migrator).kind)
      assert.equal(3, migrator:status().applied_count)
    end)
  end)

  describe("given a plan", function()
    it("runs what a script left in it", function()
      local plan = migrator:plan { target = 3 }
      assert.equal("up", plan.direction)
      table.remove(plan, 2)
      assert.same({ "001_create_a", "003_create_c" }, labels(migrator:run(plan)))
      assert.same({ "002_create_b" }, labels(migrator:pending()))
    end)
  end)
end)

describe("create", function()
  local dir

  before_each(function() dir = support.tempdir() end)

  local function read(path)
    local file = assert(io.open(path))
    local text = file:read "*a"
    file:close()
    return text
  end

  it("writes the documented template, without a database", function()
    local path = pgmig.migrator(nil, dir .. "/"):create "Add Orders Table"
    assert.equal(dir .. "/001_add_orders_table.sql", path)
    local text = read(path)
    assert.matches("^%-%- Migration: add_orders_table\n%-%- Created: %d+%-%d+%-%d+T%d+:%d+:%d+Z\n",
      text)
    assert.matches("\n%-%- UP\n%-%- %a.-\n%-%- DOWN\n%-%- %a", text)
  end)

  it("writes a template that is refused until it is filled in", function()
    local path = pgmig.migrator(nil, dir):create "x"
    assert.is_false(pcall(pgmig.parse, path))
  end)

  it("counts on, with the folder's width", function()
    support.write(dir, "0041_a.sql", "SELECT 1;")
    assert.matches("/0042_b.sql$", pgmig.migrator(nil, dir):create "b")
    assert.matches("/0043_c.sql$", pgmig.migrator(nil, dir):create "c")
  end)

  it("grows past its width", function()
    support.write(dir, "999_a.sql", "SELECT 1;")
    assert.matches("/1000_b.sql$", pgmig.migrator(nil, dir):create "b")
  end)

  it("takes a timestamp where the newest is one, or when asked", function()
    assert.matches("/%d%d%d%d%d%d%d%d%d%d%d%d%d%d_a.sql$",
      pgmig.migrator(nil, dir):create("a", { timestamp = true }))
    assert.matches("/%d%d%d%d%d%d%d%d%d%d%d%d%d%d_b.sql$", pgmig.migrator(nil, dir):create "b")
    support.write(dir, "29991231235959_z.sql", "SELECT 1;")
    assert.matches("/29991231235960_c.sql$", pgmig.migrator(nil, dir):create "c")
  end)

  it("makes any name fit a file", function()
    local migrator = pgmig.migrator(nil, dir)
    assert.matches("/001_drop_it___now.sql$", migrator:create "  Drop it;/ Now ")
    for i, case in ipairs {
      { "Überraschung größe", "uberraschung_grosse" },
      { "u\204\136ber", "uber" }, -- u and a combining diaeresis: the same word
      { "Œuvre n°5 – “fin”", "oeuvre_n_5____fin_" },
      { "Привет, мир", "Привет__мир" },
      { "日本語　x", "日本語_x" },
      { "a\255b\194", "a_b_" }, -- no UTF-8
    } do
      assert.equal(("%s/%03d_%s.sql"):format(dir, i + 1, case[2]), migrator:create(case[1]))
    end
    assert.equal("usage", select(2, pcall(migrator.create, migrator, "–")).kind)
    assert.equal("usage", select(2, pcall(migrator.create, migrator, "!?")).kind)
    assert.equal("usage", select(2, pcall(migrator.create, migrator, nil)).kind)
  end)

  it("never writes over a file", function()
    local core = require "pgmig.core"
    local path = support.write(dir, "001_a.sql", "precious")
    assert.is_false(pcall(core.create_file, path, "x"))
    assert.equal("precious", read(path))
  end)
end)
