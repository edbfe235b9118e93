-- The forms of DDL whose effects were measured (spec/fixtures/observed-ddl.tsv), seen by trace: on
-- the scratch server's version, one migration for each form, each form in a schema of its own.
local clones = require "pgmig.proof.clone"
local pgmig = require "pgmig"
local support = require "spec.support"
local traces = require "pgmig.proof.trace"

local FIXTURE = "spec/fixtures/observed-ddl.tsv"

local BASE = [[
  CREATE TABLE parent (id int PRIMARY KEY, name text, kind varchar(20), created timestamp,
    amount numeric(10,2));
  CREATE TABLE t (id int PRIMARY KEY, a int, b text, v varchar(20), p int, ts timestamp,
    n numeric(10,2), c char(5), j json, ci cidr);
  CREATE INDEX t_a ON t (a); CREATE INDEX t_b ON t (b); CREATE INDEX t_v ON t (v);
]]

local ROLE = [[DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'obs_role') THEN
    CREATE ROLE obs_role;
  END IF; END $$;]]

local letters = {
  ["ACCESS SHARE"] = "AS", ["ROW SHARE"] = "RS", ["ROW EXCLUSIVE"] = "RX",
  ["SHARE UPDATE EXCLUSIVE"] = "SUX", SHARE = "S", ["SHARE ROW EXCLUSIVE"] = "SRX",
  EXCLUSIVE = "X", ["ACCESS EXCLUSIVE"] = "AX",
}

-- What nobody has measured on a version, though it works there as on the one before.
local unmeasured = { [18] = "partition: add fk to" }

-- ---- the fixture -------------------------------------------------------------

