--- What the methods of a migrator, and `pgmig.parse`, take as options: the words are those of the
-- command line. An unknown one is refused, since a misspelled `dry_run` would migrate.
local errors = require "pgmig.errors"
local options = require "pgmig.options"

local M = {}

local NUMBER = "number or string" -- also as digits

--- What can be said of each run.
local function with_run(own)
  own.on_event, own.stop, own.unattended = "function", "function", "boolean"
  return own
end

--- What can be said of what runs on a clone.
local function with_clone(own)
  for _, option in ipairs(options.list) do
    if option.room == "proof" then own[option.key] = option.types end
  end
  own.on_event = "function"
  return own
end

local up = with_run { to = NUMBER, steps = NUMBER, phase = "string", dry_run = "boolean" }
local down = with_run { to = NUMBER, steps = NUMBER, all = "boolean", dry_run = "boolean" }

-- By method: each option with what it may be, as `type` says.
M.known = {
  migrate = up,
  plan = up,
  rollback = down,
  plan_rollback = down,
  redo = with_run { steps = NUMBER },
  go_to = with_run { dry_run = "boolean" },
  run = with_run {},
  baseline = with_run { dry_run = "boolean" },
  fake = with_run {},
  unapply = with_run {},
  adopt = {
    from = "string or table", from_table = "string", dry_run = "boolean", on_event = "function",
  },
  export = {
    to = "string or table", to_table = "string", dry_run = "boolean", on_event = "function",
  },
  run_backfills = {
    version = NUMBER, rate = "number", duty = "number", hours = "string",
    throttle = "table or function", stop = "function", on_event = "function",
  },
  repair = { replaced = "boolean", gone = "boolean", on_event = "function" },
  resolve = { on_event = "function" },
  create = { timestamp = "boolean" },
  renumber = {
    keep = "string or table", base = "string", out_of_order = "boolean", dry_run = "boolean",
  },
  history = { limit = NUMBER },
  verify = with_clone {
    pending = "boolean", to = NUMBER, seed = "string or function", rows = "boolean",
  },
  trace = with_clone { to = NUMBER, steps = NUMBER, phase = "string" },
  dump = { output = "string" },
  squash = with_clone {
    to = NUMBER, data = "boolean", delete = "boolean", dry_run = "boolean",
  },
  detect_baseline = with_clone {},
  drift = with_clone { against = "string" },
  check = with_clone {
    to = NUMBER, steps = NUMBER, phase = "string", facts = "string or table", rules = "table",
    queries = "string or table",
  },
  parse = {
    format = "string or table", placeholders = "table or false", templates = "string",
    environment = "table", render = "function",
  },
}

-- What a plain value stands for.
local main = {
  migrate = "to", plan = "to", rollback = "steps", plan_rollback = "steps", redo = "steps",
  history = "limit", run_backfills = "version", squash = "to", dump = "output",
}

local aliases = { target = "to" }

local function refuse(method, key, problem)
  errors.raise("usage", ("%s: option %s %s"):format(method, tostring(key), problem))
end

--- The names that a method takes, for a message.
local function names_of(known)
  local names = {}
  for name in pairs(known) do names[#names + 1] = name end
  table.sort(names)
  return table.concat(names, ", ")
end

--- Today's name of an option.
local function name_of(method, key)
  local known = M.known[method]
  local name = known[aliases[key]] and aliases[key] or key
  if known[name] then return name end
  errors.raise("usage", ("%s: unknown option %s"):format(method, tostring(key)), {
    hint = "the options are: " .. names_of(known),
  })
end

local function main_of(method)
  if main[method] then return main[method] end
  errors.raise("usage", method .. ": the options must be a table")
end

--- What says how far a run goes is said once.
local function check_extent(method, read)
  local said = {}
  for _, key in ipairs { "all", "steps", "to" } do
    if read[key] then said[#said + 1] = key end
  end
  if M.known[method].all and said[2] then
    refuse(method, said[1], "cannot be combined with " .. said[2])
  end
end

--- Read the options of a call.
-- @param method its name
-- @param given nil, a table, or a plain value for the method's main option
-- @return a table by today's names
-- @raise kind "usage" for an unknown option, one of a wrong type, and two that exclude each other
function M.read(method, given)
  local known, read = M.known[method], {}
  if given ~= nil and type(given) ~= "table" then given = { [main_of(method)] = given } end
  for key, value in pairs(given or {}) do
    local name = name_of(method, key)
    if read[name] ~= nil then refuse(method, key, "is given twice, also as " .. name) end
    if not options.fits({ types = known[name] }, value) then
      refuse(method, key, "must be a " .. known[name])
    end
    read[name] = value
  end
  check_extent(method, read)
  return read
end

return M
