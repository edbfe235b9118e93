-- Whose folder it is: the one tool that is certain, or a question that names all whose it may be.
local detect = require "pgmig.takeover.detect"
local formats = require "pgmig.formats"
local history = require "spec.support.history"
local support = require "spec.support"

local fails = history.fails

local function folder(files)
  local dir = support.tempdir()
  history.write(dir, files)
  return { dir }
end

local function with(names, text)
  local files = {}
  for name in names:gmatch "%S+" do files[name] = text or "SELECT 1;\n" end
  return files
end

local PG = "CREATE TABLE a ();\n"

-- What only one tool's folder has.
local certain = {
  { "goose", { ["00001_a.sql"] = "-- +goose Up\nSELECT 1;\n" } },
  { "goose", { ["00001_a.sql"] = "-- +goose Up\nSELECT 1;\n", ["seed.sql"] = PG } },
  { "dbmate", { ["20240115103000_a.sql"] = "-- migrate:up\nSELECT 1;\n" } },
  { "sql-migrate", { ["1-a.sql"] = "-- +migrate Up\nSELECT 1;\n" } },
  { "tern", { ["001_a.sql"] = "SELECT 1;\n---- create above / drop below ----\n" } },
  { "tern", { ["001_a.sql"] = PG, ["tern.conf"] = "" } },
  { "node-pg-migrate", { ["1718000000000_a.sql"] = "-- Up Migration\nSELECT 1;\n" } },
  { "graphile-migrate",
    { ["committed/000001.sql"] = "--! Previous: -\n--! Hash: sha1:1\n\n;", ["5-x.sql"] = PG } },
  { "flyway", with "V1__a.sql R__b.sql" },
  { "flyway", with "V1.2__a.sql V1.10__b.sql" },
  { "flyway", with "V1_2__a.sql" },
  { "flyway", with "V1__a.sql U1__a.sql" },
  { "flyway", with "V1__a.sql afterMigrate.sql" },
  { "flyway", with "a/V1__a.sql b/V2__b.java" },
  { "refinery", with "V1__a.sql U2__b.sql mod.rs" },
  { "refinery", with "V1__a.sql V2__b.rs" },
  { "diesel", with "2024-01-15-103000_a/up.sql" },
  { "diesel", with "00000000000000_diesel_initial_setup/up.sql 20240115103000_a/up.sql" },
  { "diesel", with "20240115103000_a/up.sql 20240115103000_a/metadata.toml" },
  { "hasura", with "1620138136207_a/up.sql 1620138136208_b/up.yaml" },
  { "hasura", with("1_a/up.sql", "-- hasura:no-transaction\nVACUUM;\n") },
  { "popx", with "20240115103000_a.postgres.up.sql 20240115103000_a.mysql.up.sql" },
  { "popx", with "20240115103000_a.autocommit.up.sql 20240115103001_b.up.sql" },
  { "popx", with("20240115103000_a.up.sql", 'SELECT {{ index .Options "Namespace" }};\n') },
  { "sqlx", with("20240115103000_a.sql", "-- no-transaction\nVACUUM;\n") },
  { "sqlx", with("20240115103000_a.up.sql", "-- no-transaction: it is slow\nVACUUM;\n") },
  { "atlas", with "20240115103000_a.sql atlas.sum" },
  { "drizzle", with("0000_a.sql", "SELECT 1;\n--> statement-breakpoint\nSELECT 2;\n") },
  { "drizzle", { ["0000_a.sql"] = PG, ["0001_b.sql"] = PG, ["meta/_journal.json"] =
    '{"entries": [{"idx": 0, "when": 1, "tag": "0000_a"}]}' } },
  { "drizzle", with "20240115103000_a/migration.sql 20240115103000_a/snapshot.json" },
  { "evolve", with("V1_2__a.sql", "-- evolve-tx-off\nVACUUM;\n") },
  { "micrate", with("1_a.sql", "-- +micrate Up\nSELECT 1;\n-- +micrate Down\n") },
  { "shmig", with("1485643154-a.sql", "-- ====  UP  ====\nSELECT 1;\n-- ==== DOWN ====\n") },
  { "postgrator", with "001.do.a.sql 001.undo.a.sql" },
  { "rails", with "structure.sql migrate/20240115103000_a.rb seeds.rb" },
  { "prisma", with "20240115103000_a/migration.sql migration_lock.toml" },
  { "pgmig", with("001_a.sql", "-- UP\nSELECT 1;\n") },
  { "goose", { ["1_a.sql"] = "-- +goose Up\nSELECT 1;\n", ["atlas.sum"] = "h1:\n" } },
  { "pgmig", with "001_a.sql R__b.sql" },
  { "postgres-migrations",
    with("1-a.sql", "-- postgres-migrations disable-transaction\nVACUUM;\n") },
}

