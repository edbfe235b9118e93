--- Hooks: functions that observe and control a run.
-- Handlers of an event run in the order of their registration, for up and down alike, and may
-- yield. A handler gets a context; what it may do with it depends on the event (docs/hooks.md).
-- @module pgmig.run.hooks
local errors = require "pgmig.errors"
local names = require "pgmig.names"

local M = {}
local hooks = {}
hooks.__index = hooks

local events = {}
for _, name in ipairs(names.hooks) do events[name] = true end

local skippable = { before_each = true, before_statement = true }

local context = {}
context.__index = context

--- Skip this migration (before_each) or statement (before_statement).
-- @param reason why, in words
function context:skip(reason)
  if not skippable[self.event] then
    errors.raise("usage", ("%s cannot skip anything"):format(self.event))
  end
  self.skipped = reason or "skipped by a hook"
end

--- Do not retry the migration (retry): its error is final.
function context:stop()
  if self.event ~= "retry" then
    errors.raise("usage", ("%s cannot stop anything"):format(self.event))
  end
  self.stopped = true
end

--- A registry of handlers.
function M.new() return setmetatable({ handlers = {} }, hooks) end

local function known_events()
  local list = {}
  for event in pairs(events) do list[#list + 1] = event end
  table.sort(list)
  return table.concat(list, ", ")
end

--- Register a handler.
-- @param event its name
-- @param fn called with the context
-- @raise kind "usage" for an unknown event
function hooks:on(event, fn)
  if not events[event] then
    errors.raise("usage", ("unknown event %s"):format(tostring(event)), {
      hint = "known events are: " .. known_events(),
    })
  end
  if type(fn) ~= "function" then
    errors.raise("usage", ("a handler for %s must be a function, not a %s"):format(event, type(fn)))
  end
  local list = self.handlers[event] or {}
  self.handlers[event] = list
  list[#list + 1] = fn
end

--- Whether an event has handlers.
function hooks:has(event) return self.handlers[event] ~= nil end

--- What a handler raised, as an error of kind "hook"; pgmig's own errors stay what they are.
local function as_error(event)
  return function(raised)
    local traceback = debug.traceback("", 2):gsub("^\n", "")
    if errors.is(raised) then
      raised.hook, raised.traceback = event, raised.traceback or traceback
      return raised
    end
    return errors.new("hook", ("%s: %s"):format(event, tostring(raised)), {
      hook = event, cause = raised, traceback = traceback,
    })
  end
end

--- Call the handlers of an event, until one skips.
-- @param event its name
-- @param ctx the fields of the context
-- @return the context
-- @raise what a handler raised, as an error of pgmig's
function hooks:fire(event, ctx)
  ctx.event = event
  setmetatable(ctx, context)
  for _, fn in ipairs(self.handlers[event] or {}) do
    local ok, err = xpcall(function() fn(ctx) end, as_error(event))
    if not ok then error(err, 0) end
    if ctx.skipped then break end
  end
  return ctx
end

return M
