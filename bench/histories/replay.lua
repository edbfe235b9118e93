--- Replays a folder of migrations with psql and with pgmig, and compares the schemas that come out.
-- The folder is any tool's, unchanged; nothing is fetched and nothing is kept. README.md beside
-- this file tells how to call it.
local pgmig = require "pgmig"
local scratch = require "pgmig.scratch"

local TABLE = "pgmig_replay"

-- ---- the shell -------------------------------------------------------------

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

--- Run a command; whether it succeeded, and what it printed.
local function run(command)
  local path = os.tmpname()
  local ok = os.execute(("timeout 120 %s >%s 2>&1"):format(command, quote(path)))
  local text = read(path)
  os.remove(path)
  return ok == true or ok == 0, text
end

-- ---- psql's side -----------------------------------------------------------

-- Sections are cut out by text search, so that pgmig's parser does not judge itself.
local markers = {
  goose = { up = "^%-%-%s*%+[gG]oose [uU]p%s*$", down = "^%-%-%s*%+[gG]oose [dD]own%s*$" },
  dbmate = { up = "^%-%-%s*migrate:up", down = "^%-%-%s*migrate:down" },
  ["sql-migrate"] = { up = "^%-%- %+migrate Up", down = "^%-%- %+migrate Down" },
  ["node-pg-migrate"] = {
    up = "^%-%-[%s-]*[uU]p [mM]igration", down = "^%-%-[%s-]*[dD]own [mM]igration",
  },
  tern = { down = "^%-%-%-%- create above / drop below %-%-%-%-" },
  pgmig = { up = "^%-%-%s*[uU][pP]%s*$", down = "^%-%-%s*[dD][oO][wW][nN]%s*$" },
}

