--- Which of the files a database has: up to which version they make its schema. They are applied
-- one by one on a clone, and behind each one it is counted what still differs.
local arguments = require "pgmig.arguments"
local clones = require "pgmig.proof.clone"
local connection = require "pgmig.db.connection"
local dial = require "pgmig.db.dial"
local difference = require "pgmig.proof.difference"
local errors = require "pgmig.errors"
local fingerprint = require "pgmig.proof.fingerprint"
local pictures = require "pgmig.proof.picture"
local twins = require "pgmig.proof.twin"

local M = {}

local NEAR = 1000 -- rows that may differ where it matters which

-- ---- what still differs ----------------------------------------------------------

local tally = {}
tally.__index = tally

--- Whether a row differs; what a new database has, and no file has touched, does not count.
local function differs(self, catalog, key)
  local now = (self.now[catalog] or {})[key]
  local empty = (self.empty[catalog] or {})[key]
  local live = (self.live[catalog] or {})[key]
  if now and empty and now.row == empty.row then return false end
  return (now and now.row) ~= (live and live.row)
end

local function look(self, catalog, key)
  local id = catalog .. "\0" .. key
  local is_new = differs(self, catalog, key)
  if is_new ~= (self.different[id] or false) then self.count = self.count + (is_new and 1 or -1) end
  self.different[id] = is_new or nil
end

--- Begin with an empty database.
-- @param empty, live pictures
local function new_tally(empty, live)
  local self = setmetatable({
    empty = empty.rows, live = live.rows, now = {}, different = {}, count = 0,
  }, tally)
  for catalog, rows in pairs(empty.rows) do
    self.now[catalog] = {}
    for key, row in pairs(rows) do self.now[catalog][key] = row end
  end
  for catalog, rows in pairs(live.rows) do
    for key in pairs(rows) do look(self, catalog, key) end
  end
  return self
end

--- Take in changes.
-- @param changes of `fingerprint:changes`
-- @return the rows that they are about, a set
function tally:add(changes)
  local touched = {}
  for _, change in ipairs(changes) do
    if change.old then self.now[change.catalog.name][change.old.key] = nil end
  end
  for _, change in ipairs(changes) do
    if change.new then self.now[change.catalog.name][change.new.key] = change.new end
  end
  for _, change in ipairs(changes) do
    for _, row in pairs { change.old or false, change.new or false } do
      if row then
        look(self, change.catalog.name, row.key)
        touched[change.catalog.name .. "\0" .. row.key] = true
      end
    end
  end
  return touched
end

