--- What a run has done, as its traces in the database tell; each of them is judged.
local knowledge = require "spec.model.knowledge"
local session = require "spec.model.session"

local M = {}

--- Take the marks of a section from those that are new.
-- @param from how many statements were done before
-- @param cut of a `partial`
-- @return the place of the last statement whose mark was there; `from` when there was none
local function take_marks(self, section, from, cut, seen)
  local reached = from
  for i = from + 1, #section.statements do
    local st = section.statements[i]
    local mark = seen.marks[seen.at]
    if st.mark and mark and mark.mark == st.mark then
      local expected = session.describe(session.before(section, i, cut))
      self:expect(mark.session == expected, "%s ran in the session\n  %s, not\n  %s", st.mark,
        mark.session, expected)
      seen.at, reached = seen.at + 1, i
    elseif st.mark then
      break
    end
  end
  return reached
end

--- Statements of a section have run: what they have made and removed.
local function carry_out(self, section, from, to)
  for i = from + 1, to do
    local st = section.statements[i]
    if st.makes then self.relations[st.makes] = true end
    if st.drops then self.relations[st.drops] = nil end
  end
end

--- The last of the statements after `from` that leaves a mark, up to `to`.
local function last_mark(section, from, to)
  local last = from
  for i = from + 1, to do
    if section.statements[i].mark then last = i end
  end
  return last
end

--- It has been run to its end.
local function complete(self, m, direction, section, from, reached)
  self:expect(reached == last_mark(section, from, #section.statements),
    "%s is recorded as run %s, but has not got further than statement %d", m.file.label, direction,
    reached)
  carry_out(self, section, from, #section.statements)
  m.partial = nil
  m.applied = direction == "up" and m.file or nil
  m[direction .. "s"] = m[direction .. "s"] + 1
end

--- It is left half-way, as the journal's row says.
local function stop(self, m, direction, section, from, reached, row)
  self:expect(row.direction == direction, "the journal has %s of %s", row.direction, m.file.label)
  local done = row.done
  local under_way = section.statements[done + 1]
  self:expect(done >= from and reached >= last_mark(section, from, done),
    "the journal counts %d statements of %s, but only %d were run", done, m.file.label, reached)
  self:expect(last_mark(section, done, reached) <= done or (under_way and under_way.opaque
    and reached == done + 1), "the journal counts %d statements of %s, but %d were run", done,
    m.file.label, reached)
  carry_out(self, section, from, done)
  local before = m.partial or {}
  local same = before.done == done and before or {}
  local ran, open = reached > done or same.ran, row.state == "running"
  self:expect(not ran or open or row.state == "partial" or same.unknown,
    "statement %d of %s has run, and the journal has it as %s", done + 1, m.file.label, row.state)
  m.partial = {
    direction = direction, done = done, ran = ran, open = open,
    debris = same.debris or (under_way and under_way.alone and under_way.makes),
    unknown = ran or same.unknown or (open and under_way.opaque), dim = not row.session_known,
    gone = same.gone, cut = before.cut or 0,
  }
end

--- Nothing of it was kept.
local function stay(self, m, direction, from, reached, row)
  self:expect(reached == from and (not m.partial or row),
    "%s is not recorded as run %s, but its statements up to %d were run", m.file.label, direction,
    reached)
end

--- Whether the history says that a migration has been run once more.
local function is_recorded(m, direction, seen)
  return (seen.events[m.id .. direction] or 0) > m[direction .. "s"]
end

--- Explain what a run has changed.
-- @param plan the migrations that it was to run, in order
-- @return those that it has run
function M.run(self, plan, direction, seen)
  local done = {}
  for _, m in ipairs(plan) do
    local section, from = knowledge.section(m, direction), knowledge.done(m, direction)
    local cut = m.partial and m.partial.cut or 0
    local reached = take_marks(self, section, from, cut, seen)
    local row = seen.journal[m.id]
    if is_recorded(m, direction, seen) then
      complete(self, m, direction, section, from, reached)
      done[#done + 1] = m
    elseif section.transaction or not row then
      stay(self, m, direction, from, reached, row)
      break
    else
      stop(self, m, direction, section, from, reached, row)
      break
    end
  end
  return done
end

return M
