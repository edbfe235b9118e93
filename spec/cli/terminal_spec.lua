-- Colours, and the line that shows what is running: on a terminal only.
local cli = require "spec.cli.helper"
local support = require "spec.support"

local ESCAPE = "\27["

describe("on a terminal", function()
  local project
  before_each(function() project = cli.project() end)
  after_each(function() project.close() end)

  --- Run with a terminal as standard output and error; their text.
  local function on_terminal(words, env)
    local command = cli.command(project.words(words), project.env(env))
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

  it("NO_COLOR takes colours away, unless it is empty; --no-color does, too", function()
    assert.is_nil(on_terminal("status", { NO_COLOR = "1" }):find(ESCAPE, 1, true))
    assert.is_nil(on_terminal("status --no-color"):find(ESCAPE, 1, true))
    assert.truthy(on_terminal("status", { NO_COLOR = "" }):find(ESCAPE, 1, true))
  end)

  it("a line shows what is running, and goes", function()
    local out = on_terminal "up --to 1 --no-color"
    local running = "applying     001_create_a ..."
    local blank = "\r" .. (" "):rep(#running) .. "\r"
    assert.truthy(out:find(running .. blank .. "applied      001_create_a", 1, true), out)
    assert.is_nil(on_terminal("--json up"):find("applying", 1, true))
    assert.equal("", on_terminal "-q down")
  end)

  it("elsewhere there is nothing of it", function()
    for _, words in ipairs { "up", "status", "down" } do
      local _, out, err = project.run(words)
      assert.is_nil((out .. err):find "[\27\r]")
    end
  end)
end)
