--- Random migrations. Their statements are known by what they leave behind: a mark (a row with the
-- session that it was left in), a table, an index; and by what they do to their session: `effect`,
-- a key of the state (spec.model.session) with its new value, or one thing more (`add`).
local session = require "spec.model.session"

local M = {}

-- ---- statements ------------------------------------------------------------
-- Each builder takes what is being written: { random, name = a unique prefix, section, path and who
-- as the session has them, place = of the statement }.

local build = {}

local function mark(key)
  return { sql = ("INSERT INTO public.marks (mark) VALUES ('%s')"):format(key), mark = key }
end

local function mark_of(s) return ("%s.%d"):format(s.name, s.place) end

function build.mark(s) return mark(mark_of(s)) end

--- Note what a way back has to remove.
local function note_made(s, kind, name)
  table.insert(s.section.made, { kind = kind, name = name })
  return name
end

--- A mark whose transaction takes a while to end.
function build.slow(s)
  local st = build.mark(s)
  st.sql = "WITH slow AS (INSERT INTO public.slow VALUES (1)) " .. st.sql
  return st
end

function build.table(s)
  local name = ("t_%s_%d"):format(s.name, s.place)
  local within = s.path:match "^other" and "other" or "public"
  return {
    sql = ('CREATE TABLE "%s" (a int)'):format(name),
    makes = note_made(s, "TABLE", ('%s."%s"'):format(within, name)),
  }
end

function build.gate(s)
  local key = "g" .. mark_of(s)
  return { sql = ("SELECT public.gate('%s')"):format(key), gate = key }
end

function build.trapdoor(s)
  local key = "d" .. mark_of(s)
  return { sql = ("SELECT public.trapdoor('%s')"):format(key), trapdoor = key }
end

local OTHER = "other, public"

--- What sets something in the session: { SQL, key of the state, its new value, whether that is
-- undone at once outside a transaction }.
local changes = {
  { "SET search_path = other, public", "path", OTHER },
  { "SELECT pg_catalog.set_config('search_path', 'other, public', false)", "path", OTHER },
  { "INSERT INTO public.tempting VALUES (1)", "path", OTHER },
  { "VALUES (pg_catalog.set_config('search_path', 'other, public', false))", "path", OTHER },
  { "DO $$ BEGIN PERFORM pg_catalog.set_config('search_path', 'other, public', false); END $$",
    "path", OTHER },
  { "SET search_path = public", "path", "public" },
  { "RESET search_path", "path", session.pristine.path },
  { "SET LOCAL search_path = other, public", "path", OTHER, true },
  { "SET work_mem = '8MB'", "memory", "8MB" },
  { "SET LOCAL work_mem = '9MB'", "memory", "9MB", true },
  { "SELECT pg_catalog.set_config('work_mem', '10MB', true)", "memory", "10MB", true },
  { "SET ROLE model_other", "who", "model_other" },
  { "SET LOCAL ROLE model_other", "who", "model_other", true },
  { "SET SESSION AUTHORIZATION model_other", "who", "model_other" },
  { "SET LOCAL SESSION AUTHORIZATION model_other", "who", "model_other", true },
  { "SELECT pg_catalog.set_config('role', 'model_other', false)", "who", "model_other" },
  { "DO $$ BEGIN SET ROLE model_other; END $$", "who", "model_other" },
}

--- What gives it something that it keeps: { SQL, key of the state, whether it is for transactions
-- only: nobody tells that it was there }.
local gifts = {
  { "CREATE TEMP TABLE %s (a int)", "temporary" },
  { "CREATE TABLE pg_temp.%s AS SELECT 1 AS a", "temporary" },
  { "SELECT public.make_temporary('%s')", "temporary" },
  { "PREPARE %s AS SELECT 1", "prepared" },
  { "DECLARE %s CURSOR WITH HOLD FOR SELECT 1", "cursors" },
  { "SELECT pg_catalog.pg_advisory_lock(4711, %d)", "locks" },
  { "LISTEN %s", nil, true }, -- takes effect at COMMIT
}

function build.change(s)
  local change = s.random:pick(changes)
  local key, value = change[2], change[3]
  if key == "who" and s.who ~= session.pristine.who then return build.mark(s) end
  if change[4] and not s.section.transaction then return { sql = change[1] } end
  s[key] = value
  return { sql = change[1], effect = { key = key, value = value } }
end

function build.gift(s)
  local gift
  repeat gift = s.random:pick(gifts) until s.section.transaction or not gift[3]
  return {
    sql = gift[1]:gsub("%%s", "x" .. s.place):gsub("%%d", s.place),
    effect = gift[2] and { key = gift[2], add = true } or nil,
  }
end

-- Only without a transaction:

function build.call(s)
  local key = mark_of(s)
  return {
    sql = ("CALL public.leave('%s', 'g%s')"):format(key, key),
    mark = key, gate = "g" .. key, alone = true, opaque = true,
  }
end

function build.vacuum() return { sql = "VACUUM public.base", alone = true } end

