--- How many rows the next batch has. The size follows what a row has taken, so that a batch takes a
-- target time: slowly upwards, at once downwards. A batch that has failed is tried again with half
-- of its rows, until the row that it failed by stands alone.
local M = {}
local pace = {}
pace.__index = pace

local AIM = 0.8 -- of the target: what varies from batch to batch stays below twice of it
local GROWTH = 3
local WEIGHT = 0.3 -- of the newest batch

--- Begin.
-- @param first rows of the first batch
-- @param seconds that a batch is to take
-- @param smallest, largest rows; what has failed may have fewer
function M.new(first, seconds, smallest, largest)
  return setmetatable({
    rows = first, seconds = seconds, smallest = math.min(first, smallest), largest = largest,
  }, pace)
end

--- Have no batch with more rows than this from now on.
function pace:limit(rows)
  self.largest = math.min(self.largest, rows)
  self.smallest = math.min(self.smallest, self.largest)
  self.rows = math.min(self.rows, self.largest)
end

--- How many rows the next batch has.
function pace:size() return self.rows end

local function clamp(self, rows)
  return math.max(self.smallest, math.min(self.largest, math.floor(rows)))
end

--- What is left of a batch that has failed, where its fault may be.
local function narrow(self, rows)
  self.suspected = self.suspected - rows
  self.rows = math.max(1, math.ceil(self.suspected / 2))
  if self.suspected > 0 then return end
  self.suspected = nil
  self.rows = self.before
end

--- A batch is done.
-- @param rows that it had
-- @param seconds that it took
function pace:took(rows, seconds)
  if self.suspected then return narrow(self, rows) end
  if rows == 0 then return end
  local each = seconds / rows
  self.each = self.each and self.each + WEIGHT * (each - self.each) or each
  local ideal = self.seconds * AIM / math.max(each, self.each, 1e-9)
  if self.held then -- what has just failed grows again with care
    ideal, self.held = math.min(ideal, rows), nil
  end
  self.rows = clamp(self, math.min(ideal, math.max(rows, self.rows) * GROWTH))
end

--- A batch has failed by its duration or by locks: the next one has half of its rows.
-- @return whether it had more than one
function pace:halve(rows)
  self.held = true
  self.rows = math.max(1, math.floor(rows / 2))
  self.smallest = math.min(self.smallest, self.rows)
  return rows > 1
end

--- A batch has failed by one of its rows.
-- @return whether it had more than one
function pace:suspect(rows)
  if not self.suspected then self.before = rows end
  self.suspected = rows
  self.rows = math.max(1, math.floor(rows / 2))
  return rows > 1
end

return M
