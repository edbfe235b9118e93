-- No way back runs as UP because nobody understood its heading, in no format; and prose is prose.
local pgmig = require "pgmig"
local core = require "pgmig.core"
local history = require "spec.support.history"

local fails = history.fails

local UP, BACK = "CREATE TABLE kept (a int);\n", "DROP TABLE kept;\n"

local function parse(text, format) return pgmig.parse(text, { format = format }) end

--- Parse as one of a pair of files.
local function parse_half(text, way)
  local words = core.vocabulary("pgmig", {
    markers = { { text = "up", kind = "up" }, { text = "down", kind = "down" } }, one_way = way,
  })
  return core.parse_script(text, "1_x.sql", words):describe()
end

--- Assert that a text is refused in a line, with a remedy.
local function refused(text, line, format)
  local err = fails(parse, text, format)
  assert.equal("parse", err.kind, text)
  assert.equal(line, err.line or 0, text)
  assert.is_string(err.hint, text)
  return err
end

local function count(section) return section and #section.statements or 0 end

--- Assert that a text is read, with so many statements going up.
local function accepted(n, text, format)
  assert.equal(n, count(parse(text, format).up), text)
end

--- Assert that a text has a statement for each direction.
local function both(text, format)
  local script = parse(text, format)
  assert.same({ 1, 1 }, { count(script.up), count(script.down) }, text)
end

