-- A server that lies: rows missing, NULLs, other columns, answers to what nobody has asked, COPY in
-- the middle, notices without a word. Each ends in an error of pgmig's own, soon, and nothing else.
local liars = require "spec.robustness.liar"
local sanitized = require "spec.robustness.sanitized"
local support = require "spec.support"

local SEED, VARIANTS = 1, 1000
local LONG = tonumber(os.getenv "PGMIG_HOSTILE") -- so many variants, by hand
local ONE_MORE = tonumber(os.getenv "PGMIG_SEED")

local q = support.quote

-- libpq itself loses results that something else comes in the middle of. Those that it hands out
-- are counted in failing_spec.lua.
local LIBPQ_LOSES = "leak:PQisBusy\n"

describe("every command", function()
  it("ends well, or with an error of its own, whatever the server says", function()
    local program, url = sanitized.lua(), support.database()
    local liar = liars.start(ONE_MORE or SEED)
    local known = support.write(support.tempdir(), "known", LIBPQ_LOSES)
    local code, out, err = support.run(
      ("LUA_PATH=%s LSAN_OPTIONS=print_suppressions=0:suppressions=%s %s %s "
        .. "spec/robustness/hostile.lua %s %s %s 1 %d"):format(q(package.path), known,
        support.timeout(LONG or 300), program, q(liar.url(url)), q(url), support.tempdir(),
        LONG or VARIANTS))
    local told = liar.stop()
    print(("# %d lies; exit codes: %s"):format(told, out:gsub("\n", "")))
    assert.same({ 0, "" }, { code, err:sub(1, 3000) })
    assert.is_true(told > (LONG or VARIANTS))
    assert.matches("6: %d%d", out) -- many were seen
  end)
end)

-- Print what becomes of a run: as it should be, which the liar remembers, then with each lie.
local CODE = [[
    local pgmig = require "pgmig"
    local first, lie, dir = %q, %q, %q
  local function run(url)
    local told, said = "", {}
    local db = pgmig.connect { url = url, response_timeout = 0.5 }
    db:on_notice(function(notice) told = told .. notice.severity .. notice.message end)
    local migrator = pgmig.migrator(db, dir, { reconnect = 0, lock_wait = 0.1 })
    local ok, err = pcall(migrator[%q], migrator)
    local lost = db:is_lost()
    db:close()
    return ok and "well" .. told or err.kind .. ": " .. err.message .. (err.detail or ""), lost
  end
  run(first)
  for i = 0, 40 do
    local ok, said, lost = pcall(run, (lie:gsub("IT", i)))
    if ok then print(said, lost and "lost" or "kept") end
  end]]

describe("a server", function()
  local url, liar, dir

  before_each(function()
    url, dir = support.database(), support.tempdir()
    for i = 1, 3 do
      support.write(dir, ("00%d_a.sql"):format(i), ("CREATE TABLE a%d (n int);"):format(i))
    end
    liar = liars.start(SEED)
  end)

  after_each(function() liar.stop() end)

  --- What becomes of a run in which the i-th message of a type is a lie, for each i.
  -- @param method of a migrator
  -- @param lie "T.L.W": type, and which lie (liar.c)
  local function outcomes(method, lie)
    local kind, rest = lie:match "^(.)%.(.*)$"
    local text = CODE:format(liar.url(url, "rec.1"), liar.url(url, "1." .. kind .. "IT." .. rest),
      dir, method)
    local code, out, err = support.run(support.timeout(60) .. "env " .. support.lua_command(text))
    assert.same({ 0, "" }, { code, err })
    return out
  end

  local UNEXPECTED = "connect: unexpected response from the server: %s\tlost\n"

  -- What is said, in place of which message, or before it, and what is found wrong.
  for what, case in pairs {
    ["leaves out a row"] = { "D.0.0", "no row where exactly one is expected" },
    ["answers NULL"] = { "D.13.0", "NULL in a column that is never NULL" },
    ["answers with a word where a number is"] = { "D.13.8", "a value that does not match its "
      .. "type" },
    ["renames a column"] = { "T.13.0", "a different column name than requested" },
    ["changes a type"] = { "T.13.1", "a different column type than requested" },
    ["answers with COPY FROM"] = { "T.2.0", "a COPY that was not requested" },
    ["answers with COPY TO"] = { "T.2.1", "a COPY that was not requested" },
    ["answers with COPY both ways"] = { "T.2.2", "a COPY that was not requested" },
    ["is in a state that there is not"] = { "Z.2.14",
      "an invalid transaction status" },
  } do
    it(what .. ": that is no answer", function()
      assert.matches(UNEXPECTED:format(case[2]), outcomes("status", case[1]), 1, true)
    end)
  end

  it("has an error without a word: then nothing can be read any more", function()
    assert.matches("connect: could not read the server's response: [^\n]*\tlost",
      outcomes("status", "C.2.5"))
  end)

  for what, lie in pairs {
    ["a notice without a word"] = "C.4.9", ["a notice without a message"] = "C.4.10",
    ["more, when it has said that this is all"] = "C.12.15",
  } do
    it("says " .. what .. ": then nothing can be read any more", function()
      assert.matches("could not read the server's response: [^\n]*\tlost",
        outcomes("migrate", lie))
    end)
  end

  it("answers behind the last question: what it has said before counts", function()
    assert.matches("well\tlost", outcomes("migrate", "Z.4.15"))
  end)

  it("ends a pipeline early: that is no end", function()
    assert.matches("the end of a pipeline that is still open", outcomes("migrate", "2.12.15"))
  end)

  it("begins a COPY in a pipeline: that is no answer", function()
    assert.matches("a COPY inside a pipeline", outcomes("migrate", "2.2.2"))
  end)

  it("is asked nothing by pgmig itself without the shape of the answer", function()
    local _, out = support.run
      "grep -rnE '[:.]ask\\>' lua/pgmig | grep -v '^lua/pgmig/db/connection.lua:'"
    assert.equal("", out)
  end)
end)
