-- The journal's protocol (core/README.md, "Without a transaction") as a model, and every order in
-- which its steps can happen: runs that share no lock, each with a server process that does what it
-- was told, step by step, whatever becomes of the run; runs that are killed, processes that are
-- ended; COMMITs that take any time. It has to find the faults that are planted into it.
--
-- A file's statements: "shared" ones have their effect in one transaction with the journal's entry;
-- an "index" is built concurrently, its outcome is in the catalogs; a "call" commits by itself and
-- may then fail, its outcome nobody tells: a person looks, and says so (pgmig resolve).
--
-- Left out: poolers, where no process is known (core/README.md says what is assumed there), and
-- what a session has of its own.

-- ---- states ----------------------------------------------------------------

-- row: of the journal, or false: { owner, revision, done, state, process }; lock: whose
-- transaction has the row, 0: nobody's; recorded: the tracking row is there; effects: of each
-- statement, how often it took effect; index: none, building, invalid, valid; serial: in place
-- of its oid; builder: who builds it; aside: the oid of one that is to be dropped. Of each run:
-- phase; message and step: what its process does; tx: what that has not committed; read: the row
-- as it was read; revision: as it has left it; at: its statement; seen: the index. killed:
-- nobody hears the process; doomed: it was told to end; ended: it is gone. fault: what went
-- wrong.

local function new_state(file, faults, count)
  local s = {
    file = file, faults = faults, row = false, lock = 0, recorded = false, index = "none",
    serial = 0, builder = 0, aside = 0, effects = {}, kills = 1, failures = 1, fault = false,
    runs = {},
  }
  for i = 1, #file do s.effects[i] = 0 end
  for id = 1, count do
    s.runs[id] = {
      id = id, phase = "new", message = false, step = 0, tx = false, read = false, revision = 0,
      at = 0, seen = 0, killed = false, doomed = false, ended = false,
    }
  end
  if file.left then
    s.row = { owner = 0, revision = 1, done = 0, state = "failed", process = 0 }
    s.index, s.serial = "invalid", 1
  end
  return s
end

local function copy(value)
  local new = {}
  for k, v in pairs(value) do new[k] = v end
  return new
end

--- A state of its own for one of the runs to go on from. What else it has is not changed, but
-- replaced.
local function branch(s, id)
  local new = copy(s)
  new.runs = copy(s.runs)
  new.runs[id] = copy(s.runs[id])
  return new, new.runs[id]
end

local function current(s, revision) return s.row and s.row.revision == revision and "=" or "-" end

--- As a text. Of the revisions it counts only whether they are the row's: that never comes back.
local function row_key(row, s)
  if not row then return "-" end
  row.text = row.text or ("%d,%d,%s,%d"):format(row.owner, row.done, row.state, row.process)
  return row.text .. current(s, row.revision)
end

local function tx_key(tx, s)
  if not tx then return "-" end
  return ("%s,%s,%s,%s"):format(row_key(tx.row, s), tx.effect or "-", tostring(tx.ends),
    tx.aside or "-")
end

local function key_of(s)
  local parts = {
    row_key(s.row, s), s.lock, tostring(s.recorded), s.index, s.serial, s.builder, s.aside, s.kills,
    s.failures, table.concat(s.effects, ","),
  }
  for _, r in ipairs(s.runs) do
    parts[#parts + 1] = r.ended and "ended" or table.concat({
      r.phase, r.message or "-", r.step, tx_key(r.tx, s), row_key(r.read, s),
      current(s, r.revision), r.at, r.seen,
      r.killed and "k" or r.doomed and "d" or "-",
    }, ";")
  end
  return table.concat(parts, "|")
end

-- ---- the server ------------------------------------------------------------

local FAILS, WAITS = "fails", "waits"

local function roll_back(s, run)
  if s.lock == run.id then s.lock = 0 end
  run.tx = false
end

local function take_effect(s, at)
  s.effects = copy(s.effects)
  s.effects[at] = s.effects[at] + 1
end

local function commit(s, run)
  local tx = run.tx
  if tx.row then s.row = tx.row end
  if tx.ends then s.row, s.recorded = false, true end
  if tx.effect then take_effect(s, tx.effect) end
  if tx.aside then s.index, s.aside = "none", tx.aside end
  roll_back(s, run)
