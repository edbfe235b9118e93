--- Random lives of a database: what is known of it (spec.model.knowledge), and one step after
-- another (spec.model.steps), each of which compares that with what is there.
local random_of = require "spec.model.random"
local runs = require "spec.model.runs"
local step = require "spec.model.steps"
local world_of = require "spec.model.world"

local M = {}
local life = {}
life.__index = life

local SHOWN = 40 -- lines of the trace with a failure
local MOST = 20 -- migrations; then a new life begins

--- A life.
-- @param seed chooses all that happens
function M.new(seed)
  return setmetatable({
    random = random_of.new(seed), world = world_of.new(), list = {}, revision = 0, trace = {},
    relations = {}, -- which tables and indexes of migrations are there, by name
    litter = {}, -- those of which nobody knows
    closed = {}, armed = {}, duplicates = false,
  }, life)
end

function life:close() self.world:close() end

-- ---- what was done -----------------------------------------------------------

--- Note what is done.
function life:note(message, ...)
  self.trace[#self.trace + 1] = message:format(...)
  if os.getenv "PGMIG_MODEL_TRACE" then print(self.trace[#self.trace]) end
end

--- Raise what was done last, with a message, unless something is as it must be.
function life:expect(condition, message, ...)
  if condition then return end
  local words = { message:format(...), "after these steps:" }
  for i = math.max(1, #self.trace - SHOWN), #self.trace do
    words[#words + 1] = "  " .. self.trace[i]
  end
  words[#words + 1] = "in " .. self.world.dir .. " and " .. self.world.url
  error(table.concat(words, "\n"), 0)
end

--- What is in the database, when nobody is at work there any more.
function life:look()
  local left = self.world:settle()
  self:expect(left == 0, "%d sessions are left", left)
  local seen = self.world:look()
  seen.at = 1
  return seen
end

--- Call a method of a migrator, which has to work.
-- @return its report
function life:call(method, ...)
  local report = runs.module(self.world, method, ...)
  self:expect(report.ok, "%s had to work: %s", method, report.text)
  return report
end

--- A number for another text of a file.
function life:new_revision()
  self.revision = self.revision + 1
  return self.revision
end

-- ---- steps -------------------------------------------------------------------

local choices = {
  { "add", 4 }, { "up", 14 }, { "killed_up", 8 }, { "down", 6 }, { "killed_down", 3 },
  { "redo", 3 }, { "close_gate", 5 }, { "open_gates", 4 }, { "duplicate", 1 }, { "arm", 2 },
  { "rewrite", 4 }, { "crowd", 6 }, { "mend", 3 }, { "resolve", 8 }, { "fake", 1 }, { "edit", 1 },
  { "lose", 1 }, { "baseline", 1 }, { "restart", 1 }, { "undermine", 3 }, { "tamper", 2 },
}

--- Do one step, and compare all with what must be there.
-- @return whether the life goes on
function life:step()
  local name = self.random:weighted(choices)
  if #self.list >= MOST then return false end
  self:note("%d %s", #self.trace, name)
  step[name](self)
  return true
end

return M
