--- Statements that the server parses before any migration runs: a syntax error in the last file is
-- found before the first one has changed anything.
local errors = require "pgmig.errors"
local recovery = require "pgmig.db.recovery"
local source = require "pgmig.files.source"

local M = {}

local MOST = 10 -- errors that are looked for

--- What of a migration can be parsed: nothing where it is Lua, or missing.
local function passage_of(m, direction)
  if m.language == "lua" or m.missing then return nil end
  local script, section = source.script(m, direction)
  return script and { migration = m, script = script, section = section }
end

local function passages_of(list, direction)
  local passages = {}
  for _, m in ipairs(list) do passages[#passages + 1] = passage_of(m, direction) end
  return passages
end

--- Let the server parse, up to the first statement that its grammar does not know.
-- @param passage, statement where to begin, numbers
-- @return the error; nil: there is none
local function ask(db, passages, passage, statement, alone)
  db.handle:parse(passages, passage, statement, alone)
  local ok, err = pcall(function()
    db:run(db:patience())
    db:finish()
  end)
  db:check_interrupted()
  if ok then return nil end
  if not errors.is(err, "parse") then error(err, 0) end
  return err
end

local function find(db, passages, alone)
  local found, at, statement = {}, 1, 0
  while #found < MOST do
    local err = ask(db, passages, at, statement + 1, alone)
    if not err then break end
    at, statement = db.handle:parsed()
    err.migration = passages[at].migration.label
    found[#found + 1] = err
  end
  return found
end

--- What the server says to its parser's warnings, it says again when the statements run.
local function unheard(db, fn, ...)
  local handler = db.notice_handler
  db:on_notice(nil)
  local ok, result = pcall(fn, db, ...)
  db:on_notice(handler)
  if ok then return result end
  error(result, 0)
end

--- Whether the statements that will be sent are those of the files, and can be asked about.
local function is_checked(migrator)
  return migrator.syntax_check and not migrator.hooks:has "before_statement"
    and migrator.db:transaction_status() == "idle"
end

--- The statements of migrations that the server's grammar does not know; only a few of many.
-- @param migrator of pgmig.migrator
-- @param list migrations
-- @param direction "up" or "down"
-- @return a list of errors of kind "parse", with sqlstate, place and migration; empty: all can be
--   parsed, or are not checked
-- @raise kind "connect" if the connection is lost again and again
function M.find(migrator, list, direction)
  if not is_checked(migrator) then return {} end
  local passages = passages_of(list, direction)
  if not passages[1] then return {} end
  local db = migrator.db
  return recovery.persist(db, migrator.reconnect, function()
    return unheard(db, find, passages, not migrator.pipeline)
  end)
end

--- An error in one line, with its place.
local function in_line(err)
  return ("%s:%d:%d: %s"):format(err.file, err.line, err.column, err.message)
end

--- Refuse a plan with a statement that the server's grammar does not know.
-- @param migrator of pgmig.migrator
-- @param plan a list of migrations with their direction
-- @raise kind "parse"; its detail names the others
function M.check(migrator, plan)
  local found = M.find(migrator, plan, plan.direction)
  local first = found[1]
  if not first then return end
  local lines = { "nothing was run: the server parses all statements first" }
  for i = 2, #found do lines[#lines + 1] = "also: " .. in_line(found[i]) end
  first.detail = table.concat(lines, "\n")
  first[plan.direction == "up" and "applied" or "rolled_back"] = {}
  error(first, 0)
end

return M
