--- Calls of the core's functions in any order, with any objects: run by call_order_spec.lua, in a
-- program with sanitizers. What is wrong may raise, and nothing else.
--     call_order.lua URL FOLDER SEED CALLS
local url, folder, seed, calls = ...
local core = require "pgmig.core"

math.randomseed(tonumber(seed))
core.error_metatable.__tostring = function(err) return err.kind .. ": " .. err.message end

local POOL = 4 -- objects of a kind that are at hand
local STEPS = 400 -- of one operation; it may wait for locks of others
local pool = { conn = {}, ledger = {}, script = {}, words = {}, jobs = {} }

local function any(list) return list[math.random(#list)] end
local function chance(percent) return math.random(100) <= percent end

-- ---- objects -----------------------------------------------------------------

local statements = {
  "SELECT 1 AS a, NULL AS b, 't'::bool AS c", "SELECT 1/0", "BEGIN", "ROLLBACK", "COMMIT", "",
  "SELECT generate_series(1, 300)", "COPY (SELECT 1) TO STDOUT", "COPY pg_am FROM STDIN",
  "CREATE TABLE IF NOT EXISTS u (n int)", "COPY u FROM STDIN", "SELECT pg_sleep(0.002)",
  "DO $$ BEGIN RAISE NOTICE 'n'; END $$", "SELECT 1; SELECT 2; SELECT", "SELECT $1::int AS n",
}

local texts = {
  "CREATE TABLE IF NOT EXISTS t (a int);\n-- DOWN\nDROP TABLE IF EXISTS t;\n",
  "SELECT 1; SELECT 1/0; SELECT 3;\n-- DOWN\nSELECT 4;\n",
  "-- pgmig: transaction=off\n-- UP\nSELECT 1;\nVACUUM pg_am;\nDO $$ BEGIN END $$;\n"
    .. "-- DOWN\nSELECT 2;\n",
  "CREATE TABLE IF NOT EXISTS u (n int);\nCOPY u FROM STDIN;\n1\n2\n\\.\nSELECT 1;\n",
  "SELECT 1;\nCOPY (SELECT generate_series(1, 9)) TO STDOUT;\nSELECT 2;\n",
  "-- pgmig: empty\n",
}

local names = { "public.migrations_a", "public.migrations_a", "migrations_b", "u" }

local make = {}

--- Step to the end of an operation.
local function run(conn)
  local want, n = conn:step(), STEPS
  while want and n > 0 do
    core.wait_fd(conn:fd(), want, 0.01)
    want, n = conn:step(), n - 1
  end
end

function make.conn()
  local conn = core.open({ "dbname" }, { url })
  run(conn)
  conn:finish()
  conn:send "SET lock_timeout = '20ms'; SET client_min_messages = notice"
  run(conn)
  conn:finish()
  return conn
end

--- A ledger that has been looked for, mostly.
function make.ledger()
  local ledger = core.ledger(any(names))
  if chance(10) then return ledger end
  local conn = make.conn()
  for _, operation in ipairs { "probe", "prepare", "probe" } do
    ledger:start(conn, operation)
    run(conn)
    if not pcall(ledger.finish, ledger, conn) then break end
  end
  conn:close()
  return ledger
end

local function path(name) return ("%s/%s"):format(folder, name) end

function make.script()
  local text = any(texts)
  if chance(50) then
    return core.parse_script(text, path "001_x.sql", chance(30) and any(pool.words) or nil)
  end
  local at = path(math.random(3) .. "_file.sql")
  if chance(30) then text = text:gsub("^SELECT 1;", "-- " .. ("x"):rep(1200000) .. "\n%0") end
  local file = assert(io.open(at, "w"))
  file:write(text)
  file:close()
  return core.read_script(at, nil, chance(50))
end

function make.words()
  return core.vocabulary("some", {
    markers = { { text = "up" .. math.random(9), kind = "up" }, { text = "down", kind = "down" } },
    options = {}, transaction = any { "on", "off", "own", "auto" }, empty = true,
  })
end

--- A string that nothing but its table keeps.
local function fresh(text) return text .. math.random(1000000) end

local function entry()
  return {
    event = chance(50) and any { "up", "down", "failed" } or nil, name = fresh "name",
    version = chance(90) and tostring(math.random(4)) or nil, run = fresh "run",
    checksum = chance(50) and fresh "sum" or nil, message = chance(30) and fresh "says" or nil,
    applied_at = chance(10) and "2024-01-01" or nil, seconds = math.random(),
    owner = chance(20) and fresh "owner" or nil, revision = chance(20) and math.random(3) or nil,
  }
end

local function job()
  return {
    script = any(pool.script), entry = entry(), direction = any { "up", "down" },
    section = any { "up", "up", "down" }, lock_timeout = any { fresh "1" .. "ms" },
    plain = chance(30), owner = fresh "owner", taken_from = chance(20) and fresh "owner" or nil,
    done = chance(20) and math.random(0, 3) or nil,
    pauses = chance(60) and { opened = chance(50), before = chance(50), after = chance(50),
      closing = chance(50) } or nil,
  }
end

function make.jobs()
  local list = {}
  for i = 1, chance(70) and 1 or math.random(4) do list[i] = job() end
  for _, one in ipairs(list[2] and chance(80) and list or {}) do
    one.pauses, one.plain, one.done, one.entry.version = nil, nil, nil, tostring(math.random(9))
  end
  return list
end

-- ---- calls -------------------------------------------------------------------

local function conn() return any(pool.conn) end

local running = {} -- the last run of a connection
local asked = setmetatable({}, { __mode = "kv" }) -- its last ledger: the connection keeps it

local function apply(c) running[c] = core.apply(c, any(pool.ledger), any(pool.jobs)) end

--- A run; one that has ended as well.
local function a_run()
  local c = conn()
  if not running[c] then apply(c) end
  return running[c]
end

local function resume(a)
  a:resume(any { "go_on", "go_on", "skip", "replace", "give_up" }, any(statements))
end

--- Start an operation of any ledger.
local function ask(c, method, ...)
  local ledger = any(pool.ledger)
  ledger[method](ledger, c, ...)
  asked[c] = ledger
end

local function finish_ledger(c)
  local ledger = asked[c] or any(pool.ledger)
  ledger:finish(c)
end

--- Start something.
local starts = {
  apply, apply,
  function(c) c:send(any(statements)) end,
  function(c) ask(c, "start", any { "probe", "prepare", "list", "marks", "history" }) end,
  function(c) ask(c, "record", "none", entry()) end,
}

--- Nobody speaks for its run any more, which can still be stepped.
local function drop(c)
  running[c] = nil
  collectgarbage()
  run(c)
  c:close()
end

--- What a driver would do next.
local function proceed(c)
  local want = c:step()
  if want then
    core.wait_fd(c:fd(), want, 0.002)
  elseif c:copying() == "in" then
    if chance(50) then c:copy_put(fresh "" .. "\n") else c:copy_end() end
  elseif c:copying() == "out" then
    c:copy_get()
  elseif not (running[c] and pcall(running[c].paused, running[c])) then -- no migration
    if not pcall(finish_ledger, c) then c:finish() end
    if c:transaction_status() ~= "idle" then c:send "ROLLBACK" else any(starts)(c) end
  elseif running[c]:paused() then
    if chance(20) then c:send(any(statements)) else resume(running[c]) end
  else
    running[c]:finish()
  end
end

-- What may wait for ever, or ask somebody else, is not called with anything at all.
local spared = {
  open = true, poll = true, wait_fd = true, resolve = true, interrupt_on_signals = true,
  list = true, create_file = true,
}

local functions = {}
for name, value in pairs(core) do
  if type(value) == "function" and not spared[name] then functions[#functions + 1] = name end
end
table.sort(functions)

local methods = {
  conn = { "send", "ask", "copy_put", "copy_end", "abandon", "quote_literal", "quote_ident",
    "step" },
  apply = { "paused", "resume", "progress", "committed", "seconds", "stop", "transaction_id",
    "finish" },
  script = { "statement", "directive", "empty", "size", "transaction", "describe" },
  ledger = { "start", "record", "take", "set_aside", "adopt", "begin_run", "end_run", "finish",
    "share", "fits", "exists" },
}

local numbers = { 0, -1, 1, 2.5, 3, 1e9, 1e300, 1 / 0, -1 / 0, 0 / 0, 2 ^ 53 }
local words = { "", "a", "a\0b", "up", "down", "none", "probe", "\255\254", ("long "):rep(2000) }

local function anything()
  local kind = math.random(8)
  if kind == 1 then return nil end
  if kind == 2 then return chance(50) end
  if kind == 3 then return any(numbers) end
  if kind == 4 then return any(words) end
  if kind == 5 then return any(any { pool.conn, pool.ledger, pool.script, pool.words }) end
  if kind == 6 then return any(pool.jobs) end
  if kind == 7 then return entry() end
  return { any(words), any(numbers), { any(words) }, name = any(words), [any(words)] = 1 }
end

local calls_of = {
  function() core[any(functions)](anything(), anything(), anything(), anything()) end,
  function()
    local kind = any { "conn", "apply", "script", "ledger" }
    local object = kind == "apply" and a_run() or any(pool[kind])
    object[any(methods[kind])](chance(90) and object or anything(), anything(), anything(),
      anything())
  end,
  function() core.poll({ conn():fd(), 0 }, { "rw", anything() }, any { 0, 0 / 0, 0.001 }) end,
  function() core.wait_fd(conn():fd(), any(words), any { 0, 0 / 0, -1, 0.001 }) end,
  function() conn():finish() end,
  function() conn():send(any(statements)) end,
  function() conn():send("SELECT $1::text AS t, $2::int AS n", fresh "text", math.random(9)) end,
  function() conn():rows() end,
  function() conn():columns() end,
  function() conn():tag() end,
  function() conn():notice() end,
  function() conn():copying() end,
  function() conn():copy_put(fresh "" .. "\n") end,
  function() conn():copy_end(chance(30) and fresh "reason" or nil) end,
  function() conn():copy_get() end,
  function() conn():copy_data() end,
  function() conn():transaction_status() end,
  function() conn():peer() end,
  function() core.listing(conn(), any(pool.ledger), any(pool.jobs)) end,
  function() any(pool.ledger):text(conn(), any { "prepare", "advance", "widen" }, "7") end,
  function() conn():sent() end,
  function() conn():session_tag() end,
  function() a_run():progress() end,
  function() a_run():committed() end,
  function() a_run():seconds(math.random(3)) end,
  function() a_run():transaction_id() end,
  function() tostring(a_run()) end,
  function() ask(conn(), "take", entry(), fresh "owner") end,
  function() conn():traffic() end,
  function() conn():is_lost() end,
  function() conn():quote_literal(fresh "it's") end,
  function() conn():quote_ident(fresh "it\"s") end,
  function() ask(conn(), "start", any { "probe", "prepare", "advance", "list", "marks",
    "history", "journal", "elsewhere", "trust" }, chance(30) and "3" or nil) end,
  function() ask(conn(), "start", "widen", any { "1", ("9"):rep(12) }) end,
  function() finish_ledger(conn()) end,
  function() ask(conn(), "record", any { "none", "name", "done", "redo", "restart" }, entry()) end,
  function() ask(conn(), "adopt", { entry(), entry() }) end,
  function() apply(conn()) end,
  function() conn():step() end,
  function() a_run():paused() end,
  function() resume(a_run()) end,
  function() a_run():finish() end,
  function() a_run():stop() end,
  function() if chance(5) then drop(conn()) end end,
  function() if chance(5) then conn():abandon(fresh "reason") end end,
  function() if chance(5) then conn():cancel() end end,
  function() if chance(5) then conn():close() end end,
  function() any(pool.ledger):exists() end,
  function() any(pool.ledger):qualified() end,
  function() any(pool.ledger):fits(tostring(math.random(99))) end,
  function() if chance(3) then
    any(pool.ledger):share { columns = fresh "c", key = "version", create = "SELECT 1 {table}",
      list = "SELECT 1 FROM {table}", claim = "SELECT 2", release = "SELECT 3", there = "SELECT 4",
      locked = chance(50) }
  end end,
  function() any(pool.script):describe() end,
  function() any(pool.script):statement("up", math.random(3)) end,
  function() any(pool.script):count(math.random(2) == 1 and "up" or "down") end,
  function() any(pool.script):checksum() end,
  function() any(pool.script):down_state() end,
  -- what a table holds may change, and go, while a migration runs that was started with it
  function()
    local list = any(pool.jobs)
    local one = any(list)
    one.entry.name, one.owner, one.script = fresh "other", fresh "other", any(pool.script)
  end,
  function()
    local list = any(pool.jobs)
    list[#list + math.random(2) - 1] = job()
    if #list > 3 then list[#list] = nil end
  end,
  function() -- finalizers run whenever memory is asked for
    local c = conn()
    if chance(5) then setmetatable({}, { __gc = function() pcall(c.close, c) end }) end
  end,
  function()
    local object = any(pool[any { "script", "ledger", "words", "conn" }])
    local gc = object.__gc
    if gc and chance(10) then gc(object) end
  end,
  function() collectgarbage(any { "step", "collect" }) end,
}

--- What a wrong call raises: an error of pgmig's, or Lua's text about an argument.
local function check(raised)
  local kind = type(raised) == "table" and getmetatable(raised) == core.error_metatable
    and raised.kind
  if kind or type(raised) == "string" then return end
  error("raised: " .. tostring(raised), 0)
end

local order = { "words", "script", "ledger", "jobs", "conn" }
for _, kind in ipairs(order) do
  while #pool[kind] < POOL do
    local ok, new = pcall(make[kind])
    if ok then table.insert(pool[kind], new) else check(new) end
  end
end
for _ = 1, tonumber(calls) do
  if chance(3) then
    local kind = any(order)
    local at = math.random(POOL)
    local ok, new = pcall(make[kind])
    if not ok then
      check(new)
    else
      running[pool[kind][at]], pool[kind][at] = nil, new
    end
  end
  local ok, raised
  if chance(60) then ok, raised = pcall(proceed, conn()) else ok, raised = pcall(any(calls_of)) end
  if not ok then check(raised) end
  for i = 1, POOL do
    local c = pool.conn[i]
    if not c:is_open() or c:is_lost() then
      running[c], pool.conn[i] = nil, make.conn()
    end
  end
end
