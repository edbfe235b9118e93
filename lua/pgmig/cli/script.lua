--- `pgmig lua`: run a script as Lua's own program does.
local core = require "pgmig.core"
local errors = require "pgmig.errors"

local unpack = unpack or table.unpack
local load = loadstring or load

local M = {}

--- Read the words.
-- @return the pieces of code of `-e`
-- @return the place of the script among the words; nil: there is none
local function read(words)
  local pieces, at = {}, 1
  while words[at] == "-e" do
    if not words[at + 1] then errors.raise("usage", "'-e' needs code") end
    pieces[#pieces + 1] = words[at + 1]
    at = at + 2
  end
  local script = words[at]
  if script and script:find "^%-." then
    errors.raise("usage", ("unknown option '%s' of lua"):format(script),
      { hint = "options of the script stand behind it" })
  end
  if not script and not pieces[1] then
    errors.raise("usage", "lua needs a script, - for standard input, or -e CODE")
  end
  return pieces, script and at
end

--- Set `arg` as Lua does: the script is at 0, what stands before it is below.
-- @param behind how many words follow the script; nil: there is no script
local function set_arg(behind)
  local old = rawget(_G, "arg")
  local first, shift = 0, behind and #old - behind or 0
  while old[first - 1] do first = first - 1 end
  local new = {}
  for i = first, #old do new[i - shift] = old[i] end
  rawset(_G, "arg", new)
end

--- A traceback of the script alone.
-- @param outer that of the function which has called `call`
local function traceback(message, outer)
  local whole = debug.traceback(message, 3)
  local own = #whole - #outer
  if whole:sub(own + 1) ~= outer then return whole end -- a deep one has gaps
  return whole:sub(1, own):gsub("\n[^\n]*\n[^\n]*$", "") .. "\n\t[C]: in ?" -- xpcall and `call`
end

--- What is said about an error, as Lua does.
local function describe(raised, outer)
  if type(raised) == "string" then return traceback(raised, outer) end
  local meta = getmetatable(raised)
  if type(meta) == "table" and meta.__tostring then return tostring(raised) end
  return traceback(("(error object is a %s value)"):format(type(raised)), outer)
end

--- Run a loaded piece; whether it has raised nothing.
local function call(chunk, why, ...)
  local message = why
  local outer = debug.traceback("", 2):gsub("^\nstack traceback:", "")
  local ok = chunk and xpcall(chunk, function(raised) message = describe(raised, outer) end, ...)
  if not ok then io.stderr:write("pgmig: ", core.visible(message), "\n") end
  return ok
end

--- Run a script.
-- @param words those behind `pgmig lua`
-- @return the exit code
-- @raise kind "usage"
function M.run(words)
  local pieces, at = read(words)
  set_arg(at and #words - at)
  core.leave_signals_to_lua()
  for _, code in ipairs(pieces) do
    local chunk, why = load(code, "=(command line)")
    if not call(chunk, why) then return 1 end
  end
  if not at then return 0 end
  local chunk, why = loadfile(words[at] ~= "-" and words[at] or nil)
  return call(chunk, why, unpack(words, at + 1)) and 0 or 1
end

return M
