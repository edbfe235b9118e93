--- The tools that are compared: where they are, which version, and how each is called.
--
-- A contender has `name`, `tool`, `layout` (corpus.lua), `tracking` (the table where it notes what
-- is applied) and `command`, a function of a job that returns { words =, env = }. A job is
-- { folder =, host =, port =, database = }. `prepare` is the same for the command that brings a
-- database to where `command` has nothing to do; without it `command` does that too. `counts`: it
-- prints how many statements there are. `wanted = false`: it is left out without a word. `limit`:
-- no migration tool, but what one could reach.
local programs = require "bench.programs"
local shell = require "bench.shell"

local M = {}

-- ---- where they are --------------------------------------------------------

--- A file of the packages that script/bootstrap --bench puts into the project.
local function npm_file(path)
  path = programs.root .. "/build/rivals/node_modules/" .. path
  return shell.exists(path) and path or nil
end

-- Not Debian's `psql`, a wrapper in Perl; not npm's `dbmate`, a wrapper in JavaScript.
local psql = assert(shell.output_of "pg_config --bindir", "no pg_config") .. "/psql"
local dbmate = npm_file "@dbmate/linux-x64/bin/dbmate"
local node = shell.find_program "node"
local node_pg_migrate = node and npm_file "node-pg-migrate/bin/node-pg-migrate.js"
local sqitch = shell.find_program "sqitch"

local pgmig = programs.root .. "/bin/pgmig"
local one_file = programs.root .. "/build/single/pgmig" -- as script/build --single makes it
one_file = shell.exists(one_file) and one_file or nil
local help = shell.output_of(("%s --help; %s up --help"):format(pgmig, pgmig)) or ""
local can_skip_drift = help:find("--no-drift-check", 1, true) ~= nil

-- ---- commands --------------------------------------------------------------

--- Where a database is, for whatever takes a URL.
local function url(job, options)
  return ("postgresql:///%s?host=%s&port=%d&user=postgres%s"):format(job.database, job.host,
    job.port, options or "")
end

