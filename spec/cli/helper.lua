--- Running the real program: `bin/pgmig` with the interpreter that runs the specs, or the
-- executable that PGMIG_TEST_PROGRAM names.
local dkjson = require "dkjson"
local pgmig = require "pgmig"
local settings = require "pgmig.options"
local support = require "spec.support"

local M = {}

local interpreter = rawget(_G, "jit") and "luajit" or "lua5.4"

--- What the surroundings must not decide.
local function without_settings()
  local names = { "NO_COLOR", "PGMIG_CONFIG", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE",
    "PGPASSWORD", "PGSERVICE" }
  for _, option in ipairs(settings.list) do names[#names + 1] = option.variable end
  return "env -u " .. table.concat(names, " -u ")
end

local clean = without_settings()

local function working_directory()
  local pipe = assert(io.popen "pwd")
  local path = pipe:read "*l"
  pipe:close()
  return path
end

M.root = working_directory()

M.quote = support.quote

--- The executable that is tried in place of `bin/pgmig` and this Lua; nil.
M.executable = os.getenv "PGMIG_TEST_PROGRAM"

--- The program as a word of a shell, by itself.
M.file = M.quote(M.executable or M.root .. "/bin/pgmig")

M.program = M.executable and M.file or interpreter .. " " .. M.file

--- The shell command that runs the program.
-- @param words its arguments, as one would type them
-- @param env variables, as a table
-- @param program what is run in place of this Lua and `bin/pgmig`; nil
function M.command(words, env, program)
  local parts = { clean }
  for name, value in pairs(env or {}) do parts[#parts + 1] = name .. "=" .. M.quote(value) end
  parts[#parts + 1] = (program or M.program) .. " " .. words
  return table.concat(parts, " ")
end

--- Standard error without the line that says which database it is: spec/cli/place_spec.lua reads
-- that.
function M.without_place(err)
  return (err:gsub("^pgmig: database [^\n]- on [^\n]-:%d+ as [^\n]- %([^\n]-%)\r?\n", ""))
end

--- Run a shell command with the program in it.
-- @return exit code, standard output, standard error but for the line about the database
function M.run_command(command)
  local code, out, err = support.run(command)
  return code, out, M.without_place(err)
end

--- Run the program.
-- @return as `run_command`
function M.run(words, env) return M.run_command(M.command(words, env)) end

local process = {}
process.__index = process

--- Start the program in the background.
-- @param first a shell command before it; nil
-- @param program as of `command`
-- @return an object with pid(), code(), is_running(), out(), err(), kill(signal)
function M.start(words, env, first, program)
  local dir = support.tempdir()
  local run = ("echo $$ >pid; %s exec %s"):format(first or "", M.command(words, env, program))
  os.execute(("cd %s || exit; : >out; : >err; "
    .. "( env --default-signal=INT sh -c %s >out 2>err </dev/null; echo $? >code ) "
    .. ">/dev/null 2>&1 &") -- a shell ignores SIGINT for what runs in the background
    :format(M.quote(dir), M.quote(run)))
  return setmetatable({ dir = dir }, process)
end

local function read_number(path)
  local file = io.open(path)
  if not file then return nil end
  local number = file:read "*n"
  file:close()
  return number
end

--- Whether it has not ended.
function process:is_running() return read_number(self.dir .. "/code") == nil end

--- Its exit code, when it has ended.
function process:code()
  return (support.wait(function() return read_number(self.dir .. "/code") end, "the program's end"))
end

function process:out() return support.read(self.dir .. "/out") end

function process:err() return M.without_place(support.read(self.dir .. "/err")) end

--- Its process id.
function process:pid()
  return (support.wait(function() return read_number(self.dir .. "/pid") end, "its process id"))
end

--- Send it a signal by name.
function process:kill(signal) os.execute(("kill -%s %d"):format(signal, self:pid())) end

--- A database and a folder with three migrations.
-- @return { url, dir, db = a connection, run = function(words, env) }; `close` it at last
function M.project()
  local project = { url = support.database(), dir = support.tempdir() }
  for i, name in ipairs { "a", "b", "c" } do
    support.write(project.dir, ("%03d_create_%s.sql"):format(i, name),
      ("-- UP\nCREATE TABLE %s (id int);\n-- DOWN\nDROP TABLE %s;\n"):format(name, name))
  end
  project.db = pgmig.connect(project.url)
  function project.words(words) return "--dir " .. M.quote(project.dir) .. " " .. words end
  function project.env(env)
    env = env or {}
    env.DATABASE_URL = env.DATABASE_URL or project.url
    return env
  end
  function project.run(words, env) return M.run(project.words(words), project.env(env)) end
  function project.write(name, text) return support.write(project.dir, name, text) end
  function project.close() project.db:close() end
  return project
end

--- The names of the tables in a database's public schema, in one string.
function M.tables(db)
  local rows = db:query [[
    SELECT coalesce(string_agg(tablename, ' ' ORDER BY tablename), '') AS names FROM pg_tables
    WHERE schemaname = 'public' AND tablename !~ '_(history|journal)$']]
  return rows[1].names
end

--- The objects of an output that has one per line, but for the one about the database.
function M.objects(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do
    local object, _, problem = dkjson.decode(line, 1, dkjson.null)
    assert(object, tostring(problem) .. ": " .. line)
    if object.event ~= "database" then list[#list + 1] = object end
  end
  return list
end

--- The labels of a decoded list of migrations, in one string.
function M.labels(list)
  local labels = {}
  for i, m in ipairs(list) do labels[i] = m.label end
  return table.concat(labels, " ")
end

return M
