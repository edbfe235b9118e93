-- A role that owns its schema and nothing more, and names that try to be SQL.
local pgmig = require "pgmig"
local support = require "spec.support"

describe("a role that owns its schema and nothing more", function()
  local url, own_url, admin, db, dir

  before_each(function()
    url, dir = support.database(), support.tempdir()
    admin = pgmig.connect(url)
    admin:exec [[DROP ROLE IF EXISTS modest; CREATE ROLE modest LOGIN;
      CREATE SCHEMA app AUTHORIZATION modest; ALTER ROLE modest SET search_path = app;
      REVOKE ALL ON SCHEMA public FROM PUBLIC]]
    own_url = url:gsub("user=postgres", "user=modest")
    db = pgmig.connect(own_url)
    support.write(dir, "001_a.sql", "-- UP\nCREATE TABLE a (n int);\n-- DOWN\nDROP TABLE a;\n")
    support.write(dir, "002_i.sql", "-- UP\n-- pgmig: transaction=off\n"
      .. "CREATE INDEX CONCURRENTLY i ON a (n);\n-- DOWN\nDROP INDEX i;\n")
    support.write(dir, "R__v.sql", "CREATE OR REPLACE VIEW v AS SELECT n FROM a;\n")
  end)

  after_each(function()
    db:close()
    admin:exec "DROP OWNED BY modest CASCADE; DROP ROLE modest"
    admin:close()
  end)

  it("may do everything", function()
    local m = pgmig.migrator(db, dir)
    assert.equal(3, #m:migrate())
    assert.same({}, m:doctor())
    support.write(dir, "001_a.sql",
      "-- UP\nCREATE TABLE a (n text);\n-- DOWN\nDROP TABLE a CASCADE;\n")
    assert.equal(1, #m:repair(1))
    assert.equal(2, #m:rollback(2))
    assert.equal(1, #m:baseline(1))
    assert.equal(1, #m:fake(2))
    assert.is_true(#m:history() >= 8)
    assert.equal(2, m:status().applied_count)
  end)

  it("cancels, fences and goes on after its connection is lost", function()
    local m = pgmig.migrator(db, dir, { hooks = { before_each = function(ctx)
      if ctx.attempt == 1 and ctx.migration.version == 1 then
        admin:query("SELECT pg_terminate_backend($1::int4)", ctx.db:backend_pid())
      end
    end } })
    assert.equal(3, #m:migrate())
  end)

  it("sees who blocks it, but not what another role's session does", function()
    local m = pgmig.migrator(db, dir, { retries = 0, lock_timeout = "300ms" })
    m:migrate(1)
    admin:exec "BEGIN; LOCK TABLE app.a"
    support.write(dir, "003_c.sql", "-- UP\nALTER TABLE a ADD c int;\n-- DOWN\n")
    os.remove(dir .. "/002_i.sql")
    local ok, err = pcall(m.migrate, m)
    admin:exec "ROLLBACK"
    assert.is_false(ok)
    assert.equal("55P03", err.sqlstate)
    assert.equal(admin:backend_pid(), err.blockers[1].pid)
    assert.not_matches("LOCK TABLE", err.detail)
  end)

  it("names the other role's run that holds the lock", function()
    admin:exec "GRANT modest TO postgres" -- whose table it is to use
    pgmig.migrator(db, dir):migrate(1)
    local err
    local holder = pgmig.migrator(admin, dir, { table = "app.schema_migrations", hooks = {
      before_each = function()
        local m = pgmig.migrator(db, dir, { table = "app.schema_migrations", lock_wait = 0.1 })
        local _
        _, err = pcall(m.migrate, m)
        error "stop"
      end,
    } })
    assert.is_false(pcall(holder.migrate, holder))
    assert.equal("lock", err.kind)
    assert.matches("held by pid %d+, pgmig lock, user postgres", err.detail)
  end)
end)

describe("names that try to be SQL", function()
  local db, dir

  before_each(function()
    db, dir = pgmig.connect(support.database()), support.tempdir()
    db:exec "CREATE TABLE precious (n int)"
  end)

  after_each(function()
    assert.equal(1, #db:query "SELECT 1 FROM pg_tables WHERE tablename = 'precious'")
    db:close()
  end)

  local evil = {
    [[x'; DROP TABLE precious; --]], [[x\'; DROP TABLE precious; --]],
    [[x"); DROP TABLE precious; --]], "x$$; DROP TABLE precious; --", "x%s%d%n",
    "x\tDROP TABLE precious",
  }

  it("as descriptions in file names are text", function()
    local rule = { format = pgmig.naming.default.format, parse = function(path)
      local version, name = path:match "^(%d+)_(.*)%.sql$"
      if version then return { version = version, name = name } end
    end }
    for i, name in ipairs(evil) do
      support.write(dir, ("%03d_%s.sql"):format(i, name), ("-- UP\n-- pgmig: transaction=%s\n"
        .. "SELECT 1;\n-- DOWN\n"):format(i % 2 == 0 and "off" or "on"))
    end
    local m = pgmig.migrator(db, dir, { naming = rule })
    assert.equal(#evil, #m:migrate())
    for i, row in ipairs(db:query "SELECT name FROM schema_migrations ORDER BY version") do
      assert.equal(evil[i], row.name)
    end
    assert.equal(#evil, m:status().applied_count)
    assert.same({}, m:doctor())
    for i, name in ipairs(evil) do
      support.write(dir, ("%03d_%s.sql"):format(i, name),
        "-- UP\nSELECT 2;\n-- DOWN\n-- pgmig: empty\n")
    end
    assert.equal(#evil, #m:repair())
    assert.equal(#evil, #m:rollback { to = 0 })
  end)

  it("as repeatable migrations' names are text", function()
    local rule = { format = pgmig.naming.default.format, parse = function(path)
      local name = path:match "^R__(.*)%.sql$"
      if name then return { name = name, repeatable = true, label = "R__" .. name } end
    end }
    for _, name in ipairs(evil) do support.write(dir, "R__" .. name .. ".sql", "SELECT 1;\n") end
    local m = pgmig.migrator(db, dir, { naming = rule })
    assert.equal(#evil, #m:migrate())
    assert.same({}, m:migrate())
  end)

  it("as versions are refused", function()
    for _, version in ipairs { "1; DROP TABLE precious", "1'", "-1", "0x1", "1e3", "1 OR 1=1" } do
      support.write(dir, "001_a.sql", "-- UP\nSELECT 1;\n-- DOWN\n")
      local rule = { format = pgmig.naming.default.format, parse = function()
        return { version = version, name = "a" }
      end }
      local m = pgmig.migrator(db, dir, { naming = rule })
      assert.is_false(pcall(m.migrate, m), version)
      local plain = pgmig.migrator(db, dir)
      assert.is_false(pcall(plain.migrate, plain, version), version)
    end
  end)

  it("as tables are refused", function()
    for _, name in ipairs { 'a"b', "a;b", "a'b", "a.b.c", "a--b", "a\0b" } do
      assert.is_false(pcall(pgmig.migrator, db, dir, { table = name }), name)
    end
  end)

  it("as prepared statements of before stay what they are", function()
    for i, name in ipairs(evil) do
      local statement = db:quote_ident(name .. "$pgmig$; DROP TABLE precious")
      db:exec(("PREPARE %s AS SELECT 1"):format(statement))
      support.write(dir, i .. "_a.sql", "-- UP\nPREPARE mine AS SELECT 1;\n-- DOWN\n")
    end
    assert.equal(#evil, #pgmig.migrator(db, dir):migrate())
    assert.equal(#evil, db:query("SELECT count(*) AS n FROM pg_prepared_statements")[1].n)
  end)

  it("as run settings are refused", function()
    support.write(dir, "001_a.sql", "-- UP\nSELECT 1;\n-- DOWN\n")
    for _, value in ipairs { "1s'; DROP TABLE precious; COMMIT; --",
      "1s\\'; DROP TABLE precious; COMMIT; --", "1s'; COMMIT; DROP TABLE precious; --",
      "1s''; DROP TABLE precious; --", "1s\\\\'; DROP TABLE precious; --" } do
      for _, strings in ipairs { "on", "off" } do
        db:exec("SET standard_conforming_strings = " .. strings)
        for _, pipeline in ipairs { true, false } do
          local ok = pcall(function()
            local options = { lock_timeout = value, pipeline = pipeline }
            pgmig.migrator(db, dir, options):migrate()
          end)
          assert.is_false(ok, value)
        end
      end
      support.write(dir, "001_a.sql",
        "-- pgmig: lock_timeout=" .. value .. "\n-- UP\nSELECT 1;\n-- DOWN\n")
      local other = pgmig.migrator(db, dir)
      assert.is_false(pcall(other.migrate, other), value)
    end
  end)
end)
