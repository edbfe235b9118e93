--- A plan as a script for psql: what a run would send, for whoever may run it by hand. The lock,
-- the journal and what a run does after a failure are not in it.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local hooks = require "pgmig.run.hooks"
local needed = require "pgmig.needed"
local source = require "pgmig.files.source"
local steps = require "pgmig.run.step"
local texts = require "pgmig.texts"
local version = require "pgmig.version"

local backfill_runs = needed "backfill.runs"

local M = {}

-- Each line of the head is for psql, whatever ~/.psqlrc says.
local HEAD = [[
-- Written by pgmig %s for database %s on %s:%s.
-- psql -X -v ON_ERROR_STOP=1 -f FILE, connected as the role that owns the schema. Each migration is
-- recorded in its own transaction; after an error, those before it are kept. No hook is called.
\set ON_ERROR_STOP on
\set ON_ERROR_ROLLBACK off
\set AUTOCOMMIT on
]]

-- RESET ALL of the migration before has taken them back.
local ENCODING, STRINGS = "\\encoding UTF8\n", "SET standard_conforming_strings = on;\n"

local REMARK = [[
-- Without a transaction: if one of its statements fails, finish the rest by hand, or undo what was
-- done; it is recorded behind them.
]]

--- Refuse what is more than SQL.
local function check(m)
  if m.language == "lua" then
    errors.raise("plan", ("%s is written in Lua, which psql cannot run"):format(m.label), {
      file = m.path, hint = "run it with pgmig up, or leave it out with --to",
    })
  end
  if m.unfinished then
    errors.raise("plan", ("%s is half finished, and only a run knows how to resume it"):format(
      m.label), { file = m.path, hint = "finish it first: pgmig up --to " .. m.shown })
  end
end

--- What a step asks of its run: none of the hooks is called.
local function stand_in(migrator, plan)
  local run = {
    ledger = migrator.ledger, db = migrator.db, hooks = hooks.new(), plan = plan,
    token = core.token(), lock_timeout = migrator.lock_timeout, pipeline = false,
  }
  function run:is_watched(step)
    self.triggers = self.triggers or step:may_watch()
    return self.triggers
  end
  return run
end

local function comment(text) return "-- " .. texts.line(text) .. "\n" end

local function head_of(db)
  local at = db:place()
  return HEAD:format(version, texts.line(at.name), texts.line(at.host), at.port)
end

--- Write a plan as a script.
-- @param migrator of pgmig.migrator, which has read the tables
-- @param plan a list of migrations that go up
-- @param write fn(text), called with one piece after another
-- @raise kinds "plan" for what psql cannot run, before anything is written; "io", "parse"
function M.write(migrator, plan, write)
  local db, ledger = migrator.db, migrator.ledger
  for _, m in ipairs(plan) do check(m) end
  local preparation = ledger:preparation(db, plan)
  write(head_of(db))
  if not plan[1] then return write(comment "There is nothing to apply.") end
  for _, sql in ipairs(preparation) do write("\nBEGIN;\n" .. sql .. "COMMIT;\n") end
  local run, made = stand_in(migrator, plan), ledger.handle:has_backfill()
  for _, m in ipairs(plan) do
    db.breathe()
    local step = steps.new(run, plan, m)
    step:load()
    if step.backfills and not made then
      made = true
      write("\nBEGIN;\n" .. backfill_runs.creation(run) .. ";\nCOMMIT;\n")
    end
    write("\n" .. comment(m.label) .. (step.transaction and "" or REMARK) .. ENCODING .. STRINGS)
    write(core.listing(db.handle, ledger.handle, { step:job() }))
    source.forget(m)
  end
end

return M
