--- The commands that set things up: files, folders, databases. Each gets the run and what opens its
-- database and its migrator (pgmig.cli.commands).
local errors = require "pgmig.errors"
local shell = require "pgmig.shell"

local M = {}

-- ---- create ------------------------------------------------------------------

--- The user's editor, which may come with options, and the variable that names it.
-- @raise kind "usage"
local function find_editor()
  for _, name in ipairs { "VISUAL", "EDITOR" } do
    local command = os.getenv(name)
    if command and command:find "%S" then return command, name end
  end
  errors.raise("usage", "no editor is set, and no file was created", {
    hint = "set the variable VISUAL or EDITOR, or leave out --edit",
  })
end

--- Open files in the editor, and wait for its end.
local function edit(command, name, paths)
  local words = { command }
  for _, path in ipairs(paths) do words[#words + 1] = shell.path(path) end
  local ended = os.execute(table.concat(words, " "))
  if ended == true or ended == 0 then return end
  errors.raise("io", ("the editor failed (%s): %s"):format(name, command), {
    file = paths[1], hint = "the file was created, and stays",
  })
end

function M.create(run, doors)
  local options = run.options
  local editor, variable
  if options.edit then editor, variable = find_editor() end
  local paths = { doors.without(run, "create"):create(options.name, {
    timestamp = options.timestamp,
  }) }
  run.report:created(paths[1])
  if editor then edit(editor, variable, paths) end
end

return M
