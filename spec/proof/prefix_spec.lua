-- baseline --detect: up to which version the files make the schema of a database.
local cli = require "spec.cli.helper"
local support = require "spec.support"

describe("baseline --detect", function()
  local project
  local scratch = "--scratch '" .. support.server():url() .. "'"

  before_each(function()
    project = cli.project()
    project.write("004_note.sql", "ALTER TABLE b ADD note text; COMMENT ON TABLE b IS 'of all';")
    project.write("R__view.sql", "CREATE OR REPLACE VIEW notes AS SELECT id FROM a;")
  end)

  after_each(function() project.close() end)

  local function detect(words)
    return project.run(("baseline --detect %s %s"):format(scratch, words or ""))
  end

  it("finds the version, shows it, and records those up to it", function()
    project.db:exec [[CREATE TABLE a (id int); CREATE TABLE b (id int); CREATE TABLE c (id int);
      CREATE VIEW notes AS SELECT id FROM a]]
    local code, out = detect "--dry-run"
    assert.equal(0, code)
    assert.equal("the schema is what the migrations up to 003_create_c make\n"
      .. "would record  001_create_a\nwould record  002_create_b\nwould record  003_create_c\n"
      .. "3 migrations to record; nothing was written\n", out)
    assert.equal("a b c", cli.tables(project.db))
    code, out = detect()
    assert.equal(0, code)
    assert.matches("^the schema is what .*\nrecorded +001_create_a .*3 migrations recorded\n$", out)
    assert.matches("1 pending", select(2, project.run "status"))
    code, out = project.run "up"
    assert.equal(0, code)
    assert.matches("004_note.*R__view", out)
  end)

  it("names the nearest version, and what differs", function()
    project.db:exec "CREATE TABLE a (id bigint); CREATE TABLE b (id int); CREATE TABLE c (id int)"
    local code, _, err = detect()
    assert.equal(2, code)
    assert.matches("up to no version; nearest is 003_create_c, with 1 difference", err)
    assert.matches("DETAIL: table public.a: column id: type integer %-> bigint\n", err)
    assert.equal("a b c", cli.tables(project.db))
  end)

  it("leaves the choice to people where files change no schema", function()
    project.write("005_data.sql", "INSERT INTO a VALUES (1);")
    project.db:exec [[CREATE TABLE a (id int); CREATE TABLE b (id int, note text);
      COMMENT ON TABLE b IS 'of all'; CREATE TABLE c (id int)]]
    local code, _, err = detect()
    assert.equal(2, code)
    assert.matches("several versions fit, .*: 004_note, 005_data\n", err)
  end)

  it("records nothing of an empty database", function()
    local code, out = detect()
    assert.same({ 0, "the schema is empty: nothing to record\n" }, { code, out })
    assert.equal("", cli.tables(project.db))
    assert.equal(2, (project.run "baseline --detect 3"))
  end)

  it("says at which file it ended", function()
    project.write("005_broken.sql", "SELECT 1/0;")
    project.db:exec "CREATE TABLE x ()"
    local code, _, err = detect()
    assert.equal(2, code)
    assert.matches("not all files could be tried", err)
    assert.matches("005_broken.sql:1:%d+: division by zero", err)
  end)
end)
