--- The command line's options: what there is, its help, and how words become a table.
local argparse = require "argparse"
local settings = require "pgmig.options"
local setup = require "pgmig.cli.setup_options"

local M = {}

local description = [[
Applies versioned SQL migrations to PostgreSQL, shows the state of a database,
and rolls migrations back.]]

local epilog = [[
The database is --database, otherwise $DATABASE_URL, otherwise what libpq's own
variables say (PGHOST, PGPORT, PGUSER, PGDATABASE, PGSERVICE, ...). Put passwords
in ~/.pgpass or a variable: command lines are visible to other users.

Flags override variables, variables override the file .env, and .env overrides
pgmig.conf.lua: PGMIG_DIR is --dir, PGMIG_TABLE is --table, PGMIG_LOCK_TIMEOUT is
--lock-timeout, and so on for each option with a value; a non-empty NO_COLOR is
--no-color. All of libpq's variables can be set in .env, too.
`pgmig config` shows the settings in effect and where each comes from.

Exit codes:
   0  success
   1  a migration failed
   2  wrong usage, or refused before anything was touched
   3  with --exit-code: something is pending, drifted or needs attention; check has
      findings; drift has found differences
   4  timed out waiting for a lock
   5  an outcome is not known: run again, or see doctor
   6  the database cannot be reached
   130, 143  interrupted by SIGINT, SIGTERM

With --json, standard output has one object per command, or for up and down one
event per line; a failure is {"event":"error", ...} there, and its readable text
goes to standard error as always.

Examples:
   pgmig create add_orders_table
   pgmig --database postgres://app@localhost/shop status
   pgmig up
   pgmig down --steps 2
See `pgmig COMMAND --help` for the options of one command.]]

-- ---- conversions -----------------------------------------------------------

local function whole_number(text)
  local number = text:match "^%d+$" and tonumber(text)
  if number and number >= 1 then return number end
  return nil, ("'%s' is not a whole number, 1 or greater"):format(text)
end

--- A time or a count, see pgmig.options.
local function limit(key, option)
  return function(text)
    if text == "" then return nil, ("option '%s' is empty"):format(option) end
    local value, problem = settings.read(key, text)
    if value ~= nil then return value end
    return nil, ("%s %s, not '%s'"):format(option, problem, text)
  end
end

local named -- the version that the line gives by a name; nil

--- What is wrong with a version that is none.
function M.no_version(text)
  return ("'%s' is not a version: give its number, for example 3 or 003"):format(text)
end

--- A version, or in formats whose migrations have names one of these: which format it is, the
-- settings tell later.
local function version(text)
  if text:find "^%d[%w._-]*$" then return text end
  if not text:find "^[%a_@\128-\255][^%s:=]*$" then return nil, M.no_version(text) end
  named = text
  return text
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
  if settings.is_limited(option.key) then return limit(option.key, option.flag) end
  return not_empty(option.flag)
end

--- An option that all commands have.
local function add_setting(parser, option)
  if not option.takes then
    parser:flag(option.flag):description(option.help)
    return
  end
  local added = parser:option(option.flag):argname(option.takes):convert(converter(option))
    :target(option.key):description(option.help)
  if option.repeats then added:count "*" end
  if option.key == "database" then added:hidden_name "-d" end
end

--- The options that the commands of a room have, or, without one, all commands.
local function add_settings(parser, room)
  for _, option in ipairs(settings.list) do
    if option.flag and option.room == room then add_setting(parser, option) end
  end
end

local function global_options(parser, is_json)
  add_settings(parser)
  parser:option("--config"):argname "FILE":convert(not_empty "--config")
    :target "config_file"
    :description "The config file (default: pgmig.conf.lua, if present)."
  parser:flag("--json"):description "Print JSON, for programs."
  parser:mutex(
    parser:flag("-q --quiet"):description "Print errors only.",
    parser:flag("-v --verbose")
      :description "Print each statement with its time; in a plan, all SQL."
  )
  parser:flag("--no-color"):description "Print without colors, even on a terminal."
  parser:flag("--version"):description "Show the versions of pgmig and its libraries."
    :action(function() finish { print = require("pgmig.cli.versions").text(is_json) } end)
