--- What a session has of its own before a run: the caller's settings, a hook's, a pooler's. Each
-- migration begins with that and leaves nothing else behind.
local M = {}

-- %s: an array of names that may be settings
local QUESTION = [[
  WITH own AS (SELECT p.name, p.setting FROM pg_catalog.pg_settings p
    WHERE p.source OPERATOR(pg_catalog.=) 'session')
  SELECT session_user::pg_catalog.text AS "user", pg_catalog.current_setting('role') AS role,
    (SELECT pg_catalog.string_agg(pg_catalog.format('pg_catalog.set_config(%%L, %%L, false)',
        s.name, s.value), ', ')
      FROM (SELECT o.name, o.setting AS value FROM own o WHERE o.name OPERATOR(pg_catalog.<>) ALL
            ('{transaction_isolation,transaction_read_only,transaction_deferrable,client_encoding,
              standard_conforming_strings}'::pg_catalog.text[])
        UNION SELECT n, pg_catalog.current_setting(n, true)
          FROM pg_catalog.unnest(%s::pg_catalog.text[]) AS n) AS s
      WHERE s.value IS NOT NULL) AS settings,
    (SELECT o.setting FROM own o
      WHERE o.name OPERATOR(pg_catalog.=) 'standard_conforming_strings') AS strings,
    (SELECT o.setting FROM own o
      WHERE o.name OPERATOR(pg_catalog.=) 'client_encoding') AS encoding,
    EXISTS (SELECT FROM pg_catalog.pg_cursors c WHERE c.is_holdable) AS cursors,
    EXISTS (SELECT FROM pg_catalog.pg_listening_channels()) AS channels,
    (SELECT pg_catalog.array_agg(p.name)::pg_catalog.text
      FROM pg_catalog.pg_prepared_statements p WHERE p.from_sql) AS statements,
    pg_catalog.pg_backend_pid() AS pid,
    EXISTS (SELECT FROM pg_catalog.pg_language l
      WHERE l.lanname OPERATOR(pg_catalog.=) 'plpgsql'
      AND pg_catalog.has_language_privilege(l.oid, 'USAGE')) AS plpgsql,
    EXISTS (SELECT FROM pg_catalog.pg_class c
      WHERE c.relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema())
      OR EXISTS (SELECT FROM pg_catalog.pg_proc f
      WHERE f.pronamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) AS temporary,
    EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory'
      AND l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()) AS locks]]
local SHAPE = "1 user:text role:text settings:text? strings:text? encoding:text? cursors:bool "
  .. "channels:bool statements:text? pid:int plpgsql:bool temporary:bool locks:bool"

-- What a session may keep, and the command that takes all of the kind away.
local belongings = {
  { "cursors", "CLOSE ALL" }, { "channels", "UNLISTEN *" }, { "temporary", "DISCARD TEMP" },
}
local UNLOCK = "SELECT pg_catalog.pg_advisory_unlock_all()"

-- %s: an array of names that stay. What a pooler has prepared for its clients is not from SQL.
local DEALLOCATE = [[DECLARE s pg_catalog.name; BEGIN
  FOR s IN SELECT p.name FROM pg_catalog.pg_prepared_statements p
    WHERE p.from_sql AND p.name OPERATOR(pg_catalog.<>) ALL (%s::pg_catalog.text[])
  LOOP EXECUTE pg_catalog.format('DEALLOCATE %%I', s); END LOOP; END]]

--- The command that takes a migration's prepared statements away; nil when there is none that
-- would leave others alone.
local function deallocate(db, seen)
  if not seen.statements and seen.pid == db:backend_pid() then return "DEALLOCATE ALL" end
  if not seen.plpgsql then return nil end
  local body = DEALLOCATE:format(db:quote_literal(seen.statements or "{}"))
  return "DO LANGUAGE plpgsql " .. db:quote_literal(body)
end

