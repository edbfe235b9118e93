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

--- A database with so many applied.
local function open(self, count)
  drop_roles(self)
  return walks.open(self, count)
end

--- Go on in a fresh database: it has what the migrations up to a place make, and nothing else.
local function start_anew(self, count)
  if self.walk then self.walk:close() end
  self.walk = nil
  self.walk, self.is_clean = open(self, count), true
end

--- Apply a range again, and compare with the first time.
-- @return the place of one that did something else or failed; nil
-- @return what is to be said of it
local function climb(self, walk, from, to)
  local failed_at, fields
  local err = walk:up(from, to, function(at, effect)
    tell(self, "up again", at)
    if net.equal(effect, self.effects[at]) then return end
    local now = walk:take()
    local list = difference.of(net.expected(now, effect, self.effects[at]), now)
    if not list[1] then return end
    failed_at, fields = at, { result = "broken", again = true, differences = list }
    walk:stop()
  end)
  if not err then return failed_at, fields end
  return walk.by_label[err.migration] or from, { result = "broken", again = true, error = err }
end

--- A way forward or back that is not as it should be: the whole is not, either.
local function complain(self, at, fields)
  self.chain = self.chain or self.results[at].migration
  settle(self, at, fields)
end

--- A range that can be rolled back, apart from others: down, and up again.
local function try_apart(self, from, to)
  if from > to then return end
  local walk = open(self, to)
  local ok, failed_at, fields = pcall(function()
    if not walk:down(to, from) then return climb(self, walk, from, to) end
  end)
  walk:close()
  if not ok then error(failed_at, 0) end
  if not failed_at then return end
  complain(self, failed_at, fields)
  try_apart(self, failed_at + 1, to)
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
  local is_empty = not (words and words.empty) and source.down_state(m) == "nothing"
  source.forget(m)
  return is_empty
end

--- Say what a way back has left, beside what was there.
local function judge(self, at, list, seen)
  for _, item in ipairs(seen.rows) do list[#list + 1] = item end
  if not list[1] then return settle(self, at, { result = "reversible" }) end
  complain(self, at, {
    result = word_of(list, self.effects[at], seen.effect), differences = list,
  })
  if is_declared_empty(self.results[at].migration) then
    settle(self, at, { result = "irreversible", reason = "its DOWN is empty" })
  end
end

--- A way back has done nothing: the database is what it was, so those above can go up again.
-- @return the place to go on with
local function pass_nothing(self, at, seen, from)
  local now = self.walk:take()
  judge(self, at, difference.of(net.expected(now, {}, net.back(self.effects[at])), now), seen)
  self.is_clean = false
  local failed_at, fields = climb(self, self.walk, at + 1, from)
  if failed_at then
    complain(self, failed_at, fields)
    start_anew(self, at - 1)
  end
  return at - 1
end

--- A way back has failed, or has not led back: that is seen beside a database which has never gone
-- up to there.
-- @return the place to go on with
local function pass_trouble(self, at, seen, from)
  local is_error = errors.is(seen)
  if not is_error and next(seen.effect) == nil and not seen.rows[1] then
    return pass_nothing(self, at, seen, from)
  end
  local after = not is_error and self.walk:take()
  self.walk:close()
  self.walk = nil
  try_apart(self, at + 1, from)
  start_anew(self, at - 1)
  if is_error then
    complain(self, at, { result = "broken", error = seen })
  else
    judge(self, at, difference.of(self.walk.start, after), seen)
  end
  return at - 1
end

--- The lowest place of those that can be tried from a place on.
local function lowest(self, at)
  while at > 1 and not is_blocked(self, at - 1) do at = at - 1 end
  return at
end

--- Verify from a place on, down to the first that cannot be tried or does not lead back. What
-- cannot be rolled back stays: where that is in the way, a fresh database comes without it.
-- @return the place to go on with
local function step(self, from)
  if is_blocked(self, from) then
    self.is_clean = false
    return from - 1
  end
  local to = lowest(self, from)
  local failed_at, fields
  local at, seen = descend(self, self.walk, from, to)
  if not at then
    if to == 1 and not self.chain then self.bottom = self.walk:take().hash end
    failed_at, fields = climb(self, self.walk, to, from)
  end
  if (at or failed_at) and not self.is_clean then
    start_anew(self, from)
    return from
  end
  if at then return pass_trouble(self, at, seen, from) end
  if not failed_at then return to - 1 end
  complain(self, failed_at, fields)
  self.walk:close()
  self.walk = nil
  try_apart(self, failed_at + 1, from)
  start_anew(self, to - 1)
  return to - 1
end

-- ---- all of it ----------------------------------------------------------------------

--- Apply all for the first time.
-- @return how many there are that could be
local function go_up(self)
  local count = 0
  local err = self.walk:up(1, #self.results, function(at, effect)
    tell(self, "up", at)
    self.effects[at], count = effect, at
    self.results[at].verify_error = self.walk:verify(at)
  end)
  if not err then return count end
  complain(self, count + 1, { result = "failed", error = err })
  start_anew(self, count)
  return count
end

--- What is said in the end of the whole: whether it went down and up.
local function chain_of(self, begin, top)
  if self.chain then return { complete = false, because_of = self.chain.label } end
  return { complete = self.bottom == begin and self.walk:take().hash == top }
end

local function verify(self)
  note_roles(self)
  start_anew(self, 0)
  local begin = self.walk.start.hash
  self.bottom = begin -- where nothing is to be done
  for i, m in ipairs(self.walk.plan) do
    self.results[i] = { migration = m, label = m.label, version = m.version, result = "unreached" }
  end
  self.total = 3 * #self.results
  local at = go_up(self)
  local top = self.walk:take().hash
  while at > 0 do at = step(self, at) end
  local chain = chain_of(self, begin, top)
  self.walk:close()
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
    if result.verify_error then
      list[#list + 1] = ("%s: its verify script fails: %s"):format(result.label,
        tostring(result.verify_error))
    end
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

--- Verify on a clone.
-- @param clone of pgmig.proof.clone
-- @param migrator, options as of `run`
-- @return as `run`
function M.on(clone, migrator, options)
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
--   reason, error, verify_error = of its verify script, where the format has them, again = true:
--   the second time up, differences (pgmig.proof.difference), lines = the same as text }, chain = {
--   complete = whether all went down and up again as a whole, because_of = a label }, ok = whether
--   no build should fail, complaints = why one should, as text, notes, server_version }
-- @raise kinds "usage", and as `trace`
function M.run(migrator, given)
  local options = arguments.read("verify", given)
  if options.schema_from and not options.pending then
    errors.raise("usage", "all migrations are verified from an empty database on", {
      hint = "--pending verifies those behind the schema of --schema-from",
    })
  end
  return clones.with(trace.of_clone(migrator, options), function(clone)
    return M.on(clone, migrator, options)
  end)
end

return M
