-- Each option stands once, in lua/pgmig/options.lua; what else tells of options agrees with it.
local drift = require "pgmig.state.drift"
local options = require "pgmig.options"
local support = require "spec.support"

--- Whether a text has a flag, and not only a longer one.
local function flag_named(text, flag) return text:find(flag .. "%f[^%w-]") ~= nil end

--- What of a list a text does not have.
local function missing(list, has)
  local gone = {}
  for _, item in ipairs(list) do
    if not has(item) then gone[#gone + 1] = item end
  end
  return gone
end

local function collect(field)
  local list = {}
  for _, option in ipairs(options.list) do
    if option[field] then list[#list + 1] = option[field] end
  end
  return list
end

describe("the options", function()
  it("have their flags in the manual and in the completions", function()
    for path, dash in pairs {
      ["man/pgmig.1"] = "Fl -", ["completions/pgmig.bash"] = "--", ["completions/_pgmig"] = "--",
      ["completions/pgmig.fish"] = "-l ",
    } do
      local text = support.read(path)
      assert.same({}, missing(collect "flag", function(flag)
        return flag_named(text, (dash .. flag:sub(3)):gsub("%-", "%%-"))
      end), path)
    end
  end)

  it("have their variables in the manual", function()
    local text = support.read "man/pgmig.1"
    assert.same({}, missing(collect "variable", function(name)
      return text:find(name .. "%f[^%w_]") ~= nil
    end))
  end)

  it("of a migrator are in its comment and in the definitions for editors", function()
    local code = support.read "lua/pgmig/migrator.lua"
    local comment = code:match "%-%-%- Make a migrator%.(.-)\nfunction"
    local class = support.read("types/pgmig.lua"):match "%-%-%-@class pgmig%.Options\n(.-)\n\n"
    local keys = options.of_migrator()
    assert.same({}, missing(keys, function(key) return comment:find(key .. " = ") end))
    local defined = {}
    for key in class:gmatch "@field ([%w_]+)" do defined[#defined + 1] = key end
    table.sort(keys)
    table.sort(defined)
    assert.same(keys, defined)
  end)

  it("take no word for the name of their type", function()
    for _, option in ipairs(options.list) do
      local takes_text = option.types:find "string" ~= nil
      assert.equal(takes_text, options.fits(option, option.types), option.key)
    end
    assert.is_true(options.fits(options.by_key.placeholders, false))
    assert.is_false(options.fits(options.by_key.placeholders, true))
  end)

  it("say the same default where they tell one", function()
    for _, option in ipairs(options.list) do
      local told = option.help and option.help:match "%(default: ([^,)]+)"
      if told then assert.equal(tostring(option.default), told, option.key) end
    end
  end)

  it("of a policy have each state in the completions", function()
    for _, name in ipairs { "pgmig.bash", "_pgmig", "pgmig.fish" } do
      local path = "completions/" .. name
      local text = support.read(path)
      local states = {}
      for state in pairs(drift.defaults) do
        if state ~= "duplicate" then states[#states + 1] = state end -- it has no choice
      end
      assert.same({}, missing(states, function(state)
        return text:find("%f[%w_]" .. state .. "%f[^%w_]")
      end), path)
    end
  end)
end)
