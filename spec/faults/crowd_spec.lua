-- Many processes at once, on one database: exactly one does each migration, and all succeed.
local faults = require "spec.faults.support"
local pgbouncer = require "spec.faults.pgbouncer"
local pgmig = require "pgmig"
local states = require "spec.faults.state"
local summary = require "spec.faults.summary"
local support = require "spec.support"
local workload = require "spec.faults.workload"

local PROCESSES = 16
local MIGRATIONS = 50
local ROUNDS = faults.whole and 20 or 1

local function same_words(count, words)
  local list = {}
  for i = 1, count do list[i] = words end
  return list
end

--- What the processes claim, and what is so.
local function check(case, results, state)
  local function add(...) case.problems[#case.problems + 1] = (...):format(select(2, ...)) end
  local claimed = {}
  for _, result in ipairs(results) do
    if result.code ~= 0 then add("ended with %d: %s", result.code, result.err) end
    for version, what in pairs(states.claims(result.out)) do
      if what == "applied" then claimed[version] = (claimed[version] or 0) + 1 end
    end
  end
  for n = 1, MIGRATIONS do
    local count = state.counts[n] or 0
    if count < 1 then case.lost = case.lost + 1 end
    if count > 1 then case.doubled = case.doubled + 1 end
    if count ~= 1 then add("migration %d was executed %d times", n, count) end
    if claimed[n] ~= 1 then add("%d processes say that they applied %d", claimed[n] or 0, n) end
    if state.versions[n] ~= 1 then add("version %d has %d rows", n, state.versions[n] or 0) end
  end
  if state.journal ~= 0 then add("%d rows are left in the journal", state.journal) end
end

describe("16 processes at once", function()
  local dir, mixed, pool

  setup(function()
    dir, mixed = workload.many(MIGRATIONS), workload.many(MIGRATIONS, 5)
    pool = pgbouncer.start(40)
  end)

  teardown(function() pool.stop() end)

  --- @param url fn(database)
  local function try(name, url, folder)
    for _ = 1, ROUNDS do
      local database = faults.database()
      local own_url = support.server():url(database)
      local case = { problems = {}, lost = 0, doubled = 0 }
      local words = same_words(PROCESSES, "up --dir " .. folder)
      local results = faults.run_at_once(url(database), words)
      check(case, results, states.look(own_url))
      if states.leftovers(own_url) ~= 0 then
        case.problems[#case.problems + 1] = "sessions or locks are left"
      end
      summary.add(name, case)
      assert.same({}, case.problems)
      faults.drop(database)
    end
  end

  local function direct(database) return support.server():url(database) end

  it("apply each of 50 migrations once", function() try("16 processes", direct, dir) end)

  it("apply each once where some run without a transaction", function()
    try("16 processes, transaction=off", direct, mixed)
  end)

  it("apply each once through pgbouncer in transaction mode", function()
    try("16 processes, pgbouncer", pool.url, dir)
  end)

  it("apply each once through pgbouncer where some run without a transaction", function()
    try("16 processes, pgbouncer, transaction=off", pool.url, mixed)
  end)
end)

describe("CREATE INDEX CONCURRENTLY with eight waiting runs", function()
  it("ends, with a valid index, and the waiting runs say who they wait for", function()
    local folder, database = support.tempdir(), faults.database()
    local url = support.server():url(database)
    support.write(folder, "001_step.sql", [[
-- UP
CREATE TABLE counter (version int);
INSERT INTO counter VALUES (1);
CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pg_sleep(0.03); RETURN $1; END $$;
CREATE TABLE big AS SELECT n FROM generate_series(1, 50) AS n;
-- DOWN
DROP TABLE counter, big;
DROP FUNCTION slow;
]])
    support.write(folder, "002_step.sql", [[
-- UP
-- pgmig: transaction=off
CREATE INDEX CONCURRENTLY slow ON big (slow(n));
INSERT INTO counter VALUES (2);
-- DOWN
-- pgmig: irreversible
]])
    local results = faults.run_at_once(url, same_words(9, "up --dir " .. folder))
    local waited, queries = 0, 0
    for _, result in ipairs(results) do
      assert.same({ 0, nil }, { result.code, result.code ~= 0 and result.err or nil })
      local waits = "another run holds the lock: pid %d+, pgmig lock, user postgres, since"
      if result.err:find(waits) then waited = waited + 1 end
      if result.err:find "its worker pid %d+: " then queries = queries + 1 end
    end
    assert.equal(8, waited)
    assert.is_true(queries > 0)
    local state = states.look(url)
    assert.same({ 1, 1 }, { state.counts[1], state.counts[2] })
    assert.matches("index CREATE INDEX slow [^;]+ true", state.text)
    faults.drop(database)
  end)
end)

describe("two migrators in one process", function()
  it("wait for each other when their work is woven together", function()
    local folder, url = workload.many(5), support.database()
    local threads, applied = {}, 0
    for i = 1, 2 do
      threads[i] = coroutine.wrap(function()
        local db = pgmig.connect { url = url, wait = function(handle, want, deadline)
          coroutine.yield()
          return pgmig.drivers.blocking(handle, want, deadline)
        end }
        local done = pgmig.migrator(db, folder):migrate()
        applied = applied + #done
        db:close()
        threads[i] = nil
      end)
    end
    for _ = 1, 100000 do
      if next(threads) == nil then break end
      for i = 1, 2 do if threads[i] then threads[i]() end end
    end
    assert.equal(5, applied)
  end)
end)

describe("six runs where a role may have as few connections", function()
  it("all come to their end", function()
    local database = faults.database()
    local admin = pgmig.connect(support.server():url(database))
    admin:exec [[DO $$ BEGIN CREATE ROLE few LOGIN CONNECTION LIMIT 6;
      EXCEPTION WHEN duplicate_object THEN NULL; END $$; GRANT ALL ON SCHEMA public TO few]]
    local dir = support.tempdir()
    for n = 1, 2 do support.write(dir, ("%03d_step.sql"):format(n), "SELECT pg_sleep(0.3);") end
    local url = support.server():url(database):gsub("user=postgres", "user=few")
    local results = faults.run_at_once(url, same_words(6, "up --dir " .. dir))
    for _, result in ipairs(results) do assert.equal(0, result.code, result.err) end
    assert.equal(2, admin:query "SELECT count(*) AS n FROM schema_migrations"[1].n)
    admin:close()
  end)

  it("say so when a pooler has but one", function()
    local url, pooler = support.database(), pgbouncer.start(1, { pool_mode = "session" })
    local dir = support.tempdir()
    support.write(dir, "001_step.sql", "SELECT 1;")
    local code, _, err = faults.run(pooler.url(url:match "/(spec_%d+)"),
      "up --response-timeout 1 --reconnect 1 --dir " .. dir)
    pooler.stop()
    assert.equal(6, code)
    assert.matches("a pooler with only one connection to the server%? a run needs two", err)
  end)
end)

describe("pgbouncer's console", function()
  it("is refused as a server that is too old", function()
    local pooler = pgbouncer.start(1)
    local db = pgmig.connect(pooler.url "pgbouncer")
    local m = pgmig.migrator(db, support.tempdir())
    local ok, err = pcall(m.status, m)
    db:close()
    pooler.stop()
    assert.is_false(ok)
    assert.equal("plan", err.kind)
    assert.matches("PostgreSQL 10 or newer is required, but the server's version is %S*bouncer",
      err.message)
    assert.matches("console of a pooler, connect to one of its databases", err.hint)
  end)
end)