-- Folders that several tools may have.
local asked = {
  { "diesel, hasura", with "1_a/up.sql 2_b/up.sql 10_c/up.sql" },
  { "diesel, hasura", with "1620138136207_a/up.sql 1620138136207_a/down.sql" },
  { "diesel, hasura", with "20240115103000_a/up.sql 20240115103000_a/down.sql" },
  { "diesel, movine", with "1970-01-01-000000_movine_init/up.sql 2024-01-15-103000_a/up.sql" },
  { "flyway, pgmig", with "R__a.sql" },
  { "flyway, pgmig", with "001__a.sql R__b.sql" },
  { "flyway, refinery", with "V1__a.sql V2__b.sql" },
  { "flyway, refinery", with "V1__a.sql U2__b.sql" },
  { "node-pg-migrate, postgres-migrations", with "1.sql 2.sql" },
  { "node-pg-migrate, postgres-migrations", with "001-a.sql 002-b.sql" },
  { "node-pg-migrate, pgmig, postgres-migrations, sqlx, tern", with "1_a.sql 2_b.sql" },
  { "pgmig, sqlx", with "20240115103000_a.sql" },
  { "node-pg-migrate, pgmig, sqlx", with "1718000000000_a.sql" },
  { "flyway, node-pg-migrate, pgmig, sqlx", with "20240115103000123__a.sql" },
  { "flyway, node-pg-migrate, pgmig, postgres-migrations, sqlx, tern", with "001__a.sql" },
  { "golang-migrate, hasura, maragu, popx, sqlx", with "0001_a.up.sql 0001_a.down.sql" },
  { "golang-migrate, hasura, maragu, popx, sqlx", with "0001_a.up.sql 0001_b.up.sql" },
  { "golang-migrate, hasura, popx, sqlx", with "20240115103000_a.postgres.up.sql" },
  { "golang-migrate", with "1_a.up.pgsql" },
  { "maragu", with "1.up.sql 1.down.sql" },
  { "maragu, node-pg-migrate, pgmig, postgres-migrations, sqlx, tern", with "1_clean_up.sql" },
  { "dbmate, goose, node-pg-migrate, pgmig, postgres-migrations, sqlx, tern",
    { ["1_a.sql"] = "-- +goose Up\nSELECT 1;\n", ["2_b.sql"] = "-- migrate:up\nSELECT 1;\n" } },
  { "goose, node-pg-migrate, pgmig, postgres-migrations, sqlx, tern",
    { ["1_a.sql"] = "-- +goose Up\nSELECT 1;\n", ["2_b.sql"] = PG } },
  { "node-pg-migrate, pgmig, postgres-migrations, sqlx, tern", -- a word of prose
    { ["1_a.sql"] = "SELECT 1;\n-- up\nSELECT 2;\n", ["2_b.sql"] = PG } },
  { "drizzle, prisma", with "20240115103000_a/migration.sql 20240116103000_b/migration.sql" },
  { "drizzle, pgmig",
    { ["0001_a.sql"] = "-- UP\nSELECT 1;\n--> statement-breakpoint\nSELECT 2;\n" } },
  { "golang-migrate, hasura, sqlx", with "1_a.up.sql 2_b.x.up.sql" },
}

