--- What a migration runs: its parsed SQL file, pair of files, or Lua functions.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local needed = require "pgmig.needed"
local formats = require "pgmig.formats"
local way_back = require "pgmig.files.way_back"

local lua_file = needed "files.lua_file"
local lua_glance = needed "files.lua_glance"

local M = {}

local function check_file(m)
  if not m.missing then return end
  if m.foreign then
    errors.raise("plan", ("migration %s is code for another tool"):format(m.label), {
      file = m.foreign, hint = "pgmig cannot run it: rewrite it in SQL or Lua",
    })
  end
  if m.unfinished and not m.row then
    errors.raise("plan", ("migration %s is half finished, and its file is "
      .. "missing"):format(m.label), {
      hint = ("restore the file, or undo by hand what it did and discard its progress: pgmig "
        .. "resolve %s --restart"):format(m.shown),
    })
  end
  errors.raise("plan", ("migration %s is applied, but its file is missing"):format(m.label), {
    hint = ("restore the file, for example from version control, or undo by hand what it did, "
      .. "then: pgmig unapply %s"):format(m.shown),
  })
end

-- ---- Lua files -------------------------------------------------------------

--- An error that Lua's compiler or a file's top level raised, with its line.
local function file_error(path, raised)
  local line, message = lua_file.place(path, raised)
  errors.raise("parse", message, { file = path, line = line })
end

local function check_functions(path, functions)
  local what = type(functions) == "table" and functions or {}
  local down = type(what.down)
  if type(what.up) == "function" and (down == "nil" or down == "function") then return end
  errors.raise("parse", "a Lua migration must return a table with a function `up`", {
    file = path, hint = "for example: return { up = function(db) ... end, down = function(db) ... "
      .. "end }",
  })
end

local function check_phase(path, phase)
  if phase == nil or phase == "pre" or phase == "post" then return end
  errors.raise("parse", ("phase must be \"pre\" or \"post\", not %s"):format(tostring(phase)), {
    file = path,
  })
end

local function text_of(path)
  local text = core.read_file(path)
  if text then return text end
  errors.raise("io", "the file no longer exists", { file = path })
end

local function fail_for(path)
  return function(raised) file_error(path, raised) end
end

--- Load a Lua migration, which runs its top level.
local function read_lua(m)
  local text = text_of(m.path)
  local functions = lua_file.run(m.path, text, fail_for(m.path))
  check_functions(m.path, functions)
  check_phase(m.path, functions.phase)
  return {
    script = core.empty_script(m.path, functions.transaction ~= false), functions = functions,
    checksum = core.checksum(text),
  }
end

--- Look at a Lua migration, none of which runs.
local function look_at_lua(m)
  local text = text_of(m.path)
  lua_file.compile(m.path, text, fail_for(m.path))
  local said = lua_glance.look(text)
  return { script = core.empty_script(m.path, said.transaction), said = said }
end

-- ---- SQL files -------------------------------------------------------------

local own = formats.load "pgmig"

--- The format's words are pgmig's own.
local function is_own(m) return not (m.format and m.format.vocabulary) end

--- What `render` is told of a migration.
-- @param direction of the file; nil: both are in it
local function told_of(m, path, direction)
  return {
    path = path, id = m.id, version = m.version, name = m.name, label = m.label,
    direction = direction,
  }
end

--- Parse a file as its format reads. A large one is not held, unless `hold` wants it. The core has
-- pgmig's own words by itself, but for files whose names say which way they go.
local function read_sql(m, path, settings, way)
  local format = m.format or (way and own)
  if not format then return core.read_script(path, nil, not m.held) end
  return format:read(path, settings, not m.held, way, told_of(m, path, way))
end

--- One file of a pair: all of it goes one way.
local function read_half(m, path, settings, way)
  local script, checksum = read_sql(m, path, settings, way)
  if not script:marked() then return script, checksum end
  errors.raise("parse", "section marker in a file of a pair", {
    file = path, hint = "delete the markers: the file name determines the direction",
  })
end

local function read_pair(m)
  local script, checksum = read_half(m, m.path, m.settings, "up")
  return { script = script, checksum = checksum, pair = true }
