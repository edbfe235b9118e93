-- Writes modules.c, the executable's Lua modules as bytecode. Run by the engine that is to load
-- them: embed.lua FILE FOLDER PATH...   PATH is of a module in FOLDER; others' are looked up, or
-- given as NAME=PATH.
-- With Lua 5.4 the same modules give the same file; LuaJIT writes tables in any order.

local load = loadstring or load

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

--- The bytecode of a module, without names and lines, which are a quarter of it.
local function compile(path, name)
  return string.dump(assert(load(read(path), "@" .. name)), true)
end

--- As a string literal of C, or several that the compiler joins.
local function literal(bytes)
  local escaped = bytes:gsub("[^%w ]", function(c) return ("\\%03o"):format(c:byte()) end)
  local lines = {}
  local at = 1
  while at <= #escaped do
    local last = at + 90
    while escaped:sub(at, last):find "\\%d?%d?$" do last = last + 1 end -- no escape is cut
    lines[#lines + 1] = '"' .. escaped:sub(at, last) .. '"'
    at = last + 1
  end
  return table.concat(lines, "\n        ")
end

local function modules(folder, paths)
  local found = {}
  for _, path in ipairs(paths) do
    local own, file = path:match "^([%w_.]+)=(.*)$"
    local name = path:sub(#folder + 2)
    found[#found + 1] = {
      name = own or name:gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", "."),
      code = compile(file or path, own or name),
    }
  end
  for _, name in ipairs { "argparse", "dkjson" } do
    local path = assert(package.searchpath(name, package.path))
    found[#found + 1] = { name = name, code = compile(path, name .. ".lua") }
  end
  table.sort(found, function(a, b) return a.name < b.name end)
  return found
end

local out, folder = arg[1], arg[2]
local found = modules(folder, { (unpack or table.unpack)(arg, 3) })
local file = assert(io.open(out, "wb"))
file:write('#include "single/modules.h"\n\n',
  "const struct pgmig_single_module pgmig_single_modules[] = {\n")
for _, module in ipairs(found) do
  file:write(('    {"%s",\n        %s,\n        %d},\n'):format(module.name, literal(module.code),
    #module.code))
end
file:write(("};\n\nconst size_t pgmig_single_module_count = %d;\n"):format(#found))
assert(file:close())