-- Folders of tools that pgmig has no format for.
local foreign = {
  { "Play evolutions", with("1.sql 2.sql", "# --- !Ups\n\nSELECT 1;\n\n# --- !Downs\n") },
  { "Play evolutions", with("1.sql", "-- !Ups\nSELECT 1;\n-- !Downs\n") },
  { "MyBatis Migrations", with("20240115103000_a.sql", "-- // a\nSELECT 1;\n\n-- //@UNDO\n") },
  { "Liquibase", with("1_a.sql", "--liquibase formatted sql\n--changeset a:1\nSELECT 1;\n") },
  { "bun", with "20240115103000_a.tx.up.sql 20240115103000_a.tx.down.sql" },
  { "bun", with("20240115103000_a.up.sql", "SELECT 1;\n--bun:split\nSELECT 2;\n") },
  { "Morph", with("000001_a.up.sql", "-- morph:nontransactional\nVACUUM;\n") },
  { "migratus", with("20240115103000-a.up.sql", "SELECT 1;\n--;;\nSELECT 2;\n") },
  { "rambler", with("1_a.sql", "-- rambler up\nSELECT 1;\n-- rambler down\n") },
  { "yoyo", with "0001.a.sql 0001.a.rollback.sql" },
  { "db-migrate", with "20240115103000-a-up.sql 20240115103000-a-down.sql" },
}

describe("the format of a folder", function()
  for _, row in ipairs(certain) do
    it("is found with certainty: " .. row[1], function()
      assert.equal(row[1], detect.format(folder(row[2])))
    end)
  end

  for _, row in ipairs(asked) do
    it("is asked for: " .. row[1], function()
      local err = fails(detect.format, folder(row[2]))
      assert.equal("usage", err.kind)
      local several = err.message:match "several formats: (.*)$"
      assert.equal(row[1], several or err.message:match "may be a folder of (.-),")
      for name in row[1]:gmatch "[^ ,]+" do
        local known = name:find "^%l" and pcall(formats.find, name)
        local choice = (known and "--format " or "for ") .. name
        assert.matches(choice, err.hint, 1, true)
        assert.matches(name .. " (", err.detail, 1, true)
      end
    end)
  end

  for _, row in ipairs(foreign) do
    it("may be none of pgmig's: " .. row[1], function()
      local err = fails(detect.format, folder(row[2]))
      assert.equal("usage", err.kind)
      assert.matches("a folder of " .. row[1] .. ", for which pgmig has", err.message, 1, true)
      assert.is_string(err.hint)
    end)
  end

  it("is told by what is around it", function()
    local dir = support.tempdir()
    history.write(dir, {
      ["supabase/migrations/20240115103000_a.sql"] = PG, ["db/sql/20240115103000_a.sql"] = PG,
      ["db/config.toml"] = "project_id = \"x\"\n\n[db.seed]\nenabled = true\n",
      ["x/sql/20240115103000_a.sql"] = PG, ["x/config.toml"] = "# [db]\n",
    })
    assert.equal("supabase", detect.format { dir .. "/supabase/migrations/" })
    assert.equal("supabase", detect.format { dir .. "/db/sql" })
    assert.matches("several formats", fails(detect.format, { dir .. "/x/sql" }).message)
  end)

  it("is asked for in lines of its own", function()
    local err = fails(detect.format, folder {
      ["1_a\nHINT: x.sql"] = "-- +goose Up\n", ["2_b.sql"] = PG,
    })
    assert.is_nil(err.detail:find "\n")
  end)

  it("is not told by prose about migrations", function()
    local err = fails(detect.format, folder {
      ["20150101000001_a.up.sql"] = "SELECT 1;",
      ["20150101000001_a.down.sql"] = "-- Down migrations are not available.\n",
    })
    assert.is_nil(err.message:find "node")
  end)

  it("is not told by the half of a line that was read", function()
    local line = "-- Up Migration" .. " of the first table"
    local head = ("SELECT 1;\n"):rep(6600):sub(1, 65536 - #"-- Up Migration" - 1) .. "\n"
    local err = fails(detect.format, folder { ["1718000000000_a.sql"] = head .. line .. "\n" })
    assert.matches("several formats", err.message)
  end)

  it("is none that is known where nothing fits", function()
    for _, files in ipairs { {}, with "a.sql", with "V1__a.sql 001_b.sql" } do
      assert.matches("no known format fits", fails(detect.format, folder(files)).message)
    end
  end)
end)