--- What differs now; nil: too much to be told.
function tally:rows()
  if self.count > NEAR then return nil end
  local rows = {}
  for id in pairs(self.different) do rows[#rows + 1] = id end
  return rows
end

-- ---- trying the files ------------------------------------------------------------

--- Apply all files, one behind the other: with such a hook none begins before it has returned.
-- @return a list: { migration = nil for none, count, rows }
-- @return the rows that repeatable migrations are about, a set
-- @return the error of the file at which it ended; nil
local function try(twin, fp, counted)
  local steps, repeated = { { count = counted.count, rows = counted:rows() } }, {}
  local function note(m)
    local touched = counted:add(fp:changes())
    if not m.repeatable then
      steps[#steps + 1] = { migration = m, count = counted.count, rows = counted:rows() }
      return
    end
    for id in pairs(touched) do repeated[id] = true end
  end
  local problem -- what such a hook raises ends nothing
  twin:on("committed", function(ctx)
    local ok, err = pcall(note, ctx.migration)
    if not ok then problem = problem or err end
  end)
  local ok, err = pcall(twins.run, twin, twin:plan())
  if problem then error(problem, 0) end
  return steps, repeated, not ok and err or nil
end

--- Watch a twin from another connection.
local function watch(clone, twin, unreadable)
  local db = connection.connect(dial.with_database(clone.url, twin.db:place().name))
  local fp = fingerprint.open(db, {
    own = true, without = pictures.own_tables(twin), database = false, unreadable = unreadable,
  })
  return db, fp
end

-- ---- what fits -------------------------------------------------------------------

--- How many rows differ that no repeatable migration is about: those run again anyway.
local function remaining(step, repeated)
  if not step.rows then return step.count end
  local count = 0
  for _, id in ipairs(step.rows) do
    if not repeated[id] then count = count + 1 end
  end
  return count
end

--- The steps behind which nothing differs, and the one behind which least does.
local function fitting(steps, repeated)
  local fits, nearest, least = {}, nil, math.huge
  for _, step in ipairs(steps) do
    local left = remaining(step, repeated)
    if left == 0 then fits[#fits + 1] = step end
    if left < least then nearest, least = step, left end
  end
  return fits, nearest
end

--- What differs behind a step, for people.
local function lines_of(clone, migrator, step, live)
  local applied = step.migration and step.migration.id or "none"
  local made = pictures.of_migrator(clone:twin(migrator, { applied = applied }), live.unreadable)
  local rest = pictures.divide(pictures.of_empty(clone, live.unreadable), made, live)
  return difference.lines(difference.of(rest.made, rest.other))
end

local function labels_of(steps)
  local labels = {}
  for i, step in ipairs(steps) do
    labels[i] = step.migration and step.migration.label or "(none)"
  end
  return labels
end

local function find(clone, migrator)
  pictures.check_versions(migrator.db:server_version(), clone.version, "the clone")
  pictures.share_owner(clone, migrator)
  local live = pictures.of_migrator(migrator)
  local twin = clone:twin(migrator, { applied = "none" })
  local db, fp = watch(clone, twin, live.unreadable)
  local steps, repeated, err = try(twin, fp, new_tally(fp:take(), live))
  db:close()
  local fits, nearest = fitting(steps, repeated)
  local found = {
    fits = labels_of(fits), migration = fits[1] and fits[#fits].migration, notes = clone.notes,
    nearest = nearest.migration, error = err,
  }
  if not fits[1] then found.lines = lines_of(clone, migrator, nearest, live) end
  return found
end

--- Find out which of the files a database has.
-- @param migrator with a connection
-- @param given { scratch, scratch_bin }
-- @return { migration = the last one of those that make its schema, nil where none does or it is
--   empty; fits = the labels of all behind which nothing differs: several where some change no
--   schema; nearest = the one behind which least differs, nil: before the first; lines = what that
--   is, where nothing fits; error = that of the file at which it ended, or nil; notes }
-- @raise kinds "usage" for another major version, "lock", "sql"
function M.find(migrator, given)
  local options = arguments.read("detect_baseline", given)
  return clones.with(pictures.of_clone(migrator, options), function(clone)
    return find(clone, migrator)
  end)
end

-- ---- the verdict -----------------------------------------------------------------

local MOST_LINES = 20

local function refuse_none(found)
  local lines = {}
  for i = 1, math.min(#found.lines, MOST_LINES) do lines[i] = found.lines[i] end
  if #found.lines > MOST_LINES then
    lines[#lines + 1] = ("and %d more"):format(#found.lines - MOST_LINES)
  end
  local last = found.nearest and found.nearest.label or "none of the files"
  local message = ("the files make the schema of this database up to no version; nearest is %s, "
    .. "with %d differences"):format(last, #found.lines)
  if found.error then message = message .. "; not all files could be tried" end
  errors.raise("plan", message, {
    detail = table.concat(lines, "\n") .. (found.error and "\n" .. tostring(found.error) or ""),
    hint = found.nearest and ("if they do not matter: pgmig baseline %s"):format(
      found.nearest.shown) or nil,
  })
end

--- The one migration up to which the files make the schema.
-- @param found of `find`
-- @raise kind "plan" where there is none, or more than one
function M.settle(found)
  if not found.fits[1] then refuse_none(found) end
  if #found.fits == 1 then return found.migration end
  errors.raise("plan", ("several versions fit, as those between them change no schema: %s"):format(
    table.concat(found.fits, ", ")), {
    hint = "find out which of them has run, and record it: pgmig baseline V",
  })
end

return M
