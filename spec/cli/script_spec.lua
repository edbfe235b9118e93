-- A plan as a script for psql: what it does is what `up` does.
local cli = require "spec.cli.helper"
local pgmig = require "pgmig"
local support = require "spec.support"

describe("a script for psql", function()
  local project
  before_each(function() project = cli.project() end)
  after_each(function() project.close() end)

  local function script(words)
    local code, out, err = project.run("up --dry-run --script " .. (words or ""))
    assert.same({ 0, "" }, { code, err })
    return out
  end

  --- Run it as its head says.
  local function psql(text)
    local file = support.write(support.tempdir(), "script.sql", text)
    return support.run(("psql -X -q -v ON_ERROR_STOP=1 -d %s -f %s"):format(cli.quote(project.url),
      file))
  end

  local function value(sql) return project.db:query("SELECT " .. sql .. " AS v")[1].v end

  --- pgmig is content with what was run.
  local function is_settled()
    assert.equal(0, (project.run "status --exit-code"))
    assert.matches("^all is well", (select(2, project.run "doctor")))
    assert.matches("^nothing to apply", (select(2, project.run "up")))
  end

  it("creates what is missing and records each migration in its transaction", function()
    project.write("004_data.sql", "CREATE TABLE d (n int, t text);\nCOPY d FROM STDIN;\n"
      .. "1\ta\\\\b\n2\t\\N\n\\.\nINSERT INTO d SELECT 3, ':x;' -- a comment\n;\n"
      .. "SET search_path = '';")
    project.write("005_deferred.sql", "-- pgmig: lock_timeout=7s\n"
      .. "CREATE INDEX IF NOT EXISTS i ON d (n);\nINSERT INTO d VALUES (4, E'\\'');\n"
      .. "INSERT INTO d VALUES (5, current_setting('lock_timeout'));")
    project.write("R__v.sql", "CREATE OR REPLACE VIEW v AS SELECT 1 AS x;")
    local text = script()
    assert.equal("", cli.tables(project.db))
    assert.same({ 0, "" }, { (psql(text)), (select(3, psql "SELECT 1;")) })
    assert.equal("a b c d schema_migrations", cli.tables(project.db))
    assert.equal("1 a\\b|2 -|3 :x;|4 '|5 7s",
      value "(SELECT string_agg(n || ' ' || coalesce(t, '-'), '|' ORDER BY n) FROM d)")
    assert.equal(6, value "(SELECT count(*) FROM schema_migrations_history WHERE event = 'up')")
    is_settled()
  end)

  it("goes on where the tables are", function()
    assert.equal(0, (project.run "up --to 1"))
    project.write("20240115103000_long.sql", "SELECT 1;")
    local text = script "--to 2"
    assert.not_matches("CREATE TABLE IF NOT EXISTS", text)
    assert.equal(0, (psql(text)))
    assert.equal(0, (psql(script()))) -- with room for the longer version
    is_settled()
    assert.matches("There is nothing to apply", script())
  end)

  it("runs what takes no transaction by itself, and records it behind that", function()
    project.write("004_off.sql", "-- pgmig: transaction=off lock_timeout=2s\n"
      .. "CREATE INDEX CONCURRENTLY i ON a (id);\nBEGIN;\nINSERT INTO a VALUES (7);\nCOMMIT;\n"
      .. "VACUUM a;")
    local text = script()
    assert.same({ 0, "" }, { (psql(text)), (select(3, psql "SELECT 1;")) })
    is_settled()
    local code, _, err = psql(text)
    assert.equal(3, code)
    assert.matches("duplicate key value", err)
    project.db:exec "DELETE FROM schema_migrations WHERE version < 4"
    code, _, err = psql((text:gsub("\n%-%- 001_create_a.*(\n%-%- 004_off)", "%1")))
    assert.equal(3, code)
    assert.matches("division by zero", err)
  end)

  it("keeps what came before an error, and nothing of what failed", function()
    project.write("003_create_c.sql", "CREATE TABLE c (n int);\nSELECT 1/0;")
    local code, _, err = psql(script())
    assert.equal(3, code)
    assert.matches("division by zero", err)
    assert.equal("a b schema_migrations", cli.tables(project.db))
    project.write("003_create_c.sql", "CREATE TABLE c (n int);")
    assert.equal(0, (psql(script())))
    is_settled()
  end)

  it("lets no INVALID index pass for one that is there", function()
    project.write("002_create_b.sql", "CREATE INDEX IF NOT EXISTS i ON a (id);")
    assert.equal(0, (project.run "up --to 1"))
    project.db:exec "INSERT INTO a VALUES (1), (1)"
    pcall(project.db.exec, project.db, "CREATE UNIQUE INDEX CONCURRENTLY i ON a (id)")
    local code, _, err = psql(script())
    assert.equal(3, code)
    assert.matches("division by zero", err)
    assert.equal("a schema_migrations", cli.tables(project.db))
  end)

  it("refuses what psql cannot run, and what a run has begun", function()
    local path = project.write("004_code.lua", "return { up = function() end }")
    local code, out, err = project.run "plan --script"
    assert.same({ 2, "" }, { code, out })
    assert.matches(path .. ": 004_code is written in Lua, which psql cannot run", err, 1, true)
    os.remove(path)
    project.write("004_off.sql", "-- pgmig: transaction=off\nSELECT 1;\nSELECT 1/0;")
    assert.equal(1, (project.run "up"))
    code, out, err = project.run "plan --script"
    assert.same({ 2, "" }, { code, out })
    assert.matches("004_off is half finished", err)
    assert.matches("requires %-%-dry%-run", (select(3, project.run "up --script")))
    assert.equal(2, (project.run "plan --script --json"))
  end)

  it("is made by scripts, too", function()
    local migrator = pgmig.migrator(project.db, project.dir)
    local pieces = {}
    migrator:script(migrator:plan { to = 2 }, function(text) pieces[#pieces + 1] = text end)
    assert.equal(0, (psql(table.concat(pieces))))
    assert.equal(2, #migrator:applied())
    local ok, err = pcall(migrator.script, migrator, migrator:plan_rollback(), print)
    assert.is_false(ok)
    assert.equal("usage", err.kind)
  end)
end)
