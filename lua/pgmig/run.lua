--- Running a plan: one migration after another, each reported.
local core = require "pgmig.core"
local errors = require "pgmig.errors"

local M = {}

--- Read and parse a migration's file, once.
-- @raise kinds "io", "parse", and "plan" when the file is gone
function M.script(m)
  if m.missing then
    errors.raise("plan", ("migration %s is applied, but its file is missing"):format(m.label), {
      hint = "bring the file back, for example from version control",
    })
  end
  m.script = m.script or core.read_script(m.path)
  return m.script
end

local no_way_back = {
  none = { "it has no DOWN section", "write one, or restore a backup" },
  empty = { "its DOWN section has no SQL", "write it, or the line `-- pgmig: empty`" },
}

--- Refuse a rollback that the file does not provide for.
local function check_down(m)
  local state, reason = M.script(m):down_state()
  local why = no_way_back[state]
  if state == "irreversible" then
    why = { "it is irreversible" .. (reason ~= "" and ": " .. reason or ""), nil }
  end
  if not why then return end
  errors.raise("plan", ("cannot roll back %s: %s"):format(m.label, why[1]), {
    file = m.path, hint = why[2],
  })
end

--- Check everything that can be known before the first statement runs.
function M.check(plan)
  if plan.direction ~= "up" then return end
  for _, m in ipairs(plan) do
    local ok, err = pcall(M.script, m)
    if not ok then
      if errors.is(err) then err.migration = m.label end
      error(err, 0)
    end
  end
end

--- The claim was refused: another run was first. True when its work shows in the table.
local function settled_elsewhere(ledger, db, m, direction)
  local there = false
  for _, row in ipairs(ledger:list(db)) do there = there or row.id == m.id end
  return there == (direction == "up")
end

local function run_one(self, m, direction)
  local db, ledger = self.db, self.ledger
  if direction == "down" then check_down(m) end
  db:on_notice(function(notice)
    notice.type, notice.migration = "notice", m
    self.emit(notice)
  end)
  local started = core.now()
  self.emit { type = "start", migration = m, direction = direction }
  db.handle:apply(ledger.handle, M.script(m), {
    direction = direction, section = direction, version = m.id, name = m.name,
    lock_timeout = self.lock_timeout,
  })
  db:run()
  if db:finish "outcome" == "done" then
    self.emit {
      type = direction == "up" and "applied" or "rolled_back", migration = m,
      duration = core.now() - started,
    }
    return true
  end
  if not settled_elsewhere(ledger, db, m, direction) then
    errors.raise("plan", ("the tracking table refuses the row of %s"):format(m.label), {
      hint = "a trigger or rule on it may be in the way",
    })
  end
  self.emit { type = "skipped", migration = m, message = "another run was first" }
  return false
end

--- Add to an error what was done before it.
local function complete(err, m, done, direction)
  if not errors.is(err) then return err end
  err.migration = m.label
  err[direction == "up" and "applied" or "rolled_back"] = done
  return err
end

local function warn(self, m)
  for _, warning in ipairs(M.script(m):warnings()) do
    self.emit {
      type = "warning", migration = m, message = warning.message, line = warning.line,
    }
  end
end

--- Run a plan.
-- @param self { db, ledger, emit = fn(event), lock_timeout }
-- @return the migrations that were run, in order
-- @raise the error, with migration, applied and for rollbacks rolled_back
function M.run(self, plan)
  local done = {}
  for _, m in ipairs(plan) do
    local ok, result = pcall(function()
      self.db:check_interrupted()
      if not m.missing then warn(self, m) end
      return run_one(self, m, plan.direction)
    end)
    if not ok then error(complete(result, m, done, plan.direction), 0) end
    if result then done[#done + 1] = m end
    m.script = nil -- a long history must not fill the memory
  end
  return done
end

return M
