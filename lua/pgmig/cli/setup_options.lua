--- The options of the commands that set things up: files and folders.
-- Each function adds a command; `kit` has what pgmig.cli.options adds commands with.
local M = {}

function M.create(parser, kit)
  local cmd = kit.command(parser, "create", "Write a new migration file and print its path.", {
    about = "Needs no database. The file gets the next number and never replaces another.",
    examples = "Examples:\n   pgmig create add_orders_table\n"
      .. "   pgmig create add_orders_table --edit",
  })
  cmd:argument("name"):argname "NAME":description "What it does, as in add_orders_table."
  cmd:flag("--timestamp"):description "Use the time (UTC) as the version, not the next number."
  cmd:flag("--edit"):description "Then open it in the editor: $VISUAL, or else $EDITOR."
end

return M