--- The commands that take a session back, but for locks. Settings come before the role, which may
-- not set them.
local function reset_of(db, seen)
  local list = {
    "SET SESSION AUTHORIZATION " .. db:quote_ident(seen.user), "SET ROLE NONE", "RESET ALL",
    "DISCARD SEQUENCES",
  }
  local function add(command) list[#list + 1] = command end
  -- a pooler has set it for its client, who would learn of no other
  if seen.encoding then add("SET client_encoding = " .. db:quote_literal(seen.encoding)) end
  if seen.settings then add("SELECT " .. seen.settings) end
  -- the core reads what this does to the text behind it
  if seen.strings then add("SET standard_conforming_strings = " .. seen.strings) end
  add(deallocate(db, seen))
  for _, kind in ipairs(belongings) do
    if not seen[kind[1]] then add(kind[2]) end -- else it is not all ours
  end
  if seen.role ~= "none" then add("SET ROLE " .. db:quote_ident(seen.role)) end
  return list
end

-- What a run needs of the settings that `ledger.handle:unfit` names.
local wanted = {
  idle_in_transaction_session_timeout = "0", transaction_timeout = "0", idle_session_timeout = "0",
  default_transaction_isolation = "read committed", default_transaction_read_only = "off",
  default_transaction_deferrable = "off",
}

-- %s: an array of their names
local BEFORE = [[
  SELECT p.name, p.setting AS value FROM pg_catalog.pg_settings p
  WHERE p.source OPERATOR(pg_catalog.=) 'session'
    AND p.name OPERATOR(pg_catalog.=) ANY (%s::pg_catalog.text[])]]

--- Let a session be as a run needs it: code of others may take its time between transactions, and
-- what runs outside of ours has the usual kind. Through a pooler it would be another client's.
-- @param db the connection
-- @param unfit of `ledger.handle:unfit`
-- @return SQL that takes it back; nil: nothing was done
function M.suit(db, unfit)
  if not unfit or db:server_pid() ~= db:backend_pid() then return nil end
  local own, set, back = {}, {}, {}
  local named = db:quote_literal("{" .. unfit .. "}")
  for _, row in ipairs(db:ask_rows("* name:text value:text", BEFORE:format(named))) do
    own[row.name] = row.value
  end
  for name in unfit:gmatch "[^,]+" do
    set[#set + 1] = ("SET %s = '%s'"):format(name, wanted[name])
    back[#back + 1] = own[name] and ("SET %s = %s"):format(name, db:quote_literal(own[name]))
      or "RESET " .. name
  end
  db:ask_rows("-", table.concat(set, "; "))
  return table.concat(back, "; ")
end

local MAX_NAMES, MAX_TEXT = 200, 10000

--- Note which settings a text may have made: those with a dot in their names are shown by no view.
-- @param names a set, to which they are added
-- @param sql what the caller has sent
function M.nominate(names, sql)
  if not sql:find "[Ss][Ee][Tt]" then return end
  local count = 0
  for _ in pairs(names) do count = count + 1 end
  for name in sql:sub(1, MAX_TEXT):gsub('"', ""):gmatch "%f[%w_$][%a_][%w_$]*%.[%w_$.]*[%w_$]" do
    if count >= MAX_NAMES then return end
    if not names[name] then names[name], count = true, count + 1 end
  end
end

--- The names that were nominated, as an array of the server's.
function M.array(names)
  local list = {}
  for name in pairs(names) do list[#list + 1] = name end
  table.sort(list)
  return "{" .. table.concat(list, ",") .. "}"
end

--- Look at a session, in no transaction.
-- @param db the connection
-- @return { user, role, reset = the commands that take the session back to what it is now, but for
--   advisory locks, keeps_locks = whether it has some of its own }
function M.note(db)
  local array = db:quote_literal(M.array(db.nominated))
  local seen = db:ask_row(SHAPE, QUESTION:format(array))
  return {
    user = seen.user, role = seen.role, reset = reset_of(db, seen), keeps_locks = seen.locks,
  }
end

--- Take a session back to what it was.
-- @param db the connection
-- @param noted of `note`
function M.restore(db, noted)
  local unlock = noted.keeps_locks and "" or "; " .. UNLOCK
  db:ask_rows("-", table.concat(noted.reset, "; ") .. unlock)
end

return M
