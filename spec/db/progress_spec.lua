-- How far a run is: events and the hook, while statements take long.
local pgmig = require "pgmig"
local progress_views = require "pgmig.db.progress_views"
local support = require "spec.support"

describe("progress", function()
  local dir, url, db, other

  before_each(function()
    dir, url = support.tempdir(), support.database()
    db, other = pgmig.connect(url), pgmig.connect(url)
  end)

  after_each(function()
    db:close()
    other:close()
  end)

  --- A table of 40 pages or so; `pause(i)` stops at the row in its middle while the lock is held.
  local function prepare()
    other:exec [[
      CREATE FUNCTION pause(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
        IF i = 1000 THEN PERFORM pg_advisory_xact_lock_shared(7); END IF;
        RETURN i;
      END $$;
      CREATE FUNCTION pause_insert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM public.pause(new.i);
        RETURN new;
      END $$;
      CREATE TABLE t (i int, filling text);
      INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 2000) i;
      CREATE TABLE target (i int, filling text);
      CREATE TRIGGER pausing BEFORE INSERT ON target FOR EACH ROW EXECUTE PROCEDURE pause_insert()]]
  end

  --- Run a migration, and let it go on when an event of its progress is found.
  -- @param is_wanted fn(event)
  -- @param let_go what lets it go on; nil: the lock of `pause`
  -- @return that event
  local function watch(sql, is_wanted, let_go)
    support.write(dir, "001_step.sql", "-- pgmig: transaction=off\n-- UP\n" .. sql .. "\n")
    local found
    if not let_go then other:query "SELECT pg_advisory_lock(7)" end
    local m = pgmig.migrator(db, dir, { lock_timeout = "60s" })
    m:migrate { on_event = function(event)
      if found or event.type ~= "progress" or not is_wanted(event) then return end
      found = event
      other:exec(let_go or "SELECT pg_advisory_unlock(7)")
    end }
    assert.is_truthy(found)
    assert.same({ "001_step", 0, 1 }, { found.migration.label, found.done, found.total })
    return found
  end

  local function in_phase(phase)
    return function(event) return event.phase == phase end
  end

  local function is_about_half(percent) assert.is_true(percent > 25 and percent < 75, percent) end

  it("of CREATE INDEX is the server's phase, and its part", function()
    support.needs(pending, 12, "progress of CREATE INDEX")
    prepare()
    local event = watch("CREATE INDEX ON t (pause(i));", in_phase "building index: scanning table")
    assert.equal("CREATE INDEX", event.statement)
    is_about_half(event.percent)
  end)

  it("of CREATE INDEX CONCURRENTLY tells that it waits, and for how many", function()
    support.needs(pending, 12, "progress of CREATE INDEX")
    prepare()
    other:exec "BEGIN; INSERT INTO t VALUES (0)"
    local event = watch("CREATE INDEX CONCURRENTLY ON t (i);",
      in_phase "waiting for writers before build", "COMMIT")
    assert.same({ "CREATE INDEX CONCURRENTLY", 0 }, { event.statement, event.percent })
  end)

  it("of VACUUM is the part of the table", function()
    prepare()
    other:exec [[BEGIN; DECLARE c CURSOR FOR SELECT * FROM t; MOVE 1000 FROM c]] -- pins its page
    local event = watch("VACUUM (FREEZE) t;", in_phase "scanning heap", "ROLLBACK")
    assert.equal("VACUUM", event.statement)
    is_about_half(event.percent)
  end)

  it("of CLUSTER has no percentage where the server knows no total", function()
    support.needs(pending, 12, "progress of CLUSTER")
    prepare()
    other:exec "CREATE INDEX ON t (pause(i)); CREATE INDEX by_i ON t (i)"
    local event = watch("CLUSTER t USING by_i;", in_phase "rebuilding index")
    assert.equal("CLUSTER", event.statement)
    assert.is_nil(event.percent)
  end)

  it("of ANALYZE is told, too", function()
    support.needs(pending, 13, "progress of ANALYZE")
    prepare()
    other:exec "CREATE INDEX ON t (pause(i))"
    local event = watch("ANALYZE t;", in_phase "computing statistics")
    assert.equal("ANALYZE", event.statement)
  end)

  it("of COPY with its data is rows, and bytes of the file", function()
    support.needs(pending, 14, "progress of COPY")
    prepare()
    local rows = {}
    for i = 1, 2000 do rows[i] = i .. "\t" .. ("x"):rep(5000) end
    local event = watch("SELECT 1;\nCOPY target FROM stdin;\n" .. table.concat(rows, "\n")
      .. "\n\\.\nSELECT 2;", in_phase "999 rows")
    assert.equal("COPY FROM", event.statement)
    assert.is_nil(event.percent)
    assert.is_true(event.size > 1e7 and event.bytes > 999 * 5000 and event.bytes < event.size)
  end)

  it("of COPY from a file of the server's is a part of it", function()
    support.needs(pending, 14, "progress of COPY")
    prepare()
    local path = support.server().host .. "/rows.txt"
    other:exec(("COPY (SELECT i, repeat('x', 500) FROM generate_series(1, 2000) i) TO '%s'")
      :format(path))
    local event = watch(("COPY target FROM '%s';"):format(path), in_phase "999 rows")
    is_about_half(event.percent)
  end)

  it("of a file with many statements is bytes", function()
    prepare()
    local event = watch("SELECT 1;\nSELECT pause(1000);\nSELECT 2;",
      function(event) return event.bytes == #"SELECT 1;\n" end)
    assert.equal("SELECT", event.statement)
    assert.equal(#"SELECT 1;\nSELECT pause(1000);\nSELECT 2", event.size)
  end)

  it("is told when a migration has ended, also when it was short", function()
    support.write(dir, "001_a.sql", "SELECT 1;")
    support.write(dir, "002_b.lua", "return { up = function() end }")
    local seen = {}
    pgmig.migrator(db, dir):migrate { on_event = function(event)
      if event.type ~= "progress" then return end
      seen[#seen + 1] = { event.migration.label, event.done, event.total, event.bytes }
    end }
    assert.same({ { "001_a", 1, 2 }, { "002_b", 2, 2 } }, seen)
  end)

  it("calls the hook, without the connection while that is busy", function()
    support.write(dir, "001_a.sql", "-- UP\nSELECT 1;\nSELECT pg_sleep(0.8);\n")
    local seen = {}
    pgmig.migrator(db, dir, { hooks = { progress = function(ctx)
      seen[#seen + 1] = { ctx.statement and ctx.statement.index or ctx.command or "end",
        ctx.db ~= nil, ctx.bytes, ctx.done }
    end } }):migrate()
    assert.same({ 1, true, 0, 0 }, seen[1])
    assert.same({ "SELECT", false, 10, 0 }, seen[2])
    assert.same({ 2, true, 10, 0 }, seen[#seen - 1])
    assert.same({ "end", true, nil, 1 }, seen[#seen])
  end)

  it("is asked of every server in its own way, and of none what a role may not see", function()
    support.needs(pending, 14, "progress of COPY")
    prepare()
    for _, version in ipairs { 0, 90500, 90600, 110000, 120000, 130000, 140000, 150000 } do
      assert.is_true(#other:query(progress_views.query(version)) >= 1)
    end
    other:exec "CREATE ROLE curious LOGIN"
    local curious = pgmig.connect { url = url, user = "curious" }
    local row
    watch("CREATE INDEX ON t (pause(i));", function()
      for _, found in ipairs(curious:query(progress_views.query(curious:server_version()))) do
        if found.pid == db:backend_pid() then row = found end
      end
      return row ~= nil
    end)
    curious:close()
    other:exec "DROP ROLE curious"
    assert.same({ pid = db:backend_pid() }, row)
  end)
end)
