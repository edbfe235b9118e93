--- sqitch.plan: changes in their order, with what they depend on, and tags.
local config = require "pgmig.formats.sqitch_config"
local core = require "pgmig.core"
local errors = require "pgmig.errors"

local M = {}

-- ---- lines ------------------------------------------------------------------------------------

local PUNCTUATION = "[-!\"#$%%&'()*+,./:;<=>?@%[\\%]^`{|}~]"

--- Whether sqitch allows a name: of a change, a tag or a project.
function M.is_name(name)
  return not (name:find "[%s:@#\\]" or name:find("^" .. PUNCTUATION)
    or name:find(PUNCTUATION .. "$") or name:find "[~/=%%^]%d+$" or name == "")
end

local function fail(self, message, hint)
  errors.raise("naming", message, { file = self.shown, line = self.line, hint = hint })
end

local function check_name(self, name)
  if M.is_name(name or "") and name ~= "HEAD" and name ~= "ROOT" then return name end
  fail(self, ("invalid name %s"):format(name or ""), "sqitch allows no blanks, @, :, # and \\ in "
    .. "it, and no punctuation at its ends")
end

local unescaped = { ["\\n"] = "\n", ["\\r"] = "\r", ["\\\\"] = "\\" }

--- A note without the blanks around it; nil for none.
local function note_of(text)
  local note = text and text:gsub("^%s+", ""):gsub("%s+$", ""):gsub("\\[\\nr]", unescaped) or ""
  return note ~= "" and note ~= "0" and note or nil -- Perl takes "0" for nothing
end

--- What a line says behind its name: `[dependencies] time planner <mail>`.
local function read_rest(self, rest)
  local dependencies, behind = rest:match "^%[([^%]]+)%]%s*(.*)$"
  local time, planner, mail = (behind or rest)
    :match "^(%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ)%s*([^<]+)[ \t]+<([^>]+)>$"
  if time then return dependencies, time, ("%s <%s>"):format(planner, mail) end
  fail(self, "this line must end with a time and a planner", "such as 2024-01-15T10:30:00Z Ann "
    .. "Smith <ann@example.com>; sqitch writes it: sqitch add, sqitch tag")
end

-- ---- dependencies -----------------------------------------------------------------------------

--- Read `!project:change@tag`.
-- @return { conflicts, text = as sqitch writes it, key = without the project, other = the project
--   if it is another one }
local function read_dependency(self, written)
  local mark, rest = written:match "^(!?)(.+)$"
  local project, key = rest:match "^([^:]+):(.+)$"
  key = key or rest
  local change, tag = key:match "^([^@]*)@(.+)$"
  if not ((change or key) == "" or M.is_name(change or key)) or tag and not M.is_name(tag) then
    fail(self, ("%s is not a valid dependency"):format(written))
  end
  local other = project and project ~= self.project and project or nil
  return {
    conflicts = mark == "!", key = key, change = change ~= "" and (change or key) or nil, tag = tag,
    other = other, text = other and other .. ":" .. key or key,
  }
end

--- Whether a dependency is planned above the line.
local function is_planned(self, dependency)
  local change, tag = dependency.change, dependency.tag
  local at, tagged = change and self.at[change], tag and self.tags[tag]
  if change and tag then return at and tagged and self.first[change] <= tagged end
  return at or tagged or self.ids[dependency.key]
end

--- Whether it may be an ID: of a change of another project's, then.
local function is_id(key) return #key == 40 and key:find "^%x+$" ~= nil end

--- Check what a change depends on, of its own project; nobody here knows the changes of others.
local function check_dependency(self, name, dependency)
  if dependency.other then return end
  local planned = is_planned(self, dependency)
  if dependency.conflicts and planned then
    fail(self, ("%s conflicts with %s, which is planned before it"):format(name, dependency.text))
  elseif not (dependency.conflicts or planned or is_id(dependency.key)) then
    fail(self, ("%s requires %s, which is not planned before it"):format(name, dependency.text),
      "move its line down, or correct what it requires")
  end
end

local function read_dependencies(self, name, written)
  local list = { requires = {}, conflicts = {} }
  for word in (written or ""):gmatch "%S+" do
    local dependency = read_dependency(self, word)
    check_dependency(self, name, dependency)
    table.insert(dependency.conflicts and list.conflicts or list.requires, dependency.text)
  end
  return list
end

-- ---- identity ---------------------------------------------------------------------------------

local ports = { http = ":80", https = ":443" }

