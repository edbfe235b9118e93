-- What the program says about itself, and to mistakes in its words.
local cli = require "spec.cli.helper"
local pgmig = require "pgmig"
local support = require "spec.support"

local commands = { "status", "up", "down", "plan", "redo", "create", "wait" }

describe("pgmig", function()
  it("shows its version, and those of what it runs with", function()
    local code, out, err = cli.run "--version"
    assert.same({ 0, "" }, { code, err })
    local _, library = support.run "pkg-config --modversion libpq"
    assert.equal(("pgmig %s\nform:    %s\nlibpq:   %s"):format(pgmig._VERSION,
      cli.executable and "static executable" or "script", library), out:match "^(.*)OpenSSL:")
    assert.matches("OpenSSL: [1-9][%d.]+ .*\nLua:     Lua%a* [25]%.%d%.?%d", out)
    local object = cli.objects((select(2, cli.run "--json --version")))[1]
    assert.same({ pgmig._VERSION, library:match "%S+", out:match "Lua:     ([^\n]+)" },
      { object.pgmig, object.libpq, object.lua })
  end)

  it("helps with every command, exit code and variable, and with examples", function()
    local code, out = cli.run "--help"
    assert.equal(0, code)
    for _, word in ipairs {
      "Examples:", "DATABASE_URL", "PGHOST", "PGMIG_DIR", "PGMIG_TABLE", "NO_COLOR", "130, 143",
      unpack and unpack(commands) or table.unpack(commands),
    } do
      assert.truthy(out:find(word, 1, true), word)
    end
  end)

  for _, command in ipairs(commands) do
    it("helps with " .. command .. ", without a database", function()
      local code, out, err = cli.run(command .. " --help", { DATABASE_URL = "host=/nowhere" })
      assert.equal(0, code)
      assert.matches("^Usage: pgmig " .. command, out)
      assert.truthy(out:find("Examples:\n   pgmig ", 1, true))
      assert.equal("", err)
    end)
  end

  it("runs through a symbolic link, from any folder, whatever its name", function()
    local dir = support.tempdir()
    local link = cli.quote(dir .. "/it's pgmig")
    local code, out = support.run("ln -s " .. cli.file .. " " .. link
      .. " && cd / && " .. (cli.command ""):gsub("'[^']*/pgmig'", function() return link end)
      .. " --version")
    assert.equal(0, code)
    assert.matches("^pgmig %d", out)
  end)

  it("without its C part says what to do", function()
    if cli.executable then pending "an executable has it" end
    local dir = support.tempdir()
    local code, out, err = support.run(("cp -R bin lua %s && cd / && %s"):format(cli.quote(dir),
      "env -u LUA_CPATH -u LUA_CPATH_5_4 "
      .. cli.command("--version"):gsub(cli.root:gsub("%p", "%%%0"), function() return dir end)))
    assert.equal(2, code)
    assert.equal("", out)
    assert.matches("^pgmig: the C module pgmig.core is missing for [^\n]*run script/build", err)
  end)
end)

describe("a mistake in the words", function()
  local cases = {
    { "", "a command is required" },
    { "frobnicate", "unknown command 'frobnicate'" },
    { "statuss", "Did you mean 'status'" },
    { "--frobnicate up", "unknown option '--frobnicate'" },
    { "up 5", "too many arguments" },
    { "up --to", "option '--to' requires an argument" },
    { "up --to abc", "'abc' is not a version" },
    { "up --steps 0", "'0' is not a whole number, 1 or greater" },
    { "up --steps 1.5", "'1.5' is not a whole number, 1 or greater" },
    { "down --steps x", "'x' is not a whole number, 1 or greater" },
    { "down --all --steps 2", "can not be used together" },
    { "down --to 2 --steps 2", "can not be used together" },
    { "redo --steps -1", "unknown option '-1'" },
    { "create", "missing argument 'name'" },
    { "wait --timeout soon", "--timeout must be a number of seconds, or a number and a unit (us, "
      .. "ms, s, " },
    { "wait --timeout 0", "--timeout must be more than 0 seconds, not '0'" },
    { "--lock-timeout 5sec up", "--lock-timeout must be a number and a unit (us, ms, s, min, h or "
      .. "d), " },
    { "--lock-timeout '\"5s\"' up", "such as 500ms or 5s, not '\"5s\"'" },
    { "--lock-wait 5sec up", "--lock-wait must be a number of seconds, " },
    { "--reconnect 1e400 up", "--reconnect must be a number of seconds, " },
    { "--retries 1.5 up", "--retries must be a whole number, 0 or greater, not '1.5'" },
    { "--database '' status", "option '--database' is empty" },
    { "--dir '' status", "option '--dir' is empty" },
    { "status --table=", "option '--table' is empty" },
  }
  for _, case in ipairs(cases) do
    it(("%q ends with 2 and says: %s"):format(case[1], case[2]), function()
      local code, out, err = cli.run(case[1])
      assert.equal(2, code)
      assert.equal("", out)
      assert.truthy(err:find(case[2], 1, true), err)
      assert.truthy(err:find "Usage: pgmig %l" or err:find "See `pgmig %-%-help`%.\n$", err)
    end)
  end

  it("shows the commands, a line each, where none was found", function()
    for _, words in ipairs { "", "frobnicate", "help frobnicate", "--json statuss" } do
      local _, _, err = cli.run(words)
      assert.matches("\nCommands:\n   status     Show what is applied and what is pending%.\n", err)
      assert.matches("\n   help       Show the help of a command%.\nSee `pgmig %-%-help`%.\n$", err)
    end
    local _, _, err = cli.run "--frobnicate up"
    assert.is_nil(err:find "Commands:")
  end)

  local secret = "s3cr3t"
  local places = {
    "postgres://bob:s3cr3t@localhost/x up",
    "--databse=postgres://bob:s3cr3t@localhost/x up",
    "up postgres://bob:s3cr3t@localhost/x",
    "up --to=postgres://bob:s3cr3t@localhost/x",
    "up --to postgres://bob:s3cr3t@localhost/x",
    "up --steps=postgres://bob:s3cr3t@localhost/x",
    "'host=localhost password = s3cr3t' status",
    "up bob:s3cr3t@localhost/x",
    "-d bob:s3cr3t@localhost/x status",
    "-d bob:s3cr3t@localhost/x wait",
    "--postgres://bob:s3cr3t@localhost/x status",
    "-d postgres://bob:s3cr3t%zz@localhost/x status",
    "-d postgres://bob:s3cr3t@localhost:port/x status",
    "-d 'host=localhost passwort=s3cr3t' status",
    "-d 'host=/nowhere password=s3cr3t' status",
    "--json -d 'host=/nowhere password=s3cr3t' status",
    "-d 'host=/nowhere password=s3cr3t' wait --timeout 0.1",
  }
  for _, words in ipairs(places) do
    it("does not show the password of: " .. words, function()
      local dir = support.tempdir()
      local code, out, err = cli.run("--dir " .. dir .. " " .. words)
      assert.is_true(code == 2 or code == 6, code)
      assert.not_equal("", err)
      assert.is_nil((out .. err):find(secret, 1, true), out .. err)
      assert.is_nil((out .. err):find("bob", 1, true), out .. err)
    end)
  end
end)