end

--- Add to the open transaction, or begin one; it has the row.
local function add(s, run, what)
  local tx = run.tx and copy(run.tx) or {}
  for k, v in pairs(what) do tx[k] = v end
  run.tx, s.lock = tx, run.id
end

local function changed(row, change)
  local new = copy(row)
  new.revision, new.text = row.revision + 1, nil
  for k, v in pairs(change) do new[k] = v end
  return new
end

--- Compare: the row is as it was read or left.
local function is_as(s, owner, revision)
  local row = s.row
  return row and row.owner == owner and (s.faults.owner_only or row.revision == revision)
end

--- A step that waits for the row, and then holds only where it is still the run's.
local function for_owner(change)
  return function(s, run)
    if s.lock ~= 0 and s.lock ~= run.id then return WAITS end
    if not is_as(s, run.id, run.revision) then return FAILS end
    return change(s, run)
  end
end

--- The same, which sets something of the row.
local function set(change_of)
  return for_owner(function(s, run) add(s, run, { row = changed(s.row, change_of(s, run)) }) end)
end

local set_done = set(function(_, run) return { done = run.at, state = "ready" } end)

local messages = {
  claim = { function(s, run)
    if s.lock ~= 0 then return WAITS end
    if s.row or s.recorded then return FAILS end
    add(s, run, { row = { owner = run.id, revision = 1, done = 0, state = "ready", process = 0 } })
  end, commit },
  take = { function(s, run)
    if s.lock ~= 0 then return WAITS end
    local read = run.read
    if not is_as(s, read.owner, read.revision) then return FAILS end
    add(s, run, { row = changed(s.row, {
      owner = run.id, process = run.id, done = s.faults.list_before and read.done or s.row.done,
    }) })
  end, commit },
  lock = { function(s, run)
    if s.lock ~= 0 or not is_as(s, run.id, run.revision) then return FAILS end
    add(s, run, {})
  end },
  shared = { function(s, run)
    add(s, run, { effect = run.at })
    if s.faults.apart then commit(s, run) end
  end },
  done = { set_done, commit },
  verdict = { set_done, commit },
  running = { set(function(_, run) return { state = "running", process = run.id } end), commit },
  failure = { set(function(s, run)
    local partial = s.file[run.at] == "call" and not s.faults.partial
    return { state = partial and "partial" or "failed" }
  end), commit },
  index = { function(s, run)
    if s.index == "building" then return WAITS end -- of the table's lock
    if s.index ~= "none" then return FAILS end
    s.index, s.builder, s.serial = "building", run.id, s.serial + 1
  end, function(s, run)
    s.index, s.builder = "valid", 0
    take_effect(s, run.at)
  end },
  call = { function(s, run) take_effect(s, run.at) end, function() end },
  set_aside = { for_owner(function(s, run)
    if s.index ~= "invalid" or s.serial ~= run.seen then return FAILS end
    add(s, run, { aside = run.seen })
  end), commit },
  drop = { function(s, run)
    if s.index == "building" then return WAITS end
    if s.aside == run.seen then s.aside = 0 end
    if not s.faults.by_name then return end
    if s.index == "valid" then s.fault = "a valid index is dropped" end
    s.index = "none"
  end },
  resolve = { set(function(s, run)
    return s.effects[run.at] > 0 and { done = run.at, state = "ready" } or { state = "failed" }
  end), commit },
  finish = { for_owner(function(s, run)
    if s.recorded then return FAILS end
    add(s, run, { ends = true })
  end), commit },
}

--- Its process is gone, and with it what has no COMMIT yet.
local function stop(s, run)
  if s.builder == run.id then s.index, s.builder = "invalid", 0 end
  roll_back(s, run)
  run.ended = true
end

-- ---- a run -----------------------------------------------------------------

-- What a run does between two messages. What it only thinks, and needs no look at anything, it does
-- at once: nobody can tell when.

local function send(run, message) run.message, run.step = message, 1 end

local function work(s, run)
  run.phase, run.read = "work", false
  local kind = s.file[run.at]
  send(run, not kind and "finish" or kind == "shared" and "lock" or "running")
end

local looks = {}

