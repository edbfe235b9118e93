-- Many workers, and two nginx on one database: one migrates, the others wait.
local servers = require "spec.nginx.server"
local support = require "spec.support"

describe("of all workers of nginx", function()
  local dir, url, running

  before_each(function()
    dir, url, running = support.tempdir(), support.database(), {}
    support.write(dir, "001_count.sql", [[CREATE TABLE runs (at timestamptz);
      INSERT INTO runs VALUES (now()); ]] .. support.held)
    support.write(dir, "002_more.sql", "INSERT INTO runs VALUES (now());")
  end)

  after_each(function() for _, nginx in ipairs(running) do nginx:stop() end end)

  local function start(workers)
    local nginx = servers.start {
      workers = workers, worker = servers.worker(("database = %q, dir = %q"):format(url, dir)),
    }
    running[#running + 1] = nginx
    return nginx
  end

  --- Ask often enough to meet every worker.
  local function statuses(nginx, times)
    local found = {}
    for _ = 1, times do
      local status = nginx:get "/"
      found[status] = (found[status] or 0) + 1
    end
    return found
  end

  it("of one and of two masters, one migrates, and the gates open everywhere", function()
    local first, second = start(4), start(4)
    support.wait(function() return first:migrating() or second:migrating() end)
    assert.same({ [503] = 40 }, statuses(first, 40))
    assert.same({ [503] = 40 }, statuses(second, 40))
    support.release(url)
    first:open()
    second:open()
    assert.same({ [200] = 80 }, statuses(first, 80))
    assert.same({ [200] = 80 }, statuses(second, 80))
    assert.equal("up count, up more", servers.history(url))
    assert.equal("2", support.psql(url, "SELECT count(*) FROM runs"))
    for _, nginx in ipairs { first, second } do assert.same({}, nginx:logged("pgmig", "error")) end
  end)

  it("the one that waits for another nginx says so, and ends at once when told to", function()
    local first = start(1)
    support.wait(function() return first:migrating() end)
    local second = start(1)
    support.wait(function()
      local _, body = second:get "/schema.json"
      return body:find('"state":"waiting"', 1, true)
        and body:find('"waiting_for":"another run holds the lock', 1, true)
    end)
    local master = second:master()
    second:signal "QUIT"
    local seconds = servers.wait_for_end(master)
    print(("\nQUIT while waiting for the lock: %.2f s"):format(seconds))
    assert.is_truthy(first:migrating()) -- it would have waited for ever
  end)

  it("only one keeps connections while they wait", function()
    start(4)
    support.wait(function() return running[1]:migrating() end)
    statuses(running[1], 40)
    support.wait(function()
      return tonumber(support.psql(url, [[SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE 'pgmig%']])) <= 3
    end, "only one with connections")
    support.release(url)
    running[1]:open()
  end)
end)
