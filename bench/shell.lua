--- Commands, files and folders.
local M = {}

local folder, watch -- the folder for everything, and the shell that removes it

--- A string as one word of a shell command.
function M.quote(s)
  return "'" .. tostring(s):gsub("'", "'\\''") .. "'"
end

--- Words as one shell command.
function M.join(words)
  local quoted = {}
  for i, word in ipairs(words) do quoted[i] = M.quote(word) end
  return table.concat(quoted, " ")
end

--- What a command prints, without the last line end; nil when that is nothing.
function M.output_of(command)
  local pipe = assert(io.popen(command .. " 2>/dev/null"))
  local text = pipe:read("*a"):gsub("%s+$", "")
  pipe:close()
  return text ~= "" and text or nil
end

--- The path of a program; nil when there is none.
function M.find_program(name)
  return M.output_of("command -v " .. M.quote(name))
end

function M.exists(path)
  return (os.rename(path, path))
end

--- A file's contents; nil when it cannot be read.
function M.read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "*a"
  file:close()
  return text
end

function M.write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  file:close()
end

--- A folder of this run; all of them are removed at its end, also when it is killed.
function M.folder(name)
  if not watch then
    folder = assert(M.output_of "mktemp -d \"${TMPDIR:-/tmp}/pgmig-bench.XXXXXX\"")
    watch = assert(io.popen("trap '' INT TERM; cat >/dev/null; rm -rf " .. M.quote(folder), "w"))
  end
  local path = folder .. "/" .. name
  assert(os.execute("mkdir -p " .. M.quote(path)))
  return path
end

function M.remove(path)
  os.execute("rm -rf " .. M.quote(path))
end

return M