--- @param program its words; then those of `up`
local function run_program(program, ...)
  local more = { ... }
  return function(job)
    local words = { table.unpack(program) }
    for _, word in ipairs { "--quiet", "--database", url(job), "--dir", job.folder, "up",
      table.unpack(more) } do
      words[#words + 1] = word
    end
    return { words = words }
  end
end

local function run_pgmig(engine, ...) return run_program({ engine, pgmig }, ...) end

local function run_one_file(...) return run_program({ one_file }, ...) end

local function run_psql(job, ...)
  return { words = { psql, "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", url(job), ... } }
end

local function psql_one(job) return run_psql(job, "-f", job.folder .. "/all.sql") end

local function psql_look(job)
  return run_psql(job, "-c", "SELECT version FROM schema_migrations")
end

local function psql_files(job)
  local words = {}
  for path in shell.output_of(("ls -d %s/*"):format(job.folder)):gmatch "[^\n]+" do
    words[#words + 1] = "-f"
    words[#words + 1] = path
  end
  return run_psql(job, table.unpack(words))
end

local function run_dbmate(job)
  return { words = { dbmate, "--url", url(job, "&sslmode=disable"), "--migrations-dir", job.folder,
    "--no-dump-schema", "up" } }
end

local function run_node_pg_migrate(...)
  local more = { ... }
  return function(job)
    return {
      env = { DATABASE_URL = url(job) },
      words = { node, node_pg_migrate, "up", "--no-verbose", "--migrations-dir", job.folder,
        table.unpack(more) },
    }
  end
end

local function run_sqitch(...)
  local more = { ... }
  return function(job)
    return {
      env = {
        PGHOST = job.host, PGPORT = job.port, PGUSER = "postgres",
        SQITCH_FULLNAME = "Bench", SQITCH_EMAIL = "bench@example.org",
      },
      words = { sqitch, "deploy", "--quiet", "--chdir", job.folder, "--client", psql,
        "db:pg:" .. job.database, table.unpack(more) },
    }
  end
end

local function run_pipeline(job)
  return { words = { programs.path "pipeline", url(job), job.folder .. "/all" } }
end

local function over_file(program)
  return function(job) return { words = { program, job.folder .. "/all.sql" } } end
end

-- ---- contenders ------------------------------------------------------------

local function of_pgmig(name, command)
  return { name = name, tool = "pgmig", layout = "pgmig", tracking = "schema_migrations",
    command = command }
end

local function of_one_file(name, command)
  local contender = of_pgmig(name, command)
  contender.tool = "pgmig, one executable"
  return contender
end

local function of_psql(name, layout, command)
  return { name = name, tool = "psql", layout = layout, tracking = "schema_migrations",
    command = command }
end

local function of_node(name, ...)
  return { name = name, tool = "node-pg-migrate", layout = "node_pg_migrate",
    tracking = "pgmigrations", command = run_node_pg_migrate(...) }
end

local in_one = of_node "node-pg-migrate, one transaction for all"
in_one.prepare = run_node_pg_migrate "--no-single-transaction" -- one of 10,000 takes too many locks

local look = of_psql("psql, reads the tracking table only", "pgmig", psql_look)
look.prepare = run_pgmig "lua5.4"

M.list = {
  pgmig54 = of_pgmig("pgmig, Lua 5.4", run_pgmig "lua5.4"),
  pgmigjit = of_pgmig("pgmig, LuaJIT", run_pgmig "luajit"),
  pgmig54_fast = of_pgmig("pgmig, Lua 5.4, --no-drift-check",
    run_pgmig("lua5.4", "--no-drift-check")),
  pgmigjit_fast = of_pgmig("pgmig, LuaJIT, --no-drift-check",
    run_pgmig("luajit", "--no-drift-check")),
  pgmig_one = of_one_file("pgmig, one executable", run_one_file()),
  pgmig_one_fast = of_one_file("pgmig, one executable, --no-drift-check",
    run_one_file "--no-drift-check"),
  psql_one = of_psql("psql, one file", "psql_one", psql_one),
  psql_files = of_psql("psql, a file each", "psql_files", psql_files),
  psql_look = look,
  dbmate = { name = "dbmate", tool = "dbmate", layout = "dbmate", tracking = "schema_migrations",
    command = run_dbmate },
  node = in_one,
  node_each = of_node("node-pg-migrate, a transaction each", "--no-single-transaction"),
  sqitch = { name = "sqitch", tool = "sqitch", layout = "sqitch", tracking = "sqitch.changes",
    command = run_sqitch(), prepare = run_sqitch "--log-only" },
  pipeline = { name = "limit: one libpq pipeline", tool = "libpq", layout = "pipeline",
    limit = true, tracking = "schema_migrations", command = run_pipeline },
  scan = { name = "pgmig's scanner", tool = "pgmig", layout = "plain",
    counts = true, command = over_file(programs.path "scan") },
  scan_pg_query = { name = "libpg_query's scanner", tool = "libpg_query", layout = "plain",
    counts = true, command = over_file(programs.path "scan_pg_query") },
  cat = { name = "cat, to /dev/null", tool = "cat", layout = "plain", limit = true,
    command = over_file "cat" },
}
M.list.pgmig54_fast.wanted = can_skip_drift
M.list.pgmigjit_fast.wanted = can_skip_drift

-- ---- versions --------------------------------------------------------------

--- The first version number that a command prints.
local function version_in(command)
  local text = shell.output_of(command)
  return text and text:match "%d+%.%d[%w.-]*"
end

local function version_of(path)
  return path and version_in(shell.quote(path) .. " --version")
end

local function describe_pgmig()
  return ("%s (%s; Lua %s, LuaJIT %s)"):format(version_of(pgmig),
    shell.output_of "git describe --always --dirty" or "no commit", version_in "lua5.4 -v",
    version_in "luajit -v")
end

local function describe_node_pg_migrate()
  if not node_pg_migrate then return nil end
  return ("%s (node %s)"):format(version_in(shell.join { node, node_pg_migrate, "--version" }),
    version_of(node))
end

--- The tools in the order of a list for readers: { name, version or nil: not installed }.
M.versions = {
  { "pgmig", describe_pgmig() },
  { "pgmig, one executable", version_of(one_file) },
  { "psql", version_of(psql) },
  { "dbmate", version_of(dbmate) },
  { "node-pg-migrate", describe_node_pg_migrate() },
  { "sqitch", version_of(sqitch) },
  { "libpq", version_in "pkg-config --modversion libpq" },
  { "libpg_query", programs.path "scan_pg_query" and
    shell.output_of "dpkg-query --show --showformat='${Version}' libpg-query-dev" },
  { "cat", version_of "cat" },
}

--- Whether a contender's tool is installed.
function M.is_there(contender)
  for _, entry in ipairs(M.versions) do
    if entry[1] == contender.tool then return entry[2] ~= nil end
  end
  error("no such tool: " .. contender.tool)
end

return M
