--- Every command, while the server lies (liar.c): run by hostile_spec.lua, in a program with
-- sanitizers. Whatever it says, a command ends with an error of pgmig's own, or well.
--     hostile.lua LIAR SERVER FOLDER FIRST LAST
-- The first two are connection strings of one database: through the liar, and not. The folder takes
-- the migrations. Each command runs once as it should; that is remembered, and said again with lies
-- in each of the variants FIRST to LAST. Prints how they have ended.
local liar, server, folder, first, last = ...
local core = require "pgmig.core"
local cli = require "pgmig.cli"
local errors = require "pgmig.errors"
local pgmig = require "pgmig"
local support = require "spec.support"

local TOO_LONG = support.patience(20) -- seconds for a command; its own limits are far below
local trace = os.getenv "PGMIG_TRACE" -- tells of each variant

-- ---- migrations --------------------------------------------------------------

local function write(name, text)
  local file = assert(io.open(folder .. "/" .. name, "w"))
  file:write(text)
  file:close()
end

os.execute(("mkdir -p '%s/own' '%s/goose'"):format(folder, folder))
write("own/001_a.sql", "-- UP\nCREATE TABLE a (n int);\nINSERT INTO a VALUES (1);\n"
  .. "-- DOWN\nDROP TABLE a;\n")
write("own/002_b.sql", "-- UP\nCREATE TABLE b (n int PRIMARY KEY);\nCOPY b FROM STDIN;\n1\n2\n\\.\n"
  .. "COPY b TO STDOUT;\nSELECT pg_sleep(0.02);\n-- DOWN\nDROP TABLE b;\n")
write("own/003_c.sql", "-- UP\n-- pgmig: transaction=off\nCREATE TABLE c (n int);\n"
  .. "CREATE INDEX CONCURRENTLY c_n ON c (n);\nBEGIN;\nINSERT INTO c VALUES (1);\nCOMMIT;\n"
  .. "-- DOWN\n-- pgmig: transaction=off\nDROP INDEX CONCURRENTLY c_n;\nDROP TABLE c;\n")
write("own/004_d.lua", "return { up = function(db) db:query 'SELECT 1 AS n' end, "
  .. "down = function(db) db:exec 'SELECT 2' end }\n")
write("own/005_e.sql", "-- UP\nCREATE TABLE e (n int);\n-- DOWN\nDROP TABLE e;\n")
write("goose/00001_g.sql", "-- +goose Up\nCREATE TABLE g (n int);\n"
  .. "-- +goose Down\nDROP TABLE g;\n")

-- ---- commands ----------------------------------------------------------------

local PREPARED = [[
  INSERT INTO schema_migrations_journal (migration, direction, owner, state, done, running,
    statement, revision, pid, backend_start, server_start, db_user, session_known)
  SELECT '3', 'up', 'somebody', 'running', '{}', 'x', 'CREATE INDEX', 7, 1, now(), now(), user,
    true;
  INSERT INTO schema_migrations_run_journal (run, direction, plan, host, program, pid)
  SELECT 'r', 'up', '3 c', 'h', 'p', 1]]

-- A command, what comes before it (commands, and SQL last), and its other words.
local commands = {
  { "status" }, { "status --json", "up" }, { "up" }, { "up --json" }, { "up --no-pipeline" },
  { "up --verbose --to 2" }, { "down --all", "up" }, { "down --all --no-pipeline", "up" },
  { "redo", "up" }, { "doctor", "up" }, { "doctor", "up --to 2", sql = PREPARED },
  { "status", "up --to 2", sql = PREPARED }, { "up", "up --to 2", sql = PREPARED },
  { "resolve 3 --redo", "up --to 2", sql = PREPARED },
  { "resolve 3 --done", "up --to 2", sql = PREPARED },
  { "resolve 3 --restart", "up --to 2", sql = PREPARED },
  { "history", "up" }, { "plan" }, { "plan --verbose", "up --to 1" }, { "repair", "up" },
  { "repair 1", "up", sql = "UPDATE schema_migrations_history SET checksum = 'x'" },
  { "baseline 2" }, { "up --fake 1" }, { "up --dry-run" }, { "wait --timeout 0.1" },
  { "adopt --from goose" }, { "adopt --dry-run" }, { "up", sql = "DROP TABLE goose_db_version" },
  { "up", "up", sql = "CREATE SCHEMA s; CREATE TABLE s.schema_migrations (LIKE schema_migrations);"
    .. "INSERT INTO s.schema_migrations TABLE schema_migrations; DELETE FROM schema_migrations" },
  { "status", shared = true }, { "up", shared = true }, { "down --all", "up", shared = true },
  { "doctor", "up", shared = true }, { "history", "up", shared = true },
}

