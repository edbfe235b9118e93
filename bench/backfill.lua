--- What a backfill costs: compared with one UPDATE of the same rows; what a concurrent UPDATE by
-- key waits; whether it ends beside a writer. See bench/README.md.
local pgmig = require "pgmig"
local core = require "pgmig.core"
local scratch = require "pgmig.scratch"

local ROWS = tonumber(arg[1]) or 1000000
local ROUNDS = tonumber(arg[2]) or 3
local WRITER = 1000 -- rows a second
local SET = "status = 'done'"

-- As durable as PostgreSQL is by default; autovacuum would work on what earlier rounds have left.
local settings = {
  fsync = "on", full_page_writes = "on", synchronous_commit = "on", autovacuum = "off",
  max_wal_size = "4GB",
}

local function run(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "*a"
  pipe:close()
  return (text:gsub("%s+$", ""))
end

local bin = run "pg_config --bindir"

local function make(db)
  db:exec(([[DROP TABLE IF EXISTS schema_migrations_backfill, t;
    CREATE TABLE t (id bigint PRIMARY KEY, status text, other int, note text);
    INSERT INTO t SELECT i, NULL, i, repeat('x', 60) FROM generate_series(1, %d) AS i;
    CREATE INDEX ON t (other)]]):format(ROWS))
  db:exec "VACUUM ANALYZE t"
  db:exec "CHECKPOINT"
end

local function timed(fn)
  local began = core.now()
  fn()
  return core.now() - began
end

--- Fill the table: the seconds of all, of the longest batch, and how many batches there were.
local function fill(db)
  local longest, batches = 0, 0
  local seconds = timed(function()
    db:backfill {
      name = "bench", table = "t", set = SET, analyze = false,
      on_progress = function(event)
        if event.phase ~= "progress" then return end
        longest, batches = math.max(longest, event.backfill.batch_seconds), batches + 1
      end,
    }
  end)
  return seconds, longest, batches
end

local function median(list)
  table.sort(list)
  return list[math.ceil(#list / 2)]
end

-- ---- what others notice ----------------------------------------------------------

--- Let pgbench update rows by key, one connection, until `during` has ended.
-- @return milliseconds of a transaction: the median, the 99th of a hundred, the longest
local function pgbench(server, during)
  local dir = run "mktemp -d"
  local script = assert(io.open(dir .. "/update.sql", "w"))
  script:write(("\\set id random(1, %d)\nUPDATE t SET other = other + 1 WHERE id = :id;\n"):format(
    ROWS))
  script:close()
  run("chmod -R a+rwX " .. dir)
  local command = ("cd %s; %s/pgbench -n -c 1 -T 3600 -l -f update.sql '%s' >/dev/null 2>&1 & "
    .. "echo $!"):format(dir, bin, server:url "postgres")
  local pid = run(command)
  during()
  run(("kill %s; sleep 0.3"):format(pid))
  local times = {}
  for line in run(("cat %s/pgbench_log.*"):format(dir)):gmatch "[^\n]+" do
    times[#times + 1] = tonumber(line:match "^%d+ %d+ (%d+)")
  end
  run("rm -rf " .. dir)
  table.sort(times)
  local function at(share) return (times[math.max(1, math.ceil(#times * share))] or 0) / 1000 end
  return at(0.5), at(0.99), at(1), #times
end

-- ---- the whole -------------------------------------------------------------------

local function main(server)
  local db = pgmig.connect(server:url "postgres")
  local function say(...) io.write((...):format(select(2, ...)), "\n") end
  say("PostgreSQL %s, %d rows, %d rounds, load %s",
    db:query("SHOW server_version")[1].server_version, ROWS, ROUNDS,
    run "cut -d' ' -f1 /proc/loadavg")
  local updates, fills, longest = {}, {}, 0
  for round = 1, ROUNDS do
    make(db)
    updates[round] = timed(function() db:exec("UPDATE t SET " .. SET) end)
    make(db)
    local seconds, worst, count = fill(db)
    fills[round], longest = seconds, math.max(longest, worst)
    say("round %d: one UPDATE %.1f s, backfill %.1f s in %d batches, the longest %.0f ms", round,
      updates[round], seconds, count, worst * 1000)
  end
  local update, filled = median(updates), median(fills)
  say("one UPDATE: %.0f rows/s", ROWS / update)
  say("backfill:   %.0f rows/s, %.2f x of it, longest batch %.0f ms", ROWS / filled,
    update / filled, longest * 1000)
  make(db)
  local p50, p99, worst, count = pgbench(server, function() db:sleep(10) end)
  say("UPDATE by key alone:         median %.1f, p99 %.1f, longest %.1f ms (%d)", p50, p99, worst,
    count)
  p50, p99, worst, count = pgbench(server, function() fill(db) end)
  say("UPDATE by key, backfill:     median %.1f, p99 %.1f, longest %.1f ms (%d)", p50, p99, worst,
    count)
  make(db)
  p50, p99, worst, count = pgbench(server, function()
    db:sleep(0.5)
    db:exec("UPDATE t SET " .. SET)
    db:sleep(0.5)
  end)
  say("UPDATE by key, one UPDATE:   median %.1f, p99 %.1f, longest %.1f ms (%d)", p50, p99, worst,
    count)
  make(db)
  local stop = os.tmpname()
  os.remove(stop)
  run(([[(while [ ! -e %s ]; do psql -Xq -d '%s' -c "INSERT INTO t SELECT (SELECT max(id) FROM t)
    + i, 'done', 0, '' FROM generate_series(1, %d) AS i"; sleep 0.1; done) >/dev/null 2>&1 & echo]])
    :format(stop, server:url "postgres", WRITER / 10))
  local seconds = fill(db)
  run(("touch %s; sleep 0.5; rm %s"):format(stop, stop))
  say("beside a writer: ended after %.1f s, %d rows were inserted meanwhile, %d are not filled",
    seconds, db:query("SELECT count(*) AS n FROM t")[1].n - ROWS,
    db:query("SELECT count(*) AS n FROM t WHERE status IS NULL")[1].n)
  db:close()
end

local server = scratch.start { settings = settings }
local ok, err = xpcall(main, debug.traceback, server)
server:stop()
if not ok then error(err, 0) end