end

local commands -- a line each; and whether a word is one

local function command(parser, name, summary, text)
  commands[#commands + 1] = ("   %-10s %s"):format(name:match "%S+", summary)
  for word in name:gmatch "%S+" do commands[word] = name ~= "help" end
  local cmd = parser:command(name):summary(summary):description(summary .. "\n" .. text.about)
    :epilog(text.examples .. "\n\nOptions for all commands: pgmig --help")
    :add_help(false)
  cmd:flag()(help_option(cmd))
  return cmd
end

local function add_status(parser)
  local cmd = command(parser, "status", "Show what is applied and what is pending.", {
    about = "Creates and changes nothing. Files that cannot be read are shown, too.",
    examples = "Examples:\n   pgmig status\n   pgmig status --exit-code || pgmig up",
  })
  cmd:flag("--exit-code")
    :description "Exit with code 3 if anything is pending, drifted or broken."
  add_settings(cmd, "times")
end

local function add_version(parser)
  command(parser, "version", "Show the newest applied migration.", {
    about = "Creates and changes nothing. The version of pgmig itself is --version.",
    examples = "Examples:\n   pgmig version\n   pgmig version --json",
  })
end

local function add_history(parser)
  local cmd = command(parser, "history", "Show what has happened, including every failure.", {
    about = "Creates and changes nothing.",
    examples = "Examples:\n   pgmig history\n   pgmig history --limit 20 --json",
  })
  cmd:option("--limit"):argname "N":convert(whole_number)
    :description "Show only the newest N events."
  add_settings(cmd, "times")
end

local function add_doctor(parser)
  command(parser, "doctor", "Diagnose problems and print the fix for each.", {
    about = "Changes nothing.",
    examples = "Examples:\n   pgmig doctor\n   pgmig doctor --exit-code --json",
  }):flag("--exit-code"):description "Exit with code 3 if there are findings."
end

local function add_repair(parser)
  local cmd = command(parser, "repair", "Accept files as they are now.", {
    about = "Records the checksum of an edited file, the new name of a renamed one, and that\n"
      .. "a failure is resolved. The schema is not touched. Refused during another run.",
    examples = "Examples:\n   pgmig repair 12\n   pgmig repair --all",
  })
  cmd:argument("version"):args "?":argname "V"
    :description "The version, or the name of a repeatable migration."
  cmd:flag("--all"):description "All migrations."
  cmd:flag("--replaced")
    :description("Accept it although its name and text differ from what\n"
      .. "was applied: it is the same migration after all.")
  cmd:flag("--gone")
    :description "Its file is gone for good: it stays applied, and is not missed."
end

local function add_resolve(parser)
  local cmd = command(parser, "resolve", "Resolve a statement whose outcome is not known.", {
    about = "For an interrupted migration with transaction=off: inspect the database, then\n"
      .. "say what became of its statement. Refused during another run.",
    examples = "Examples:\n   pgmig resolve 12 --done\n   pgmig resolve 12 --redo",
  })
  cmd:argument("version"):argname "V"
    :description "The version, or the name of a repeatable migration."
  cmd:mutex(
    cmd:flag("--done"):description "It took effect: resume after it.",
    cmd:flag("--redo"):description "It did not take effect: run it again.",
    cmd:flag("--restart"):description "Start again with the first statement."
  )
end

local function add_dry_run(cmd)
  cmd:flag("--dry-run"):description "Only show what would run."
end

local function add_script(cmd)
  cmd:flag("--script"):description "Of a dry run: write a script for psql, with all SQL of a run."
end

local function add_target(cmd)
  cmd:option("--to"):argname "V":convert(version):description "Stop after version V."
  cmd:option("--steps"):argname "N":convert(whole_number):description "Apply at most N migrations."
  cmd:option("--phase"):argname "PHASE":choices { "pre", "post", "all" }
    :description("pre: those that run before the deploy; post: those with\n"
      .. "`-- pgmig: phase=post`, that run after it (default: all).")
end

--- The option of commands that change the schema.
local function add_dump_after(cmd)
  local option = settings.by_key.dump_to
  cmd:option(option.flag):argname(option.takes):args "?":description(option.help)
    :action(function(given, _, words)
      given.dumps, given.dump_to = true, words[1]
    end)
end

local function add_up(parser)
  local cmd = command(parser, "up migrate", "Apply pending migrations, in order.", {
    about = "Each one runs in its own transaction, together with its tracking row. All\n"
      .. "files are read before the first statement runs.",
    examples = "Examples:\n   pgmig up\n   pgmig up --to 5\n   pgmig up --steps 1 --dry-run",
  })
  add_target(cmd)
  cmd:option("--fake"):argname "V":convert(version)
    :description "Record version V as applied without running it."
  cmd:flag("--check"):description "First check what is pending, and do not begin if it has errors."
  add_dry_run(cmd)
  add_script(cmd)
  add_dump_after(cmd)
end

local function add_plan(parser)
  local cmd = command(parser, "plan", "Show what up would run; the same as up --dry-run.", {
    about = "Creates and changes nothing.",
    examples = "Examples:\n   pgmig plan\n   pgmig plan --to 5 --json",
  })
  add_target(cmd)
  add_script(cmd)
end

local function add_down(parser)
  local cmd = command(parser, "down rollback", "Roll back applied migrations, newest first.", {
    about = "Runs their DOWN sections; without options, that of the newest one.",
    examples = "Examples:\n   pgmig down\n   pgmig down --steps 3\n   pgmig down --to 2 --dry-run\n"
      .. "   pgmig down --all",
  })
  cmd:mutex(
    cmd:option("--steps"):argname "N":convert(whole_number):description "Roll back N migrations.",
    cmd:option("--to"):argname "V":convert(version)
      :description "Roll back those after version V; V stays applied.",
    cmd:flag("--all"):description "Roll back everything."
  )
  add_dry_run(cmd)
  add_dump_after(cmd)
end

local function add_goto(parser)
  local cmd = command(parser, "goto", "Go to a version: apply or roll back, as needed.", {
    about = "Rolls back what is newer than version V, then applies what is pending up to it. If\n"
      .. "either is refused, nothing is done.",
    examples = "Examples:\n   pgmig goto 12 --dry-run\n   pgmig goto 12\n   pgmig goto 0",
  })
  cmd:argument("version"):argname "V":convert(version)
    :description "The last version that is to be applied; 0: none."
  add_dry_run(cmd)
  add_dump_after(cmd)
end

local function add_redo(parser)
  local cmd = command(parser, "redo", "Roll back the newest migration and apply it again.", {
    about = "For work on a new migration: edit the file, then redo.",
    examples = "Examples:\n   pgmig redo\n   pgmig redo --steps 2",
  })
  cmd:option("--steps"):argname "N":convert(whole_number)
    :description "Do this with the N newest migrations."
  add_dump_after(cmd)
end

local function add_baseline(parser)
  local cmd = command(parser, "baseline", "Record migrations as applied, without running them.", {
    about = "For a database that already has their schema. Records all up to version V.",
    examples = "Examples:\n   pgmig baseline 12\n   pgmig baseline --detect --dry-run",
  })
  cmd:argument("version"):args "?":argname "V":convert(version)
    :description "The last version to record."
  cmd:flag("--detect")
    :description "Find the version: try the files on a clone, and compare."
  cmd:flag("--dry-run"):description "Only show what would be recorded."
  add_settings(cmd, "proof")
end

local function add_unapply(parser)
  command(parser, "unapply", "Record a migration as not applied, without running anything.", {
    about = "For one whose change was undone by hand, or was never there: the opposite of\n"
      .. "up --fake. Its file may be missing, and what is newer stays applied.",
    examples = "Example:\n   pgmig unapply 12",
  }):argument("version"):argname "V":convert(version):description "The version."
end

local function add_adopt(parser)
  local cmd = command(parser, "adopt", "Take over what another tool has applied.", {
    about = "Reads that tool's table, compares it with the files, and records in one transaction\n"
      .. "what is applied. The table is only read. Refused if table and files disagree.",
    examples = "Examples:\n   pgmig adopt --from goose --dry-run\n"
      .. "   pgmig --format goose adopt --from-table ops.goose_db_version",
  })
  cmd:option("--from"):argname "NAME":convert(not_empty "--from")
    :description "The tool, as in --format (default: the format)."
  cmd:option("--from-table"):argname "NAME":convert(not_empty "--from-table")
    :description "Its table, if it does not have the usual name."
  cmd:flag("--dry-run"):description "Only show what would be recorded."
end

local function add_export(parser)
  local cmd = command(parser, "export", "Write another tool's rows for what is applied.", {
    about = "The way back to that tool, which then goes on where pgmig has stopped: all in one\n"
      .. "transaction. Rows of what was rolled back are removed, all others stay.",
    examples = "Examples:\n   pgmig export --to goose --dry-run\n"
      .. "   pgmig --format goose export --to-table ops.goose_db_version",
  })
  cmd:option("--to"):argname "NAME":convert(not_empty "--to"):target "tool"
    :description "The tool, as in --format (default: the format)."
  cmd:option("--to-table"):argname "NAME":convert(not_empty "--to-table")
    :description "Its table, if it does not have the usual name."
  cmd:flag("--dry-run"):description "Only show what would be written."
end

local function add_trace(parser)
  local cmd = command(parser, "trace", "Show what the pending migrations lock and rewrite.", {
    about = "Runs them on a clone of the schema, an empty one, and watches. The database\n"
      .. "itself is only asked which migrations it has.",
    examples = "Examples:\n   pgmig trace\n   pgmig trace --applied-to 12 --report markdown",
  })
  add_target(cmd)
  cmd:option("--report"):argname "KIND":choices { "terminal", "json", "markdown" }
    :default "terminal":description "terminal, json or markdown (default: terminal)."
  add_settings(cmd, "proof")
end

local function add_drift(parser)
  local cmd = command(parser, "drift", "Compare the schema with what the files make.", {
    about = "Runs the applied migrations on a clone and compares what they make with what the\n"
      .. "database has. Exits with code 3 where they differ.",
    examples = "Examples:\n   pgmig drift\n   pgmig drift --against postgres://app@staging/shop",
  })
  cmd:option("--against"):argname "URL":convert(not_empty "--against")
    :description "Compare with this database instead."
  add_settings(cmd, "proof")
end

local function add_verify(parser)
  local cmd = command(parser, "verify", "Try whether each migration can be rolled back.", {
    about = "On a clone, each goes up, down and up again, and the schemas are compared; then\n"
      .. "all of them as a whole. Exits with 3 if one does not lead back.",
    examples = "Examples:\n   pgmig verify\n   pgmig verify --pending --seed rows.sql --rows",
  })
  cmd:flag("--pending"):description "Only those that are pending (default: all)."
  cmd:option("--to"):argname "V":convert(version):description "Stop after version V."
  cmd:flag("--rows"):description "Compare the rows of tables, too."
  add_settings(cmd, "verify")
  add_settings(cmd, "proof")
end

local function add_squash(parser)
  local cmd = command(parser, "squash", "Put one file in the place of many.", {
    about = "Runs the files up to version V on a clone, writes what they make to one file, and\n"
      .. "proves that it makes the same schema. New databases run it in their place.",
    examples = "Examples:\n   pgmig squash --to 120 --dry-run\n   pgmig squash --to 120 --data",
  })
  cmd:option("--to"):argname "V":convert(version):description "The last version to replace."
  cmd:flag("--data"):description "Write the rows that they write to the file, too."
  cmd:flag("--delete"):description "Then delete the files that it replaces."
  cmd:flag("--dry-run"):description "Write and delete nothing."
  add_settings(cmd, "proof")
end

local function add_dump(parser)
  command(parser, "dump", "Write the schema and what is applied to a file.", {
    about = "Runs pg_dump. The file is the same each time, for version control; a database\n"
      .. "that is made of it has the same migrations applied.",
    examples = "Examples:\n   pgmig dump\n   pgmig dump --output - | psql -X newdb\n"
      .. "   pgmig up --dump",
  }):option("--output"):argname "FILE":convert(not_empty "--output")
    :description "The file, - for standard output (default: schema.sql,\nor the setting dump_to)."
end

local reports = { "terminal", "json", "markdown", "sarif", "github" }

local function add_check(parser)
  local cmd = command(parser, "check", "Judge the pending migrations before they run.", {
    about = "Runs them on a clone of the schema and tells what they do to an application that is\n"
      .. "at work: what waits, what is rewritten, what breaks, and a safe way.",
    examples = "Examples:\n   pgmig check\n   pgmig check --facts stats.json --report markdown\n"
      .. "   pgmig check --queries queries.sql --fail-on warning",
  })
  add_target(cmd)
  cmd:option("--facts"):argname "FILE":convert(not_empty "--facts")
    :description "Sizes of production's tables, as `pgmig stats` writes them."
  cmd:option("--queries"):argname "FILE":convert(not_empty "--queries")
    :description("Queries of the application, one a line, that must not\nbreak; "
      .. "pg_stat_statements: those the database has seen.")
  cmd:option("--fail-on"):argname "SEVERITY":choices { "error", "warning" }:default "error"
    :description "Exit with code 3 if there are such findings."
  cmd:option("--report"):argname "KIND":choices(reports):default "terminal"
    :description "terminal, json, markdown, sarif or github."
  cmd:flag("--watch"):description "Check the newest file again whenever it is saved."
  add_settings(cmd, "proof")
end

local function add_stats(parser)
  command(parser, "stats", "Print the sizes of a database's tables, for check.", {
    about = "JSON: version, settings, rows and bytes of each table and index. No data. Reads only.",
    examples = "Example:\n   pgmig --database postgres://prod/shop stats > stats.json",
  })
end

local function share(text)
  local percent = tonumber(text:match "^(%d+)%%?$")
  if percent and percent >= 1 and percent <= 100 then return percent / 100 end
  return nil, ("'%s' is not a share of the time from 1 to 100 percent"):format(text)
end

local function add_backfill(parser)
  local cmd = command(parser, "backfill", "Fill tables in batches: status, run, pause, ...", {
    about = "Backfills are asked for by migration files (-- BACKFILL) and by scripts. `run` does\n"
      .. "those that are not done; several machines may: one works, the others take over. It\n"
      .. "may be stopped at any time, and goes on where it was. `cancel` leaves one undone;\n"
      .. "`retry` is for one that failed, and for rows that were left out.",
    examples = "Examples:\n   pgmig backfill\n   pgmig backfill run --until 06:00 --duty 50\n"
      .. "   pgmig backfill pause 12",
  })
  cmd:target "is_backfill" -- its own name is that of a setting
  cmd:argument("action"):args "?":argname "ACTION":default "status"
    :choices { "status", "run", "pause", "resume", "cancel", "retry" }
    :description "status (the default), run, pause, resume, cancel or retry."
  cmd:argument("version"):args "?":argname "V":convert(not_empty "V")
    :description "Which: 12, 12.2 (its second step), or a script's name."
  cmd:option("--until"):argname "HH:MM":target "until_time":convert(not_empty "--until")
    :description "Of run: stop at this time."
  cmd:option("--hours"):argname "FROM-TO":convert(not_empty "--hours")
    :description "Of run: work within these hours only, as 22:00-06:00."
  cmd:option("--rate"):argname "N":convert(whole_number)
    :description "Of run: at most N rows a second."
  cmd:option("--duty"):argname "PERCENT":convert(share)
    :description "Of run: work this share of the time (default: 100)."
  cmd:flag("--exit-code"):description "Of status: exit with code 3 if one is not done."
end

local function add_config(parser)
  command(parser, "config", "Show the settings in effect and where each comes from.", {
    about = "Passwords are not shown. Needs no database.",
    examples = "Examples:\n   pgmig config\n   pgmig config --json",
  })
end

local function add_lua(parser)
  local cmd = command(parser, "lua", "Run a Lua script, with pgmig's modules.", {
    about = "For deploy scripts: as the program lua would, without one. SCRIPT may be -, for\n"
      .. "standard input; -e CODE runs a piece of code before it, or in its place.",
    examples = "Examples:\n   pgmig lua deploy.lua production\n"
      .. "   pgmig lua -e 'print(require(\"pgmig\")._VERSION)'",
  }):usage "Usage: pgmig lua [-e CODE] [SCRIPT] [ARGUMENT] ...":handle_options(false)
  cmd:argument("words"):args "*":argname "[-e CODE] [SCRIPT] [ARGUMENT] ..."
    :description "The script, and its arguments."
    :action(function(options, _, words)
      if words[1] == "-h" or words[1] == "--help" then finish { print = cmd:get_help() } end
      options.words = words
    end)
end

local function add_help(parser)
  command(parser, "help", "Show the help of a command.", {
    about = "The same as pgmig COMMAND --help.",
    examples = "Examples:\n   pgmig help\n   pgmig help up",
  }):argument("topic"):args "?":argname "COMMAND"
    :description "The command; without one, the help of pgmig."
end

local CONCEALED = "(a database; specify it with --database)"

local function names_database(word)
  return word:find("://", 1, true) or word:find ":.*@" or word:lower():find "password%s*="
end

local function has(words, word)
  for _, given in ipairs(words) do
    if given == word then return true end
  end
  return false
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

--- What follows a mistake: the usage of its command, or which commands there are.
local function advice(at, parser, words)
  if at ~= parser then return at:get_usage() end
  local lines = { "Commands:", table.concat(commands, "\n") }
  for _, word in ipairs(words) do
    if commands[word] then lines = {} end
  end
  lines[#lines + 1] = "See `pgmig --help`."
  return table.concat(lines, "\n")
end

local function build(words)
  commands = {}
  local parser = argparse("pgmig", description, epilog)
    :add_help(false):command_target "command":help_description_margin(24)
    :usage_max_width(80)
  parser:flag()(help_option(parser))
  global_options(parser, has(words, "--json"))
  local kit = { command = command, limit = limit, not_empty = not_empty }
  for _, add in ipairs { add_status, add_version, add_up, add_down, add_plan, add_redo, add_goto,
    setup.init, setup.create, setup.renumber, setup.database, add_baseline, add_unapply, add_adopt,
    add_export, add_history, add_doctor, add_repair, add_resolve, add_trace, add_check,
    add_stats, add_verify, add_drift, add_squash, add_dump, add_backfill, add_config, setup.wait,
    add_lua, add_help } do
    add(parser, kit)
  end
  parser.error = function(at, message)
    finish { usage = advice(at, parser, words), message = conceal(message, words) }
  end
  return parser
end

-- ---- reading the command line ----------------------------------------------

local function complete(options)
  for _, option in ipairs(settings.list) do
    if option.repeats and not options[option.key][1] then options[option.key] = nil end
  end
  options.no_color = options.no_color or (os.getenv "NO_COLOR" or "") ~= ""
  return options
end

local function read(parser, words)
  local options = parser:parse(words)
  if options.command ~= "help" then return options end
  if not options.topic then finish { print = parser:get_help() } end
  return parser:parse { options.topic, "--help" }
end

--- Read a command line.
-- @param words list of arguments
-- @return options: command, and what was given, named = a version that is given by its name, or
--   nil; or nil and { print = text } for help and
--   --version, or nil and { usage, message } for a mistake
function M.parse(words)
  named = nil
  local parser = build(words)
  local ok, result = pcall(read, parser, words)
  if ok then
    result.named = named
    return complete(result)
  end
  if type(result) ~= "table" then error(result, 0) end
  return nil, result
end

return M
