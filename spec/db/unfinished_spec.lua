-- A migration with transaction=off that was left half-way: nothing it was built on is taken away,
-- nothing is built on it, and nobody goes on where what it has done is gone.
local pgmig = require "pgmig"
local history = require "spec.support.history"
local support = require "spec.support"

describe("a migration that was left half-way", function()
  local url, db, dir, migrator

  before_each(function()
    url, dir = support.database(), support.tempdir()
    db = pgmig.connect(url)
    migrator = pgmig.migrator(db, dir, { retries = 0 })
    support.write(dir, "001_t.sql", "-- UP\nCREATE TABLE t (a int);\n-- DOWN\nDROP TABLE t;\n")
  end)

  after_each(function() db:close() end)

  local function write(name, up, down)
    support.write(dir, name, ("-- UP\n-- pgmig: transaction=off\n%s\n-- DOWN\n%s\n"):format(up,
      down or "-- pgmig: transaction=off\nDROP INDEX t_a;"))
  end

  local BROKEN = "CREATE INDEX CONCURRENTLY t_a ON t (a);\nINSERT INTO missing VALUES (1);"
  local MENDED = "CREATE INDEX CONCURRENTLY t_a ON t (a);\nINSERT INTO t VALUES (1);"

  local function refused(method, ...)
    local ok, err = pcall(migrator[method], migrator, ...)
    assert.is_false(ok)
    assert.equal("plan", err.kind)
    return err
  end

  local function half_way()
    write("002_i.sql", BROKEN)
    assert.is_false(pcall(migrator.migrate, migrator))
  end

  for _, case in ipairs { { "rollback" }, { "rollback", { to = 0 } }, { "redo" } } do
    it("keeps what is older: " .. case[1], function()
      half_way()
      local err = refused(case[1], case[2])
      assert.matches("002_i is half finished: its UP stopped at statement 2", err.message)
      assert.equal("finish it: pgmig up, or by hand and then pgmig up --fake 2; or undo by hand "
        .. "what it did, then: pgmig resolve 2 --restart, and pgmig down", err.hint)
      assert.equal(1, #migrator:applied())
      write("002_i.sql", MENDED)
      migrator:migrate()
      assert.equal(2, #migrator:rollback { to = 0 })
    end)
  end

  it("lets what is newer be rolled back", function()
    half_way()
    support.write(dir, "003_u.sql", "-- UP\nCREATE TABLE u ();\n-- DOWN\nDROP TABLE u;\n")
    migrator:run { direction = "up", migrator:pending()[2] }
    assert.equal("003_u", migrator:rollback()[1].label)
  end)

  it("is not recorded as applied with others", function()
    half_way()
    db:exec [[CREATE TABLE goose_db_version (id serial, version_id bigint NOT NULL,
      is_applied boolean NOT NULL, tstamp timestamp DEFAULT now());
      INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, true), (1, true), (2, true)]]
    for method, argument in pairs { baseline = 3, adopt = { from = "goose" } } do
      support.write(dir, "003_u.sql", "CREATE TABLE u ();")
      local err = refused(method, argument)
      assert.matches("002_i is half finished: its UP stopped at statement 2", err.message)
      assert.matches("up %-%-fake 2; .* resolve 2 %-%-restart, and pgmig " .. method, err.hint)
      assert.equal("001_t", history.labels(migrator:applied()))
    end
    assert.same({}, migrator:baseline(1))
    migrator:fake(2)
    assert.equal("003_u", history.labels(migrator:baseline(3)))
  end)

  it("on its way back lets nothing new come", function()
    write("002_i.sql", MENDED, "-- pgmig: transaction=off\nDROP INDEX t_a;\nSELECT 1/0;")
    migrator:migrate()
    assert.is_false(pcall(migrator.rollback, migrator))
    support.write(dir, "003_u.sql", "CREATE TABLE u ();")
    local err = refused "migrate"
    assert.matches("its DOWN stopped at statement 2", err.message)
    assert.matches("^finish it: pgmig down; or undo by hand .*, and pgmig up$", err.hint)
    assert.matches("%-%-restart, and pgmig baseline$", refused("baseline", 3).hint)
    write("002_i.sql", MENDED, "-- pgmig: transaction=off\nDROP INDEX t_a;")
    assert.equal("002_i", migrator:rollback()[1].label)
  end)

  it("on its way back lets nothing newer be undone that could not come again", function()
    write("002_i.sql", MENDED, "-- pgmig: transaction=off\nDROP INDEX t_a;\nSELECT 1/0;")
    migrator:migrate()
    assert.is_false(pcall(migrator.rollback, migrator))
    support.write(dir, "003_u.sql", "-- UP\nSELECT 1;\n-- DOWN\nSELECT 2;\n")
    migrator:fake(3)
    local err = refused "redo"
    assert.matches("its DOWN stopped at statement 2", err.message)
    assert.equal(3, #migrator:applied())
    assert.equal("003_u", migrator:rollback()[1].label)
  end)

  local gone = {
    ["the table, dropped by hand"] = { "DROP TABLE t; CREATE TABLE t (a int)", "table public.t" },
    ["an index, dropped by hand"] = { "DROP INDEX t_a", "index public.t_a" },
  }
  for what, case in pairs(gone) do
    it("does not go on where what it has worked on is gone: " .. what, function()
      half_way()
      write("002_i.sql", MENDED)
      db:exec(case[1])
      local err = refused "migrate"
      assert.is_not_nil(err.message:find("no longer exists: .*" .. case[2]))
      assert.matches("pgmig resolve 2 %-%-redo", err.hint)
      assert.matches(case[2], migrator:doctor()[1].message, 1, true)
      migrator:resolve(2, "redo")
      migrator:migrate()
      assert.equal(2, #migrator:applied())
    end)
  end

  it("notices what any kind of statement has worked on", function()
    db:exec [[CREATE TABLE a (n int PRIMARY KEY); CREATE TABLE b (n int); CREATE TABLE read (n int);
      CREATE TABLE c (n int); CREATE VIEW v AS SELECT * FROM c; CREATE TABLE d (n int)]]
    write("002_i.sql", [[INSERT INTO a SELECT n FROM read;
      DO $$ BEGIN UPDATE b SET n = 1; END $$;
      BEGIN; ALTER TABLE v RENAME TO w; TRUNCATE d; COMMIT;
      CREATE TABLE made (n int); CREATE TABLE dropped (); DROP TABLE dropped;
      CREATE TEMPORARY TABLE own (); DROP TABLE own;
      SELECT 1/0;]])
    assert.is_false(pcall(migrator.migrate, migrator))
    local function names()
      return db:query([[SELECT string_agg(value, ', ' ORDER BY value) AS v
        FROM schema_migrations_journal, json_each_text(touched)]])[1].v
    end
    assert.equal("table public.a, table public.b, table public.d, table public.made, view public.w",
      names())
    db:exec "DROP TABLE read, d"
    assert.matches("no longer exists: table public.d$", refused("migrate").message)
    migrator:resolve(2, "redo") -- that one is no harm; of the others nobody has said so
    assert.equal("table public.a, table public.b, table public.made, view public.w", names())
    db:exec "DROP TABLE b"
    assert.matches("no longer exists: table public.b$", refused("migrate").message)
  end)

  it("goes on where somebody has rebuilt an index meanwhile", function()
    half_way()
    write("002_i.sql", MENDED)
    local rebuild = db:server_version() >= 120000 and "REINDEX INDEX CONCURRENTLY t_a"
      or "REINDEX INDEX t_a"
    db:exec(rebuild)
    assert.equal(1, #migrator:migrate())
  end)
end)