--- A URI as sqitch hashes it: the scheme and the host in lower case, no port that is the usual
-- one, and a path.
local function canonical(uri)
  local scheme, authority, path = uri:match "^(%a[%w+.-]*)://([^/?#]*)(.*)$"
  if not scheme then return uri end
  scheme = scheme:lower()
  local user, host = authority:match "^(.*@)(.*)$"
  host = (host or authority):lower():gsub(":$", "")
  local port = ports[scheme]
  if port and host:sub(-#port) == port then host = host:sub(1, -#port - 1) end
  if port and path == "" then path = "/" end
  return ("%s://%s%s%s"):format(scheme, user or "", host, path)
end

local function list_of(head, sign, list)
  if not list[1] then return nil end
  return head .. "\n  " .. sign .. " " .. table.concat(list, "\n  " .. sign .. " ")
end

--- The ID of a change: a hash of all that the plan says of it, and of the one before it.
local function id_of(self, change)
  local info = { "project " .. self.project }
  local function add(text) info[#info + 1] = text end
  if self.uri then add("uri " .. canonical(self.uri)) end
  add("change " .. change.name)
  if self.last then add("parent " .. self.last.id) end
  add("planner " .. change.planner)
  add("date " .. change.time)
  add(list_of("requires", "+", change.requires))
  add(list_of("conflicts", "-", change.conflicts))
  if change.note then add("\n" .. change.note) end
  local text = table.concat(info, "\n")
  return core.digest("change " .. #text .. "\0" .. text, "sha1")
end

-- ---- changes and tags -------------------------------------------------------------------------

--- The tags of a change that is planned again, those behind it from the end on, then its own: one
-- of them is in the names of its scripts.
local function rework(self, change)
  local tags = {}
  for at = self.tagged, change.place, -1 do
    for _, tag in ipairs(self.changes[at].tags) do tags[#tags + 1] = tag end
  end
  if tags[1] then
    change.rework_tags = tags
    return
  end
  fail(self, ("%s is planned already on line %d"):format(change.name, change.line),
    "to change it, tag it first: sqitch tag, then sqitch rework")
end

local function add_change(self, name, rest, note)
  local dependencies, time, planner = read_rest(self, rest)
  local found = read_dependencies(self, name, dependencies)
  local change = {
    name = name, time = time, planner = planner, note = note, line = self.line, tags = {},
    requires = found.requires, conflicts = found.conflicts, place = #self.changes + 1,
  }
  change.id = id_of(self, change)
  if self.at[name] then rework(self, self.at[name]) end
  self.at[name], self.ids[change.id], self.last = change, true, change
  self.first[name] = self.first[name] or change.place
  self.changes[change.place] = change
end

local function add_tag(self, name, rest)
  local dependencies = read_rest(self, rest)
  if dependencies then fail(self, "tags may not have dependencies") end
  if not self.last then fail(self, ("tag %s comes before the first change"):format(name)) end
  if self.tags[name] then fail(self, ("tag %s is there already"):format(name)) end
  self.tags[name], self.tagged = self.last.place, self.last.place
  table.insert(self.last.tags, name)
end

local function read_line(self, line, note)
  local operator, name, rest = line:match "^%s*([-+]?)%s*(%S+)%s*(.*)$"
  if operator == "-" then
    fail(self, "a planned revert is not supported", "remove the line: pgmig down reverts")
  end
  if name:sub(1, 1) == "@" then return add_tag(self, check_name(self, name:sub(2)), rest) end
  add_change(self, check_name(self, name), rest, note)
end

-- ---- the file ---------------------------------------------------------------------------------

local function read_pragma(self, line)
  local key, value = line:match "^%s*%%%s*([^%s=]+)%s*=%s*(.+)$"
  if key == "project" then
    self.project = check_name(self, value)
  elseif key == "uri" then
    self.uri = value
  end
end

local function check_project(self)
  if self.project then return end
  fail(self, "the plan does not name its project", "add the line %project=NAME above the changes")
end

--- Read one line, without its comment.
local function take(self, written)
  self.line = self.line + 1
  local line, note = written:gsub("\r$", ""), nil
  local mark = line:find("#", 1, true)
  if mark then line, note = line:sub(1, mark - 1), note_of(line:sub(mark + 1)) end
  line = line:gsub("[ \t]+$", "")
  if line:find "^%s*%%" and not self.last then return read_pragma(self, line) end
  if not line:find "%S" then return end
  check_project(self)
  read_line(self, line, note)
end

--- Read a plan.
-- @param text of the file
-- @param shown its path, for messages
-- @return { project, uri, changes = in their order, each { name, id = as sqitch computes it, time,
--   planner, note, line, place, tags, requires, conflicts, rework_tags = of one that is planned
--   again behind it } }
-- @raise kind "naming" with the line
function M.read(text, shown)
  local self = {
    shown = shown, line = 0, changes = {}, at = {}, first = {}, ids = {}, tags = {}, tagged = 0,
  }
  for line in text:gsub("\n$", ""):gmatch "([^\n]*)\n?" do take(self, line) end
  check_project(self)
  return { project = self.project, uri = self.uri, changes = self.changes }
end

--- Read the plan of a folder.
-- @param reading fn(path) returns the text of a file in it, or nil, and its path for messages
-- @return the plan, as of `read`
-- @return where it and the scripts are (pgmig.formats.sqitch_config)
-- @return its text
-- @raise kind "naming"
function M.of_folder(reading)
  local layout = config.read(reading)
  local text, shown = reading(layout.plan)
  layout.shown = shown
  if text then return M.read(text, shown), layout, text end
  errors.raise("naming", "the plan does not exist", {
    file = shown, hint = "name the folder of the project, which has sqitch.conf or sqitch.plan",
  })
end

return M
