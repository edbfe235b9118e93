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

--- A text as Lua's own loader reads a file: its first line may be one for the shell.
local function source_of(text)
  return (text:gsub("^\239\187\191", ""):gsub("^#[^\n]*", ""))
end

--- Compile a file without running it.
-- @param path the file, for messages
-- @param text of it; no precompiled code, which nobody has checked
-- @param fail fn(raised, compiling) raises the error of a file that cannot be compiled, or run
-- @return the function that runs it
function M.compile(path, text, fail)
  local chunk, message = load(source_of(text), "@" .. path, "t")
  if not chunk then fail(message, true) end
  return chunk
end

--- Run a file.
-- @param path, text, fail as of `compile`
-- @return what the file returns
function M.run(path, text, fail)
  local ok, result = pcall(M.compile(path, text, fail)) -- not dofile: a file may yield
  if not ok then fail(result, false) end
  return result
end

return M
