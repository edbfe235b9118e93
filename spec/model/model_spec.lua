-- Random lives of migrations (up, down, redo, kills, failures that are mended, resolve, fake,
-- baseline, repair, edits, two runs at once), each step compared with a model of what must be
-- there: database, tables and messages never disagree. PGMIG_MODEL_STEPS and PGMIG_MODEL_SEED
-- choose how long and which; PGMIG_MODEL_TRACE=1 prints what is done.
local model = require "spec.model.model"

local STEPS = tonumber(os.getenv "PGMIG_MODEL_STEPS") or 1000
local SEED = tonumber(os.getenv "PGMIG_MODEL_SEED") or rawget(_G, "jit") and 1001 or 1
local LIFE = 150 -- steps in one database, at most

describe("pgmig and the model of it", function()
  it("agree after every step", function()
    local steps, seed = 0, SEED
    while steps < STEPS do
      local life = model.new(seed)
      local ok, err = pcall(function()
        local count = 0
        while count < LIFE and life:step() do count, steps = count + 1, steps + 1 end
      end)
      life:close()
      if not ok then error(("seed %d: %s"):format(seed, tostring(err)), 0) end
      seed = seed + 1
    end
  end)
end)
