-- Colours, and the line that shows what is running: on a terminal only.
local cli = require "spec.cli.helper"
local support = require "spec.support"

local ESCAPE = "\27["

describe("on a terminal", function()
  local project
  before_each(function() project = cli.project() end)
  after_each(function() project.close() end)

  --- The command for a terminal that is no special one.
  local function command_for(words, env)
    env = project.env(env)
    env.TERM, env.LC_ALL = env.TERM or "xterm", env.LC_ALL or "C"
    return cli.command(project.words(words), env)
  end

  --- Run with a terminal as standard output and error; their text.
  local function on_terminal(words, env)
    local command = command_for(words, env)
    local _, out = support.run("script -qefc " .. cli.quote(command) .. " /dev/null </dev/null")
    return out
  end

  it("states are coloured", function()
    local out = on_terminal "up --to 2"
    assert.truthy(out:find("\27[32mapplied    \27[0m  001_create_a", 1, true), out)
    out = on_terminal "status"
    assert.truthy(out:find("\27[32mapplied\27[0m  001_create_a", 1, true), out)
    assert.truthy(out:find("\27[33mpending\27[0m  003_create_c", 1, true), out)
  end)

  it("status is as wide as the terminal: long names lose their middle", function()
    project.write("004_add_a_column_for_the_street_and_one_for_the_town.sql", "SELECT 1;")
    project.write("005_日本語の長い名前のマイグレーションです.sql", "SELECT 1;")
    assert.equal(0, (project.run "up -q"))
    local function lines(width)
      local out = on_terminal("status --no-color", { COLUMNS = width, LC_ALL = "C.UTF-8" })
      return cli.without_place(out):gsub("\r", "")
    end
    assert.matches("\n" .. [[
applied  004_add_a_col…_for_the_town  %d+%-%d+%-%d+ %d+:%d+:%d+%+00:00  no DOWN section
applied  005_日本語の…レーションです  %d+%-%d+%-%d+ %d+:%d+:%d+%+00:00  no DOWN section
5 applied]], lines "80")
    assert.matches("\n" .. [[
applied  004_ad…_town  %d+%-%d+%-%d+ %d+:%d+  no DOW…
applied  005_日…です   %d+%-%d+%-%d+ %d+:%d+  no DOW…
]], lines "48")
    assert.matches("004_add_a_column_for_the_street_and_one_for_the_town +%d", lines "120")
    local _, out = project.run("status", { COLUMNS = "30" })
    assert.matches("004_add_a_column_for_the_street_and_one_for_the_town +%d", out)
  end)

  it("NO_COLOR takes colours away, unless it is empty; --no-color does, too", function()
    assert.is_nil(on_terminal("status", { NO_COLOR = "1" }):find(ESCAPE, 1, true))
    assert.is_nil(on_terminal("status --no-color"):find(ESCAPE, 1, true))
    assert.truthy(on_terminal("status", { NO_COLOR = "" }):find(ESCAPE, 1, true))
  end)

  it("a line shows what is running, and goes", function()
    local out = on_terminal "up --to 1 --no-color"
    local running = "applying     001_create_a ..."
    local blank = "\r" .. (" "):rep(#running + 2) .. "\r"
    assert.truthy(out:find(running .. blank .. "applied      001_create_a", 1, true), out)
    assert.is_nil(on_terminal("--json up"):find("applying", 1, true))
    assert.equal("", on_terminal "-q down")
  end)

  --- What a terminal shows at last: its rows, without blanks at their ends.
  local function screen(out)
    local rows = {}
    for line in cli.without_place(out):gmatch "[^\n]+" do
      local row = ""
      for piece in line:gmatch "[^\r]+" do row = piece .. row:sub(#piece + 1) end
      rows[#rows + 1] = row:match "^(.-)%s*$"
    end
    return table.concat(rows, "\n")
  end

  --- Let the second migration take long enough for the bar.
  local function sleep(statement)
    project.write("002_create_b.sql", "-- UP\n" .. (statement or "SELECT pg_sleep(1.5);")
      .. "\n-- DOWN\n-- pgmig: empty\n")
  end

  it("a bar shows how far a run is, and leaves nothing behind", function()
    sleep()
    local out = on_terminal "up --no-color"
    assert.matches("%[######%-------------%]  1/3  0:0%d  002_create_b  SELECT", out)
    assert.matches("^applied      001_create_a  %(%d+ ms%)\napplied      002_create_b  %(%d+ ms%)\n"
      .. "applied      003_create_c  %(%d+ ms%)\n3 migrations applied"
      .. "  %(3 statements, %d%.%d s%)\n$", screen(out))
    assert.is_nil(on_terminal("down"):find("0:00", 1, true)) -- it is soon over
  end)

  it("the bar is of characters that the locale has, and not wider than the terminal", function()
    sleep()
    local out = on_terminal("up --to 2", { LC_ALL = "C.UTF-8", COLUMNS = "48" })
    local bar = ("█"):rep(5) .. ("░"):rep(6)
    assert.matches(bar .. "  1/2  0:0%d  002_create_b  SELECT", out)
    local narrow = on_terminal("redo", { COLUMNS = "30" })
    assert.matches("%[%-%-%-%-%-%-%-%-%-%-%]  0/1  0:0%d  00", narrow)
    for line in narrow:gmatch "[^\r\n]+" do
      if line:find("[#", 1, true) or line:find("[-", 1, true) then
        assert.is_true(#line <= 27, line)
      end
    end
  end)

  it("the bar goes before an error", function()
    sleep "SELECT pg_sleep(1.5); SELECT nix;"
    local out = on_terminal "up --no-color"
    assert.matches("  1/3  0:0%d  002_create_b  SELECT", out)
    assert.matches("ms%)\npgmig: [^\n]*nix[^\n]*\n", screen(out))
    assert.is_nil(screen(out):find("1/3", 1, true))
  end)

  it("the bar goes when a signal comes", function()
    sleep "SELECT pg_sleep(30);"
    local dir = support.tempdir()
    local command = "echo $$ >" .. dir .. "/pid; exec " .. command_for "up"
    -- a shell ignores SIGINT for what runs in the background
    os.execute(("(env --default-signal=INT,QUIT script -qefc %s %s/out; echo $? >%s/code) "
      .. "</dev/null >/dev/null 2>&1 &"):format(cli.quote(command), dir, dir))
    local function wait_for(name, pattern)
      support.wait(function()
        local file = io.open(dir .. "/" .. name)
        local text = file and file:read "*a" or ""
        if file then file:close() end
        return text:find(pattern)
      end, name .. " with " .. pattern)
    end
    wait_for("out", "1/3  0:%d%d")
    os.execute("kill -INT $(cat " .. dir .. "/pid)")
    wait_for("code", "%d")
    local shown = screen(support.read(dir .. "/out"))
    assert.matches("interrupted by SIGINT", shown)
    assert.is_nil(shown:find("1/3", 1, true), shown)
  end)

  it("there is no bar where it is not wanted, or cannot be", function()
    for _, case in ipairs { { "-q" }, { "--json" }, { "", "dumb" } } do
      sleep()
      local out = on_terminal(case[1] .. " up --to 2", { TERM = case[2] })
      assert.is_nil(out:find("[#", 1, true), out)
      assert.is_nil(out:find("0:00", 1, true), out)
      assert.equal(0, (project.run "-q down --all"))
    end
  end)

  it("elsewhere there is nothing of it", function()
    for _, words in ipairs { "up", "status", "down" } do
      local _, out, err = project.run(words)
      assert.is_nil((out .. err):find "[\27\r]")
    end
  end)
end)
