local dkjson = require "dkjson"
local pgmig = require "pgmig"
local support = require "spec.support"

local interpreter = rawget(_G, "jit") and "luajit" or "lua5.4"

describe("examples/deploy.lua", function()
  local dir, urls

  before_each(function()
    dir, urls = support.tempdir(), { support.database(), support.database(), support.database() }
    support.write(dir, "001_a.sql", "CREATE TABLE a ();")
    support.write(dir, "002_night_index.sql", "CREATE TABLE night ();")
  end)

  local function deploy(words, input)
    local list = {}
    for i, url in ipairs(urls) do list[i] = support.quote(url) end
    local paths = ("LUA_PATH=%s LUA_CPATH=%s"):format(
      support.quote(package.path), support.quote(package.cpath))
    local code, out, err = support.run(("printf '%s' | %s %s examples/deploy.lua %s %s %s"):format(
      input or "", paths, interpreter, words or "", dir, table.concat(list, " ")))
    local objects = {}
    for line in out:gmatch "[^\n]+" do objects[#objects + 1] = assert(dkjson.decode(line)) end
    return code, objects, err
  end

  local function applied(url)
    local db = pgmig.connect(url)
    local list = pgmig.migrator(db, dir):applied()
    for i, m in ipairs(list) do list[i] = m.label end
    db:close()
    return table.concat(list, " ")
  end

  local function notices(objects)
    local list = {}
    for _, object in ipairs(objects) do
      if object.level == "notify" then list[#list + 1] = object.message end
    end
    return list
  end

  it("migrates the canary, then the rest, without what waits for the night", function()
    local code, objects = deploy "--yes"
    assert.equal(0, code)
    for _, url in ipairs(urls) do assert.equal("001_a", applied(url)) end
    assert.same({ "canary: 1 applied", "database 2: 1 applied", "database 3: 1 applied" },
      notices(objects))
  end)

  it("asks behind the canary", function()
    assert.equal(0, (deploy("", "n\\n")))
    assert.same({ "001_a", "", "" }, { applied(urls[1]), applied(urls[2]), applied(urls[3]) })
    assert.equal(0, (deploy("", "y\\n")))
    assert.equal("001_a", applied(urls[3]))
  end)

  it("leaves the rest alone when the canary fails", function()
    support.write(dir, "003_bad.sql", "SELECT nix;")
    local code, objects, err = deploy "--yes"
    assert.equal(1, code)
    assert.matches("003_bad.sql:1:8", err, 1, true)
    assert.same({ "canary: FAILED" }, notices(objects))
    assert.same({ "001_a", "" }, { applied(urls[1]), applied(urls[2]) })
  end)

  it("vetoes a table that is dropped without saying so", function()
    support.write(dir, "003_tidy.sql", "DROP TABLE a;")
    local code, _, err = deploy "--yes"
    assert.equal(1, code)
    assert.matches("drops a table", err)
    support.run(("mv %s/003_tidy.sql %s/003_drop_a.sql"):format(dir, dir))
    assert.equal(0, (deploy "--yes"))
    assert.equal("001_a 003_drop_a", applied(urls[3]))
  end)
end)
