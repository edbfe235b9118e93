--- The command line's options: what there is, its help, and how words become a table.
local argparse = require "argparse"
local limits = require "pgmig.limits"
local settings = require "pgmig.options"

local M = {}

local description = [[
Applies versioned SQL migrations to PostgreSQL, shows where a database stands,
and takes migrations back.]]

local epilog = [[
The database is --database, else $DATABASE_URL, else what libpq's own variables
say (PGHOST, PGPORT, PGUSER, PGDATABASE, PGSERVICE, ...). A password belongs into
~/.pgpass or a variable: other users can see the words of a command line.

Flags win over variables, those over the file .env, and that over pgmig.conf.lua:
PGMIG_DIR is --dir, PGMIG_TABLE is --table, PGMIG_LOCK_TIMEOUT is --lock-timeout,
and so on for each option with a value; a NO_COLOR that is not empty is --no-color.
All of libpq's variables may stand in .env, too.
`pgmig config` shows what is in force and where it comes from.

Exit codes:
   0  done
   1  a migration failed
   2  wrong usage, or refused before anything was touched
   3  with --exit-code: something is pending, drifted or odd
   4  waited too long for a lock
   5  an outcome is not known: run again, or see doctor
   6  the database cannot be reached
   130, 143  interrupted by SIGINT, SIGTERM

With --json, standard output has one object per command, or for up and down one
event per line; a failure is {"event":"error", ...} there, and its text for
people goes to standard error as always.

Examples:
   pgmig create add_orders_table
   pgmig --database postgres://app@localhost/shop status
   pgmig up
   pgmig down --steps 2
`pgmig COMMAND --help` tells more about one command.]]

-- ---- conversions -----------------------------------------------------------

local function whole_number(text)
  local number = text:match "^%d+$" and tonumber(text)
  if number and number >= 1 then return number end
  return nil, ("'%s' is not a whole number from 1"):format(text)
end

--- A time or a count, see pgmig.limits.
local function limit(key, option)
  return function(text)
    if text == "" then return nil, ("option '%s' is empty"):format(option) end
    local value, problem = limits.read(key, text)
    if value ~= nil then return value end
    return nil, ("%s %s, not '%s'"):format(option, problem, text)
  end
end

local function version(text)
  if text:find "^%d[%w._-]*$" then return text end
  return nil, ("'%s' is not a version: give its number, for example 3 or 003"):format(text)
end

--- An empty value is a script's unset variable: going on would use another database or folder.
local function not_empty(option)
  return function(text)
    if text ~= "" then return text end
    return nil, ("option '%s' is empty"):format(option)
  end
end

-- ---- the parser ------------------------------------------------------------

--- What parsing raises when it ends the program: help or version to be printed, or a mistake.
local function finish(fields) error(fields, 0) end

local function help_option(parser)
  return {
    name = "-h --help",
    description = "Show this help.",
    action = function() finish { print = parser:get_help() } end,
  }
end

--- What a flag's value becomes.
local function converter(option)
  if limits.knows(option.key) then return limit(option.key, option.flag) end
  return not_empty(option.flag)
end

--- An option that all commands have.
local function add_setting(parser, option)
  if not option.takes then
    parser:flag(option.flag):description(option.help)
    return
  end
  local added = parser:option(option.flag):argname(option.takes):convert(converter(option))
    :description(option.help)
  if option.key == "dir" then added:count "*" end
  if option.key == "database" then added:hidden_name "-d" end
end

local function global_options(parser)
  for _, option in ipairs(settings.list) do
    if option.flag then add_setting(parser, option) end
  end
  parser:option("--config"):argname "FILE":convert(not_empty "--config")
    :target "config_file"
    :description "The config file (default: pgmig.conf.lua, where there is one)."
  parser:flag("--json"):description "Write JSON for programs."
  parser:mutex(
    parser:flag("-q --quiet"):description "Write errors only.",
    parser:flag("-v --verbose"):description "Write each statement with its time; in a plan all SQL."
  )
  parser:flag("--no-color"):description "Write without colours, also on a terminal."
  parser:flag("--version"):description "Show the version."
    :action(function() finish { print = "pgmig " .. require "pgmig.version" } end)
end