function build.index(s)
  local name = ("i_%s_%d"):format(s.name, s.place)
  local unique = s.random:one_in(2)
  if s.who ~= session.pristine.who then return build.mark(s) end -- not the owner
  return {
    sql = ('CREATE %sINDEX CONCURRENTLY "%s" ON public.base (a)'):format(
      unique and "UNIQUE " or "", name),
    makes = note_made(s, "INDEX", ('public."%s"'):format(name)), unique = unique, alone = true,
  }
end

--- A BEGIN ... COMMIT of the file's own: its marks stay together or not at all.
local function add_group(s)
  local list = s.section.statements
  list[#list + 1] = { sql = "BEGIN" }
  for _ = 1, 2 do
    s.place = s.place + 1
    list[#list + 1] = build.mark(s)
  end
  s.place = s.place + 1
  list[#list + 1] = { sql = "COMMIT" }
end

local within = {
  { "mark", 6 }, { "slow", 1 }, { "table", 3 }, { "change", 4 }, { "gift", 2 }, { "gate", 2 },
  { "trapdoor", 1 },
}
local without = {
  { "mark", 4 }, { "slow", 2 }, { "table", 3 }, { "change", 4 }, { "gift", 2 }, { "gate", 3 },
  { "trapdoor", 1 }, { "call", 2 }, { "vacuum", 1 }, { "index", 3 }, { "group", 1 },
}

-- ---- sections and files ----------------------------------------------------

--- A section, the last statement of which is a mark.
local function random_section(random, name, transaction)
  local s = {
    random = random, name = name, place = 0, path = session.pristine.path,
    who = session.pristine.who,
    section = { transaction = transaction, statements = {}, made = {} },
  }
  local list = s.section.statements
  for i = 0, random:between(0, 5) do
    s.place = s.place + 1
    local kind = i == 0 and "mark" or random:weighted(transaction and within or without)
    if kind == "group" then add_group(s) else list[#list + 1] = build[kind](s) end
  end
  s.place = s.place + 1
  list[#list + 1] = build.mark(s)
  return s.section
end

--- Let a way back remove what the way there has made, behind its first mark.
local function add_drops(back, made)
  for _, object in ipairs(made) do
    table.insert(back.statements, 2, {
      sql = ("DROP %s %s"):format(object.kind, object.name), drops = object.name,
    })
  end
end

--- A way back that only removes what was made.
local function section_of_drops(file, made)
  local back = {
    transaction = true, made = {},
    statements = { mark(("%d.%d.back"):format(file.id, file.revision)) },
  }
  add_drops(back, made)
  return back
end

--- The first statements of a section, and a mark that ends it.
local function section_ended(file, section, keep)
  local short, is_kept = { transaction = section.transaction, statements = {}, made = {} }, {}
  for i = 1, keep do
    local st = section.statements[i]
    short.statements[i] = st
    if st.makes then is_kept[st.makes] = true end
  end
  for _, object in ipairs(section.made) do
    if is_kept[object.name] then table.insert(short.made, object) end
  end
  table.insert(short.statements, mark(("%d.%d.end"):format(file.id, file.revision)))
  return short
end

local function text_of(s)
  local lines = {}
  if not s.transaction then lines[1] = "-- pgmig: transaction=off" end
  for _, st in ipairs(s.statements) do lines[#lines + 1] = st.sql .. ";" end
  return table.concat(lines, "\n") .. "\n"
end

local function text(file)
  local up = "-- UP\n" .. text_of(file.up)
  return file.down and up .. "-- DOWN\n" .. text_of(file.down) or up
end

--- A random file.
-- @param id its version
-- @param revision a number: another one for each text
-- @return { id, revision, label, name = of the file, up, down = sections { transaction,
--   statements, made }; down is nil where there is no way back; text }
function M.random(random, id, revision)
  local file = { id = id, revision = revision, label = ("%03d_step"):format(id) }
  file.name = file.label .. ".sql"
  file.up = random_section(random, ("%d.%d.up"):format(id, revision), random:one_in(2))
  if not random:one_in(20) then
    file.down = random_section(random, ("%d.%d.down"):format(id, revision), random:one_in(2))
    add_drops(file.down, file.up.made)
  end
  file.text = text(file)
  return file
end

local function copy_of(file, revision)
  return { id = file.id, revision = revision, label = file.label, name = file.name }
end

--- The same migration, ended after some statements of a section.
-- @param keep how many of them stay
function M.shortened(file, revision, direction, keep)
  local short = copy_of(file, revision)
  short.up, short.down = file.up, file.down
  short[direction] = section_ended(short, file[direction], keep)
  if direction == "up" and file.down then short.down = section_of_drops(short, short.up.made) end
  short.text = text(short)
  return short
end

--- The same migration with another text for a statement of a section.
function M.tampered(file, direction, place)
  local other = copy_of(file, file.revision)
  for _, way in ipairs { "up", "down" } do other[way] = file[way] end
  local section = { transaction = file[direction].transaction, statements = {} }
  for i, st in ipairs(file[direction].statements) do
    section.statements[i] = i == place and { sql = "SELECT 4711" } or st
  end
  other[direction] = section
  other.text = text(other)
  return other
end

return M
