--- What sqitch.conf says: where a project's plan and scripts are.
local errors = require "pgmig.errors"

local M = {}

M.file = "sqitch.conf"

-- ---- the file: as git's, `[section "name"]` and `key = value` ---------------------------------

local escapes = { n = "\n", t = "\t", b = "\b" }

--- A value as it is written: quotes are left out, and a comment behind it.
local function value_of(written)
  local parts, quoted, at = {}, false, 1
  while at <= #written do
    local c = written:sub(at, at)
    if c == "\\" then
      at = at + 1
      local escaped = written:sub(at, at)
      parts[#parts + 1] = escapes[escaped] or escaped
    elseif c == '"' then
      quoted = not quoted
    elseif not quoted and c:find "[#;]" then
      break
    else
      parts[#parts + 1] = c
    end
    at = at + 1
  end
  return (table.concat(parts):gsub("%s+$", ""))
end

--- The settings of a text: by `section.key` or `section.name.key`, of which the last one counts.
-- @param text of sqitch.conf, or of a person's `~/.sqitch/sqitch.conf`; nil: there is none
function M.parse(text)
  local settings, section = {}, ""
  for line in (text or ""):gmatch "[^\r\n]+" do
    local name, within = line:match '^%s*%[%s*([%w.-]+)%s*"?([^"%]]*)"?%s*%]'
    local key, written = line:match "^%s*(%a[%w_-]*)%s*=%s*(.*)$"
    if name then
      section = name:lower() .. (within ~= "" and "." .. within or "")
    elseif key then
      settings[section .. "." .. key:lower()] = value_of(written)
    end
  end
  return settings
end

-- ---- what it means ----------------------------------------------------------------------------

local postgres = { pg = true, pgsql = true, postgres = true, postgresql = true }

--- Whether a project for another engine has settings for PostgreSQL, too.
local function has_postgres(settings)
  for key in pairs(settings) do
    if key:find "^engine%.pg%." then return true end
  end
  return false
end

--- The engine that the project is for, and the target's name.
local function target_of(settings)
  local target = settings["core.target"]
  local engine = settings["core.engine"]
  if engine and not postgres[engine] and has_postgres(settings) then engine, target = "pg", nil end
  if not target and engine then target = settings["engine." .. engine .. ".target"] end
  if target and not target:find(":", 1, true) then
    local uri = settings["target." .. target .. ".uri"]
    return engine or uri and uri:match "^db:(%w+)", target
  end
  return engine or target and target:match "^db:(%w+)", target
end

--- A path within the folder, without dots.
-- @raise kind "naming" for one outside
local function inside(path, key, shown)
  local parts = {}
  for part in path:gmatch "[^/]+" do
    if part ~= "." then parts[#parts + 1] = part end
    if part == ".." or path:sub(1, 1) == "/" then
      errors.raise("naming", ("%s is outside the project: %s"):format(key, path), {
        file = shown, hint = "name the folder that holds all of it with --dir, and a sqitch.conf "
          .. "there",
      })
    end
  end
  return table.concat(parts, "/")
end

--- Two paths, one behind the other.
local function join(folder, name) return folder == "" and name or folder .. "/" .. name end

--- What a project's settings say of its paths.
local function layout_of(settings, shown)
  local engine, target = target_of(settings)
  if engine and not postgres[engine] then
    errors.raise("naming", ("this project is for %s, not for PostgreSQL"):format(engine), {
      file = shown,
    })
  end
  local function get(key)
    return target and settings["target." .. target .. "." .. key]
      or settings["engine.pg." .. key] or settings["core." .. key]
  end
  local function path(key, default)
    local said = get(key)
    return said and inside(said, key, shown) or default
  end
  local top = path("top_dir", "")
  local reworked = path("reworked_dir", top)
  local layout = {
    settings = settings, plan = path("plan_file", join(top, "sqitch.plan")),
    extension = get "extension" or "sql", reworked = {},
  }
  for _, script in ipairs { "deploy", "revert", "verify" } do
    layout[script] = path(script .. "_dir", join(top, script))
    layout.reworked[script] = path("reworked_" .. script .. "_dir", join(reworked, script))
  end
  return layout
end

--- Read the settings of a project.
-- @param read fn(path) returns the text of a file in its folder, or nil, and its path for messages
-- @return { plan = path of the plan, deploy, revert, verify = folders, reworked = the same of
--   reworked changes, extension, settings = all, by `section.key` }
-- @raise kind "naming"
function M.read(read)
  local text, shown = read(M.file)
  return layout_of(M.parse(text), shown)
end

return M