local function command(parser, name, summary, text)
  local cmd = parser:command(name):summary(summary):description(summary .. "\n" .. text.about)
    :epilog(text.examples .. "\n\nOptions for all commands: pgmig --help")
    :add_help(false)
  cmd:flag()(help_option(cmd))
  return cmd
end

local function add_status(parser)
  command(parser, "status", "Show what is applied and what is pending.", {
    about = "Creates and changes nothing. Files that cannot be read are shown, too.",
    examples = "Examples:\n   pgmig status\n   pgmig status --exit-code || pgmig up",
  }):flag("--exit-code")
    :description "Exit with 3 when something is pending, drifted or broken."
end

local function add_history(parser)
  command(parser, "history", "Show what has happened, with every failure.", {
    about = "Creates and changes nothing.",
    examples = "Examples:\n   pgmig history\n   pgmig history --limit 20 --json",
  }):option("--limit"):argname "N":convert(whole_number):description "Only the newest N events."
end

local function add_doctor(parser)
  command(parser, "doctor", "Explain everything odd, with the command that repairs it.", {
    about = "Changes nothing.",
    examples = "Examples:\n   pgmig doctor\n   pgmig doctor --exit-code --json",
  }):flag("--exit-code"):description "Exit with 3 when something is odd."
end

local function add_repair(parser)
  local cmd = command(parser, "repair", "Accept files as they are now.", {
    about = "Records the checksum of an edited file, the new name of a renamed one, and that\n"
      .. "a failure is settled. The schema is not touched. Refused while a run is at work.",
    examples = "Examples:\n   pgmig repair 12\n   pgmig repair --all",
  })
  cmd:argument("version"):args "?":argname "V"
    :description "The version, or a repeatable one's name."
  cmd:flag("--all"):description "All migrations."
  cmd:flag("--replaced")
    :description("Accept it although name and text differ from what was\n"
      .. "applied: the file is the same migration after all.")
end

local function add_resolve(parser)
  local cmd = command(parser, "resolve", "Settle a statement whose outcome nobody knows.", {
    about = "For a migration with transaction=off that was cut off: look into the database,\n"
      .. "then say what became of its statement. Refused while a run is at work.",
    examples = "Examples:\n   pgmig resolve 12 --done\n   pgmig resolve 12 --redo",
  })
  cmd:argument("version"):argname "V":description "The version, or a repeatable one's name."
  cmd:mutex(
    cmd:flag("--done"):description "It has taken effect: go on behind it.",
    cmd:flag("--redo"):description "It has not: run it again.",
    cmd:flag("--restart"):description "Begin with the first statement again."
  )
end

local function add_dry_run(cmd)
  cmd:flag("--dry-run"):description "Only show what would run."
end

local function add_target(cmd)
  cmd:option("--to"):argname "V":convert(version):description "Stop after version V."
  cmd:option("--steps"):argname "N":convert(whole_number):description "Apply at most N migrations."
end

local function add_up(parser)
  local cmd = command(parser, "up migrate", "Apply pending migrations, in order.", {
    about = "Each one runs in a transaction of its own, together with its tracking row. All\n"
      .. "files are read before the first statement runs.",
    examples = "Examples:\n   pgmig up\n   pgmig up --to 5\n   pgmig up --steps 1 --dry-run",
  })
  add_target(cmd)
  cmd:option("--fake"):argname "V":convert(version)
    :description "Record version V as applied, without running it."
  add_dry_run(cmd)
end

local function add_plan(parser)
  add_target(command(parser, "plan", "Show what up would run; the same as up --dry-run.", {
    about = "Creates and changes nothing.",
    examples = "Examples:\n   pgmig plan\n   pgmig plan --to 5 --json",
  }))
end

local function add_down(parser)
  local cmd = command(parser, "down rollback", "Take back applied migrations, newest first.", {
    about = "Runs their DOWN sections; without options that of the newest one.",
    examples = "Examples:\n   pgmig down\n   pgmig down --steps 3\n   pgmig down --to 2 --dry-run\n"
      .. "   pgmig down --all",
  })
  cmd:mutex(
    cmd:option("--steps"):argname "N":convert(whole_number):description "Take back N migrations.",
    cmd:option("--to"):argname "V":convert(version)
      :description "Take back those after version V; V stays applied.",
    cmd:flag("--all"):description "Take back everything."
  )
  add_dry_run(cmd)
end

