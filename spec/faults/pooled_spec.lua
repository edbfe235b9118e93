-- Behind a pooler, which may not see that a client is gone, a transaction of a lost connection is
-- found by a tag: the application_name that it sets for itself, or what its command begins with.
local cli = require "spec.cli.helper"
local bouncers = require "spec.faults.pgbouncer"
local faults = require "spec.faults.support"
local pgmig = require "pgmig"
local support = require "spec.support"
local workload = require "spec.faults.workload"

local PREFIX = "%d|%p|%a|"

--- The commands of pipelines that the server has logged for a database: { pid, name, text }. What
-- comes in one message is carried out whole.
local function logged(path, database)
  local list = {}
  for pid, name, text in support.read(path):gmatch("\n" .. database
    .. "|(%d+)|([^|\n]*)|LOG:  execute <unnamed>: ([^\n]*)") do
    list[#list + 1] = { pid = pid, name = name, text = text }
  end
  return list
end

--- Those within transactions of migrations that nobody could find: with no tag in their name, nor
-- before their text.
local function unmarked(statements)
  local found, open, count = {}, {}, 0
  for _, s in ipairs(statements) do
    local tag = s.text:match "^/%* (pgmig %x+) %*/ BEGIN"
    if tag then
      open[s.pid], count = tag, count + 1
    elseif open[s.pid] then
      local mark = "/* " .. open[s.pid] .. " */ "
      if s.name ~= open[s.pid] and s.text:sub(1, #mark) ~= mark then found[#found + 1] = s.text end
      if s.text == mark .. "COMMIT" then open[s.pid] = nil end
    end
  end
  return found, count
end

describe("a transaction behind a pooler", function()
  it("can be found at each of its commands", function()
    local admin, database = pgmig.connect(support.server():url "postgres"), faults.database()
    local log = support.server().log
    local pooler = bouncers.start(10)
    admin:exec(("ALTER SYSTEM SET log_line_prefix = '%s'"):format(PREFIX))
    admin:exec(("ALTER DATABASE %s SET log_statement = 'all'"):format(admin:quote_ident(database)))
    admin:exec "SELECT pg_reload_conf()"
    finally(function()
      admin:exec "ALTER SYSTEM RESET log_line_prefix"
      admin:exec "SELECT pg_reload_conf()"
      admin:close()
      pooler.stop()
      faults.drop(database)
    end)
    support.wait(function()
      return admin:query("SHOW log_line_prefix")[1].log_line_prefix == PREFIX
    end, "the setting")
    local code, _, err = faults.run(pooler.url(database), "up --dir " .. workload.ten(true))
    assert.same({ 0, "" }, { code, cli.without_place(err) })
    local found, count = unmarked(logged(log, database))
    assert.same({}, found)
    assert.is_true(count >= 5, count)
  end)
end)
