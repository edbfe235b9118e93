--- The file `.env`: variables for those who keep them beside the code.
local errors = require "pgmig.errors"

local M = {}

--- A value without its quotes, or without a comment behind it.
local function unquote(text)
  local double = text:match '^"(.*)"%s*$' or text:match '^"(.-)"%s+#'
  if double then return (double:gsub("\\(.)", { n = "\n", ['"'] = '"', ["\\"] = "\\" })) end
  local single = text:match "^'(.*)'%s*$" or text:match "^'(.-)'%s+#"
  if single then return single end
  if text:find "^[\"']" then return nil end
  if text:find "^#" then return "" end
  return (text:gsub("%s+#.*$", ""):gsub("%s+$", ""))
end

--- Read a line: name and value; nil for an empty one or a comment; false for nonsense.
local function read_line(line)
  if line:find "^%s*$" or line:find "^%s*#" then return nil end
  local name, text = line:gsub("^%s*export%s+", ""):match "^%s*([%a_][%w_]*)%s*=%s*(.*)$"
  local value = name and unquote(text)
  if not value then return false end
  return name, value
end

local NO_SUCH_FILE = 2 -- ENOENT

--- The text of a file; "" when there is none.
local function read_text(path)
  local file, why, code = io.open(path, "rb")
  if not file then
    if code == NO_SUCH_FILE then return "" end
    errors.raise("usage", why:match "[^:]+$" :match "^%s*(.*)", { file = path })
  end
  local text, reason = file:read "*a"
  file:close()
  if text then return text end
  errors.raise("usage", reason, { file = path })
end

--- Read a file of variables.
-- @param path its path
-- @return a table of them; empty when there is no such file
-- @raise kind "usage" for a line that is no `NAME=value`, and a file that cannot be read
function M.read(path)
  local variables, number = {}, 0
  for line in (read_text(path) .. "\n"):gmatch "(.-)\r?\n" do
    number = number + 1
    local name, value = read_line(line)
    if name == false then
      errors.raise("usage", "this line is not NAME=value", { file = path, line = number })
    end
    if name then variables[name] = value end
  end
  return variables
end

return M