end

--- A way back by its name must not run as UP: only a marker could say that it goes up. One that
-- has run is what it is. Other tools know no `_down`.
local function check_direction(m, script)
  local word, joint = way_back.word(m.path)
  if not word or m.row or script:marked() or not (joint == "." or is_own(m)) then return end
  local remedy = is_own(m) and "mark it with a line -- UP" or "rename it"
  errors.raise("naming", ("the name says %s, but the file would run as UP"):format(word), {
    file = m.path, hint = way_back.remedy(m.path) .. "; if this is the UP file, " .. remedy,
  })
end

local function read_whole(m)
  local script, checksum = read_sql(m, m.path, m.settings)
  check_direction(m, script)
  return { script = script, checksum = checksum }
end

-- ---- both ------------------------------------------------------------------

--- Read and check what a migration runs, once.
-- @return { script, pair = whether the way back has a file of its own, checksum = the file's where
--   the script's is another's, functions = { up, down } of a Lua file }
-- @raise kinds "io", "parse", and "plan" when the file is gone
function M.read(m)
  check_file(m)
  if not m.source then
    if m.language == "lua" then
      m.source = read_lua(m)
    elseif m.direction then
      m.source = read_pair(m)
    else
      m.source = read_whole(m)
    end
  end
  return m.source
end

--- The same for who only looks: the code of a Lua file does not run, and its functions are missing.
-- @return as `read`; of a Lua file also said = what its text says (pgmig.files.lua_glance)
-- @raise as `read`
function M.look(m)
  if m.language ~= "lua" or m.source then return M.read(m) end
  check_file(m)
  return look_at_lua(m)
end

--- The checksum of a migration's file, of the bytes that are run; of a pair: of its UP.
-- @raise as `read`
function M.checksum(m)
  local read = M.read(m)
  return read.checksum or read.script:checksum()
end

--- Whether a script is a migration's file itself, which is read again when it runs.
function M.is_streamed(m, script)
  return script:streamed() and script == M.read(m).script
end

--- Have the whole text in memory from now on, where its statements are asked for one by one.
-- @param script what `script` returned
-- @return whether it has to be asked for again
function M.hold(m, script)
  if not script or not script:streamed() then return false end
  m.held, m.source = true, nil
  return true
end

--- Forget it: a long history must not fill the memory.
function M.forget(m) m.source = nil end

--- Forget it, and free at once what nobody else has asked for: Lua does not know how much that is.
function M.discard(m)
  local source = m.source or {}
  if source.script then source.script:free() end
  if source.down then source.down:free() end
  m.source = nil
end

--- The script of the way back of a pair: a broken one must not keep what goes up from running.
-- @return the script; nil when there is no such file
local function down_of(m, source)
  if not source.down and m.down_path then
    source.down = (read_half(m, m.down_path, m.down_settings, "down"))
  end
  return source.down
end

--- The statements of a migration's verify script, each with its place.
-- @param m a migration that has `verify_path`
-- @raise kinds "io", "parse"
function M.verify_script(m)
  local script = (m.format or own):read(m.verify_path, { transaction = "off" }, false, nil,
    told_of(m, m.verify_path, "verify"))
  local up = script:describe().up
  return up and up.statements or {}
end

--- The file that a direction is in.
function M.path(m, direction) return direction == "down" and m.down_path or m.path end

local function script_in(m, source, direction)
  if source.pair then return direction == "up" and source.script or down_of(m, source), "up" end
  return source.script, direction
end

--- The script of a direction, and which of its sections that is.
function M.script(m, direction) return script_in(m, M.read(m), direction) end

--- Whether a migration runs in one transaction, as far as its file can be read.
function M.is_transactional(m, direction)
  local ok, script, section = pcall(function() return script_in(m, M.look(m), direction) end)
  return not (ok and script) or script:transaction(section)
end

