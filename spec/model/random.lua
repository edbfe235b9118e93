--- Random choices that are the same on every machine for the same seed.
local M = {}
local random = {}
random.__index = random

--- A generator (Park and Miller's, "minimal standard": exact in doubles).
-- @param seed a whole number from 1
function M.new(seed)
  local self = setmetatable({ state = seed % 2147483646 + 1 }, random)
  for _ = 1, 10 do self:below(2) end
  return self
end

--- A whole number from 0 to n - 1.
function random:below(n)
  self.state = self.state * 16807 % 2147483647
  return math.floor(self.state / 2147483647 * n)
end

--- A whole number from low to high.
function random:between(low, high) return low + self:below(high - low + 1) end

--- True in one of `n` cases.
function random:one_in(n) return self:below(n) == 0 end

--- One of a list's items.
function random:pick(list) return list[1 + self:below(#list)] end

--- One of the keys of { key = weight }, which is given as a list of { key, weight }.
function random:weighted(choices)
  local total = 0
  for _, choice in ipairs(choices) do total = total + choice[2] end
  local at = self:below(total)
  for _, choice in ipairs(choices) do
    at = at - choice[2]
    if at < 0 then return choice[1] end
  end
end

return M