local function add_redo(parser)
  command(parser, "redo", "Take the newest migration back and apply it again.", {
    about = "For work on a new migration: edit the file, then redo.",
    examples = "Examples:\n   pgmig redo\n   pgmig redo --steps 2",
  }):option("--steps"):argname "N":convert(whole_number)
    :description "Do so with the N newest migrations."
end

local function add_create(parser)
  local cmd = command(parser, "create", "Write a new migration file and print its path.", {
    about = "Needs no database. The file gets the next number and never replaces another.",
    examples = "Examples:\n   pgmig create add_orders_table\n"
      .. '   "$EDITOR" "$(pgmig create add_orders_table)"',
  })
  cmd:argument("name"):argname "NAME":description "What it does, as in add_orders_table."
  cmd:flag("--timestamp"):description "Use the time (UTC) as version, not the next number."
end

local function add_wait(parser)
  command(parser, "wait", "Wait until the database accepts connections.", {
    about = "For start scripts. Exits with 6 when it does not within the limit.",
    examples = "Examples:\n   pgmig wait && pgmig up\n   pgmig wait --timeout 10",
  }):option("--timeout"):argname "SECONDS":convert(limit("timeout", "--timeout"))
    :description "How long to wait (default: 60)."
end

local function add_baseline(parser)
  command(parser, "baseline", "Record migrations as applied, without running them.", {
    about = "For a database that has their schema already. Records all up to version V.",
    examples = "Example:\n   pgmig baseline 12",
  }):argument("version"):argname "V":convert(version):description "The last version to record."
end

local function add_adopt(parser)
  local cmd = command(parser, "adopt", "Take over what another tool has applied.", {
    about = "Reads that tool's table, compares it with the files, and records in one transaction\n"
      .. "what is applied. The table is only read. Refused when table and files disagree.",
    examples = "Examples:\n   pgmig adopt --from goose --dry-run\n"
      .. "   pgmig --format goose adopt --from-table ops.goose_db_version",
  })
  cmd:option("--from"):argname "NAME":convert(not_empty "--from")
    :description "The tool, as in --format (default: the format)."
  cmd:option("--from-table"):argname "NAME":convert(not_empty "--from-table")
    :description "Its table, where that has another name than usual."
  cmd:flag("--dry-run"):description "Only show what would be recorded."
end

local function add_config(parser)
  command(parser, "config", "Show the settings in force and where each comes from.", {
    about = "Passwords are not shown. Needs no database.",
    examples = "Examples:\n   pgmig config\n   pgmig config --json",
  })
end

local CONCEALED = "(a database; name it with --database)"

local function names_database(word)
  return word:find("://", 1, true) or word:find ":.*@" or word:lower():find "password%s*="
end

--- Hide what may hold a password: a word that names a database, wherever it was put by mistake.
local function conceal(message, words)
  for _, word in ipairs(words) do
    local value = word:match "^%-%-[^=]*=(.*)$" or word
    local first, last = message:find(value, 1, true)
    if first and names_database(value) then
      message = message:sub(1, first - 1) .. CONCEALED .. message:sub(last + 1)
    end
  end
  return message
end

local function build(words)
  local parser = argparse("pgmig", description, epilog)
    :add_help(false):command_target "command":help_description_margin(24)
    :usage_max_width(80)
  parser:flag()(help_option(parser))
  global_options(parser)
  for _, add in ipairs { add_status, add_up, add_down, add_plan, add_redo, add_create,
    add_baseline, add_adopt, add_history, add_doctor, add_repair, add_resolve, add_config,
    add_wait } do
    add(parser)
  end
  parser.error = function(at, message)
    finish { usage = at:get_usage(), message = conceal(message, words) }
  end
  return parser
end

-- ---- reading the command line ----------------------------------------------

local function complete(options)
  if not options.dir[1] then options.dir = nil end
  options.no_color = options.no_color or (os.getenv "NO_COLOR" or "") ~= ""
  return options
end

--- Read a command line.
-- @param words list of arguments
-- @return options: command, and what was given; or nil and { print = text } for --help and
--   --version, or nil and { usage, message } for a mistake
function M.parse(words)
  local parser = build(words)
  local ok, result = pcall(parser.parse, parser, words)
  if ok then return complete(result) end
  if type(result) ~= "table" then error(result, 0) end
  return nil, result
end

return M
