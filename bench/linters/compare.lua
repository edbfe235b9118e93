-- Runs pgmig check and squawk over a labelled corpus, that of spec/fixtures/check_corpus.lua unless
-- another one is named, and writes false alarms and misses side by side as Markdown.
-- Usage: lua5.4 bench/linters/compare.lua SQUAWK [CORPUS] >bench/linters/results.md
package.path = "./lua/?.lua;./lua/?/init.lua;./?.lua;" .. package.path
package.cpath = "./build/lua5.4/?.so;" .. package.cpath

local checks = require "pgmig.proof.check"
local clones = require "pgmig.proof.clone"
local corpus_path = arg[2] or "spec/fixtures/check_corpus.lua"
local corpus = dofile(corpus_path)
local dkjson = require "dkjson"
local pgmig = require "pgmig"
local quote = require "pgmig.shell".quote

local squawk = assert(arg[1], "usage: compare.lua SQUAWK, the path of squawk")

-- What squawk says about every statement, and what it says about style.
local left_out = {
  ["require-lock-timeout"] = true, ["require-statement-timeout"] = true,
  ["require-timeout-settings"] = true, ["prefer-robust-stmts"] = true,
  ["prefer-bigint-over-int"] = true, ["prefer-bigint-over-smallint"] = true,
  ["prefer-big-int"] = true, ["prefer-identity"] = true, ["prefer-text-field"] = true,
  ["prefer-timestamptz"] = true, ["ban-char-field"] = true,
}

local function output_of(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local dir = output_of "mktemp -d":gsub("%s+$", "")

--- The rules of squawk that a case breaks, in one string.
local function by_squawk(case, sql)
  local path = dir .. "/case.sql"
  write(path, sql .. "\n")
  local text = output_of(("%s --reporter json --pg-version 15 %s %s 2>/dev/null"):format(
    quote(squawk), case.off and "" or "--assume-in-transaction", quote(path)))
  local set, list = {}, {}
  for _, item in ipairs(assert(dkjson.decode(text), "no answer from squawk")) do
    if not left_out[item.rule_name] and not set[item.rule_name] then
      set[item.rule_name] = true
      list[#list + 1] = item.rule_name
    end
  end
  table.sort(list)
  return table.concat(list, ", ")
end

local clone = clones.open {}
local folder = dir .. "/migrations"
os.execute("mkdir " .. quote(folder))
write(folder .. "/001_base.sql", corpus.base)
write(folder .. "/002_case.sql", "SELECT 1;")
local migrator = pgmig.migrator(nil, folder)

--- The ids of pgmig's warnings and errors, in one string.
local function by_pgmig(case, sql)
  write(folder .. "/002_case.sql", (case.off and "-- pgmig: transaction=off\n" or "") .. sql)
  local session = checks.session(migrator, { facts = case.facts and corpus.facts }, clone)
  local set, list = {}, {}
  for _, finding in ipairs(session:check(1).findings) do
    if finding.severity ~= "note" and not set[finding.id] then
      set[finding.id] = true
      list[#list + 1] = finding.id
    end
  end
  table.sort(list)
  return table.concat(list, ", ")
end

local tools = { { "pgmig check", by_pgmig, {} }, { "squawk", by_squawk, {} } }

--- Ask both tools about cases, and keep what they say wrongly.
-- @param alarm whether an alarm is right
local function ask(cases, alarm, into)
  for _, case in ipairs(cases) do
    local sql = case[3] or case[2]
    for _, tool in ipairs(tools) do
      local said = tool[2](case, sql)
      if (said ~= "") ~= alarm then
        table.insert(tool[3], {
          case[1] .. (case.facts and " (with sizes)" or ""), into, said,
        })
      end
    end
  end
end

ask(corpus.dangerous, true, "missed")
ask(corpus.harmless, false, "false alarm")
clone:close()
os.execute("rm -r " .. quote(dir))

local function count(list, what)
  local n = 0
  for _, item in ipairs(list) do n = item[2] == what and n + 1 or n end
  return n
end

local version = output_of(quote(squawk) .. " --version"):gsub("%s+$", "")
print "# pgmig check beside squawk\n"
print(("%d dangerous and %d harmless migrations of `%s`; %s; see"):format(#corpus.dangerous,
  #corpus.harmless, corpus_path, version))
print "[README](README.md) for what counts.\n"
print "| | dangerous: missed | harmless: blamed |\n|---|---|---|"
for _, tool in ipairs(tools) do
  print(("| %s | %d of %d | %d of %d |"):format(tool[1], count(tool[3], "missed"),
    #corpus.dangerous, count(tool[3], "false alarm"), #corpus.harmless))
end
for _, tool in ipairs(tools) do
  print(("\n## %s\n"):format(tool[1]))
  if not tool[3][1] then print "Nothing missed, nothing blamed." end
  for _, item in ipairs(tool[3]) do
    print(("- %s: %s%s"):format(item[2], item[1], item[3] ~= "" and " (" .. item[3] .. ")" or ""))
  end
end
