-- A file that is read in pieces is what it is when it is held, wherever a read of it ends: every
-- place is tried as the end of the first read, with buffers that are smaller than the lines.
local support = require "spec.support"

local SHOWN = 48 -- bytes of a line that are held for its sake, as script/fuzz has it; else 4 kB

local words = {
  blanks = (" "):rep(3 * SHOWN), words = ("word "):rep(SHOWN), tag = ("tag"):rep(SHOWN),
  xs = ("x"):rep(2 * SHOWN), long = ("'%s'"):format(("é"):rep(2 * SHOWN)),
  bom = "\239\187\191", cr = "\r",
}

local function byte(hex) return string.char(tonumber(hex, 16)) end

--- The texts of the fixture.
local function texts()
  local list = {}
  for line in io.lines "spec/fixtures/split_points.txt" do
    if not line:find "^#" then
      list[#list + 1] = line:gsub("|", "\n"):gsub("<(%x%x)>", byte):gsub("<(%l+)>", words)
    end
  end
  return list
end

describe("a file that is read in pieces", function()
  local program, dir

  setup(function()
    dir = support.tempdir()
    program = dir .. "/splits"
    local code, _, err = support.run("script/fuzz --splits " .. program)
    assert.equal(0, code, err)
  end)

  --- How many ways of reading were tried.
  local function tried(files)
    local code, out, err = support.run(program .. " " .. files)
    assert.equal("", err)
    assert.equal(0, code)
    return tonumber(out)
  end

  it("is what it is when it is held, wherever the first read ends", function()
    local bytes = 0
    for i, text in ipairs(texts()) do
      support.write(dir, ("text_%03d.sql"):format(i), text)
      bytes = bytes + #text
    end
    assert.is_true(bytes > 10000)
    assert.is_true(tried(dir .. "/text_*.sql") > 2 * bytes)
  end)

  it("is so, too, where the server itself was asked what it is", function()
    assert.is_true(tried "-p spec/fixtures/split/[!l]*.sql spec/fixtures/split/*/*.sql" > 500)
  end)
end)