--- What a program does with its connection, and with a migrator.
local uses = {
  function(db) db:query("SELECT $1::int AS n, NULL AS o", 7) end,
  function(db) db:exec "CREATE TEMP TABLE t (n int); INSERT INTO t VALUES (1); DROP TABLE t" end,
  function(db) db:transaction(function() db:query "SELECT generate_series(1, 50) AS n" end) end,
  function(db) db:copy("COPY (SELECT generate_series(1, 50)) TO STDOUT") end,
  function(db)
    db:exec "CREATE TEMP TABLE t (n int)"
    db:copy("COPY t FROM STDIN", "1\n2\n")
  end,
  function(db) db:query "COPY (SELECT 1) TO STDOUT" end,
  function(db)
    local migrator = pgmig.migrator(db, folder .. "/own", { lock_wait = 0.05, reconnect = 0 })
    migrator:on("before_statement", function() end)
    migrator:migrate()
    migrator:rollback(2)
  end,
  function(db)
    local migrator = pgmig.migrator(db, folder .. "/own", { lock_wait = 0.05, reconnect = 0.1 })
    migrator:status()
    migrator:doctor()
    migrator:history()
  end,
}

local said

local function capture(_, text)
  said[#said + 1] = text
  return #text
end

local function words_of(line)
  local words = {}
  for word in line:gmatch "%S+" do words[#words + 1] = word end
  return words
end

--- Run the program; its exit code.
local function run_command(url, line, shared)
  local words = words_of(line)
  for _, word in ipairs { "--database", url, "--reconnect", "0.02", "--response-timeout", "0.3",
    "--lock-wait", "0.02", "--retries", "0", "--dir", folder .. (shared and "/goose" or "/own") } do
    words[#words + 1] = word
  end
  if shared then
    for _, word in ipairs { "--shared", "--format", "goose" } do words[#words + 1] = word end
  end
  return cli.main(words)
end

local function run_use(url, use)
  local db
  local ok, err = pcall(function()
    db = pgmig.connect { url = url, response_timeout = 0.3 }
    db:on_notice(function(notice) said[#said + 1] = notice.severity .. notice.message end)
    use(db)
  end)
  if db then db:close() end
  if ok then return 0 end
  said[#said + 1] = tostring(err)
  return errors.is(err) and 1 or "not an error of pgmig's"
end

--- Carry a scenario out; how it has ended.
local function carry_out(k, url)
  local command = commands[k]
  if command then return run_command(url, command[1], command.shared) end
  return run_use(url, uses[k - #commands])
end

-- ---- the database ------------------------------------------------------------

local RESET = [[
  SET client_min_messages = error; SET statement_timeout = '5s';
  SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
    AND pid <> pg_backend_pid() AND backend_type = 'client backend';
  DROP SCHEMA IF EXISTS public, s CASCADE;
  CREATE SCHEMA public;
  CREATE TABLE goose_db_version (id serial PRIMARY KEY, version_id bigint NOT NULL,
    is_applied boolean NOT NULL, tstamp timestamp NULL DEFAULT now());
  INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, true)]]

local truth = pgmig.connect(server)
local scenarios = #commands + #uses

--- The connection string of what the liar is to say.
local function through_liar(what)
  return liar .. "&connect_timeout=1&options=-c%20pgmig.liar%3D" .. what
end

--- Let the liar remember a scenario.
local function record(k)
  local command = commands[k] or {}
  truth:exec(RESET)
  for i = 2, #command do
    assert(run_command(server, command[i], command.shared) == 0, table.concat(said))
  end
  if command.sql then truth:exec(command.sql) end
  return carry_out(k, through_liar("rec." .. k))
end

-- ---- all ---------------------------------------------------------------------

local endings = {}

local function tell(n, ended, seconds, text)
  local k = n % scenarios + 1
  local command = commands[k]
  io.stderr:write(("variant %d, %s: %s after %.2f s\n%s\n"):format(n, command and command[1] .. (
    command.shared and " --shared" or "") or "use " .. k - #commands, tostring(ended), seconds,
    text:sub(1, 2000)))
end

--- Try a variant.
local function try(n)
  said = {}
  local began = core.now()
  local ended = carry_out(n % scenarios + 1, through_liar(("%d.%d"):format(n % scenarios + 1, n)))
  local text, seconds = table.concat(said), core.now() - began
  local foreign = text:find "internal error, please report this bug" or text:find "attempt to %l"
    or text:find "pgmig/[%w_/]+%.lua:%d+:"
  if trace or type(ended) ~= "number" or foreign or seconds > TOO_LONG then
    tell(n, ended, seconds, text)
  end
  endings[tostring(ended)] = (endings[tostring(ended)] or 0) + 1
end

local real_write = core.write
core.write = capture
for k = 1, scenarios do
  said = {}
  local ended = record(k)
  if trace then io.stderr:write(("recorded %d: %s\n"):format(k, tostring(ended))) end
end
truth:close()
for n = tonumber(first), tonumber(last) do try(n) end
core.write = real_write
local list = {}
for ended, count in pairs(endings) do list[#list + 1] = ended .. ": " .. count end
table.sort(list)
print(table.concat(list, ", "))