--- When a migration runs: "pre", before the application is deployed, or "post", after it; of a file
-- that cannot be read "pre", so that its error is told when its turn comes.
function M.phase(m)
  local phase = rawget(m, "phase")
  if phase then return phase end
  local ok, found = pcall(M.look, m)
  if not ok and not errors.is(found) then error(found, 0) end
  local lua = ok and (found.functions or found.said)
  m.phase = lua and lua.phase or ok and found.script:directive("up", "phase") or "pre"
  return m.phase
end

--- The function of a direction, for a Lua migration.
function M.fn(m, direction)
  local functions = M.read(m).functions
  return functions and functions[direction]
end

--- Whether there is a way back: "ready", "none" (no DOWN), "empty" (without SQL), "nothing" (empty
-- on purpose), or "irreversible" and the reason; "unknown" where only running Lua code would tell.
function M.down_state(m)
  local source = M.look(m)
  local lua = source.functions or source.said
  if lua and lua.down == nil and source.said then return "unknown" end
  if lua then return lua.down and "ready" or "none" end
  if not source.pair then return source.script:down_state() end
  local down = down_of(m, source)
  if not down then return "none" end
  if not down:empty "up" then return "ready" end
  return down:directive("up", "empty") and "nothing" or "empty"
end

local obstacles = {
  none = { "it has no DOWN section", "write one, or restore a backup" },
  empty = { "its DOWN section has no SQL", "write it, or add the line `-- pgmig: empty`" },
}

--- Why a migration cannot be rolled back, and what to do; nil when it can.
function M.obstacle(m)
  local state, reason = M.down_state(m)
  if state == "irreversible" then
    return "it is irreversible" .. (reason ~= "" and ": " .. reason or "")
  end
  local why = obstacles[state]
  if why then return why[1], why[2] end
end

--- What a migration would run, for people.
-- @param direction "up" or "down"
-- @return { transaction = boolean, statements = list, problem = why it cannot run, or nil }
-- @return its script, and which section of it; nothing where there is none
-- @raise kinds "io", "parse", "plan"
function M.describe(m, direction)
  local script, section = script_in(m, M.look(m), direction)
  if M.hold(m, script) then script = M.script(m, direction) end
  local found = script and script:describe()[section]
  return {
    transaction = not found or found.transaction,
    statements = found and found.statements or {},
    problem = direction == "down" and M.obstacle(m) or nil,
  }, script, section
end

--- Refuse a way back that the file does not provide for.
-- @raise kinds "plan", "io", "parse"
function M.check_down(m)
  M.read(m)
  local why, hint = M.obstacle(m)
  if not why then return end
  errors.raise("plan", ("cannot roll back %s: %s"):format(m.label, why), {
    file = m.path, hint = hint,
  })
end

local MOST_OTHERS = 10

--- Let the first error tell of the others, too.
local function combine(found)
  local first, others = found[1], {}
  for i = 2, math.min(#found, MOST_OTHERS + 1) do others[#others + 1] = found[i].message end
  if #found > MOST_OTHERS + 1 then
    others[#others + 1] = ("and %d more"):format(#found - MOST_OTHERS - 1)
  end
  if others[1] then
    local also = "also: " .. table.concat(others, "; ")
    first.detail = first.detail and first.detail .. "\n" .. also or also
  end
  error(first, 0)
end

--- Call a function for a migration: the error that it raises; nil.
local function failure_of(check, m)
  local ok, err = pcall(check, m)
  if ok then return nil end
  if not errors.is(err) then error(err, 0) end
  err.migration = m.label
  return err
end

--- Check everything that can be known before the first statement runs.
-- @param plan a list of migrations
-- @param breathe called between two files
-- @param read `M.look` where no code is to run; nil: `M.read`
-- @raise what is wrong with the first; on the way down its detail names the others
function M.check(plan, breathe, read)
  local up, found = plan.direction == "up", {}
  if plan.record_only and not up then return end -- that needs no file
  local check = plan.record_only and check_file or up and (read or M.read) or M.check_down
  for _, m in ipairs(plan) do
    breathe()
    found[#found + 1] = failure_of(check, m)
    if up and found[1] then break end
  end
  if not found[1] then return end
  if not up then found[1].rolled_back = {} end
  combine(found)
end

return M
