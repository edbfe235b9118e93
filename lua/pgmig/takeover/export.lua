--- The way out: another tool's table gets the rows that the tool would have written itself for what
-- pgmig has applied.
local door = require "pgmig.run.door"
local errors = require "pgmig.errors"
local formats = require "pgmig.formats"
local layouts = require "pgmig.takeover.layout"
local outgoing = require "pgmig.takeover.outgoing"
local recovery = require "pgmig.db.recovery"
local states = require "pgmig.state.compare"
local tracking = require "pgmig.takeover.tracking"

local M = {}

--- The format that is written for.
-- @raise kind "usage" where its rows cannot be written
function M.format(migrator, name)
  local own = name == nil or name == migrator.format.name
  local to = own and migrator.format or formats.find(name)
  layouts.check(to)
  return to
end

--- Refuse a table that pgmig writes to anyway.
local function check_other(migrator, to, place)
  local own = migrator.ledger.handle:qualified()
  if not own or place.name ~= tracking.written(migrator.db, own) then return end
  errors.raise("usage", ("%s is the tracking table that pgmig uses: %s"):format(place.name,
    migrator.ledger.shared and "the rows of " .. to.name .. " are there already"
      or "another tool's rows cannot be in it"), {
    hint = to.name == "pgmig" and "name the tool: --to" or "name another one: --to-table",
  })
end

--- Where the tool's table is.
local function place_of(migrator, to, name)
  local place = tracking.place(migrator.db, to, name)
  check_other(migrator, to, place)
  return place
end

-- ---- writing -----------------------------------------------------------------

local LOCK_TIMEOUT = 5 -- seconds
local BEGIN = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET TRANSACTION READ WRITE; "
  .. "SET LOCAL lock_timeout = '%dms'"
-- What is told to be written has to outlive the server, where the database's default is lower.
local DURABLE = [[
  SELECT pg_catalog.set_config('synchronous_commit', CASE WHEN
    pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) 'off' THEN 'on'
    ELSE pg_catalog.current_setting('synchronous_commit') END, true) AS value]]
local LOCK = "LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE"
local AT_ONCE = 200 -- statements in one message

local function is_empty(plan) return not (plan[1] or plan.removed[1] or plan.corrected[1]) end

--- What a plan writes, in order.
local function statements_of(migrator, to, plan)
  local list, layout = {}, plan.layout
  local function add(name, m) list[#list + 1] = layout:fill(name, m) end
  if plan.creates then list[1] = layout:creation(plan) end
  if to.tracking.newest then
    add(plan.newest and "claim" or "release", plan.newest)
    return list
  end
  for _, m in ipairs(plan.removed) do add("release", m) end
  for _, m in ipairs(plan.corrected) do add("correct", m) end
  for _, m in ipairs(plan) do
    add("claim", m)
    migrator.db.breathe()
  end
  return list
end

local function write(migrator, to, plan)
  local list = statements_of(migrator, to, plan)
  for from = 1, #list, AT_ONCE do
    migrator.db:ask_rows("-", table.concat(list, ";\n", from, math.min(from + AT_ONCE - 1, #list)))
  end
end

local INSUFFICIENT_PRIVILEGE = "42501"

--- Let an error of the server's say what was tried.
local function explain(db, to, err)
  if not errors.is(err, "sql") or db:is_lost() then return end
  err.message = ("cannot write the rows of %s: %s"):format(to.name, err.message)
  err.hint = err.hint or "nothing was written"
  if err.sqlstate == INSUFFICIENT_PRIVILEGE then
    err.hint = "nothing was written: connect as the owner of its table, or as a role that has "
      .. "SELECT, INSERT, UPDATE and DELETE on it, or may create it where it is missing"
  end
end

--- In a transaction: lock the table, look at it, and write.
local function carry_out(migrator, to, name, state, set)
  local seconds = migrator.ledger.lock_timeout or LOCK_TIMEOUT
  migrator.db:ask_rows("-", BEGIN:format(math.max(1, math.floor(seconds * 1000))))
  migrator.db:ask_row("1 value:text", DURABLE)
  local place = place_of(migrator, to, name)
  if place.exists then
    migrator.db:ask_rows("-", LOCK:format(place.name))
    place = place_of(migrator, to, name)
  end
  local plan = outgoing.plan(migrator, to, place, state, set)
  if not is_empty(plan) then write(migrator, to, plan) end
  return plan
end

--- What `run` would do. Creates and writes nothing.
-- @param migrator the migrator
-- @param to the tool's format
-- @param name its table; nil: the usual one
-- @return as of `pgmig.takeover.outgoing.plan`
-- @raise as that, and kind "usage" for a table that pgmig uses
function M.plan(migrator, to, name)
  return recovery.persist(migrator.db, migrator.reconnect, function()
    local state, set = states.read(migrator)
    return outgoing.plan(migrator, to, place_of(migrator, to, name), state, set)
  end)
end

--- Write the rows: all in one transaction, or nothing.
-- @param emit fn(event)
-- @return the plan, as of `M.plan`
function M.run(migrator, to, name, emit)
  local function attempt()
    local state, set = states.read_locked(migrator, emit)
    local ok, result = pcall(migrator.db.transaction, migrator.db, function()
      return carry_out(migrator, to, name, state, set)
    end)
    if ok then return result end
    explain(migrator.db, to, result)
    error(result, 0)
  end
  return door.write(migrator, emit, function()
    return recovery.insist(migrator.db, migrator.retries, function(err, delay)
      emit { type = "waiting", blockers = err.blockers, message = ("%s; trying again in %.1f s")
        :format(err.message, delay) }
    end, function() return recovery.persist(migrator.db, migrator.reconnect, attempt) end)
  end)
end

return M
