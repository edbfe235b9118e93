--- Commands for POSIX's sh: their words, and what they print.
local M = {}

--- A text as one word, in quotes.
function M.quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

--- A text as one word, in quotes where it needs them. What a terminal would not show is written by
-- printf.
function M.word(text)
  if text:find "^[%w_./][%w_./-]*$" then return text end
  if not text:find "%c" then return M.quote(text) end
  local format = text:gsub("[\\%%]", { ["\\"] = "\\\\", ["%"] = "%%" })
    :gsub("%c", function(char) return ("\\%03o"):format(char:byte()) end)
  return ('"$(printf %s)"'):format(M.quote(format))
end

--- A path as one word that no command takes for an option.
function M.path(text) return M.word(text:find "^%-" and "./" .. text or text) end

--- What a command prints, without the last line end.
function M.output(command)
  local pipe = assert(io.popen(command, "r"))
  local text = pipe:read "*a"
  pipe:close()
  return (text:gsub("\n$", ""))
end

--- Make a folder for a while.
-- @return its path; nil where that is not possible
function M.make_folder()
  local path = M.output 'mktemp -d "${TMPDIR:-/tmp}/pgmig.XXXXXX"'
  return path ~= "" and path or nil
end

--- The command that opens a file in somebody's editor, which may come with options.
function M.edit(path) return "${EDITOR:-vi} " .. M.path(path) end

return M
