--- Whether each migration can be rolled back, by trying: up, down, compared; up again, compared;
-- and the whole chain down and up.
local arguments = require "pgmig.arguments"
local clones = require "pgmig.proof.clone"
local core = require "pgmig.core"
local difference = require "pgmig.proof.difference"
local errors = require "pgmig.errors"
local net = require "pgmig.proof.net"
local source = require "pgmig.files.source"
local trace = require "pgmig.proof.trace"
local walks = require "pgmig.proof.walk"

local M = {}

--- The results that a build should fail for.
M.failing = { broken = true, leftover = true, nothing = true, failed = true }

-- ---- what a result says ------------------------------------------------------------

--- Whether all that differs is there beside what was.
local function is_leftover(list)
  for _, item in ipairs(list) do
    if item.change ~= "added" then return false end
  end
  return true
end

--- The word for what a way back has left.
-- @param list of differences, not empty
-- @param up, down what each way did
local function word_of(list, up, down)
  if next(up) ~= nil and next(down) == nil then return "nothing" end
  if difference.is_order(list) then return "reordered" end
  return is_leftover(list) and "leftover" or "broken"
end

local function settle(self, at, fields)
  local result = self.results[at]
  for key, value in pairs(fields) do result[key] = value end
end

--- What the tables hold, compared.
local function compare_rows(before, after)
  local list = {}
  for name, was in pairs(before or {}) do
    local is = after[name]
    if is and (is.count ~= was.count or is.digest ~= was.digest) then
      local same_count = is.count == was.count
      list[#list + 1] = {
        object = { kind = "table", name = name }, field = "rows", change = "changed",
        old = ("%d rows"):format(was.count),
        new = same_count and "as many, with other contents" or ("%d rows"):format(is.count),
      }
    end
  end
  table.sort(list, function(a, b) return a.object.name < b.object.name end)
  return list
end

local function tell(self, phase, at)
  if not self.on_event then return end
  self.steps = self.steps + 1
  self.on_event {
    type = "progress", phase = phase, migration = self.results[at].migration,
    done = math.min(self.steps, self.total), total = self.total,
  }
end

-- ---- which can be tried ------------------------------------------------------------

--- Why a migration cannot be rolled back: a result, and the reason; nil when it can.
local function obstacle(m)
  if m.repeatable then return "repeatable" end
  local ok, state, reason = pcall(function()
    source.read(m)
    return source.down_state(m)
  end)
  source.forget(m)
  if not ok then return "broken", tostring(state) end
  if state == "irreversible" then return "irreversible", reason ~= "" and reason or nil end
  if state == "none" then return "none", "it has no DOWN" end
  if state == "empty" then return "nothing", "its DOWN has no SQL" end
end

--- Note what cannot be tried.
-- @return whether that is so
local function is_blocked(self, at)
  local result = self.results[at]
  if result.blocked == nil then
    local word, reason = obstacle(result.migration)
    result.blocked = word ~= nil
    if word == "nothing" and next(self.effects[at]) == nil then
      word, reason = "reversible", "it changes nothing of the schema, and its DOWN has no SQL"
    end
    if word then
      settle(self, at, { result = word, reason = reason })
      self.chain = self.chain or result.migration
    end
  end
  return result.blocked
end

-- ---- going down and up -------------------------------------------------------------

--- Drop roles that the migrations have created on our own server: they belong to no database.
local function drop_roles(self)
  if self.options.scratch then return end
  for _, row in ipairs(self.clone.admin:query "SELECT rolname FROM pg_catalog.pg_roles") do
    if not self.roles[row.rolname] then
      pcall(self.clone.admin.exec, self.clone.admin,
        "DROP ROLE " .. self.clone.admin:quote_ident(row.rolname))
    end
  end
end

local function note_roles(self)
  self.roles = {}
  for _, row in ipairs(self.clone.admin:query "SELECT rolname FROM pg_catalog.pg_roles") do
    self.roles[row.rolname] = true
  end
end

--- A database with so many applied, in the place of another one.
local function open(self, count)
  drop_roles(self)
  return walks.open(self, count)
end

