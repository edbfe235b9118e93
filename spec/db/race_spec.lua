-- Two runs that share no lock, at a half-done migration with transaction=off: whenever the second
-- one comes, what it has done stays.
local pgmig = require "pgmig"
local support = require "spec.support"

local FILE = "-- UP\n-- pgmig: transaction=off\nCREATE UNIQUE INDEX CONCURRENTLY i ON t (a);\n"
local VALID = [[SELECT indexrelid::text FROM pg_index
  WHERE indisvalid AND indexrelid = to_regclass('i')]]

-- What an attempt leaves, and what a person does about it.
local half_done = {
  ["an INVALID index"] = "DELETE FROM t",
  ["one that is valid by now"] = "DELETE FROM t; REINDEX INDEX i",
}

describe("a run that is overtaken by another one between any two of its requests", function()
  local url, db, dir

  before_each(function()
    url, dir = support.database(), support.tempdir()
    db = pgmig.connect(url)
  end)

  after_each(function() db:close() end)

  --- Begin anew, with an attempt that fails half-way.
  local function leave_half_done(mend)
    db:exec [[DROP TABLE IF EXISTS t, schema_migrations, schema_migrations_history,
      schema_migrations_journal, schema_migrations_runs;
      CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1)]]
    local migrator = pgmig.migrator(db, dir)
    assert.is_false(pcall(migrator.migrate, migrator))
    db:exec(mend)
  end

  --- Migrate; `between(conn, migrator)` is called whenever its connection has had an answer, once
  -- it is the migration's turn.
  local function migrate(between)
    local conn = pgmig.connect(url)
    local migrator, ask, turn = pgmig.migrator(conn, dir, { lock_wait = 3 }), conn.run, false
    function conn:run(...)
      local result = ask(self, ...)
      if between and turn and self.handle:transaction_status() == "idle" then between() end
      return result
    end
    local ok, err = pcall(migrator.run, migrator, migrator:plan(), {
      on_event = function(event) turn = turn or event.type == "start" end,
    })
    conn:close()
    return ok, err
  end

  --- Let the second run come at the `k`-th pause; whether there is one.
  local function overtake(k)
    local pauses, what_is_there = 0, nil
    local ok, err = migrate(function()
      pauses = pauses + 1
      if pauses ~= k then return end
      db:query [[SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'pgmig lock' AND datname = current_database()]]
      local second, why = migrate()
      assert(second, tostring(why))
      what_is_there = db:query(VALID)
      assert.equal(1, #what_is_there)
    end)
    if pauses < k then return false end
    if not ok then assert.matches("another run", err.message) end
    assert.same(what_is_there, db:query(VALID), ("overtaken at its request %d"):format(k))
    return true
  end

  for what, mend in pairs(half_done) do
    it("leaves what that one has done: after " .. what, function()
      support.write(dir, "001_off.sql", FILE)
      local k = 0
      repeat
        k = k + 1
        leave_half_done(mend)
      until not overtake(k)
      assert.is_true(k > 8)
    end)
  end
end)
