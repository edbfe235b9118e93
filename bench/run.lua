--- Time whole commands side by side: pgmig, psql, and dbmate where it is installed.
-- Prints medians and ratios to psql of one run; see bench/README.md.
local core = require "pgmig.core"
local pgmig = require "pgmig"
local scratch = require "pgmig.scratch"

local ROUNDS = tonumber(os.getenv "PGMIG_BENCH_ROUNDS") or 3
local MIGRATIONS = 1000
local ROWS = 200000

local function quote(s) return "'" .. s:gsub("'", "'\\''") .. "'" end

local function output_of(command)
  local pipe = assert(io.popen(command))
  local line = pipe:read "*l"
  pipe:close()
  return line
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

-- ---- what is run -----------------------------------------------------------

local root = assert(output_of "mktemp -d \"${TMPDIR:-/tmp}/pgmig-bench.XXXXXX\"")
os.execute(("chmod 755 %s; mkdir %s/small %s/small_dbmate %s/large"):format(root, root, root, root))
local server = scratch.start { settings = { fsync = "on", synchronous_commit = "on" } }

local track = "CREATE TABLE schema_migrations (version int PRIMARY KEY, name text NOT NULL, " ..
  "applied_at timestamptz NOT NULL DEFAULT now());\n"

local function make_small()
  local all = { track }
  for i = 1, MIGRATIONS do
    local up = ("CREATE TABLE t%d (id int, name text);\nCREATE INDEX i%d ON t%d (name);\n")
      :format(i, i, i)
    local down = ("DROP TABLE t%d;\n"):format(i)
    write(("%s/small/%04d_t%d.sql"):format(root, i, i), "-- UP\n" .. up .. "-- DOWN\n" .. down)
    write(("%s/small_dbmate/%04d_t%d.sql"):format(root, i, i),
      "-- migrate:up\n" .. up .. "-- migrate:down\n" .. down)
    all[#all + 1] = ("BEGIN;\n%sINSERT INTO schema_migrations VALUES (%d, 't%d');\nCOMMIT;\n")
      :format(up, i, i)
  end
  write(root .. "/small.sql", table.concat(all))
end

local function make_large()
  local rows = { "CREATE TABLE big (id int, name text);\n" }
  for i = 1, ROWS do
    rows[#rows + 1] = ("INSERT INTO big VALUES (%d, 'row %d; with a semicolon');\n"):format(i, i)
  end
  write(root .. "/large/0001_big.sql", table.concat(rows))
end

local count = 0
local admin = pgmig.connect(server:url())

local function fresh_database()
  count = count + 1
  local name = "bench_" .. count -- a name once dropped makes the next run slower
  admin:exec("CREATE DATABASE " .. name)
  return server:url(name)
end

local function pgmig_command(url, dir)
  return ("bin/pgmig --quiet --database %s --dir %s/%s up"):format(quote(url), root, dir)
end

local function psql_command(url, file)
  return ("psql -Xq -v ON_ERROR_STOP=1 -d %s -f %s"):format(quote(url), quote(root .. "/" .. file))
end

local function dbmate_command(url, dir)
  return ("dbmate --url %s --migrations-dir %s/%s --no-dump-schema up"):format(
    quote(url:gsub("%?", "?sslmode=disable&", 1)), root, dir)
end

-- ---- timing ----------------------------------------------------------------

local function seconds(command)
  local start = core.now()
  local ok = os.execute(command .. " >/dev/null")
  if ok ~= true and ok ~= 0 then error("failed: " .. command) end
  return core.now() - start
end

local function median(list)
  table.sort(list)
  return list[math.floor((#list + 1) / 2)]
end

--- Run the contenders in turn, round after round; print medians and ratios to psql.
local function compare(title, contenders)
  local times = {}
  for _ = 1, ROUNDS do
    for _, c in ipairs(contenders) do
      times[c.name] = times[c.name] or {}
      local command = c.prepare()
      table.insert(times[c.name], seconds(command))
    end
  end
  local base = median(times.psql)
  print(("\n%s\n\n| | seconds | ratio to psql |\n|---|---|---|"):format(title))
  for _, c in ipairs(contenders) do
    local value = median(times[c.name])
    print(("| %s | %.3f | %.2f |"):format(c.name, value, value / base))
  end
end

local has_dbmate = output_of "command -v dbmate" ~= nil

local function with_dbmate(list, prepare)
  if has_dbmate then list[#list + 1] = { name = "dbmate", prepare = prepare } end
  return list
end

local function run()
  make_small()
  make_large()
  print(("PostgreSQL %s, unix socket, fsync on, %d rounds, medians%s"):format(
    admin:query("SHOW server_version")[1].server_version, ROUNDS,
    has_dbmate and "" or "; dbmate: skipped, not installed (script/bootstrap --bench)"))
  compare(MIGRATIONS .. " small migrations", with_dbmate({
    { name = "psql", prepare = function() return psql_command(fresh_database(), "small.sql") end },
    { name = "pgmig", prepare = function() return pgmig_command(fresh_database(), "small") end },
  }, function() return dbmate_command(fresh_database(), "small_dbmate") end))

  local done = fresh_database()
  os.execute(pgmig_command(done, "small"))
  local done_dbmate = fresh_database()
  if has_dbmate then os.execute(dbmate_command(done_dbmate, "small_dbmate") .. " >/dev/null") end
  write(root .. "/look.sql", "SELECT version FROM schema_migrations;")
  compare("nothing to do, " .. MIGRATIONS .. " files (psql reads the table only)", with_dbmate({
    { name = "psql", prepare = function() return psql_command(done, "look.sql") end },
    { name = "pgmig", prepare = function() return pgmig_command(done, "small") end },
  }, function() return dbmate_command(done_dbmate, "small_dbmate") end))

  compare(("one migration of %d INSERTs, one transaction"):format(ROWS), {
    { name = "psql", prepare = function()
      return psql_command(fresh_database(), "large/0001_big.sql") .. " -1"
    end },
    { name = "pgmig", prepare = function() return pgmig_command(fresh_database(), "large") end },
  })
end

local ok, err = pcall(run)
admin:close()
server:stop()
os.execute("rm -rf " .. quote(root))
if not ok then
  io.stderr:write(tostring(err), "\n")
  os.exit(1)
end
