-- What a slow link costs is counted, not timed: answers that somebody has waited for.
local pgmig = require "pgmig"
local support = require "spec.support"

local function round_trips(count, words)
  local delay = require "bench.delay"
  local dir, server = support.tempdir(), support.server()
  for i = 1, count do
    support.write(dir, ("%04d_t.sql"):format(i), ("-- UP\nCREATE TABLE t%d (n int);\n"
      .. "INSERT INTO t%d VALUES (1);\n-- DOWN\nDROP TABLE t%d;\n"):format(i, i, i))
  end
  local name = support.database():match "///([%w_]+)"
  local link = delay.start(server, 1)
  local db = pgmig.connect(("postgresql://postgres@/%s?host=%s"):format(name, link.host))
  local m = pgmig.migrator(db, dir)
  assert.equal(count, #m:migrate())
  if words == "twice" then assert.equal(0, #m:migrate()) end
  db:close()
  return select(2, link.stop())
end

describe("a link", function()
  setup(function()
    local code, out, err = support.run "script/build && cmake --build build --target bench"
    assert(code == 0, out .. err)
  end)

  it("is waited for as often, whatever the number of migrations", function()
    local few, many = round_trips(2), round_trips(400)
    print(("# round trips: %d for 2 migrations, %d for 400"):format(few, many))
    assert.is_true(many < few + 40 and many < 60) -- a look at the lock a second is among them
  end)

  it("is waited for a handful of times when there is nothing to do", function()
    assert.is_true(round_trips(50, "twice") - round_trips(50) < 8)
  end)
end)
