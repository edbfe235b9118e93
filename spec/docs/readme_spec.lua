-- The quick starts of the README run as they are, but for the database. For nginx: nginx_spec.lua.
local support = require "spec.support"

local readme = support.read "README.md"
local engine = rawget(_G, "jit") and "luajit" or "lua5.4"

--- The block of code in a language that begins with some text.
local function block(language, first)
  local pattern = "```" .. language .. "\n(" .. first:gsub("%p", "%%%0") .. ".-)```"
  return assert(readme:match(pattern), first)
end

local migration = block("sql", "-- UP")

--- A folder with the README's migration in migrations/.
local function project()
  local dir = support.tempdir()
  support.run("mkdir " .. dir .. "/migrations")
  support.write(dir, "migrations/001_create_users.sql", migration)
  return dir
end

--- What makes a shell find the modules, as the README says.
local function paths()
  return (block("sh", "export LUA_PATH"):gsub("build/lua5.4", function()
    return (os.getenv "PGMIG_BUILD" or "build") .. "/" .. engine
  end))
end

describe("the README", function()
  it("has a quick start for the command line", function()
    local url = support.database()
    local filled = support.write(support.tempdir(), "filled.sql", migration)
    local commands = block("sh", "export PATH")
      :gsub("postgresql://app@localhost/shop", function() return "'" .. url .. "'" end)
      :gsub("pgmig create[^\n]*", function(line)
        return line .. "\ncp " .. filled .. " migrations/001_create_users.sql"
      end)
    local code, out, err = support.run(("export HOME=%s; set -e\n%s"):format(
      support.tempdir(), commands))
    assert.same({ 0, "" }, { code, (err:gsub("pgmig: database [^\n]* %(DATABASE_URL%)\n", "")) })
    assert.matches("migrations/001_create_users.sql\n", out, 1, true)
    assert.matches("0 applied, 1 pending", out, 1, true)
    assert.matches("\napplied +001_create_users .*\nrolled back +001_create_users ", out)
  end)

  it("has a quick start for Lua", function()
    local dir = project()
    support.write(dir, "start.lua", block("lua", 'local pgmig = require "pgmig"'))
    local code, out, err = support.run(("%s\ncd %s && DATABASE_URL=%s %s start.lua"):format(
      paths(), dir, support.quote(support.database()), engine))
    assert.same({ 0, "0 applied, 1 pending\nApplied: 001_create_users\n", "" }, { code, out, err })
  end)

  it("has a quick start for specs", function()
    local dir = project()
    support.write(dir, "users_spec.lua", block("lua", "-- spec/users"))
    local code, out, err = support.run(
      ("%s\ncd %s && busted --lua=$(type -P %s) --output=TAP users_spec.lua"):format(paths(), dir,
        engine))
    assert.same({ 0, "" }, { code, err })
    assert.matches("ok 1 - users need an e-mail address", out, 1, true)
  end)
end)