--- Apply a range again, and compare with the first time.
-- @return the place of one that did something else or failed; nil
local function climb(self, walk, from, to)
  local failed_at
  local err = walk:up(from, to, function(at, effect)
    tell(self, "up again", at)
    if net.equal(effect, self.effects[at]) then return end
    local now = walk:take()
    local list = difference.of(net.expected(now, effect, self.effects[at]), now)
    if not list[1] then return end
    settle(self, at, { result = "broken", again = true, differences = list })
    failed_at = at
    walk:stop()
  end)
  if not err then return failed_at end
  local at = walk.by_label[err.migration] or from
  settle(self, at, { result = "broken", again = true, error = err })
  return at
end

--- A range that can be rolled back, apart from others: down, and up again.
local function try_again(self, from, to)
  if from > to then return end
  local walk = open(self, to)
  local ok, err = pcall(function()
    if not walk:down(to, from) then return climb(self, walk, from, to) end
  end)
  walk:close()
  if not ok then error(err, 0) end
  if err then try_again(self, err + 1, to) end
end

--- Judge a way back that has not led back: in a database that has never gone up to there.
-- @param after the schema that it has left, rows = what was in the tables, effect
-- @return the walk to go on with, at the place below
local function judge(self, at, after, rows, effect)
  local walk = open(self, at - 1)
  local list = difference.of(walk.start, after)
  for _, item in ipairs(rows) do list[#list + 1] = item end
  if list[1] then
    settle(self, at, { result = word_of(list, self.effects[at], effect), differences = list })
  else
    settle(self, at, { result = "reversible" })
  end
  return walk
end

--- The lowest place of those that can be tried from a place on.
local function lowest(self, at)
  while at > 1 and not is_blocked(self, at - 1) do at = at - 1 end
  return at
end

--- Roll back from a place on as long as that leads back.
-- @return the place where it does not; nil
-- @return { effect, rows } of that one, or its error
local function descend(self, walk, from, to)
  local trouble, seen
  local err = walk:down(from, to, function(at, effect)
    tell(self, "down", at)
    local rows = self.rows and compare_rows(walk.contents[at - 1], walk:rows()) or {}
    if next(net.both(self.effects[at], effect)) == nil and not rows[1] then
      return settle(self, at, { result = "reversible" })
    end
    trouble, seen = at, { effect = effect, rows = rows }
    walk:stop()
  end)
  if not err then return trouble, seen end
  return walk.by_label[err.migration] or from, err
end

--- Whether an empty way back is declared to be so, and not just what another tool allows.
local function is_declared_empty(m)
  local words = m.format and m.format.vocabulary
  return not (words and words.empty) and source.down_state(m) == "nothing"
end

--- What is declared to be undone by nothing is what it says.
local function excuse(self, at)
  local m = self.results[at].migration
  local declared = self.results[at].differences and is_declared_empty(m)
  source.forget(m)
  if declared then settle(self, at, { result = "irreversible", reason = "its DOWN is empty" }) end
end

--- A way back has failed, or has not led back.
-- @return the walk at the place below
local function trouble_at(self, walk, at, seen, from)
  self.chain = self.chain or self.results[at].migration
  local is_error = errors.is(seen)
  local after = not is_error and walk:take()
  walk:close()
  try_again(self, at + 1, from)
  if is_error then
    settle(self, at, { result = "broken", error = seen })
    return open(self, at - 1)
  end
  local below = judge(self, at, after, seen.rows, seen.effect)
  excuse(self, at)
  return below
end

--- Verify from a place on, down to the first that cannot be tried or does not lead back.
-- @return the walk, and the place to go on with
local function step(self, walk, from)
  if is_blocked(self, from) then
    local at = from - 1
    while at > 0 and is_blocked(self, at) do at = at - 1 end
    if at == 0 then return walk, 0 end
    walk:close()
    return open(self, at), at
  end
  local to = lowest(self, from)
  local at, seen = descend(self, walk, from, to)
  if at then return trouble_at(self, walk, at, seen, from), at - 1 end
  if to == 1 then self.bottom = walk:take().hash end
  local failed_at = climb(self, walk, to, from)
  if failed_at then
    self.chain = self.chain or self.results[failed_at].migration
    walk:close()
    try_again(self, failed_at + 1, from)
    return open(self, to - 1), to - 1
  end
  return walk, to - 1
end

-- ---- all of it ----------------------------------------------------------------------

--- Apply all for the first time.
-- @return how many there are that could be
local function go_up(self, walk)
  local count = 0
  local err = walk:up(1, #walk.plan, function(at, effect)
    tell(self, "up", at)
    self.effects[at], count = effect, at
  end)
  if err then
    settle(self, count + 1, { result = "failed", error = err })
    self.chain = self.results[count + 1].migration
  end
  return count
end

--- What is said at the end of a chain that went down and up as a whole.
local function chain_of(self, count, begin, top, walk)
  if self.chain then
    return { complete = false, because_of = self.chain.label }
  end
  if count == 0 then return { complete = true } end
  local is_equal = self.bottom == begin.hash and walk:take().hash == top
  return { complete = is_equal }
end

local function verify(self)
  note_roles(self)
  local walk = open(self, 0)
  local begin, plan = walk.start, walk.plan
  for i, m in ipairs(plan) do
    self.results[i] = { migration = m, label = m.label, version = m.version, result = "unreached" }
  end
  self.total = 3 * #plan
  local count = go_up(self, walk)
  local top = count > 0 and walk:take().hash
  local at = count
  if self.results[count + 1] and at > 0 then
    walk:close()
    walk = open(self, at)
  end
  while at > 0 do walk, at = step(self, walk, at) end
  local chain = chain_of(self, count, begin, top, walk)
  walk:close()
  return chain
end

local function for_callers(results)
  for _, result in ipairs(results) do
    result.blocked = nil
    if result.differences then result.lines = difference.lines(result.differences) end
  end
  return results
end

--- What a build should fail for, as text.
local function complaints_of(results)
  local list = {}
  for _, result in ipairs(results) do
    if M.failing[result.result] then
      list[#list + 1] = ("%s: %s%s"):format(result.label, result.result,
        result.reason and " (" .. result.reason .. ")" or "")
      for _, line in ipairs(result.lines or {}) do list[#list + 1] = "  " .. line end
      if result.error then list[#list + 1] = "  " .. tostring(result.error) end
    end
  end
  return list
end

local function read_seed(seed)
  if type(seed) ~= "string" then return seed end
  local text = core.read_file(seed)
  if text then return text, seed end
  errors.raise("usage", "the seed cannot be read", { file = seed })
end

--- Verify migrations.
-- @param migrator with a connection or without
-- @param given { pending = true: only those that are pending, otherwise all, from an empty
--   database; to = up to a version; seed = a file of SQL, or fn(db, version), which puts rows into
--   the tables first; rows = true: rows of tables are compared, too; scratch, scratch_bin,
--   schema_from, applied_to, on_event }
-- @return { results = by migration { migration, label, version, result = "reversible",
--   "irreversible" (declared), "none" (no DOWN), "reordered" (columns), "broken", "leftover",
--   "nothing" (it undoes nothing), "failed" (it cannot be applied), "unreached" or "repeatable",
--   reason, error, again = true: the second time up, differences (pgmig.proof.difference), lines =
--   the same as text }, chain = { complete = whether all went down and up again as a whole,
--   because_of = a label }, ok = whether no build should fail, complaints = why one should, as
--   text, notes, server_version }
-- @raise kinds "usage", and as `trace`
function M.run(migrator, given)
  local options = arguments.read("verify", given)
  if options.schema_from and not options.pending then
    errors.raise("usage", "all migrations are verified from an empty database on", {
      hint = "--pending verifies those behind the schema of --schema-from",
    })
  end
  return clones.with(trace.of_clone(migrator, options), function(clone)
    local seed, seed_file = read_seed(options.seed)
    local self = {
      clone = clone, migrator = migrator, options = options, seed = seed, seed_file = seed_file,
      applied = options.pending and trace.applied(migrator, options) or "none",
      target = { to = options.to }, rows = options.rows, on_event = options.on_event,
      results = {}, effects = {}, steps = 0,
    }
    local chain = verify(self)
    local results = for_callers(self.results)
    local complaints = complaints_of(results)
    return {
      results = results, chain = chain, ok = complaints[1] == nil, complaints = complaints,
      notes = clone.notes, server_version = clone.version,
    }
  end)
end

return M