--- At the row.
function looks.new(s, run)
  run.read, run.phase = s.row, "read"
  if s.recorded then return stop(s, run) end
  if not s.row then return send(run, "claim") end
  if s.row.state ~= "running" then send(run, "take") end
end

looks.again = looks.new

--- Whether the process of the statement under way is there. One that idles, as far as the server
-- knows, is told to end.
local function is_at_work(s, run)
  local other = s.runs[run.read.process]
  if other == run or other.ended then return false end
  if not other.message or other.step == 1 then
    s.runs[other.id] = copy(other)
    s.runs[other.id].doomed = true
  end
  return true
end

--- At that process.
function looks.read(s, run)
  if s.faults.no_wait or not is_at_work(s, run) then return send(run, "take") end
  run.phase = "again"
end

--- At the indexes.
function looks.examine(s, run)
  if s.index == "building" then return end -- it waits
  if s.index == "invalid" or s.aside ~= 0 then
    run.phase, run.read, run.seen = "work", false, s.aside ~= 0 and s.aside or s.serial
    return send(run, (s.aside ~= 0 or s.faults.by_name) and "drop" or "set_aside")
  end
  if s.index == "none" then return work(s, run) end
  run.phase, run.read = "work", false
  send(run, "verdict")
end

--- Nobody knows: a person is to look, as nobody is at work on it any more.
local function ask(s, run)
  for _, other in ipairs(s.runs) do
    if other ~= run and other.message == "call" and not other.ended then
      s.fault = "unknown is said of a statement at work"
    end
  end
  run.phase, run.read = "again", false
  send(run, "resolve")
end

local function count_up(_, run) run.revision = run.revision + 1 end

local function next_statement(s, run)
  run.revision, run.at = run.revision + 1, run.at + 1
  work(s, run)
end

--- What an answer makes the run do.
local answered = {
  claim = function(s, run)
    run.revision, run.at = 1, 1
    work(s, run)
  end,
  take = function(s, run)
    local row = s.row
    run.read, run.revision, run.at = row, row.revision, row.done + 1
    local kind, told = s.file[run.at], row.state == "ready" or row.state == "failed"
    run.phase = "examine"
    if kind == "index" and row.state ~= "ready" then return end
    if kind == "call" and not told then return ask(s, run) end
    work(s, run)
  end,
  lock = function(_, run) send(run, "shared") end,
  shared = function(_, run) send(run, "done") end,
  running = function(s, run)
    count_up(s, run)
    send(run, s.file[run.at])
  end,
  index = function(_, run) send(run, "done") end,
  call = function(_, run) send(run, "done") end,
  done = next_statement, verdict = next_statement,
  set_aside = function(_, run) send(run, "drop") end,
  drop = function(s, run)
    run.seen = 0
    work(s, run)
  end,
  resolve = count_up,
  finish = stop, failure = stop,
}

local reads_again = { claim = true, take = true, set_aside = true, verdict = true, resolve = true }
local runs_alone = { index = true, call = true }

--- The same for a failure: who has found out too late reads again; who was displaced gives up.
local function refused(s, run, message)
  roll_back(s, run)
  if reads_again[message] then
    run.phase, run.read = "again", false
  elseif runs_alone[message] then
    send(run, "failure")
  else
    stop(s, run)
  end
end

-- ---- what can happen next --------------------------------------------------

-- Each: whether it can, and what changes; that returns WAITS when it cannot after all.
local happenings = {
  { "looks", function(s, run)
    if run.message or run.killed then return false end
    -- those that have not begun are all the same: they begin one after the other
    return run.phase ~= "new" or run.id == 1 or s.runs[run.id - 1].phase ~= "new"
  end, function(s, run) return looks[run.phase](s, run) end },
  { "is served", function(_, run) return run.message end, function(s, run)
    local message = run.message
    local said = messages[message][run.step](s, run)
    if said == WAITS then return WAITS end
    run.step = run.step + 1
    if said ~= FAILS and messages[message][run.step] then return end
    run.message = false
    if run.killed then return end
    if said == FAILS then refused(s, run, message) else answered[message](s, run) end
  end },
  { "fails half-way", function(s, run)
    return s.failures > 0 and runs_alone[run.message] and run.step == 2
  end, function(s, run)
    local message = run.message
    s.failures, run.message = s.failures - 1, false
    if s.builder == run.id then s.index, s.builder = "invalid", 0 end
    if not run.killed then refused(s, run, message) end
  end },
  { "is killed", function(s, run)
    return s.kills > 0 and not run.killed and run.phase ~= "new"
  end, function(s, run) s.kills, run.killed = s.kills - 1, true end },
  { "loses its process", function(_, run) return run.killed or run.doomed end, stop },
}

