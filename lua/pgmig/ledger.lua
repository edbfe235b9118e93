--- The tracking table, read and prepared through the core.
local core = require "pgmig.core"
local errors = require "pgmig.errors"

local M = {}
local ledger = {}
ledger.__index = ledger

--- A ledger for a table's name; nothing is sent.
-- @raise kind "usage" for an invalid name
function M.new(table_name)
  return setmetatable({ handle = core.ledger(table_name), name = table_name }, ledger)
end

local function operate(self, db, operation, version)
  db.handle:ledger(self.handle, operation, version)
  db:run()
  db:finish "finish_ledger"
end

--- The rows of the table, by version; the table must be there.
-- @return a list of { id, name, applied_at, applied_at_epoch }
function ledger:list(db)
  operate(self, db, "list")
  return db.handle:rows()
end

--- Look for the table and read it. Creates nothing.
-- @return its rows; none when there is no table
-- @raise kind "plan" for a table that is not ours
function ledger:read(db)
  operate(self, db, "probe")
  if not self.handle:exists() then return {} end
  return self:list(db)
end

--- The longest version of a plan.
local function widest(plan)
  local id = plan[1].id
  for _, m in ipairs(plan) do
    if core.compare(m.id, id) > 0 then id = m.id end
  end
  return id
end

--- Make the table ready to take a plan's rows; `read` comes first.
-- @raise kind "plan" on a standby
function ledger:prepare(db, plan)
  local handle = self.handle
  if handle:read_only() then
    errors.raise("plan", "this server is a standby: migrations run on the primary", {
      hint = "name the primary, or several hosts with target_session_attrs=read-write",
    })
  end
  if plan.direction ~= "up" then return end
  if not handle:exists() then
    operate(self, db, "create")
    operate(self, db, "probe") -- another run may have made it, or another program
  end
  local id = widest(plan)
  if not handle:fits(id) then operate(self, db, "widen", id) end
end

return M
