-- doctor: what it finds, from Lua. Its commands, as they are printed: spec/cli/doctor_spec.lua.
local pgmig = require "pgmig"
local shell = require "pgmig.shell"
local support = require "spec.support"

describe("doctor", function()
  local url, db, dir, migrator

  before_each(function()
    url, dir = support.database(), support.tempdir()
    db = pgmig.connect(url)
    migrator = pgmig.migrator(db, dir)
    support.write(dir, "001_a.sql", "-- UP\nCREATE TABLE a (n int);\n-- DOWN\nDROP TABLE a;\n")
    support.write(dir, "002_b.sql", "-- UP\nCREATE TABLE b (n int);\n-- DOWN\nDROP TABLE b;\n")
  end)

  after_each(function() db:close() end)

  --- Its findings by kind.
  local function findings()
    local list = {}
    for _, finding in ipairs(migrator:doctor()) do list[finding.kind] = finding end
    return list
  end

  --- Run a remedy as it was printed.
  local function run(remedy)
    local code, out, err = support.run(("cd %s && export PATH=$OLDPWD/bin:$PATH DATABASE_URL=%s "
      .. "PGMIG_DIR=%s && %s"):format(dir, support.quote(url), dir, remedy))
    assert.equal(0, code, out .. err)
  end

  it("finds nothing where all is well, and writes nothing", function()
    assert.same({}, migrator:doctor())
    migrator:migrate()
    assert.same({}, migrator:doctor())
  end)

  it("has a command for an edited and for a renamed file, which helps", function()
    migrator:migrate()
    support.write(dir, "001_a.sql", "-- UP\nCREATE TABLE a (n text);\n-- DOWN\nDROP TABLE a;\n")
    os.rename(dir .. "/002_b.sql", dir .. "/002_c.sql")
    local found = findings()
    assert.equal("pgmig repair 1", found.edited.remedy)
    assert.equal("pgmig repair 2", found.renamed.remedy)
    run(found.edited.remedy)
    run(found.renamed.remedy)
    assert.same({}, migrator:doctor())
  end)

  it("has a command for an INVALID index, which helps", function()
    db:exec "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1)"
    pcall(db.exec, db, 'CREATE UNIQUE INDEX CONCURRENTLY "odd name" ON t (a)')
    db:exec "DELETE FROM t"
    local found = findings()
    assert.matches('index public."odd name" of public.t is INVALID', found.invalid_index.message)
    run(found.invalid_index.remedy)
    assert.same({}, migrator:doctor())
  end)

  it("has a command for a stale journal, which helps", function()
    migrator:migrate()
    db:exec [[INSERT INTO schema_migrations_journal (migration, direction, owner, state)
      VALUES ('1', 'up', 'x:1', 'failed')]]
    local found = findings()
    assert.matches("unfinished up of 001_a, which has completed since", found.stale_journal.message)
    run(found.stale_journal.remedy)
    assert.same({}, migrator:doctor())
  end)

  it("knows a foreign tracking table", function()
    db:exec "CREATE TABLE schema_migrations (version varchar(128) PRIMARY KEY)"
    local found = findings()
    assert.matches("schema_migrations", found.foreign_table.message)
    run(found.foreign_table.remedy)
  end)

  it("tells of files that are no migrations, broken ones and two of one version", function()
    support.write(dir, "notes.sql", "")
    support.write(dir, "003_bad.sql", "-- UP\nSELECT 'x;\n")
    support.write(dir, "02_twin.sql", "-- UP\nSELECT 1;\n-- DOWN\n")
    local found = findings()
    assert.matches("notes.sql is not named like a migration", found.ignored.message)
    assert.matches("notes.sql %S+/005_notes.sql$", found.ignored.remedy)
    assert.matches("003_bad.sql", found.parse.message)
    assert.matches("02_twin.sql", found.naming.message)
  end)

  it("tells of a run at work, and has no command against it", function()
    local found
    local other = pgmig.connect(url)
    pgmig.migrator(other, dir, { hooks = { before_each = function() found = findings() end } })
      :migrate(1)
    assert.matches("a run is at work on 001_a: pid %d+, pgmig lock, .*its worker pid %d+",
      found.running.message)
    assert.matches("if its program hangs, end its sessions: SELECT .*%(%d+%), .*%(%d+%)$",
      found.running.message)
    assert.is_nil(found.running.remedy)
    other:close()
  end)

  it("tells of a half-done migration whose file is gone, which a run does not pass over", function()
    support.write(dir, "002_b.sql", "-- pgmig: transaction=off\nCREATE TABLE b ();\nVACUUM nix;")
    support.write(dir, "R__v.sql", "-- pgmig: transaction=off\nCREATE TABLE v ();\nVACUUM nix;")
    assert.is_false(pcall(migrator.migrate, migrator))
    support.write(dir, "002_b.sql", "SELECT 1;")
    migrator:resolve(2, "restart")
    assert.is_false(pcall(migrator.migrate, migrator)) -- in R__v.sql
    support.write(dir, "003_c.sql", "-- pgmig: transaction=off\nCREATE TABLE c ();\nVACUUM nix;")
    assert.is_false(pcall(migrator.migrate, migrator))
    os.remove(dir .. "/003_c.sql")
    os.remove(dir .. "/R__v.sql")
    support.write(dir, "004_d.sql", "CREATE TABLE d ();")
    assert.equal("unfinished", migrator:status().pending[1].state)
    for _, method in ipairs { "migrate", "plan", "baseline" } do
      local ok, err = pcall(migrator[method], migrator, method == "baseline" and 4 or nil)
      assert.same({ false, "plan", "migration 003 is half finished, and its file is missing" },
        { ok, err.kind, err.message })
    end
    local remedies = {}
    for _, finding in ipairs(migrator:doctor()) do remedies[#remedies + 1] = finding.remedy end
    assert.same({ "pgmig resolve 3 --restart", "pgmig resolve v --restart" }, remedies)
    for _, remedy in ipairs(remedies) do run(remedy) end
    assert.same({}, migrator:doctor())
    assert.equal("004_d", tostring(migrator:migrate()[1]))
  end)

  it("quotes every word of a command for the shell", function()
    local evil = "x'\"; touch ran; $(touch ran) `touch ran` | & * é\n\t\\%s -"
    local function arguments(command)
      local at = support.tempdir()
      local _, out = support.run(("cd %s && for c in pgmig mv git chmod psql; do "
        .. "eval \"$c() { printf '<%%s>' \\\"\\$@\\\"; }\"; done; %s; echo; ls"):format(at,
        command))
      return out
    end
    assert.equal("<a><" .. evil .. ">\n",
      arguments("pgmig a " .. shell.word(evil)))
    assert.equal("<./-rf><-rf>\n", arguments("mv " .. shell.path "-rf" .. " " .. shell.quote "-rf"))
    db:exec("CREATE SCHEMA " .. db:quote_ident(evil))
    db:exec(("CREATE TABLE %s.schema_migrations (version int PRIMARY KEY, name text NOT NULL, "
      .. "applied_at timestamptz NOT NULL DEFAULT now()); INSERT INTO %s.schema_migrations VALUES "
      .. "(1, 'a')"):format(db:quote_ident(evil), db:quote_ident(evil)))
    assert.equal("<--table><" .. db:quote_ident(evil) .. ".schema_migrations><status>\n",
      arguments(findings().unclear_table.remedy))
    db:exec(("DROP SCHEMA %s CASCADE"):format(db:quote_ident(evil)))
    local name = evil:gsub("/", "")
    local off = "-- pgmig: transaction=off\nCREATE TABLE r (%s);\nSELECT 1/0;"
    support.write(dir, "R__" .. name .. ".sql", off:format "")
    support.write(dir, name .. ".sql.txt", "")
    assert.is_false(pcall(migrator.migrate, migrator))
    support.write(dir, "R__" .. name .. ".sql", off:format "n int")
    local found = findings()
    assert.equal("<resolve><" .. name .. "><--restart>\n", arguments(found.unfinished.remedy))
    assert.matches(("<%s/%s.sql.txt>"):format(dir, name), arguments(found.ignored.remedy), 1,
      true)
  end)
end)