--- The lines of a text, each a comment; `\n` stands for a line end in it.
local function lines(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do
    list[#list + 1] = line:gsub("\\n", "\n"):gsub("<nbsp>", "\194\160")
      :gsub("<zwsp>", "\226\128\139")
  end
  return list
end

-- ---- headings --------------------------------------------------------------

local headings = lines [=[
-- DOWN:
--down;
-- [Down]
-- <<< DOWN >>>
-- ======== DOWN ========
--- down ---
-- @down
-- @DOWN
-- !Downs
-- DOWNS
-- //@UNDO
--//@undo
-- #!Downs
-- ROLLBACK
-- Rollback
-- UNDO
-- Revert
-- Reverse
-- Downgrade
-- Backward
-- roll back
-- Roll-back:
-- Rolled back
-- {{ rollback }}
-- ── DOWN ──
-- ⬇ Down
--<nbsp>DOWN
-- DOWN<zwsp>
-- — DOWN —
-- ** Down **
-- 2. Down
-- Part 2: rollback
-- Step 2 - undo
-- Down script
-- Down migration
-- DOWN MIGRATION BELOW
-- Migration down
-- Migrate down
-- migrate: down
-- migrate :down
-- migrate/down
-- Rollback script
-- rollback section
-- Undo changes
-- To undo this migration:
-- For rollback:
-- how to roll back
-- Begin down
-- the rollback
-- Revert all changes
-- rambler down
-- +micrate Down
-- goose down
-- [goose] Down
-- + goose Down
-- dbmate down
-- SQL to rollback
-- schema: down
-- DOWN (rollback)
-- DOWN: drop it again
-- DOWN - drop
-- Down: 007_seed
-- Rollback: takes the table away
-- DOWN => drop
-- DOWN | 007
-- Down — gone again
-- DOWN → drop
-- Undo (in this order)
-- UNDO: kept
-- DOWN. Drops the table.
-- Rollback of 007_seed
-- Down migration for kept
-- DOWN Migration (Rollback)
-- DOWN=kept
-- 007_seed: down
-- 007_seed - rollback
-- kept (down)
-- Migration 007 — DOWN
-- 007_kept.down.sql
-- file 007_kept_down.sql
-- DOWN: this is what takes the table away again, which is not done lightly; it was asked for
-- Rollback the table
-- Undo the table
-- DOWN drop it if it is still there, and say so
-- kept down
-- gorp Down
-- take the table back: rollback
-- This is the down migration
-- Everything below is the rollback
-- roll it back
-- Roll this back:
-- Reverting
-- Undoing it:
-- Backout
-- Back out:
-- BACK OUT
-- Back-out script
-- Back out the change
-- Backing out
-- Fallback
-- FALLBACK SCRIPT:
-- Uninstall
-- undeploy script
-- Unwind
-- demigrate
-- Roll it all back
-- roll the migration back
-- Teardown
-- Inverse
-- 001_kept_down
-- DOWN: none but this
-- Downwards
-- Unmigrate
-- migrateDown
-- rollbackScript
-- onDown
-- END UP
-- End of the up migration
-- UP END, DOWN BEGIN
-- up to here; below: down
-- UP above / DOWN below
-- Откат
-- 回滚
-- 回滚脚本:
-- DWON
-- Donw
-- dow
-- DOWNN
/* DOWN */
/*down*/
/* Down: drop */
/**\n * DOWN\n */
/*\n  Rollback\n*/
/* @undo */
/* DOWN\n   drops it */
]=]

--- The line that an error has to name for a heading that begins in `first`: its own, or where
-- the comment begins that is a marker but for its form.
local function line_of_heading(text, first)
  return text:find "^/%*\n  R" and first + 1 or first
end

describe("a heading that is no marker", function()
  for _, text in ipairs(headings) do
    local shown = text:gsub("\n", " ")
    it("is refused with its line: " .. shown, function()
      refused(UP .. "\n" .. text .. "\n\n" .. BACK, line_of_heading(text, 3))
      refused("-- UP\n" .. UP .. text .. "\n" .. BACK, line_of_heading(text, 3))
    end)

    it("is a comment where only comments follow: " .. shown, function()
      accepted(1, UP .. text .. "\n-- DROP TABLE kept;\n")
      accepted(1, "-- UP\n" .. UP .. text .. "\n-- nothing to do\n")
      accepted(1, "BEGIN;\n" .. UP .. text .. "\nCOMMIT;\n")
    end)

    it("is a comment in the way back itself: " .. shown, function()
      accepted(1, "-- UP\n" .. UP .. "-- DOWN\n" .. BACK .. text .. "\n" .. BACK)
    end)
  end

  it("is refused wherever another one of the file stands", function()
    refused("-- UP: 007\n" .. UP .. "-- DOWN: 007\n" .. BACK, 3)
    refused("-- Down script\n" .. BACK .. "-- Up script\n" .. UP, 1)
    refused("-- // a tool's\n" .. UP .. "-- //@UNDO\n-- SQL to undo it goes here.\n" .. BACK, 3)
    refused("-- !Ups\n" .. UP .. "-- !Downs\nINSERT INTO kept VALUES (1);\n", 3)
    refused("-- UP: nothing yet\n\n-- DOWN: 007\n" .. BACK, 3)
    refused("-- UP\n\n-- DOWN (007)\n" .. BACK, 3)
  end)

  it("is refused as the title of a file", function()
    refused("-- Rollback script for 007\n" .. BACK, 1)
    refused("-- ====\n-- Rollback script: 007\n-- ====\n" .. BACK, 2)
    refused("-- DOWN:\n-- takes the table away\n" .. BACK, 1)
  end)

  it("is refused behind a semicolon, before SQL on its line, and without one above it", function()
    refused("CREATE TABLE kept (); -- DOWN\n" .. BACK, 1)
    refused("CREATE TABLE kept (); -- Down (rollback)\n" .. BACK, 1)
    refused("CREATE TABLE kept (); /* down */ " .. BACK, 1)
    refused(UP .. "/* rollback: */ " .. BACK, 2)
    refused("CREATE TABLE kept ()\n-- DOWN:\n" .. BACK, 2)
    refused("CREATE TABLE kept ()\n/* DOWN */\nDELETE FROM kept;\n", 2)
  end)

  it("is refused in CRLF files, behind a BOM, and in a transaction of the file's own", function()
    refused((UP .. "-- Undo\n" .. BACK):gsub("\n", "\r\n"), 2)
    refused("\239\187\191-- Down:\n" .. BACK, 1)
    refused("BEGIN;\n" .. UP .. "-- Down:\nCOMMIT;\nBEGIN;\n" .. BACK .. "COMMIT;\n", 3)
  end)

  it("is refused over half a way back in comments", function()
    refused(UP .. "-- DOWN:\n-- DROP TABLE other;\n" .. BACK, 2)
  end)

  it("is answered with what to write instead", function()
    local function hint(text, format) return refused(text .. BACK, 2, format).hint end
    assert.matches("write -- DOWN and nothing else", hint(UP .. "-- Undo\n"), 1, true)
    assert.matches("write -- +goose down and", hint("-- +goose Up\n-- goose down\n", "goose"),
      1, true)
    assert.matches("write ---- create above / drop below ----",
      hint(UP .. "-- Rollback\n", "tern"), 1, true)
    assert.matches("a file of its own", hint(UP .. "-- Undo\n", "sqlx"), 1, true)
  end)
end)

-- ---- prose -----------------------------------------------------------------

local prose = lines [=[
-- Down migrations from Hydra 2.x to 1.x are not available.
-- Rollback is not possible here.
-- Rollback must not be attempted once traffic has moved.
-- Revert is handled by the app
-- Down payments
-- down votes
-- back out of stock
-- Backing table of the view
-- fallback locale
-- Fallback: use the default one
-- no fallback
-- uninstall hooks
-- unwind queue
-- Downtime windows
-- Downstream consumers
-- Reverse lookup
-- reverse-proxy hosts
-- Reverse charges: none so far
-- undo/redo
-- undo-log
-- undo_log
-- Undo log of the editor
-- down_revision = 7
-- roll-forward
-- Rolling totals
-- roll call
-- back
-- backwards compatible
-- up to here all is well
-- Up-to-date totals
-- uphill and down dale
-- Upserts
-- going down the hill
-- slow down
-- scale it down
-- shut-down
-- countdown
-- kept so that nobody has to roll back
-- keep the old column for the next rollback
-- needed in case somebody wants to undo what was done
-- no rollback
-- cannot undo
-- Rollback: not needed
-- Down migration: none
-- Undo: see the wiki
-- Rollback is in 002.down.sql
-- See also: rollback
-- irreversible: down
-- ROLLBACK NOT POSSIBLE
-- Rollbacks of payments
-- Down for maintenance
-- enum: up | down
-- is_down
-- users_down
-- isDown
-- countDown
-- shutDown hooks
-- DownTime
-- undoLog
-- we end up with two of them
-- end of up migration, what follows is data
-- Reverts the damage of 0012, which nobody had noticed for a year and a half
-- Revert TTL for team metrics gauge table back to 30 days
-- up and down
-- Up/Down counters
-- the quick brown fox
-- dawn patrol
-- town
-- own
-- Dunn
-- done
-- does
-- migrate: data
-- goose
-- given up
-- set up
-- clean up
-- look up
-- Rollback: DROP TABLE kept;
-- DOWN: drop table kept;
--rollback drop table kept;
-- Rollback with DELETE FROM kept; first
/* Rollback:\n     DROP TABLE kept;\n*/
/*\n--- Down script ---\nDELETE FROM kept;\nDROP TABLE kept;\n*/
/*******\n* REVERT BLOCK\n*\n* Revert what a block has changed, and say so\n*******/
-- DOWN:\n--   DROP TABLE kept;
-- To roll back:\n--\n--   ALTER TABLE kept DROP b;\n--   DROP TABLE kept;
]=]

-- What files tell about their way back, above all of their SQL.
local heads = lines [=[
-- 007: seed\n-- Rollback: restore the backup
-- 007\n--\n-- DOWN (reversible):\n--   drop index i;\n--
-- ROLLBACK (by hand):\n-- ALTER TABLE kept DROP b;\n-- DROP INDEX i;
-- Revert "seed"
-- Back out "seed"
-- Back out 006: the index was wrong
-- reverse: create index "i"
-- 007\n-- Rollback plan: a new migration
-- creates the table\n-- Undo log: none
-- Revert 006: the index was wrong
]=]

describe("prose about directions", function()
  for _, text in ipairs(prose) do
    it("is a comment: " .. text:gsub("\n", " "), function()
      local more = text .. "\nCREATE TABLE other ();\n"
      accepted(2, UP .. more)
      accepted(1, more)
      accepted(2, "-- UP\n" .. UP .. more .. "-- DOWN\n" .. BACK)
    end)
  end

  for _, text in ipairs(heads) do
    it("may head a file: " .. text:gsub("\n", " "), function()
      accepted(1, text .. "\n\nALTER TABLE kept ADD b int;\n")
      accepted(1, text .. "\n\nALTER TABLE kept RENAME b TO c;\n")
    end)
  end

  it("inside statements is none of anybody's business", function()
    for _, text in ipairs {
      "INSERT INTO kept VALUES\n  -- undo\n  (-1),\n  -- DOWN:\n  (1);\n",
      "ALTER TABLE kept\n  -- rollback\n  DROP COLUMN b;\n", "SELECT 1 -- undo\n;\n",
      "SELECT a,\n  -- reverse\n  b FROM kept;\n", "CREATE TABLE t (\n  -- DOWN:\n  a int);\n",
      "DO $$\nBEGIN\n  -- rollback\n  DELETE FROM kept;\nEND $$;\n", "SELECT '\n-- DOWN:\n';\n",
    } do
      accepted(2, UP .. text)
    end
  end)

  it("says what the statement behind it does", function()
    accepted(4, "-- pgmig: transaction=off\nBEGIN;\n" .. UP .. "-- rollback\nROLLBACK;\n" .. UP)
  end)

  it("in a file with both markers is a comment, but for a marker that is nearly one", function()
    for _, text in ipairs {
      "-- Rollback", "-- Down (see below)", "-- undo: nothing", "-- Down script",
    } do
      accepted(2, "-- UP\n" .. UP .. text .. "\n" .. BACK .. "-- DOWN\n" .. BACK)
    end
    refused("-- UP\n" .. UP .. "-- DOWN:\n" .. BACK .. "-- DOWN\n" .. BACK, 3)
    refused("-- UP\n" .. UP .. "-- DOWN\n" .. BACK .. "/* UP */\n" .. UP, 5)
    accepted(1, "-- UP\n" .. UP .. "/* down */\n-- DOWN\n" .. BACK)
    accepted(2, "-- UP\n" .. UP .. UP:gsub("\n", " -- DOWN\n") .. "-- DOWN\n" .. BACK)
  end)
end)

-- ---- other formats ---------------------------------------------------------

-- How a file begins, and what does not divide it.
local misspelt = {
  goose = { "-- +goose Up\n", lines [=[
-- + goose Down
--+gooseDown
-- goose Down
-- +gose Down
-- +Goose: Down
/* +goose Down */
-- @goose Down
-- Down
-- goose.down
]=] },
  ["sql-migrate"] = { "-- +migrate Up\n", lines [=[
-- migrate Down
-- + migrate Down
-- +migrate: Down
-- +migrat Down
-- +migration Down
/* +migrate Down */
-- Rollback
]=] },
  dbmate = { "-- migrate:up\n", lines [=[
-- migrate: down
-- migrate :down
-- migrate:dwon
-- migrate:donw transaction:false
-- migrate-down
-- migrate:downs
-- migate:down
-- migrations:down
/* migrate:down */
-- DOWN (x)
]=] },
  ["node-pg-migrate"] = { "-- Up Migration\n", lines [=[
-- Dwon Migration
-- Down Migratoin of it
-- Down-Migration
-- DownMigration
/* Down Migration */
-- Migration Down
-- Down
]=] },
  tern = { "", lines [=[
---- create above/drop below ----
-- create above / drop below
---- create above / drop bellow ----
---- Create above, drop below ----
---- create above | drop below ---- x
-- Down
---- rollback ----
]=] },
}

describe("another tool's marker", function()
  for format, case in pairs(misspelt) do
    for _, text in ipairs(case[2]) do
      it(("that is misspelt is refused in a file of %s: %s"):format(format, text), function()
        refused(case[1] .. UP .. text .. "\n" .. BACK, case[1] == "" and 2 or 3, format)
        accepted(1, case[1] .. UP .. text .. "\n-- nothing\n", format)
      end)
    end
  end

  it("counts where the tool's rule is looser", function()
    for _, text in ipairs {
      "-- Down Migration: kept", "-- down migrations", "----- DOWN   MIGRATION of 7",
      "-- - Down Migration",
    } do
      both("-- Up Migration (1)\n" .. UP .. text .. "\n" .. BACK, "node-pg-migrate")
    end
  end)

  it("divides a file of tern wherever it stands, or is refused", function()
    local divider = "---- create above / drop below ----"
    both("CREATE TABLE kept (); " .. divider .. "\n" .. BACK, "tern")
    both("CREATE TABLE kept () " .. divider .. "\n" .. BACK, "tern")
    for _, text in ipairs {
      divider .. " DROP TABLE kept;\n", "-- " .. divider .. "\n" .. BACK,
      "/* " .. divider .. " */\n" .. BACK, "SELECT '" .. divider .. "';\n",
      "DO $$ BEGIN " .. divider .. "\n END $$;\n", "SELECT (" .. divider .. "\n1);\n",
    } do
      assert.matches("would split the file here", refused(UP .. text, 2, "tern").message, 1, true)
    end
    refused("COPY kept FROM STDIN;\n" .. divider .. "\n\\.\n", 2, "tern")
    both(UP .. divider .. "\nSELECT '" .. divider .. "';\n", "tern")
  end)

  it("of StatementEnd ends a statement, without a semicolon", function()
    for format, mark in pairs { goose = "-- +goose ", ["sql-migrate"] = "-- +migrate " } do
      local text = [[
>Up
>StatementBegin
CREATE TABLE a ()
>StatementEnd
CREATE TABLE b ();
>StatementBegin
SELECT 1; SELECT 2
>StatementEnd
>Down
DROP TABLE a
]]
      local script = parse(text:gsub(">", mark), format)
      assert.same({ 4, 1 }, { count(script.up), count(script.down) }, format)
    end
  end)
end)

describe("a file whose name says its direction", function()
  it("says what it likes of that one", function()
    for _, text in ipairs(lines [=[
-- Down Migration
-- DOWN:
-- Rollback: kept
-- Revert all
-- +goose Down
-- reverse: create "kept" table
-- This file should undo anything in `up.sql`
-- UP: see the other file
]=]) do
      assert.equal(2, count(parse_half(BACK .. text .. "\n" .. BACK, "down").up), text)
    end
  end)

  it("may tell about the other one", function()
    for _, text in ipairs(lines [=[
-- reverse: modify "kept" table
-- Rollback the table
-- Up Migration
-- UP:
-- Undo log
-- Rollback: see the other file\nCREATE TABLE other ();
]=]) do
      assert.is_true(count(parse_half(UP .. text .. "\n" .. BACK, "up").up) >= 2, text)
    end
  end)

  it("is refused with a heading of the other direction", function()
    for _, text in ipairs(lines [=[
-- DOWN:
-- Rollback
-- Down Migration
-- DOWN (rollback)
-- //@UNDO
]=]) do
      assert.equal(2, fails(parse_half, UP .. text .. "\n" .. BACK, "up").line, text)
    end
    local err = fails(parse_half, UP .. "-- Undo\n" .. BACK, "up")
    assert.matches("a file of its own", err.hint, 1, true)
    assert.equal(2, fails(parse_half, BACK .. "-- UP:\n" .. UP, "down").line)
  end)
end)
