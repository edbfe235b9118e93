-- adopt, and folders of other tools, from the command line.
local cli = require "spec.cli.helper"
local support = require "spec.support"

describe("adopt", function()
  local project

  before_each(function()
    project = cli.project()
    for _, name in ipairs { "a", "b", "c" } do
      os.execute(("rm -f %s/*_create_%s.sql"):format(project.dir, name))
    end
    project.write("1_a.sql", "-- migrate:up\nCREATE TABLE a ();\n-- migrate:down\nDROP TABLE a;\n")
    project.write("2_b.sql", "-- migrate:up\nCREATE TABLE b ();\n-- migrate:down\nDROP TABLE b;\n")
    project.db:exec [[
      CREATE TABLE schema_migrations (version varchar PRIMARY KEY);
      INSERT INTO schema_migrations VALUES ('1');
      CREATE TABLE a ()]]
  end)

  after_each(function() project.close() end)

  it("is what the error about a foreign table says, and works as it is printed", function()
    local code, _, err = project.run "status"
    assert.equal(2, code)
    local command, option = err:match "pgmig (adopt %-%-from %w+), then continue with (%S+ %w+)"
    assert.is_string(command, err)
    local out
    code, out = project.run(command .. " --dry-run")
    assert.equal(0, code)
    assert.equal("would record  1_a\n"
      .. "1 migration of public.schema_migrations to record; nothing was written\n"
      .. 'from now on: --format dbmate, or `format = "dbmate"` in pgmig.conf.lua\n', out)
    code, out = project.run(command)
    assert.equal(0, code)
    assert.matches("recorded     1_a", out)
    assert.matches("1 migration of public.schema_migrations recorded\n", out)
    code, out = project.run(option .. " up")
    assert.equal(0, code)
    assert.matches("applied      2_b", out)
    assert.equal(0, (project.run(option .. " down --all")))
    code, out = project.run(option .. " history")
    assert.equal(0, code)
    assert.matches("adopted +001_a .* %- applied by dbmate", out)
  end)

  it("is what status and doctor advise, and what the tool's table says they tell", function()
    local _, out = project.run "--format dbmate status"
    assert.matches("pending +1_a +applied by dbmate\npending +2_b *\n", out)
    local said = "dbmate has applied 1 of these migrations, up to 1_a, according to its table "
      .. "public.schema_migrations; use its table in place with %-%-shared, or take them over:"
    assert.matches(said .. " pgmig %-%-format dbmate adopt\n", out)
    local _, json = project.run "--format dbmate status --json"
    assert.same({ "1_a" }, cli.objects(json)[1].untaken.applied)
    _, out = project.run "--format dbmate doctor"
    assert.matches(said .. "\n   pgmig %-%-dir %S+ %-%-format dbmate adopt\n1 finding\n$", out)
    assert.equal(0, (cli.run(out:match "\n   pgmig ([^\n]+)", project.env())))
    assert.equal("all is well\n", select(2, project.run "--format dbmate doctor"))
    _, out = project.run "--format dbmate status"
    assert.matches("applied +1_a .*pending +2_b", out)
    assert.not_matches("dbmate", out)
  end)

  it("has its way back: export", function()
    project.run "adopt --from dbmate"
    project.run "--format dbmate up"
    local code, out = project.run "export --to dbmate --dry-run"
    assert.same({ 0, "would write    2_b\npublic.schema_migrations of dbmate: 1 to write, 0 "
      .. "removed, 0 corrected, 1 there already; nothing was written\n" }, { code, out })
    code, out = project.run "export --to dbmate"
    assert.same({ 0, "written    2_b\npublic.schema_migrations of dbmate: 1 written, 0 removed, "
      .. "0 corrected, 1 there already\n" }, { code, out })
    project.run "--format dbmate down"
    project.db:exec "INSERT INTO schema_migrations VALUES ('7')"
    local err
    code, out, err = project.run "--format dbmate export --json"
    local said = cli.objects(out)
    said = said[#said]
    assert.same({ 0, 1, "2_b", 0, 1, true, "public.schema_migrations" }, { code, #said.removed,
      said.removed[1].label, #said.migrations, said.known, said.exported, said.to_table })
    assert.matches("dbmate has applied 7, which pgmig has not recorded", said.notes[1])
    assert.equal("", err)
    code, out, err = project.run "--format dbmate export --to hasura"
    assert.equal("", out)
    assert.equal(2, code)
    assert.matches("its server keeps them", err)
  end)

  it("is not advised as long as the tool's table and the files disagree", function()
    project.db:exec "INSERT INTO schema_migrations VALUES ('7')"
    local _, out = project.run "--format dbmate doctor"
    assert.matches("^untaken: .*7 is applied, but has no file; restore the files as they were "
      .. "applied, or correct the tool's table\n1 finding\n$", out)
    assert.equal(2, (project.run "--format dbmate up"))
  end)

  it("answers in JSON", function()
    local _, out = project.run "--json --format dbmate adopt --dry-run"
    local answer = cli.objects(out)[1]
    assert.same({ "dbmate", "public.schema_migrations", false, 0 },
      { answer.from, answer.from_table, answer.recorded, answer.known })
    assert.equal("1_a", cli.labels(answer.migrations))
    _, out = project.run "--json --format dbmate adopt"
    local objects = cli.objects(out)
    assert.same({ "recorded", "1_a" }, { objects[1].event, objects[1].label })
    assert.is_true(objects[2].recorded)
  end)

  it("is refused with 2, and what is assumed is said", function()
    project.db:exec "INSERT INTO schema_migrations VALUES ('7')"
    local code, _, err = project.run "adopt --from dbmate"
    assert.equal(2, code)
    assert.matches("the table of dbmate and the files disagree: 7 is applied, but has no file", err)
    assert.equal(2, (project.run "adopt --from nix"))
  end)

  it("has its format from flag, variable or config file, and its table with it", function()
    local _, out = project.run("--format goose config")
    assert.matches("format%s+goose%s+%-%-format", out)
    assert.matches("table%s+schema_migrations%s+default", out)
    _, out = project.run("config", { PGMIG_FORMAT = "dbmate" })
    assert.matches("format%s+dbmate%s+PGMIG_FORMAT", out)
    assert.matches("table%s+pgmig_migrations%s+default", out)
    local conf = support.write(support.tempdir(), "p.lua", 'return { format = "auto" }')
    _, out = project.run("--config " .. conf .. " status")
    assert.matches("1_a", out)
    local code, _, err = project.run "--format nix status"
    assert.equal(2, code)
    assert.matches("formats are: auto, atlas, dbmate", err)
  end)
end)
