--- The options of the commands that set things up: files and folders.
-- Each function adds a command; `kit` has what pgmig.cli.options adds commands with.
local M = {}

function M.init(parser, kit)
  kit.command(parser, "init", "Write what a project needs: folder and config file.", {
    about = "In the current folder. Finds out whether the migrations are another tool's. Replaces\n"
      .. "no file.",
    examples = "Examples:\n   pgmig init\n   pgmig --dir db/migrations init --ci github",
  }):option("--ci"):argname "WHERE":choices { "github", "gitlab" }
    :description "Also write a file for the CI of github or gitlab."
end

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

function M.renumber(parser, kit)
  local cmd = kit.command(parser, "renumber", "Give files with the same number new ones.", {
    about = "For after a merge. What the database has applied stays, or else what git has on the\n"
      .. "main branch. All files of a migration move together, all or none.",
    examples = "Examples:\n   pgmig renumber --dry-run\n   pgmig renumber --offline\n"
      .. "   pgmig renumber --keep migrations/012_add_orders.sql",
  })
  cmd:flag("--dry-run"):description "Only show what would be renamed."
  cmd:option("--keep"):argname "FILE":count "*":convert(kit.not_empty "--keep")
    :description "This file stays. Repeat it for more."
  cmd:option("--base"):argname "BRANCH":convert(kit.not_empty "--base")
    :description "The main branch of git (default: that of origin,\nmain or master)."
  cmd:flag("--offline"):description "Ask no database what is applied."
  cmd:flag("--out-of-order")
    :description "Renumber also what is pending below the newest applied."
end

function M.database(parser, kit)
  local cmd = kit.command(parser, "database", "Create or drop the database itself.", {
    about = "The one that the connection string names. Connects to the database postgres, or else\n"
      .. "template1. What is done already is no failure. Asks before it drops.",
    examples = "Examples:\n   pgmig database create\n   pgmig database drop --yes --force",
  })
  cmd:target "database_command" -- `database` is the option's
  cmd:argument("action"):argname "ACTION":choices { "create", "drop" }
    :description "create or drop."
  for _, name in ipairs { "owner", "template", "encoding" } do
    cmd:option("--" .. name):argname "NAME":convert(kit.not_empty("--" .. name))
      :description(("Of create: the %s, as in CREATE DATABASE."):format(name))
  end
  cmd:flag("--yes"):description "Of drop: do not ask."
  cmd:flag("--force"):description "Of drop: end all other sessions first (PostgreSQL 13)."
end

function M.wait(parser, kit)
  local cmd = kit.command(parser, "wait", "Wait until the database accepts connections.", {
    about = "For start scripts. Exits with code 6 if it does not within the time limit.",
    examples = "Examples:\n   pgmig wait && pgmig up\n   pgmig wait --timeout 10\n"
      .. "   pgmig wait --server && pgmig database create",
  })
  cmd:option("--timeout"):argname "SECONDS":convert(kit.limit("timeout", "--timeout"))
    :description "How long to wait (default: 60)."
  cmd:flag("--server")
    :description "Only until the server answers, also where the\ndatabase does not exist."
end

return M