local function fields_of(line)
  local fields = {}
  for field in (line .. "\t"):gmatch "([^\t]*)\t" do fields[#fields + 1] = field end
  return fields
end

--- The forms, with what a version shows: { name, ddl, setup, expected }. Nothing is expected of one
-- that locks no relation, and of one that the version does not know.
local function forms_of(major)
  local forms, column = {}, nil
  for line in io.lines(FIXTURE) do
    local fields = fields_of(line)
    if column then
      local like = unmeasured[major] == fields[1] and column - 1 or column
      forms[#forms + 1] = {
        name = fields[1], ddl = fields[2], setup = fields[3], expected = fields[like],
      }
    end
    for i, name in ipairs(fields) do
      if name == "pg" .. major then column = i end
    end
  end
  assert(column, "the fixture has no column for PostgreSQL " .. major)
  return forms
end

-- ---- records in the fixture's notation -----------------------------------------

--- The records of one form as one: what is new in any of them is new.
local function sum(effects)
  local all = { relations = {}, marks = {}, scans = {}, locks = {} }
  local function mark(name, word)
    all.marks[name] = all.marks[name] or {}
    table.insert(all.marks[name], word)
  end
  for _, effect in ipairs(effects) do
    for name, relation in pairs(effect.relations) do
      all.relations[name] = all.relations[name] or relation
    end
    for name, mode in pairs(effect.locks) do all.locks[name] = letters[mode] end
    for name, count in pairs(effect.scans) do all.scans[name] = (all.scans[name] or 0) + count end
    local rewritten = {}
    for _, name in ipairs(effect.rewrites) do
      rewritten[name] = true
      mark(name, "REWRITE")
    end
    for _, build in ipairs(effect.builds) do
      if build.rebuilt and not rewritten[build.index] then mark(build.index, "REBUILT") end
    end
    for _, name in ipairs(effect.kept) do mark(name, "file kept") end
    for _, object in ipairs(effect.dropped) do
      if all.relations[object.name] then mark(object.name, "gone") end
    end
  end
  return all
end

local function bare(name) return name:match "[^.]+$" end

local function shown(all, name, relation)
  local words = {}
  if relation.existed then words[1] = all.locks[name] end
  for _, word in ipairs(all.marks[name] or {}) do words[#words + 1] = word end
  local scans = all.scans[name] or 0
  local is_new_index = not relation.existed and relation.table
  if scans > 0 and not is_new_index then -- of what is new they were not counted
    words[#words + 1] = scans > 1 and relation.existed and "scanx" .. scans or "scan"
  end
  local of = relation.table and bare(relation.table) .. "." or ""
  local text = (relation.existed and "" or "+") .. of .. bare(name)
  return words[1] and ("%s[%s]"):format(text, table.concat(words, " ")) or text
end

local function notation(effects)
  local last = effects[#effects]
  if last and last.error then return "ERROR " .. last.error.message end
  local all, parts = sum(effects), {}
  for name, relation in pairs(all.relations) do
    if not (relation.kind == "sequence" and not relation.existed) then
      parts[#parts + 1] = shown(all, name, relation)
    end
  end
  table.sort(parts)
  return table.concat(parts, " ")
end

--- The same words in the order of the alphabet.
local function in_order(text)
  if text:find "^ERROR" then return text end
  local parts = {}
  for part in text:gsub("%[([^%]]*)%]", function(inside)
    return "[" .. inside:gsub(" ", "\1") .. "]"
  end):gmatch "%S+" do
    parts[#parts + 1] = (part:gsub("\1", " "))
  end
  table.sort(parts)
  return table.concat(parts, " ")
end

-- ---- running them ------------------------------------------------------------

--- Write the migrations of some forms: all set-ups first.
local function write(forms)
  local dir = support.tempdir()
  support.write(dir, "1_role.sql", ROLE)
  for i, form in ipairs(forms) do
    local schema = "f" .. i
    local path = ("SET search_path = %s, public;\n"):format(schema)
    support.write(dir, ("%d_setup.sql"):format(1000 + i), ("CREATE SCHEMA %s;\n%s%s\n%s\n;")
      :format(schema, path, BASE, form.setup))
    support.write(dir, ("%d_form.sql"):format(2000 + i), path .. form.ddl .. ";")
  end
  return dir
end

--- Trace some forms: the records of each.
local function trace(clone, forms)
  local migrator = pgmig.migrator(nil, write(forms))
  local ok, twin = pcall(clone.twin, clone, migrator, { applied = 1000 + #forms })
  if not ok then return { { { relations = {}, error = twin } } } end
  local effects = traces.observe(twin, {})
  twin.db:close()
  local by_form = {}
  for i = 1, #forms do by_form[i] = {} end
  for _, effect in ipairs(effects) do
    local list = by_form[effect.version - 2000]
    if effect.kind ~= "SET" then list[#list + 1] = effect end
  end
  return by_form
end

--- What is seen of all forms: those that succeed in one trace, and each that may fail in its own.
local function trace_all(clone, forms)
  local good, found = {}, {}
  for _, form in ipairs(forms) do
    local may_fail = form.expected == "" or form.expected:find "^ERROR"
    if may_fail then found[form] = trace(clone, { form })[1] else good[#good + 1] = form end
  end
  for i, effects in ipairs(trace(clone, good)) do found[good[i]] = effects end
  return found
end

-- What a version says of a form that it does not know: it does not parse it, or cannot do it.
local refusals = { ["42601"] = true, ["0A000"] = true, ["25001"] = true, ["42809"] = true }

local function is_unknown(effects)
  local err = effects[#effects] and effects[#effects].error
  return err and refusals[err.sqlstate]
end

describe("the forms of DDL", function()
  it("have the effects that were measured", function()
    local wrong = {}
    clones.with({}, function(clone)
      local forms = forms_of(math.floor(clone.version / 10000))
      assert.equal(163, #forms)
      local found = trace_all(clone, forms)
      for _, form in ipairs(forms) do
        local seen, expected = in_order(notation(found[form])), in_order(form.expected)
        if expected == "" and is_unknown(found[form]) then seen = "" end
        if seen ~= expected then
          wrong[#wrong + 1] = ("%s: %s\n  not: %s"):format(form.name, seen, expected)
        end
      end
    end)
    assert.equal("", table.concat(wrong, "\n"))
  end)
end)
