-- Commands that set things up, before any migration runs.
local cli = require "spec.cli.helper"
local pgmig = require "pgmig"
local support = require "spec.support"

describe("pgmig create --edit", function()
  local dir
  before_each(function() dir = support.tempdir() end)

  local function create(env, words)
    env.VISUAL, env.EDITOR = env.VISUAL or "", env.EDITOR or ""
    return cli.run("--dir " .. cli.quote(dir) .. " create add_orders --edit " .. (words or ""), env)
  end

  it("opens the new file in the editor, which may have options", function()
    local code, out = create { EDITOR = "sh -c 'echo \"$# $1\" >>\"$1\"' editor" }
    assert.same({ 0, dir .. "/001_add_orders.sql\n" }, { code, out })
    assert.matches("\n1 [^\n]*/001_add_orders%.sql\n$", support.read(dir .. "/001_add_orders.sql"))
  end)

  it("prefers VISUAL, and opens both files of a pair, whatever their folder is called", function()
    dir = dir .. "/it's $HOME"
    os.execute("mkdir " .. cli.quote(dir))
    local code, out = create({ VISUAL = "echo", EDITOR = "false" }, "--format golang-migrate")
    assert.same({ 0, ("%s/001_add_orders.up.sql\n"):format(dir)
      .. ("%s/001_add_orders.up.sql %s/001_add_orders.down.sql\n"):format(dir, dir) },
      { code, out })
  end)

  it("without an editor creates nothing", function()
    local code, out, err = create {}
    assert.same({ 2, "" }, { code, out })
    assert.matches("no editor is set, and no file was created\nHINT: set the variable VISUAL", err)
    assert.is_nil(io.open(dir .. "/001_add_orders.sql"))
  end)

  it("says that the editor failed, and keeps the file", function()
    local code, out, err = create { EDITOR = "/nowhere/editor" }
    assert.same({ 2, dir .. "/001_add_orders.sql\n" }, { code, out })
    assert.matches("the editor failed %(EDITOR%): /nowhere/editor\nHINT: the file was created", err)
    assert.matches("-- UP", support.read(dir .. "/001_add_orders.sql"), 1, true)
  end)
end)

