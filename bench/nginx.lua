--- Load on a single nginx worker, before, while and after it applies a thousand migrations and a
-- statement of two seconds. Needs wrk (script/bootstrap --bench); see bench/README.md.
local servers = require "spec.nginx.server"
local support = require "spec.support"

local MIGRATIONS = 1000
local SECONDS = 6

local function make_migrations()
  local dir = support.tempdir()
  for i = 1, MIGRATIONS do
    support.write(dir, ("%04d_t.sql"):format(i),
      ("CREATE TABLE t%d (id int);\nINSERT INTO t%d VALUES (1);\n"):format(i, i))
  end
  support.write(dir, ("%04d_slow.sql"):format(MIGRATIONS + 1), "SELECT pg_sleep(2);")
  return dir
end

local function load_on(nginx, what)
  local code, out, err = support.run(("wrk -t1 -c4 -d%ds --latency http://127.0.0.1:%d/alive")
    :format(SECONDS, nginx.port))
  if code ~= 0 then error("wrk: " .. err, 0) end
  print(("| %s | %s | %s | %s |"):format(what, out:match "99%%%s+(%S+)",
    out:match "Latency%s+%S+%s+%S+%s+(%S+)", out:match "Requests/sec:%s+(%S+)"))
end

local function measure(title, main)
  local nginx = servers.start {
    main = main, worker = "",
    locations = ([[location = /go { content_by_lua_block {
      ngx.timer.at(0, function()
        require("pgmig.nginx").setup { database = %q, dir = %q }
      end)
    } }]]):format(support.database(), make_migrations()),
  }
  print(("\n| %s | p99 | max | requests/s |\n|---|---|---|---|"):format(title))
  load_on(nginx, "idle")
  nginx:get "/go"
  load_on(nginx, "migrating")
  nginx:open()
  load_on(nginx, "idle again")
  nginx:stop()
end

measure("with a thread pool", "thread_pool pgmig threads=1;")
measure("without", "")
