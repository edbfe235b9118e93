-- Hooks, events and kinds of errors stand once, in lua/pgmig/names.lua; code, documents and the
-- definitions for editors use those and no others.
local names = require "pgmig.names"
local support = require "spec.support"

local types = support.read "types/pgmig.lua"

local function sorted(list)
  local copy = {}
  for i, name in ipairs(list) do copy[i] = name end
  table.sort(copy)
  return copy
end

--- The words of a pattern's first capture, without repetition, sorted.
local function found(text, pattern)
  local list, seen = {}, {}
  for word in text:gmatch(pattern) do
    if not seen[word] then list[#list + 1], seen[word] = word, true end
  end
  return sorted(list)
end

--- The first cells of a table in a page: of the one whose head begins so.
local function first_cells(page, head)
  local rows = page:match("\n| " .. head .. " |[^\n]*\n|[-|]+\n(.-)\n\n")
  local cells = {}
  for row in (rows .. "\n"):gmatch "|([^|]+)|[^\n]*\n" do cells[#cells + 1] = row end
  return found(table.concat(cells), "`([%w_]+)`")
end

--- All of lua/pgmig/ in one text.
local function code()
  local pipe = assert(io.popen "cat lua/pgmig/*.lua lua/pgmig/*/*.lua")
  local text = pipe:read "*a"
  pipe:close()
  return text
end

--- Those of a list that are not in another one.
local function beyond(list, allowed)
  local is_allowed, left = {}, {}
  for _, name in ipairs(allowed) do is_allowed[name] = true end
  for _, name in ipairs(list) do
    if not is_allowed[name] then left[#left + 1] = name end
  end
  return left
end

describe("the names that scripts compare with", function()
  it("are the hooks of the page about them, and of the definitions", function()
    assert.same(sorted(names.hooks), first_cells(support.read "docs/hooks.md", "event"))
    assert.same(sorted(names.hooks), found(types:match '%-%-%-@param event ("before_all"[^\n]*)',
      '"([%w_]+)"'))
  end)

  it("are the events of the reference, and of the definitions; the code has no others", function()
    local page = support.read "docs/lua-api.md"
    assert.same(sorted(names.events), found(page:match "\n| `type` |([^\n]*)", "`([%w_]+)`"))
    local union = types:match "class pgmig%.Event\n%-%-%-@field type ([^\n]*)"
    assert.same(sorted(names.events), found(union, '"([%w_]+)"'))
    local emitted = found(code(), '%f[%w]type = "([%w_]+)", migration')
    assert.is_true(#emitted > 5)
    assert.same({}, beyond(emitted, names.events))
  end)

  it("are the kinds of errors of the page about them; nothing raises others", function()
    assert.same(sorted(names.kinds), first_cells(support.read "docs/errors.md", "kind"))
    assert.same({}, beyond(found(code(), 'errors%.raise%("([%w_]+)"'), names.kinds))
    local of_core = found(support.read "core/base/error.c", '%[PGMIG_E_%u+%] = "(%l+)"')
    assert.is_true(#of_core > 8)
    assert.same({ "none" }, beyond(of_core, names.kinds))
  end)

  it("are the events of the history in the definitions", function()
    local union = types:match "class pgmig%.Happening\n%-%-%-@field event ([^\n]*)"
    assert.same(sorted(names.history), found(union, '"([%w_]+)"'))
  end)
end)
