-- A single worker migrates, and serves other requests meanwhile. What was measured is printed. The
-- bound is what a worker needs that does nothing else, at the same time on the same machine.
local core = require "pgmig.core"
local servers = require "spec.nginx.server"
local socket = require "socket"
local support = require "spec.support"

local FILES, FEWER = 1000, 300 -- fewer where each takes longer
local PAUSE = 0.003 -- seconds between two requests
local LIMIT, RATIO = 0.05, 10 -- seconds, and times the other's value: in the 99th percentile

describe("while one worker applies a thousand migrations and a statement of two seconds", function()
  local nginx, other

  after_each(function()
    if nginx then nginx:stop() end
    if other then other:stop() end
  end)

  --- A connection that is kept; asking it once takes as many seconds as the result says.
  local function prober(server)
    local client = assert(socket.tcp())
    client:settimeout(support.patience(60))
    assert(client:connect("127.0.0.1", server.port))
    client:setoption("tcp-nodelay", true)
    return function(path)
      local began = core.now()
      assert(client:send(("GET %s HTTP/1.1\r\nHost: x\r\n\r\n"):format(path)))
      local status = assert(client:receive "*l")
      repeat until assert(client:receive "*l") == ""
      repeat
        local size = tonumber(assert(client:receive "*l"), 16)
        assert(client:receive(size + 2))
      until size == 0
      return core.now() - began, tonumber(status:match " (%d+) ")
    end
  end

  local function percentile(times, part)
    table.sort(times)
    return times[math.max(1, math.ceil(#times * part))]
  end

  --- Ask both in turns until the gate of the first is open; the times of each.
  local function probe()
    local ask, ask_other, busy, idle = prober(nginx), prober(other), {}, {}
    support.wait(function()
      for _ = 1, 20 do
        busy[#busy + 1] = ask "/alive"
        idle[#idle + 1] = ask_other "/alive"
        socket.sleep(PAUSE)
      end
      return select(2, ask "/") == 200
    end, function() return nginx:log():sub(-2000) end)
    return busy, idle
  end

  local function make_files(count)
    local dir = support.tempdir()
    for i = 1, count do
      support.write(dir, ("%04d_t.sql"):format(i), ("CREATE TABLE t%d (id int);\n"):format(i)
        .. "INSERT INTO t" .. i .. " VALUES (1);\n")
    end
    support.write(dir, ("%04d_slow.sql"):format(count + 1), "SELECT pg_sleep(2);")
    return dir
  end

  local function measure(main, files)
    other = servers.start { worker = "" }
    nginx = servers.start {
      main = main, worker = servers.worker(("database = %q, dir = %q"):format(support.database(),
        make_files(files))),
    }
    local began = core.now()
    local busy, idle = probe()
    local idle_p99, busy_p99 = percentile(idle, 0.99), percentile(busy, 0.99)
    print(("\n%s: p99 %.1f ms, max %.1f ms of %d requests in %.1f s; other's p99 %.1f ms"):format(
      main == "" and "without threads" or "with a thread", busy_p99 * 1000,
      busy[#busy] * 1000, #busy, core.now() - began, idle_p99 * 1000))
    assert.is_true(busy_p99 < math.max(LIMIT, RATIO * idle_p99))
  end

  it("others wait hardly longer, with a thread pool", function()
    measure("thread_pool pgmig threads=1;", FILES)
  end)

  it("others wait hardly longer, without one", function() measure("", FEWER) end)
end)
