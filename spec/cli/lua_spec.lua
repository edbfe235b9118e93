-- `pgmig lua`: what the program `lua` does with a script.
local cli = require "spec.cli.helper"
local pgmig = require "pgmig"
local support = require "spec.support"

local engine = rawget(_G, "jit") and "luajit" or "lua5.4"

describe("pgmig lua", function()
  it("runs a script that migrates", function()
    local project = cli.project()
    local path = support.write(support.tempdir(), "deploy.lua", [[
      local pgmig = require "pgmig"
      for _, m in ipairs(pgmig.migrator(pgmig.connect(), arg[1]):migrate()) do print(m) end]])
    local code, out, err = cli.run(("lua %s %s"):format(path, project.dir), project.env())
    assert.same({ 0, "001_create_a\n002_create_b\n003_create_c\n", "" }, { code, out, err })
    project.close()
  end)

  it("hands all words on, options as well", function()
    local script = support.write(support.tempdir(), "words.lua",
      "print(arg[0], #arg, arg[-1], table.concat({ ... }, ' '), table.concat(arg, ' '))")
    for _, words in ipairs { "", "a --json --help", "-- 'b c' -" } do
      local _, expected = support.run(("%s %s %s"):format(engine, script, words))
      local code, out = cli.run(("lua %s %s"):format(script, words))
      assert.same({ 0, (expected:gsub(engine, "lua")) }, { code, out })
    end
  end)

  it("reads standard input, and code on the command line", function()
    local code, out = support.run("echo 'print(arg[0], ...)' | " .. cli.command "lua - x")
    assert.same({ 0, "-\tx\n" }, { code, out })
    code, out = support.run("echo 'print(n)' | " .. cli.command "lua -e 'n = 1' -e 'n = n + 1' -")
    assert.same({ 0, "2\n" }, { code, out })
    code, out = cli.run "lua -e 'print(require(\"pgmig\")._VERSION)'"
    assert.same({ 0, pgmig._VERSION .. "\n" }, { code, out })
  end)

  it("ends as the script does", function()
    assert.equal(7, (cli.run "lua -e 'os.exit(7)'"))
    assert.equal(0, (cli.run "lua -e 'os.exit(true, true)'"))
  end)

  --- What it says is what Lua itself says of the same script.
  local function assert_like_lua(text)
    local path = support.write(support.tempdir(), "deploy.lua", text)
    local code, _, err = support.run(engine .. " " .. path)
    local expected = err:gsub("^" .. engine, "pgmig"):gsub("%[C%]: at 0x%x+", "[C]: in ?")
    local own_code, _, own = cli.run("lua " .. path)
    assert.same({ code, expected }, { own_code, own })
  end

  it("tells an error with the traceback of the script", function()
    assert_like_lua "local function inner() error 'no' end\nlocal x = inner() or 1"
    assert_like_lua "local x = nil + 1"
    assert_like_lua "x ="
    local code, _, err = cli.run "lua -e 'require(\"pgmig\").connect \"host=/nowhere\"'"
    assert.equal(1, code)
    assert.matches("^pgmig: connection to server on socket", err)
    assert.not_matches("traceback", err)
  end)

  it("raises SIGINT in the script", function()
    local code, out, err = cli.run("lua -e 'print(pcall(function() io.popen(\"kill -INT $PPID\")"
      .. ":close() for i = 1, 1e9 do local s = tostring(i) end end)) error(1)'")
    assert.matches("^false\t.*interrupted!\n", out)
    assert.matches("^pgmig: ", err)
    assert.equal(1, code)
  end)

  it("refuses what it cannot run", function()
    for words, message in pairs {
      [""] = "needs a script", ["-e"] = "'%-e' needs code", ["-x"] = "unknown option '%-x'",
    } do
      local code, _, err = cli.run("lua " .. words)
      assert.equal(2, code)
      assert.matches(message, err)
    end
    local code, _, err = cli.run "lua /nowhere/script.lua"
    assert.equal(1, code)
    assert.matches("cannot open /nowhere/script.lua", err, 1, true)
  end)

  it("explains itself", function()
    for _, words in ipairs { "lua --help", "lua -h", "help lua" } do
      local code, out = cli.run(words)
      assert.equal(0, code)
      assert.matches("pgmig lua %[%-e CODE%] %[SCRIPT%]", out)
    end
  end)
end)
