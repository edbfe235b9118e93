-- What goes wrong: its text, and the exit code.
local cli = require "spec.cli.helper"
local pgmig = require "pgmig"

describe("a failure", function()
  local project
  before_each(function() project = cli.project() end)
  after_each(function() project.close() end)

  it("in a file is shown with its place, its line and a caret, and ends with 1", function()
    project.write("003_create_c.sql",
      "-- UP\nCREATE TABLE c (id int);\nSELECT 'ä', user_idd FROM a;\n-- DOWN\nDROP TABLE c;\n")
    local code, out, err = project.run "up"
    assert.equal(1, code)
    assert.matches("^applied +001_create_a[^\n]*\napplied +002_create_b[^\n]*\n$", out)
    local expected = "pgmig: " .. project.dir .. [[
/003_create_c.sql:3:13: column "user_idd" does not exist
    3 | SELECT 'ä', user_idd FROM a;
                    ^
]]
    assert.equal(expected, err:sub(1, #expected))
    assert.truthy(err:find("applied before that, and kept: 001_create_a, 002_create_b\n", 1, true))
    assert.truthy(err:find("003_create_c was rolled back and is not applied\n", 1, true))
    assert.truthy(err:find("correct the file, then run `pgmig up` again\n", 1, true))
    assert.equal("a b schema_migrations", cli.tables(project.db))
  end)

  it("behind many migrations names the first and the last of them", function()
    for i = 4, 14 do project.write(("%03d_t.sql"):format(i), "-- UP\nSELECT 1;\n") end
    project.write("015_bad.sql", "-- UP\nSELECT nix;\n")
    local _, _, err = project.run "up"
    assert.matches("kept: 001_create_a to 014_t, 14 migrations\n", err)
  end)

  it("is mended by correcting the file and running again", function()
    project.write("003_create_c.sql", "-- UP\nCREATE TABLE c (n nix);\n")
    assert.equal(1, (project.run "up"))
    project.write("003_create_c.sql", "-- UP\nCREATE TABLE c ();\n")
    assert.equal(0, (project.run "up"))
  end)

  for sqlstate, correction in pairs {
    ["40001"] = "", ["40P01"] = "", ["57014"] = "", ["55006"] = "",
    ["42501"] = "grant the right that is missing, or correct the file, then ",
    ["P0001"] = "correct the data, or the file, then ",
    ["21000"] = "correct the data, or the file, then ",
    ["25006"] = "connect to a server that can be written to, or correct the file, then ",
    ["53200"] = "give the server what it has run out of, then ",
    ["58P01"] = "remove the cause, then ", ["58030"] = "see the server's log, then ",
    XX000 = "see the server's log, then ", ["42P07"] = "correct the file, then ",
  } do
    it("says what is at fault before it runs again: " .. sqlstate, function()
      project.write("003_create_c.sql", ("-- UP\nDO $$ BEGIN RAISE 'oh' USING ERRCODE = '%s'; END "
        .. "$$;"):format(sqlstate))
      local _, _, err = project.run "up --retries 0"
      assert.truthy(err:find("\npgmig: " .. correction .. "run `pgmig up` again\n", 1, true), err)
    end)
  end

  it("that ends the connection points to the server's log", function()
    project.write("003_create_c.sql", "-- UP\nSELECT pg_terminate_backend(pg_backend_pid());\n")
    local _, _, err = project.run "up"
    assert.matches("run `pgmig up` again; the server's log says why", err)
  end)

  it("under --quiet still is shown", function()
    project.write("003_create_c.sql", "-- UP\nCREATE TABEL c ();\n")
    local code, out, err = project.run "up -q"
    assert.same({ 2, "" }, { code, out })
    assert.matches("003_create_c.sql:2:8: syntax error", err)
    assert.matches("DETAIL: nothing was run", err)
  end)

  it("of a rollback tells what was taken back before, and what is still applied", function()
    project.write("002_create_b.sql", "-- UP\nSELECT 1;\n-- DOWN\nDROP TABLE nix;\n")
    assert.equal(0, (project.run "up -q"))
    local code, out, err = project.run "down --all"
    assert.equal(1, code)
    assert.matches("^rolled back +003_create_c[^\n]*\n$", out)
    assert.matches("rolled back before that: 003_create_c\n", err)
    assert.matches("the rollback of 002_create_b was undone; it is still applied\n", err)
    assert.matches("then run `pgmig down` again\n", err)
  end)

  it("of redo's second half tells that the migration is not applied", function()
    assert.equal(0, (project.run "up -q"))
    project.write("003_create_c.sql", "-- UP\nCREATE TABLE a ();\n-- DOWN\nDROP TABLE c;\n")
    local code, _, err = project.run "redo"
    assert.equal(1, code)
    assert.matches("rolled back before that: 003_create_c\n", err)
    assert.matches("003_create_c was rolled back and is not applied\n", err)
    assert.matches("then run `pgmig up` again\n", err)
  end)

  it("without a transaction does not claim that all was rolled back", function()
    project.write("004_off.sql",
      "-- pgmig: transaction=off\n-- UP\nCREATE TABLE off1 ();\nSELECT 1/0;\n")
    local code, _, err = project.run "up"
    assert.equal(1, code)
    assert.matches("004_off.sql:4:%d+: division by zero", err)
    assert.matches("1 statement before it stays done; the next run resumes after it\n", err)
    assert.matches("004_off ran without a transaction: what it has done is kept, "
      .. "and the next run resumes after it; ", err)
    assert.matches("; it is recorded as not applied\n", err)
    assert.is_nil(err:find "004_off was rolled back")
    assert.matches("off1", cli.tables(project.db))
  end)

  it("of a lock that another session holds ends with 4", function()
    assert.equal(0, (project.run "up -q"))
    project.write("004_wait.sql",
      "-- pgmig: lock_timeout=50ms\n-- UP\nALTER TABLE a ADD COLUMN x int;\n")
    project.db:exec "BEGIN; LOCK TABLE a"
    local code, _, err = project.run "up"
    project.db:exec "ROLLBACK"
    assert.equal(4, code)
    assert.matches("004_wait.sql:3:1: ", err)
    assert.matches("004_wait was rolled back and is not applied\n", err)
  end)

  it("of the connection in the middle of a migration ends with 1", function()
    project.write("004_gone.sql", "SELECT pg_terminate_backend(pg_backend_pid());")
    local code, _, err = project.run "up"
    assert.equal(1, code)
    assert.matches("applied before that, and kept: 001_create_a, 002_create_b, 003_create_c", err)
    assert.matches("004_gone is not applied: a lost connection undoes what it had begun\n", err)
  end)

  it("of code that has committed by itself says what is recorded", function()
    project.write("004_own.lua", "return { up = function(db) db:exec 'COMMIT; BEGIN' end }")
    local code, _, err = project.run "up"
    assert.equal(1, code)
    assert.matches("004_own is recorded as applied, and what it had done by then is kept\n", err)
    assert.is_nil(err:find "rolled back")
    project.write("005_own.lua", "return { up = function(db) db:exec 'ROLLBACK' end }")
    code, _, err = project.run "up"
    assert.equal(1, code)
    assert.matches("005_own is not applied; what it committed itself is kept\n", err)
  end)

  it("of the connection during COMMIT is unknown and ends with 5", function()
    project.write("004_gone.sql", [[
CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER leave AFTER INSERT ON a DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE PROCEDURE leave();
INSERT INTO a VALUES (1);]])
    local code, _, err = project.run "up"
    assert.equal(5, code)
    assert.matches("not known", err)
    assert.matches("004_gone: see `pgmig status`", err)
    assert.is_nil(err:find "rolled back")
  end)
end)

describe("a refusal", function()
  local project
  before_each(function() project = cli.project() end)
  after_each(function() project.close() end)

  local function refused(pattern, words, env)
    local code, out, err = project.run(words, env)
    assert.same({ 2, "" }, { code, out })
    assert.matches(pattern, err)
    assert.is_nil(err:find "traceback")
    return err
  end

  it("of a file comes before anything was touched", function()
    project.write("003_create_c.sql", "-- UP\nSELECT 'open\n")
    local err = refused("003_create_c.sql:2:8: ", "up")
    assert.truthy(err:find("    2 | SELECT 'open\n               ^", 1, true), err)
    assert.equal("", cli.tables(project.db))
  end)

  it("of two files with one version names both", function()
    project.write("1_other.sql", "SELECT 1;")
    local err = refused("two files have version 1", "up")
    assert.matches("001_create_a.sql", err)
    assert.matches("1_other.sql", err)
  end)

  it("of a missing folder names it", function()
    refused("/nowhere", "up --dir /nowhere")
    refused("/nowhere", "status --dir /nowhere")
  end)

  it("of a table that is another program's leaves it alone", function()
    project.db:exec "CREATE TABLE theirs (x int)"
    refused("theirs", "up --table theirs")
    assert.equal("theirs", cli.tables(project.db))
  end)

  it("of a table name that is none", function() refused("a b", "status --table 'a b'") end)

  it("of a target that does not exist says what there is", function()
    refused("there is no migration 9\nHINT: .*1 to 3", "up --to 9")
    refused("there is no migration 9\n", "down --to 9")
  end)

  it("of a rollback comes before anything is undone, as its dry run says", function()
    project.write("003_create_c.sql", "-- UP\nSELECT 1;\n")
    project.write("004_d.sql", "-- UP\nSELECT 1;\n-- DOWN\nSELECT 2;\n")
    assert.equal(0, (project.run "up -q"))
    local code, out = project.run "down --steps 2 --dry-run"
    assert.equal(2, code)
    assert.matches("would roll back  004_d .*cannot roll back  003_create_c: it has no DOWN", out)
    for _, words in ipairs {
      "down --steps 2", "down --to 2", "down --all", "redo --steps 2", "down",
    } do
      if words == "down" then assert.equal(0, (project.run "down -q")) end
      local err
      code, out, err = project.run(words)
      assert.same({ 2, "" }, { code, out })
      assert.matches("cannot roll back 003_create_c: it has no DOWN section", err)
      assert.is_nil(err:find "003_create_c was")
    end
    os.remove(project.dir .. "/003_create_c.sql")
    refused("003_create_c is applied, but its file is missing", "down")
  end)

  it("of a connection string that cannot be read, from wherever it comes", function()
    local bad = "postgresql://db/shop?schema=x"
    local message = ': invalid connection string: libpq has no parameter "schema"\nHINT: '
    refused("^pgmig: DATABASE_URL" .. message, "status", { DATABASE_URL = bad })
    refused("^pgmig: %-%-database" .. message, "up -d " .. cli.quote(bad))
    refused("^pgmig: DATABASE_URL" .. message, "wait", { DATABASE_URL = bad })
    refused("^pgmig: invalid value for connection parameter port\n", "status",
      { DATABASE_URL = "", PGPORT = "x" })
  end)
end)

describe("a database that cannot be reached", function()
  it("ends with 6, whatever the command", function()
    local project = cli.project()
    for _, words in ipairs { "status", "up", "down", "redo", "plan" } do
      local code, out, err = project.run(words, { DATABASE_URL = "host=/nowhere" })
      assert.same({ 6, "" }, { code, out })
      assert.matches("^pgmig: connection to server ", err)
      assert.is_nil(err:find "rolled back")
    end
    project.close()
  end)

  it("because it does not exist is one as well", function()
    local project = cli.project()
    local name = project.db:query("SELECT current_database()::text AS name")[1].name
    local url = project.url:gsub(name, "no_such_database")
    local code, _, err = project.run("status", { DATABASE_URL = url })
    assert.equal(6, code)
    assert.matches('database "no_such_database" does not exist', err)
    assert.is_true(pgmig.is_error(select(2, pcall(pgmig.connect, url)), "connect"))
    project.close()
  end)
end)
