--- What event triggers see of a statement: the commands that run inside a function or a block, the
-- objects that they make and drop, and why a table is rewritten. Only a superuser may create them.
local errors = require "pgmig.errors"

local M = {}

--- The setting that they write into: it needs no table.
M.SETTING = "pgmig_proof.seen"

-- A line each: a letter, then fields with tabs between them.
local FUNCTION = [[
  CREATE FUNCTION pgmig_proof.note() RETURNS event_trigger LANGUAGE plpgsql AS $note$
  DECLARE
    said pg_catalog.text := COALESCE(pg_catalog.current_setting('pgmig_proof.seen', true), '');
    found pg_catalog.record;
    break CONSTANT pg_catalog.text := pg_catalog.chr(10);
    tab CONSTANT pg_catalog.text := pg_catalog.chr(9);
  BEGIN
    IF tg_event OPERATOR(pg_catalog.=) 'table_rewrite' THEN
      said := pg_catalog.concat(said, 'R', tab,
        pg_catalog.pg_event_trigger_table_rewrite_oid(), tab,
        pg_catalog.pg_event_trigger_table_rewrite_reason(), break);
    ELSIF tg_event OPERATOR(pg_catalog.=) 'sql_drop' THEN
      FOR found IN SELECT d.object_type, d.object_identity
        FROM pg_catalog.pg_event_trigger_dropped_objects() AS d WHERE d.original OR d.normal
      LOOP
        said := pg_catalog.concat(said, 'D', tab, found.object_type, tab,
          pg_catalog.translate(found.object_identity, pg_catalog.concat(tab, break), '  '), break);
      END LOOP;
    ELSE
      FOR found IN SELECT c.command_tag, c.object_type, c.object_identity
        FROM pg_catalog.pg_event_trigger_ddl_commands() AS c WHERE NOT c.in_extension
      LOOP
        said := pg_catalog.concat(said, 'C', tab, found.command_tag, tab, found.object_type, tab,
          pg_catalog.translate(found.object_identity, pg_catalog.concat(tab, break), '  '), break);
      END LOOP;
    END IF;
    PERFORM pg_catalog.set_config('pgmig_proof.seen', said, false);
  END $note$;
  CREATE EVENT TRIGGER pgmig_proof_end ON ddl_command_end
    EXECUTE PROCEDURE pgmig_proof.note();
  CREATE EVENT TRIGGER pgmig_proof_drop ON sql_drop EXECUTE PROCEDURE pgmig_proof.note();
  CREATE EVENT TRIGGER pgmig_proof_rewrite ON table_rewrite
    EXECUTE PROCEDURE pgmig_proof.note()]]

local reasons = { { 1, "persistence" }, { 2, "default" }, { 4, "type" }, { 8, "access method" } }

-- What pg_class knows better.
local relations = {
  table = true, index = true, view = true, sequence = true, ["materialized view"] = true,
  ["foreign table"] = true,
}

--- Create them, where that is permitted.
-- @param db a connection to a clone
-- @return whether they are there
function M.create(db)
  local ok, err = pcall(db.transaction, db, function() db:exec(FUNCTION) end)
  if ok then return true end
  if errors.is(err, "sql") then return false end
  error(err, 0)
end

--- The words for bits.
local function words_of(bits)
  local words = {}
  for i = #reasons, 1, -1 do
    local bit, word = reasons[i][1], reasons[i][2]
    if bits >= bit then
      bits = bits - bit
      table.insert(words, 1, word)
    end
  end
  return table.concat(words, " and ")
end

local note = {} -- by letter

function note.R(fields, effect, name_of)
  local name = name_of(tonumber(fields[1]))
  if name then effect.reasons[name] = words_of(tonumber(fields[2])) end
end

function note.D(fields, effect)
  if relations[fields[1]] then return end
  effect.dropped[#effect.dropped + 1] = { kind = fields[1], name = fields[2] }
end

function note.C(fields, effect)
  local tag, kind, object = fields[1], fields[2], fields[3] ~= "" and fields[3] or nil
  effect.commands[#effect.commands + 1] = { tag = tag, object = object }
  if not object or relations[kind] or not tag:find "^CREATE" then return end
  effect.created[#effect.created + 1] = { kind = kind, name = object }
end

--- Put what was seen into a record.
-- @param seen the text of the setting
-- @param effect the record
-- @param name_of fn(oid) returns a relation's name, or nil
function M.add(seen, effect, name_of)
  for letter, rest in seen:gmatch "(%u)\t([^\n]*)\n" do
    local fields = {}
    for field in (rest .. "\t"):gmatch "([^\t]*)\t" do fields[#fields + 1] = field end
    note[letter](fields, effect, name_of)
  end
end

return M
