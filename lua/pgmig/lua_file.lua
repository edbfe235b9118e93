--- Files of Lua code: running them, and where in them an error is.
local M = {}

--- Whether a source that a message names is a file. Lua shortens long paths to "..." and their end.
local function is_source(source, path)
  if source == path then return true end
  local tail = source:match "^%.%.%.(.+)$"
  return tail ~= nil and path:sub(-#tail) == tail
end

--- Take the place from what was raised.
-- @param path the file
-- @param raised a message of Lua's, or any value
-- @return the line; nil when another place is named
-- @return the message without the place
function M.place(path, raised)
  local text = tostring(raised)
  local source, line, message = text:match "^(.-):(%d+): (.*)$"
  if source and is_source(source, path) then return tonumber(line), message end
  return nil, text
end

--- The innermost line of a file in a traceback; nil.
function M.line_in(path, traceback)
  for entry in traceback:gmatch "[^\n]+" do
    local source, line = entry:match "^%s*(.-):(%d+):"
    if source and is_source(source, path) then return tonumber(line) end
  end
end

--- Run a file.
-- @param path the file
-- @param fail fn(raised, compiling) raises the error of a file that cannot be compiled, or run
-- @return what the file returns
function M.run(path, fail)
  local chunk, message = loadfile(path) -- not dofile: a file may yield
  if not chunk then fail(message, true) end
  local ok, result = pcall(chunk)
  if not ok then fail(result, false) end
  return result
end

return M
