--- The session in which a statement of a section runs, as `public.session_state()` tells it.
local M = {}

--- A session that nobody has changed.
M.pristine = {
  path = '"$user", public', who = "postgres", memory = "4MB",
  temporary = 0, prepared = 0, cursors = 0, channels = 0, locks = 0,
}

local order = {
  "path", "who", "memory", "temporary", "prepared", "cursors", "channels", "locks",
}

--- Whether a statement gives its session what nobody can make again.
local function gives(st) return st.effect ~= nil and st.effect.add end

--- Before a statement.
-- @param section of `migrations.random`
-- @param place of the statement
-- @param cut of the statements up to this one, only settings are left: somebody has said that the
--   rest was of no importance
function M.before(section, place, cut)
  local state = {}
  for key, value in pairs(M.pristine) do state[key] = value end
  for i = 1, place - 1 do
    local st = section.statements[i]
    local effect = st.effect
    if gives(st) then
      state[effect.key] = state[effect.key] + (i > cut and 1 or 0)
    elseif effect then
      state[effect.key] = effect.value
    end
  end
  return state
end

--- Whether another session, behind `done` statements, lacks what these have made.
function M.is_lost(section, done, cut)
  for i = cut + 1, done do
    if gives(section.statements[i]) then return true end
  end
  return false
end

--- A state as text, in the words of `session_state`.
function M.describe(state)
  local words = {}
  for i, key in ipairs(order) do words[i] = key .. "=" .. state[key] end
  return table.concat(words, " ")
end

return M
