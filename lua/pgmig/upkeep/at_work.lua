--- Who works on a database's migrations at this moment: what is under way is no finding.
local aftermath = require "pgmig.state.aftermath"
local blockers = require "pgmig.db.blockers"
local lock = require "pgmig.run.lock"
local orphan = require "pgmig.db.orphan"

local M = {}

--- Look for a run, and for statements that a run which has ended has left at work: their rows in
-- the journal get `busy`.
-- @param migrator of pgmig.migrator
-- @param read what `ledger:read` has returned
-- @return the holder of the lock (pgmig.run.lock), with blockers = whom its worker waits for; nil
function M.find(migrator, read)
  local who = lock.find(migrator)
  if who and who.worker then who.blockers = blockers.of_process(migrator.db, who.worker) end
  if who then return who end
  for _, row in pairs(read.journal) do
    row.busy = row.state == "running" and orphan.is_busy(migrator.db, row)
  end
end

--- Which migration a run is at.
local function current(who, read)
  for _, left in ipairs(read.left) do
    if left.pid and left.pid == who.worker then
      local m = select(2, aftermath.describe(left, read, true))
      return m and aftermath.label(m)
    end
  end
end

--- What is said of a holder: a sentence, and a hint.
function M.describe(who, read)
  local label = current(who, read)
  local sentence = ("a run is at work%s: %s"):format(label and " on " .. label or "",
    lock.describe(who))
  for _, b in ipairs(who.blockers or {}) do
    sentence = sentence .. "; it waits for " .. blockers.describe(b)
  end
  return sentence, lock.advise(who)
end

return M
