-- The suite finds bugs: planted into a copy of the code, each must show as lost or doubled work, or
-- as a run that does not end well.
local cases = require "spec.faults.cases"
local faults = require "spec.faults.support"
local mutants = require "spec.faults.mutants"
local support = require "spec.support"
local workload = require "spec.faults.workload"

-- Exact texts of the code: a change there must be made here too.
local bugs = {
  ["the claim removed"] = {
    mode = "after",
    { "core/ledger/claim.c", [["INSERT INTO %t (version, name) VALUES (%s, %L)"]],
      [["INSERT INTO %t (version, name) VALUES (%s, %L) ON CONFLICT DO NOTHING"]] },
  },
  ["COMMIT sent before the tracking row"] = {
    mode = "before", flags = "--no-pipeline",
    { "core/ledger/claim.c", [[
        add_insert(s, job);
        if (s->conn->pipeline != NULL) { /* the first one has told */
            pgmig_sql_answers(s, "-");
            return;
        }
        pgmig_sql_addf(s, " RETURNING %s", who(job));
]], [[
        if (job->script->sections[job->section].transaction) {
            pgmig_sql_addf(s, "SELECT %s", who(job));
        } else {
            add_insert(s, job);
            pgmig_sql_addf(s, " RETURNING %s", who(job));
        }
]] },
    { "core/ledger/history.c",
      "    pgmig_claim_add_divisor(s, job, job->direction == PGMIG_UP);\n", "" },
    { "core/engine/program.c", "static bool committed(struct pgmig_apply *a)\n", [[
static void insert_late(struct pgmig_apply *a, const struct pgmig_job *job)
{
    if (job->direction == PGMIG_UP)
        pgmig_sql_addf(&a->sql, "INSERT INTO %t (version, name) VALUES (%s, %L)",
                       job->entry.version, job->entry.name);
}

static bool committed(struct pgmig_apply *a)
]] },
    { "core/engine/program.c", "    SEND(close_transaction, committed),\n",
      "    SEND(close_transaction, committed),\n    SEND(insert_late, NULL),\n" },
  },
  ["the wait for an orphaned server process removed"] = {
    mode = "orphan",
    { "lua/pgmig/db/orphan.lua", "function M.wait(db, orphan, limit)\n",
      "function M.wait(db, orphan, limit)\n  if true then return true end\n" },
  },
}

--- Where a text stands, once, in a file.
local function find(path, old)
  local text = support.read(path)
  local first, last = text:find(old, 1, true)
  assert(first, path .. " does not have the text to replace: " .. old)
  assert(not text:find(old, last + 1, true), path .. " has it twice: " .. old)
  return text, first, last
end

local function replace(path, old, new)
  local text, first, last = find(path, old)
  local file = assert(io.open(path, "w"))
  file:write(text:sub(1, first - 1), new, text:sub(last + 1))
  file:close()
end

--- A copy of the code with a bug in it, built.
local function plant(bug)
  local dir = support.tempdir()
  local function run(command)
    local code, out, err = support.run(command)
    assert(code == 0, out .. err)
  end
  run("cp -r .busted CMakeLists.txt README.md bench bin cmake completions config.ld core docs "
    .. "examples lua man rockspec script spec types " .. dir)
  for _, change in ipairs(bug) do replace(dir .. "/" .. change[1], change[2], change[3]) end
  run(("cd %s && script/build build -DPGMIG_LUA=lua5.4 -DPGMIG_WERROR=OFF"):format(dir))
  return dir
end

it("the planted bugs fit into the code", function()
  for _, list in ipairs { bugs, mutants } do
    for _, bug in pairs(list) do
      for _, change in ipairs(bug) do find(change[1], change[2]) end
    end
  end
end)

if not faults.whole then return end -- each has to be built: only with script/test --faults

describe("the fault suite", function()
  local dir, clean

  setup(function()
    dir = workload.ten()
    clean = cases.cut(dir, "none", 0)
    assert.same({}, clean.problems)
  end)

  after_each(function() faults.tree = "." end)

  for name, bug in pairs(bugs) do
    it("finds " .. name, function()
      faults.tree = plant(bug)
      local sound = cases.cut(dir, "none", 0, clean.print, bug.flags)
      assert.same({}, sound.problems) -- without faults nobody would notice
      for k = 1, sound.messages do
        local case = cases.cut(dir, bug.mode, k, clean.print, bug.flags)
        if #case.problems > 0 then
          print(("# %s: found at message %d: %s"):format(name, k, case.problems[1]))
          return
        end
      end
      error "not found"
    end)
  end
end)

describe("the specs", function()
  for name, mutant in pairs(mutants) do
    it("find that " .. name, function()
      local dir = plant(mutant)
      local _, out = support.run(
        ("cd %s && %s busted --lua=$(type -P lua5.4) --output=TAP %s"):format(dir,
          support.timeout(600), mutant.spec))
      local found = out:match "\nnot ok %d+ %- ([^\n]+)" or out:match "^not ok %d+ %- ([^\n]+)"
      assert.is_string(found, mutant.spec .. " found nothing")
      print(("# %s: %s"):format(name, found))
      support.run("rm -rf " .. dir)
    end)
  end
end)
