-- transaction=off where a COMMIT takes its time: whoever takes a migration over, each statement has
-- effect once, and a run that is well is left alone.
local pgmig = require "pgmig"
local support = require "spec.support"

-- Its COMMIT takes long, like one that waits for a synchronous standby.
local SLOW = [[
  CREATE TABLE counter (n int, slow real);
  CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_catalog.pg_sleep(NEW.slow); RETURN NULL; END $$;
  CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON counter DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE PROCEDURE dawdle()]]

describe("transaction=off with a slow COMMIT", function()
  local url, db, dir

  before_each(function()
    url, dir = support.database(), support.tempdir()
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

  --- Migrate; the events that say that something went wrong on the way.
  local function migrate()
    local migrator, events = pgmig.migrator(db, dir), {}
    migrator:run(migrator:plan(), { on_event = function(event)
      if event.type == "lost" or event.type == "resumed" then events[#events + 1] = event.type end
    end })
    return events
  end

  it("of the file's own leaves the connection alone", function()
    write("BEGIN;\nINSERT INTO counter VALUES (1, 0.5);\nCOMMIT;\n"
      .. "INSERT INTO counter VALUES (2, 0);\n")
    assert.same({}, migrate())
    assert.same({ 1, 2 }, counts())
  end)
end)