describe("pgmig database", function()
  local NAME = [[we"ird é; name\\]]
  local url, admin
  setup(function()
    url, admin = support.server():url(NAME), pgmig.connect(support.server():url())
  end)
  teardown(function() admin:close() end)

  local function run(words, other) return cli.run(words, { DATABASE_URL = other or url }) end

  local function exists(name)
    return #admin:query("SELECT FROM pg_database WHERE datname = $1", name or NAME) == 1
  end

  it("create makes it once, drop drops it once, whatever it is called", function()
    local _, _, err = run "status"
    assert.matches("HINT: create it %(pgmig database create", err)
    assert.same({ 0, "the database is created\n", "" }, { run "database create" })
    assert.is_true(exists())
    assert.same({ 0, "the database is there already\n", "" }, { run "database create" })
    assert.equal(0, (run "status"))
    assert.same({ 0, "the database is dropped\n", "" }, { run "database drop --yes" })
    assert.is_false(exists())
    local code, out = run "--json database drop --yes"
    assert.equal(0, code)
    local object = cli.objects(out)[1]
    assert.same({ "absent", NAME }, { object.event, object.database.name })
  end)

  it("create takes an owner, a template and an encoding", function()
    admin:exec "CREATE ROLE comfort_owner"
    assert.equal(0, (run("database create --owner comfort_owner --template template0 "
      .. "--encoding SQL_ASCII")))
    assert.same({ owner = "comfort_owner", encoding = "SQL_ASCII" }, admin:query([[
      SELECT pg_get_userbyid(datdba)::text AS owner, pg_encoding_to_char(encoding)::text AS encoding
      FROM pg_database WHERE datname = $1]], NAME)[1])
    assert.equal(0, (run "database drop --yes -q"))
    admin:exec "DROP ROLE comfort_owner"
    assert.equal(2, (run "database create --force"))
    assert.equal(2, (run "database drop --yes --owner postgres"))
  end)

  it("drop drops neither what is in use, unless it is told to, nor what must stay", function()
    assert.equal(0, (run "database create -q"))
    local other = pgmig.connect { url = url, application_name = "some" }
    local code, _, err = run "database drop --yes"
    assert.equal(2, code)
    assert.matches("1 other session is connected to the database: pid %d+ %(postgres, some%)", err)
    if admin:server_version() >= 130000 then
      assert.equal(0, (run "database drop --yes --force"))
    else
      code, _, err = run "database drop --yes --force"
      assert.same({ 2, true }, { code, err:find "takes PostgreSQL 13" ~= nil })
      other:close()
      assert.equal(0, (run "database drop --yes"))
    end
    other:close()
    for _, name in ipairs { "postgres", "template0", "template1" } do
      code, _, err = run("database drop --yes --force", support.server():url(name))
      assert.equal(2, code)
      assert.matches("belongs to the server and is never dropped", err)
    end
    admin:exec "CREATE DATABASE comfort_template IS_TEMPLATE true"
    local template = support.server():url "comfort_template"
    code, _, err = run("database drop --yes", template)
    assert.equal(2, code)
    assert.matches("is a template.*HINT: .*ALTER DATABASE \"comfort_template\" IS_TEMPLATE", err)
    admin:exec "ALTER DATABASE comfort_template IS_TEMPLATE false"
    assert.equal(0, (run("database drop --yes", template)))
  end)

  it("drop asks on a terminal, and elsewhere wants --yes", function()
    assert.equal(0, (run "database create -q"))
    local code, _, err = run "database drop </dev/null"
    assert.equal(2, code)
    assert.matches("requires %-%-yes.*HINT: it would drop database \"we\"ird é; name", err)
    local function answer(text)
      local command = cli.command("database drop", { DATABASE_URL = url })
      local _, out = support.run(("printf '%s\\n' | script -qefc %s /dev/null"):format(text,
        cli.quote(command)))
      return out
    end
    assert.matches("Drop database .* and all that is in it%? %[y/N%] ", answer "no")
    assert.is_true(exists())
    assert.matches("the database is dropped", answer "yes")
    assert.is_false(exists())
  end)

  it("connects to template1 where there is no database postgres", function()
    local scratch = require "pgmig.scratch"
    local server = scratch.start { memory = true }
    local db = pgmig.connect(server:url "template1")
    db:exec "DROP DATABASE postgres"
    db:close()
    assert.is_true(pgmig.database.create(server:url "shop"))
    assert.is_false(pgmig.database.create(server:url "shop"))
    assert.is_true(pgmig.database.drop(server:url "shop"))
    server:stop()
  end)

  it("wait --server waits for the server only", function()
    assert.same({ 0, "the server accepts connections; the database does not exist\n", "" },
      { run "wait --server --timeout 30" })
    assert.equal(6, (run "wait --timeout 0.3"))
  end)
end)

describe("pgmig renumber", function()
  local project
  before_each(function()
    project = cli.project()
    assert.equal(0, (project.run "up -q"))
    project.write("002_other.sql", "-- UP\nSELECT 1;\n-- DOWN\n")
  end)
  after_each(function() project.close() end)

  it("is what the error of two files advises, and shows what it does", function()
    local code, _, err = project.run "up"
    assert.equal(2, code)
    assert.matches("HINT: give one of them another number, as pgmig renumber does", err)
    local text = ("stays  %s/002_create_b.sql  (applied)\n%%s  %s/002_other.sql -> "
      .. "%s/004_other.sql\n"):format(project.dir, project.dir, project.dir)
    assert.same({ 0, text:format "would rename", "" }, { project.run "renumber --dry-run" })
    assert.same({ 0, text:format "renamed", "" }, { project.run "renumber" })
    assert.same({ 0, "nothing to renumber\n", "" }, { project.run "renumber" })
    assert.equal(0, (project.run "up -q"))
  end)

  it("asks no database with --offline, and says in JSON what it has done", function()
    local nowhere = { DATABASE_URL = "host=/nowhere" }
    assert.equal(6, (project.run("renumber", nowhere)))
    local code, _, err = project.run("renumber --offline", nowhere)
    assert.equal(2, code)
    assert.matches("nothing tells which of them was there first", err)
    local keep = project.dir .. "/002_create_b.sql"
    local _, out = project.run("--json renumber --offline --keep " .. keep, nowhere)
    assert.same({ kept = { { path = keep, reason = "as told" } }, notes = {}, written = true,
      renamed = { { from = project.dir .. "/002_other.sql",
        to = project.dir .. "/004_other.sql" } } }, cli.objects(out)[1])
  end)
end)
