--- Files as migrations: which of them belong together, and which are one too many.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local migration = require "pgmig.files.migration"
local way_back = require "pgmig.files.way_back"

local M = {}

local MAX_REPEATS = 100 -- two digits

--- The files of each version, in the order of the listing.
-- @return the first of each, by id; the same as a list; and lists of those that share a version, by
--   id
local function by_version(files)
  local first, order, groups = {}, {}, {}
  for _, m in ipairs(files) do
    local id = m.id
    local other = first[id]
    if not other then
      first[id], order[#order + 1] = m, m
    else
      groups[id] = groups[id] or { other }
      table.insert(groups[id], m)
    end
  end
  return first, order, groups
end

-- ---- numbers that repeat ---------------------------------------------------

--- The place of each among those of one number: in the order of their whole names, as text.
local function ranks(group)
  local labels, rank = {}, {}
  for _, m in ipairs(group) do
    if not rank[m.label] then labels[#labels + 1] = m.label end
    rank[m.label] = 0
  end
  table.sort(labels)
  if #labels > MAX_REPEATS then
    errors.raise("naming", ("more than %d migrations share one number"):format(MAX_REPEATS), {
      file = group[1].path,
    })
  end
  for i, label in ipairs(labels) do rank[label] = i - 1 end
  return rank
end

--- Give each migration of a number a version of its own: the number with two more digits.
local function number(files)
  local _, order, groups = by_version(files)
  for _, first in ipairs(order) do
    local group = groups[first.id] or { first }
    local rank = ranks(group)
    for _, m in ipairs(group) do
      m.id = core.version(("%s%02d"):format(m.id, rank[m.label]))
      m.version = migration.version_of(m.id)
    end
  end
end

-- ---- the files of one version ----------------------------------------------

--- What to do about two files for the same: a pair is never to be torn apart.
local function remedy(m, other)
  local back = way_back.word(m.path) and m or way_back.word(other.path) and other
  if m.direction ~= other.direction and m.direction and other.direction then
    return "they are a pair only if they have the same name: rename one of them"
  end
  if back and not (m.direction and other.direction) then return way_back.remedy(back.path) end
  return "give one of them another " .. (m.id and "number, as pgmig renumber does" or "name")
end

--- Note that two files are for the same.
function M.clash(set, m, other)
  local what = (m.id and "version " or "name ") .. m.shown
  set.wrong[#set.wrong + 1] = errors.new("naming",
    ("two files have %s: %s and %s"):format(what, other.path, m.path),
    { file = m.path, hint = remedy(m, other) })
end

--- Of two files for the same, the one that is for this database only; nil: nobody can tell.
local function preferred(m, other)
  if m.direction ~= other.direction or m.name ~= other.name or m.precedence == other.precedence then
    return nil
  end
  return m.precedence > other.precedence and m or other
end

--- The files of a version by direction; those that are one too many are noted.
local function halves(set, group)
  local found = {}
  for _, m in ipairs(group) do
    local slot = m.direction or "up"
    local other = found[slot]
    found[slot] = not other and m or preferred(m, other) or other
    if other and not preferred(m, other) then M.clash(set, m, other) end
  end
  return found.up, found.down, found.verify
end

--- Note a file that looks like a migration, and is not run.
-- @param reason why, as the end of a sentence
function M.ignore(set, path, reason)
  set.ignored[#set.ignored + 1], set.reasons[path] = path, reason
end

--- A way back that nothing leads to.
local function lone(set, down)
  if not set.rule.lone_down then
    errors.raise("naming", "this file has no UP file with the same number", {
      file = down.path, hint = "restore the UP file of this number",
    })
  end
  M.ignore(set, down.path, "has no UP file with the same number")
end

local function join(set, up, down)
  local same = set.rule.names_differ or up.name == down.name
  if not (up.direction and same) then return M.clash(set, down, up) end
  up.down_path, up.down_settings = down.path, down.settings
end

--- Make a migration of the files of a version; nil when they are none.
local function settle_group(set, group)
  local up, down, verify = halves(set, group)
  if not up then return lone(set, down or verify) end
  if down then join(set, up, down) end
  if verify then up.verify_path = verify.path end
  return up
end

local function is_sorted(list)
  for i = 2, #list do
    if not migration.before(list[i - 1], list[i]) then return false end
  end
  return true
end

--- Make migrations of files: into set.list, by version, and set.by_id.
-- @param set what `pgmig.files.list` reads
-- @param files the migrations that each single file would be, in the order of the listing
-- @raise kind "naming"
function M.settle(set, files)
  if set.rule.numbers_repeat then number(files) end
  local by_id, order, groups = by_version(files)
  for _, first in ipairs(order) do
    local m = first
    if groups[m.id] then
      m = settle_group(set, groups[m.id])
    elseif m.direction and m.direction ~= "up" then
      m = lone(set, m)
    end
    by_id[first.id] = m
    set.list[#set.list + 1] = m
  end
  set.by_id = by_id
  if not is_sorted(set.list) then table.sort(set.list, migration.before) end
end

return M
