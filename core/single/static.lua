--- In the static executable: what cannot be loaded into it says so.
local WHY = "the static executable of pgmig loads no C modules: "
  .. "use its other forms, or pgmig with an installed Lua (docs/install.md)"

local searchers = package.searchers or package.loaders -- preload, the executable, Lua, C, C

--- Where a C module is that Lua would load: its own file, or that of the name before the first dot.
local function find(name)
  return package.searchpath(name, package.cpath)
    or package.searchpath(name:match "^[^.]*", package.cpath)
end

searchers[4] = function(name)
  local path = find(name)
  if path then error(("module '%s' is in C (%s), and %s"):format(name, path, WHY), 0) end
  return "\n\t" .. WHY
end
searchers[5] = nil

function package.loadlib() return nil, WHY, "absent" end

if rawget(_G, "jit") then
  require "ffi".load = function(name) error(("cannot load %s: %s"):format(name, WHY), 2) end
end
