-- The reference, the definitions for editors and the code agree: names, and parameters.
local pgmig = require "pgmig"
local support = require "spec.support"

--- The public functions: by the name that a reader looks for.
local function public_functions()
  local db = pgmig.connect(support.database())
  local classes = {
    { "pgmig", pgmig, "init" },
    { "naming", pgmig.naming, "naming" },
    { "drivers", pgmig.drivers, "drivers" },
    { "connection", getmetatable(db), "db/connection" },
    { "migrator", getmetatable(pgmig.migrator(nil, "migrations")), "migrator" },
    { "testing", require "pgmig.testing", "testing" },
    { "scratch", require "pgmig.scratch", "scratch" },
    { "server", getmetatable(support.server()), "scratch" },
    { "config", require "pgmig.config", "config" },
    { "errors", require "pgmig.errors", "errors" },
    { "formats", require "pgmig.formats", "formats" },
    { "nginx", require "pgmig.nginx", "nginx/init" },
  }
  local list = {}
  for _, class in ipairs(classes) do
    for name, value in pairs(class[2]) do
      if type(value) == "function" and not name:find "^__" then
        list[#list + 1] = { class = class[1], name = name, module = class[3] }
      end
    end
  end
  db:close()
  return list
end

local definitions = support.read "types/pgmig.lua"

--- The parameters of a function in a Lua text: "a, b"; nil when it is not there.
local function parameters(text, class, name)
  return text:match("\nfunction " .. class .. "[.:]" .. name .. "%((.-)%)")
end

describe("the reference", function()
  local functions
  setup(function() functions = public_functions() end)

  it("looks at all that there is", function()
    assert.is_true(#functions >= 30)
  end)

  it("has every public function in the definitions, with the code's parameters", function()
    for _, f in ipairs(functions) do
      local defined = parameters(definitions, f.class, f.name)
      assert.is_string(defined, f.class .. "." .. f.name)
      local code = support.read(("lua/pgmig/%s.lua"):format(f.module))
      local written = parameters(code, f.class, f.name) or parameters(code, "M", f.name)
      if written then assert.equal(written, defined, f.class .. "." .. f.name) end
    end
  end)

  it("defines nothing that is not there", function()
    local known = { ["context.skip"] = true, ["context.stop"] = true }
    for _, f in ipairs(functions) do known[f.class .. "." .. f.name] = true end
    for class, name in definitions:gmatch "\nfunction (%w+)[.:]([%w_]+)%(" do
      assert.is_true(known[class .. "." .. name], class .. "." .. name)
    end
  end)

  it("is built without a warning, and has every public function", function()
    local code, _, err = support.run "script/docs"
    assert.same({ 0, "" }, { code, err })
    local modules = { init = "pgmig", ["nginx/init"] = "pgmig.nginx" }
    for _, f in ipairs(functions) do
      local module = modules[f.module] or "pgmig." .. f.module:gsub("/", ".")
      local page = support.read(("build/docs/modules/%s.html"):format(module))
      assert.is_truthy(page:find('name%s*=%s*"[%w_.:]-' .. f.name .. '"'), module .. " " .. f.name)
    end
  end)
end)