--- What must never be.
local function wrong(s)
  for at, count in ipairs(s.effects) do
    if count > 1 then return ("statement %d took effect twice"):format(at) end
    local done = s.recorded or (s.row and at <= s.row.done)
    if done and count == 0 then return ("statement %d is said to be done"):format(at) end
  end
  return s.fault
end

local function story(node)
  local steps = {}
  while node.before do
    table.insert(steps, 1, node.what)
    node = node.before
  end
  return table.concat(steps, "; ")
end

--- What follows from a state: calls `found(s, what)` for each.
local function follow(from, found)
  for id, run in ipairs(from.runs) do
    for _, happening in ipairs(happenings) do
      if not run.ended and happening[2](from, run) then
        local s, its = branch(from, id)
        if happening[3](s, its) ~= WAITS then
          found(s, ("%d %s (%s)"):format(id, happening[1], run.message or run.phase))
        end
      end
    end
  end
end

--- A state that nothing follows from: all are to have ended.
local function is_stuck(s)
  for _, run in ipairs(s.runs) do
    if not run.ended then return ("run %d is stuck"):format(run.id) end
  end
end

--- Try everything, what is near first.
-- @return what is wrong and how it came to it, or nil
-- @return how many states that nothing follows from have the migration recorded; all states
local function search(file, faults, runs)
  local first = new_state(file, faults, runs)
  local queue, seen, recorded, fault, last = { { s = first } }, {}, 0, nil, nil
  seen[key_of(first)] = true
  local at = 0
  while queue[at + 1] and not fault do
    at = at + 1
    local node, moves = queue[at], 0
    queue[at] = false
    follow(node.s, function(s, what)
      local key = key_of(s)
      moves = moves + 1
      if seen[key] or fault then return end
      seen[key] = true
      local next_node = { s = s, before = node, what = what }
      fault, last = wrong(s), next_node
      queue[#queue + 1] = next_node
    end)
    if moves == 0 and not fault then fault, last = is_stuck(node.s), node end
    recorded = recorded + (node.s.recorded and moves == 0 and 1 or 0)
    node.s = nil
  end
  return fault and fault .. ": " .. story(last) or nil, recorded, at
end

describe("the journal's protocol", function()
  local files = {
    { runs = 3, "shared" }, { runs = 2, "shared", "shared" }, { runs = 3, "index" },
    { runs = 2, "index", "shared" }, { runs = 2, "shared", "index" }, { runs = 3, "call" },
    { runs = 2, "call", "shared" }, { runs = 2, "shared", "call" },
  }

  for _, file in ipairs(files) do
    it(("lets each of %s have effect once, in every order of %d runs' steps"):format(
      table.concat(file, ", "), file.runs), function()
      local fault, recorded, states = search(file, {}, file.runs)
      assert.is_nil(fault)
      assert.is_true(recorded > 0 and states > 500)
    end)
  end

  -- What is left out of the protocol; what is wrong then; with which file.
  local planted = {
    ["only owners are compared"] = {
      { owner_only = true }, "unknown is said of a statement at work", { "call" },
    },
    ["no revision is compared, and the list of finished statements was read before the lock"] = {
      { owner_only = true, list_before = true }, "took effect twice", { "shared", "shared" },
    },
    ["a process at work is not waited for"] = {
      { no_wait = true }, "unknown is said of a statement at work", { "call" },
    },
    ["an index is dropped by its name"] = {
      { by_name = true }, "a valid index is dropped", { "index", left = true },
    },
    ["an entry is committed apart from its statement"] = {
      { apart = true }, "took effect twice", { "shared", "shared" },
    },
    ["what commits and then fails counts as not done"] = {
      { partial = true }, "took effect twice", { "call" },
    },
  }

  for what, case in pairs(planted) do
    it("would be wrong where " .. what, function()
      assert.matches(case[2], search(case[3], case[1], 2))
    end)
  end
end)
