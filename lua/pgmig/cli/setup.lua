--- The commands that set things up: files, folders, databases. Each gets the run and what opens its
-- database and its migrator (pgmig.cli.commands).
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local needed = require "pgmig.needed"
local loop = require "pgmig.db.loop"
local origin = require "pgmig.cli.origin"
local settings = require "pgmig.cli.settings"
local shell = require "pgmig.shell"

local database, project = needed "db.database", needed "cli.project"

local M = {}

function M.init(run) run.report:initialized(project.init(run.options)) end

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

-- ---- renumber ----------------------------------------------------------------

function M.renumber(run, doors)
  local options = run.options
  local migrator = options.offline and doors.without(run, "create") or doors.open(run, "look")
  run.report:renumbered(migrator:renumber {
    keep = options.keep, base = options.base, out_of_order = options.out_of_order,
    dry_run = options.dry_run,
  }, options.dry_run)
end

-- ---- database ----------------------------------------------------------------

local of_create, of_drop = { "owner", "template", "encoding" }, { "yes", "force" }

--- Refuse the options of the other action.
local function check_action(options)
  for _, name in ipairs(options.action == "create" and of_drop or of_create) do
    if options[name] then
      errors.raise("usage", ("database %s has no option --%s"):format(options.action, name))
    end
  end
end

local SLICE = 1 -- second between two looks at whether a signal has come

--- What somebody types at the terminal.
-- @raise kind "interrupted"
local function read_answer()
  while not core.wait_fd(0, "r", SLICE) do
    local signal = core.interrupted()
    if signal then loop.raise_interrupted(signal) end
  end
  return io.read "*l" or ""
end

--- Ask before a database goes.
-- @param place of it
-- @raise kind "usage" where it is not to go, and where nobody can be asked
local function confirm(run, place)
  local whole = ('database "%s" on %s:%d and all that is in it'):format(place.name, place.host,
    place.port)
  if not (core.isatty(0) and core.isatty(2)) then
    errors.raise("usage", "dropping a database requires --yes where nobody can be asked", {
      hint = "it would drop " .. whole,
    })
  end
  run.output:prompt(("Drop %s? [y/N] "):format(whole))
  if read_answer():lower():find "^%s*y" then return end
  errors.raise("usage", "nothing was dropped")
end

function M.database(run, doors)
  local options = run.options
  check_action(options)
  run.settings = settings.read(options)
  run.db = doors.connect(run.settings, settings.connection(run.settings), database.open)
  local place = run.db:place()
  place.source = origin.of(run.settings, place)
  run.report:database(place)
  if options.action == "create" then
    return run.report:made(run.db:create {
      owner = options.owner, template = options.template, encoding = options.encoding,
    })
  end
  run.report:dropped(run.db:drop {
    force = options.force,
    confirm = not options.yes and function() confirm(run, place) end or nil,
  })
end

return M
