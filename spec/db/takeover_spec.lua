-- transaction=off where a COMMIT takes its time: whoever takes a migration over, each statement has
-- effect once, and a run that is well is left alone.
local pgbouncer = require "spec.faults.pgbouncer"
local pgmig = require "pgmig"
local support = require "spec.support"

-- Its COMMIT takes long, like one that waits for a synchronous standby.
local SLOW = [[
  CREATE TABLE counter (n int, slow real);
  CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_catalog.pg_sleep(NEW.slow); RETURN NULL; END $$;
  CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON counter DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE PROCEDURE dawdle()]]

local SECOND = "INSERT INTO counter VALUES (2, 0);\n"
local files = {
  ["a statement"] = "INSERT INTO counter VALUES (1, 0.6);\n" .. SECOND,
  ["a BEGIN ... COMMIT of the file's own"] =
    "BEGIN;\nINSERT INTO counter VALUES (1, 0.6);\nCOMMIT;\n" .. SECOND,
  ["a block with settings of its own"] =
    "BEGIN; SET LOCAL work_mem = '7MB';\nINSERT INTO counter VALUES (1, 0.6);\nCOMMIT;\n" .. SECOND,
}

describe("transaction=off with a slow COMMIT of", function()
  local name, url, db, dir

  before_each(function()
    url, dir = support.database(), support.tempdir()
    name = url:match "/(spec_%d+)"
    db = pgmig.connect(url)
    db:exec(SLOW)
  end)

  after_each(function() db:close() end)

  local function write(up)
    support.write(dir, "001_off.sql", "-- UP\n-- pgmig: transaction=off\n" .. up
      .. "-- DOWN\n-- pgmig: empty\n")
  end

  local function counts()
    local list = {}
    for _, row in ipairs(db:query "SELECT n FROM counter ORDER BY n") do list[#list + 1] = row.n end
    return list
  end

  --- Migrate in this process; the events that say that something went wrong on the way.
  local function migrate(through)
    local other, events = pgmig.connect(through or url), {}
    local migrator = pgmig.migrator(other, dir)
    migrator:run(migrator:plan(), { on_event = function(event)
      if event.type == "lost" or event.type == "resumed" then events[#events + 1] = event.type end
    end })
    other:close()
    return events
  end

  --- Start a run in a process of its own; its pipe, which prints its process id.
  local function start(through)
    local command = support.lua_command(([[
      local pgmig = require "pgmig"
      local db = pgmig.connect(%q)
      print(select(2, pcall(function() return #pgmig.migrator(db, %q):migrate() end)))]])
      :format(through or url, dir))
    local pipe = assert(io.popen("sh -c " .. support.quote("echo $$; exec env " .. command)))
    return pipe, pipe:read "*l"
  end

  --- Wait until a session of the database is in its COMMIT, or runs such a statement.
  local function await(condition)
    support.wait(function()
      return db:query("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
        .. "AND state = 'active' AND pid <> pg_backend_pid() AND " .. condition)[1]
    end, condition)
  end

  local IN_COMMIT = "wait_event = 'PgSleep'"

  for what, up in pairs(files) do
    it(what .. " leaves the connection alone", function()
      write(up)
      assert.same({}, migrate())
      assert.same({ 1, 2 }, counts())
    end)

    it(what .. " has effect once when the run is killed in it and another one comes", function()
      write(up)
      local pipe, pid = start()
      await(IN_COMMIT)
      os.execute("kill -9 " .. pid)
      pipe:close()
      migrate()
      assert.same({ 1, 2 }, counts())
    end)

    it(what .. " has effect once when its run loses the lock and another one comes", function()
      write(up)
      local pipe = start()
      await(IN_COMMIT)
      db:query [[SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'pgmig lock' AND datname = current_database()]]
      migrate()
      pipe:close()
      assert.same({ 1, 2 }, counts())
    end)
  end

  describe("each, through pgbouncer,", function()
    local pool

    setup(function() pool = pgbouncer.start(10) end)
    teardown(function() pool.stop() end)

    for what, up in pairs(files) do
      it("leaves the run alone: " .. what, function()
        write(up)
        assert.same({}, migrate(pool.url(name)))
        assert.same({ 1, 2 }, counts())
      end)

      it("has effect once when the run is killed in it: " .. what, function()
        write(up)
        local pipe, pid = start(pool.url(name))
        await(IN_COMMIT)
        os.execute("kill -9 " .. pid)
        pipe:close()
        migrate(pool.url(name))
        assert.same({ 1, 2 }, counts())
      end)
    end
  end)
end)

describe("a run that loses its lock between two statements", function()
  local url, db, dir

  before_each(function()
    url, dir = support.database(), support.tempdir()
    db = pgmig.connect(url)
    db:exec "CREATE TABLE counter (n int)"
    support.write(dir, "001_off.sql", [[
-- UP
-- pgmig: transaction=off
INSERT INTO counter VALUES (1);
INSERT INTO counter VALUES (2);
INSERT INTO counter VALUES (3);
-- DOWN
-- pgmig: empty
]])
  end)

  after_each(function() db:close() end)

  -- What another run does before the statement of that number.
  local function displace(number, theirs)
    local migrator, done = pgmig.migrator(db, dir), false
    migrator:on("before_statement", function(ctx)
      if done or ctx.statement.index ~= number then return end
      done = true
      local other = pgmig.connect(url)
      other:query [[SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'pgmig lock' AND datname = current_database()]]
      pcall(theirs, pgmig.migrator(other, dir))
      other:close()
    end)
    return select(2, pcall(migrator.migrate, migrator))
  end

  local function counts()
    local list = {}
    for _, row in ipairs(db:query "SELECT n FROM counter ORDER BY n") do list[#list + 1] = row.n end
    return list
  end

  for number = 1, 3 do
    it("does nothing more when another one has finished its work before statement " .. number,
      function()
        displace(number, function(other) other:migrate() end)
        assert.same({ 1, 2, 3 }, counts())
        assert.equal(1, pgmig.migrator(db, dir):status().applied_count)
        assert.same({}, db:query "SELECT * FROM schema_migrations_journal")
      end)

    it("does nothing more when another one has got as far as that before statement " .. number,
      function()
        local err = displace(number, function(other)
          other:on("before_statement", function(ctx)
            if ctx.statement.index == 3 then error "so far" end
          end)
          other:migrate()
        end)
        assert.matches("another run has taken over", tostring(err))
        assert.same({ 1, 2 }, counts())
        pgmig.migrator(db, dir):migrate()
        assert.same({ 1, 2, 3 }, counts())
      end)
  end
end)
