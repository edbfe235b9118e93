-- Calls in any order, with any objects, some of which are collected meanwhile: an error at most.
local sanitized = require "spec.robustness.sanitized"
local support = require "spec.support"

local SEEDS, CALLS = { 1, 2, 3, 4 }, 3000
local ONE_MORE = tonumber(os.getenv "PGMIG_SEED") -- to try another one by hand

describe("the core's functions", function()
  it("called in any order raise, and do no other harm", function()
    local folder = support.tempdir()
    local program, url = sanitized.lua(), support.database()
    for _, seed in ipairs(ONE_MORE and { ONE_MORE } or SEEDS) do
      local code, _, err = support.run(("%s%s spec/robustness/call_order.lua %s %s %d %d")
        :format(support.timeout(300), program, support.quote(url), folder, seed, CALLS))
      assert.same({ 0, "" }, { code, err:sub(1, 3000) }, "seed " .. seed)
    end
    assert.matches("up|%d+", support.psql(url, -- it was not all refused
      "SELECT event, count(*) FROM migrations_a_history GROUP BY 1"))
  end)
end)
