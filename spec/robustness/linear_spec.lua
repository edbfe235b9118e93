-- Work grows with the size of what there is to do, and no faster: callgrind counts the instructions
-- for an input and for one that is four times as large. Times are not looked at.
local core = require "pgmig.core"
local support = require "spec.support"

local q = support.quote

local MOST = 5 -- times the instructions, for four times as much; the square would be sixteen

--- The instructions that callgrind has counted in a process: { [name] = { of the small input, of
-- the large one } }.
local function counts(dir)
  local found = {}
  for _, name in ipairs(core.list(dir)) do
    local text = name:find "^out%." and support.read(dir .. "/" .. name) or ""
    local size, label = text:match "desc: Trigger: Client Request: (%d):([^\n]+)"
    if size then
      found[label] = found[label] or {}
      found[label][size == "1" and 1 or 2] = tonumber(text:match "totals: (%d+)")
    end
  end
  return found
end

describe("the work", function()
  it("grows no faster than its input", function()
    local dir, files = support.tempdir(), support.tempdir()
    local code, _, err = support.run(("cc -shared -fPIC -O1 -Wall -Wextra -Werror "
      .. "spec/fixtures/c/counted.c -o %s/counted.so $(pkg-config --cflags lua5.4)"):format(q(dir)))
    assert.same({ 0, "" }, { code, err })
    code, _, err = support.run(("LUA_PATH=%s LUA_CPATH=%s valgrind --quiet --tool=callgrind "
      .. "--instr-atstart=no --callgrind-out-file=%s/out lua5.4 spec/robustness/linear.lua %s %s")
      :format(q(package.path), q(dir .. "/?.so;build/lua5.4/?.so;;"), q(dir),
        q(support.database()), q(files)))
    assert.same({ 0, "" }, { code, err })
    local tried = 0
    for name, n in pairs(counts(dir)) do
      tried = tried + 1
      assert.is_true(n[1] > 1000, name)
      assert.is_true(n[2] < MOST * n[1], ("%s: %d instructions become %d"):format(name, n[1], n[2]))
    end
    assert.is_true(tried >= 40, tried .. " cases")
  end)
end)
