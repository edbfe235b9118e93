--- What is known before a step: migrations, how far each is, and what a run will come to.
-- A life (spec.model.model) has `list`: migrations { id, file, applied = the file that was
-- applied, ups and downs = how often the history has these events, partial = how it was left
-- half-way }. `partial` is { direction, done = statements, open = nobody was told how the next one
-- ended, ran = that has left its mark, unknown = nobody but a person can tell what became of it,
-- debris = the index that it may have left, gone = what was done was removed by hand, dim = its
-- session may have been another one, cut = up to this statement, its session is given up }.
local session = require "spec.model.session"

local M = {}

--- Those for which `fits` holds, by version.
function M.those(self, fits)
  local result = {}
  for _, m in ipairs(self.list) do
    if fits(m) then result[#result + 1] = m end
  end
  return result
end

function M.is_pending(m) return not m.applied end
function M.is_applied(m) return m.applied end
function M.is_untouched(m) return not m.applied and not m.partial end
function M.is_partial(m) return m.partial end
function M.is_left(direction)
  return function(m) return m.partial and m.partial.direction == direction end
end

function M.any(self, fits) return M.those(self, fits)[1] ~= nil end

--- One of them; nil when there is none.
function M.choose(self, fits)
  local list = M.those(self, fits)
  return #list > 0 and self.random:pick(list) or nil
end

--- The section that a run in a direction would execute; nil where there is none.
function M.section(m, direction) return m.file[direction] end

--- How many statements of it are done.
function M.done(m, direction)
  return m.partial and m.partial.direction == direction and m.partial.done or 0
end

--- Whether a migration that was left half-way waits for somebody's word: its session had what
-- nobody can make again, or what it has done is gone.
function M.is_obstructed(m)
  local partial, section = m.partial, M.section(m, m.partial.direction)
  if partial.done == 0 or partial.done >= #section.statements then return false end
  return partial.gone or partial.dim or session.is_lost(section, partial.done, partial.cut)
end

--- Whether a run is refused before it has done anything: ways back are all looked at first, and
-- nothing takes the ground from under what is half-done, or builds on it.
function M.is_refused(self, plan, direction)
  if #plan == 0 then return false end
  if direction == "up" then return M.any(self, M.is_left "down") end
  for _, m in ipairs(plan) do
    if not M.section(m, "down") then return true end
  end
  return M.any(self, function(m) return m.partial and not m.applied and m.id > plan[#plan].id end)
end

--- Why a statement fails as the database is; nil: it does not.
local function obstacle(self, m, st, is_next)
  if st.gate and self.closed[st.gate] then return "a closed gate" end
  if st.unique and self.duplicates then return "duplicates" end
  if st.makes and self.relations[st.makes] then
    return not (is_next and m.partial and m.partial.open) and "it exists" or nil
  end
  if st.drops and not self.relations[st.drops] then return "it is not there" end
end

--- Whether a server process ends in the middle where its session cannot be made again.
local function may_lose_session(self, section, place, cut)
  return not section.transaction and self.armed[section.statements[place].trapdoor or ""]
    and session.is_lost(section, place - 1, cut)
end

--- What a run of a migration will come to, that is not refused: "done", "fails", or nil: either.
function M.forecast(self, m, direction)
  local section, partial = M.section(m, direction), m.partial
  if partial and (partial.unknown or M.is_obstructed(m)) then return "fails" end
  local armed, start, cut = 0, M.done(m, direction), partial and partial.cut or 0
  local first = section.statements[start + 1]
  if partial and partial.open and first and self.relations[first.makes or ""] then return nil end
  for i = start + 1, #section.statements do
    local st = section.statements[i]
    if self.litter[st.makes or st.drops or ""] then return nil end
    if obstacle(self, m, st, i == start + 1) then return "fails" end
    if may_lose_session(self, section, i, cut) then return nil end
    if st.trapdoor and self.armed[st.trapdoor] then armed = armed + 1 end
  end
  if armed > 2 then return nil end
  return "done"
end

--- The forecasts for a plan, false where either may happen.
function M.forecasts(self, plan, direction)
  local list = {}
  for i, m in ipairs(plan) do
    list[i] = not M.is_refused(self, plan, direction) and M.forecast(self, m, direction) or false
  end
  return list
end

return M
