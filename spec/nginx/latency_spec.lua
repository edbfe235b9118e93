-- A single worker migrates, and serves other requests meanwhile. What was measured is printed; the
-- bounds leave room for machines that are busy with other things.
local core = require "pgmig.core"
local servers = require "spec.nginx.server"
local socket = require "socket"
local support = require "spec.support"

local FILES, FEWER = 1000, 300 -- fewer where each takes longer
local PROBES = 300 -- when idle
local PAUSE = 0.003 -- seconds between two requests
local LIMIT, RATIO = 0.05, 10 -- seconds, and times the idle value: in the 99th percentile

describe("while one worker applies a thousand migrations and a statement of two seconds", function()
  local nginx

  after_each(function() if nginx then nginx:stop() end end)

  --- A connection that is kept; asking it once takes as many seconds as the result says.
  local function prober()
    local client = assert(socket.tcp())
    client:settimeout(20)
    assert(client:connect("127.0.0.1", nginx.port))
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

  local function probe_while(ask, more)
    local times = {}
    while more(#times) do
      times[#times + 1] = ask "/alive"
      socket.sleep(PAUSE)
    end
    return times
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
    local go = support.tempdir() .. "/go"
    nginx = servers.start {
      main = main,
      worker = ([[ngx.timer.every(0.1, function()
        local file = io.open %q
        if file and not package.loaded.begun then
          package.loaded.begun = true
          require("pgmig.nginx").setup { database = %q, dir = %q }
        end
      end)]]):format(go, support.database(), make_files(files)),
    }
    local ask = prober()
    local idle = probe_while(ask, function(n) return n < PROBES end)
    io.open(go, "w"):close()
    local began, open, count = core.now(), false, 0
    local busy = probe_while(ask, function()
      count = count + 1
      if count % 20 == 0 then open = select(2, ask "/") == 200 end
      return not open and core.now() - began < 60
    end)
    assert.is_true(open, nginx:log():sub(-2000))
    local idle_p99, busy_p99 = percentile(idle, 0.99), percentile(busy, 0.99)
    print(("\n%s: p99 %.1f ms, max %.1f ms of %d requests in %.1f s; idle p99 %.1f ms"):format(
      main == "" and "without threads" or "with a thread", busy_p99 * 1000,
      busy[#busy] * 1000, #busy, core.now() - began, idle_p99 * 1000))
    assert.is_true(busy_p99 < math.max(LIMIT, RATIO * idle_p99))
  end

  it("others wait hardly longer, with a thread pool", function()
    measure("thread_pool pgmig threads=1;", FILES)
  end)

  it("others wait hardly longer, without one", function() measure("", FEWER) end)
end)
