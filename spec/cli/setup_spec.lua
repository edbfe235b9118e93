-- Commands that set things up, before any migration runs.
local cli = require "spec.cli.helper"
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