local function section(text, format, direction)
  local marks = markers[format]
  if not marks then return direction == "up" and text or nil end
  local lines, at, seen = {}, "up", false
  for line in (text .. "\n"):gmatch "(.-)\r?\n" do
    if marks.up and line:find(marks.up) then at = "up"
    elseif line:find(marks.down) then at, seen = "down", true
    elseif at == direction then lines[#lines + 1] = line end
  end
  if direction == "down" and not seen then return nil end
  return table.concat(lines, "\n") .. "\n"
end

local function literal(text) return (text:gsub("%p", "%%%0")) end

local function filled(text, options)
  for name, value in pairs(options.placeholders) do
    local replacement = value:gsub("%%", "%%%%")
    text = text:gsub("{{%s*" .. literal(name) .. "%s*}}", replacement)
    text = text:gsub("%${" .. literal(name) .. "}", replacement)
    text = text:gsub("%f[:]:" .. literal(name) .. "%f[^%w_]", replacement)
  end
  return text
end

--- The SQL of a direction; nil: there is none.
local function sql_of(m, direction, options)
  if m.direction then
    local path = direction == "up" and m.path or m.down_path
    return path and filled(read(path), options)
  end
  local text = section(read(m.path), options.format, direction)
  return text and filled(text, options)
end

--- In one transaction; what cannot be run so, without.
local function psql(url, text)
  local path = os.tmpname()
  write(path, text)
  local command = " -XqAt -v ON_ERROR_STOP=1 -d " .. quote(url) .. " -f " .. quote(path)
  local ok, output = run("psql -1" .. command)
  if not ok then ok = run("psql" .. command) end
  os.remove(path)
  return ok, output
end

-- ---- comparing -------------------------------------------------------------

local function dump(url)
  local ok, text = run(("pg_dump -s --no-owner -T '*.%s*' -d %s"):format(TABLE, quote(url)))
  if not ok then return nil, text end
  return (text:gsub("\\u?n?restrict [^\n]*\n", ""))
end

local function difference(a, b)
  local one, two = os.tmpname(), os.tmpname()
  write(one, a)
  write(two, b)
  local _, text = run(("diff %s %s"):format(quote(one), quote(two)))
  os.remove(one)
  os.remove(two)
  return text:sub(1, 2000)
end

-- ---- a history -------------------------------------------------------------

local function connect(url, options)
  local db = pgmig.connect(url)
  return db, pgmig.migrator(db, options.dirs, {
    table = options.table or TABLE, format = options.format, retries = 0,
    placeholders = next(options.placeholders) and options.placeholders or nil,
  })
end

--- Clone both databases, take the newest migration back in each, and compare.
local function try_down(server, admin, m, options, count)
  local sql = sql_of(m, "down", options)
  for _, name in ipairs { "psql", "pgmig" } do
    admin:exec(("DROP DATABASE IF EXISTS %s_down; "):format(name))
    admin:exec(("CREATE DATABASE %s_down TEMPLATE %s"):format(name, name))
  end
  local db, migrator = connect(server:url "pgmig_down", options)
  local ok, err = pcall(migrator.rollback, migrator)
  db:close()
  if not sql then
    count.none = count.none + 1
    if ok then print("  DOWN of nothing succeeded: " .. m.label) end
    return
  end
  local psql_ok, output = psql(server:url "psql_down", sql)
  if ok ~= psql_ok then
    count.unlike = count.unlike + 1
    print(("  DOWN of %s: psql %s, pgmig %s\n%s\n%s"):format(m.label, tostring(psql_ok),
      tostring(ok), output, tostring(err)))
    return
  end
  if not ok then
    count.fail = count.fail + 1
    return
  end
  local a, b = dump(server:url "psql_down"), dump(server:url "pgmig_down")
  if a == b then
    count.equal = count.equal + 1
  else
    count.differ = count.differ + 1
    print(("  DOWN of %s differs:\n%s"):format(m.label, difference(a, b)))
  end
end

local function step_up(server, m, options)
  local db, migrator = connect(server:url "pgmig", options)
  local ok, err = pcall(migrator.migrate, migrator, { steps = 1 })
  db:close()
  local psql_ok, output = psql(server:url "psql", assert(sql_of(m, "up", options)))
  if ok and psql_ok then return true end
  print(("  UP of %s: psql %s, pgmig %s\n%s\n%s"):format(m.label, tostring(psql_ok), tostring(ok),
    output, ok and "" or tostring(err)))
  return false
end

local function prepare(server, options)
  local admin = pgmig.connect(server:url())
  for _, name in ipairs { "psql", "pgmig", "whole" } do
    admin:exec("CREATE DATABASE " .. name)
    if options.prelude then assert(psql(server:url(name), read(options.prelude))) end
    for _, setting in ipairs(options.settings) do
      admin:exec(("ALTER DATABASE %s SET %s"):format(name, setting))
    end
  end
  return admin
end

--- Apply the whole history in one run; the schema.
local function run_whole(server, options)
  local db, migrator = connect(server:url "whole", options)
  local ok, err = pcall(migrator.migrate, migrator)
  db:close()
  if not ok then print("  the whole in one run: " .. tostring(err)) end
  return dump(server:url "whole")
end

--- Replay a history: true when both ways gave the same.
local function replay(options)
  local server = scratch.start()
  local admin = prepare(server, options)
  local db, migrator = connect(server:url "pgmig", options)
  local list = {}
  for _, m in ipairs(migrator:plan()) do list[#list + 1] = m end
  db:close()
  local count = { equal = 0, differ = 0, fail = 0, unlike = 0, none = 0 }
  local done = 0
  for _, m in ipairs(list) do
    if not step_up(server, m, options) then break end
    done = done + 1
    if options.downs and not m.repeatable then try_down(server, admin, m, options, count) end
  end
  local a, b = dump(server:url "psql"), dump(server:url "pgmig")
  local whole = run_whole(server, options)
  if a ~= whole then print("  in one run it differs:\n" .. difference(a, whole)) end
  print(("%-40s %-16s %3d of %3d migrations, schema %s"):format(options.dirs[1], options.format,
    done, #list, a == b and "equal" or "DIFFERS"))
  if a ~= b then print(difference(a, b)) end
  if options.downs then
    print(("  downs: %d equal, %d differ, %d fail in both, %d unlike, %d have none"):format(
      count.equal, count.differ, count.fail, count.unlike, count.none))
  end
  admin:close()
  server:stop()
  return done == #list and a == b and a == whole and count.differ == 0 and count.unlike == 0
end

-- ---- the command line ------------------------------------------------------

local function parse(words)
  local options = { dirs = {}, placeholders = {}, settings = {}, format = "auto" }
  local at = 1
  local function value()
    at = at + 1
    if not words[at] then error("a value is missing", 0) end
    return words[at]
  end
  while words[at] do
    local word = words[at]
    if word == "--format" then options.format = value()
    elseif word == "--table" then options.table = value()
    elseif word == "--prelude" then options.prelude = value()
    elseif word == "--set" then table.insert(options.settings, value())
    elseif word == "--downs" then options.downs = true
    elseif word == "--placeholder" then
      local name, text = value():match "^(.-)=(.*)$"
      options.placeholders[name] = text
    else options.dirs[#options.dirs + 1] = word end
    at = at + 1
  end
  if options.format == "auto" then
    options.format = require("pgmig.takeover.detect").format(options.dirs)
  end
  return options
end

os.exit(replay(parse(arg)) and 0 or 1, true)
