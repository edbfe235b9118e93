--- Migrations in the formats of other tools, and what the tools' own tables have of them: facts of
-- runs of dbmate 2.36, node-pg-migrate 9.0, graphile-migrate 1.4, sql-migrate (Debian 12),
-- golang-migrate 4.15, maragu.dev/migrate 0.6, postgres-migrations 5.3, goose 3.7 (rows) and tern
-- 1.13 (rows), each on these files; and of the sources of goose, tern 2, diesel, sqlx, popx,
-- refinery (its checksums computed by Rust's standard library) and Flyway.

--- Three migrations, of tables a, b and c.
-- @param name of a file, with the number at %d and the letter at %s
-- @param text of it
-- @param down of a second file, with its name
local function three(name, text, down_name, down)
  local files = {}
  for i, letter in ipairs { "a", "b", "c" } do
    local function fill(pattern) return (pattern:gsub("%%d", i):gsub("%%s", letter)) end
    files[fill(name)] = fill(text)
    if down then files[fill(down_name)] = fill(down) end
  end
  return files
end

local UP, DOWN = "CREATE TABLE %s (x int);\n", "DROP TABLE %s;\n"

local drizzle = {}
for i, letter in ipairs { "a", "b", "c" } do
  drizzle[("000%d_make_%s.sql"):format(i - 1, letter)] =
    (UP .. "--> statement-breakpoint\nCOMMENT ON TABLE %s IS '%s';\n"):gsub("%%s", letter)
end
drizzle["meta/_journal.json"] = [[
{"version":"7","dialect":"postgresql","entries":[
{"idx":0,"version":"7","when":1718000000001,"tag":"0000_make_a","breakpoints":true},
{"idx":1,"version":"7","when":1718000000002,"tag":"0001_make_b","breakpoints":true},
{"idx":2,"version":"7","when":1718000000003,"tag":"0002_make_c","breakpoints":true}]}
]]

-- `shape` is what spec/db/export_spec.lua says of the table, `rows` a query, `golden` its answer
-- where all are applied, `two` where the newest is not, `none` where none is and the table keeps
-- one row; `time` asks when the first one was applied.
return {
  dbmate = {
    files = three("2024011510300%d_make_%s.sql",
      "-- migrate:up\n" .. UP .. "-- migrate:down\n" .. DOWN),
    shape = "schema_migrations: version character varying not null; "
      .. "schema_migrations_pkey PRIMARY KEY (version)",
    rows = "SELECT version AS row FROM schema_migrations ORDER BY 1",
    golden = "20240115103001 20240115103002 20240115103003",
    two = "20240115103001 20240115103002",
  },
  ["node-pg-migrate"] = {
    files = three("171800000000%d_make-%s.sql",
      "-- Up Migration\n" .. UP .. "-- Down Migration\n" .. DOWN),
    shape = "pgmigrations: id integer not null default nextval('pgmigrations_id_seq'::regclass), "
      .. "name character varying(255) not null, run_on timestamp without time zone not null; "
      .. "pgmigrations_pkey PRIMARY KEY (id)",
    rows = "SELECT concat_ws(':', id, name) AS row FROM pgmigrations ORDER BY id",
    golden = "1:1718000000001_make-a 2:1718000000002_make-b 3:1718000000003_make-c",
    two = "1:1718000000001_make-a 2:1718000000002_make-b",
    time = "SELECT run_on::timestamptz FROM pgmigrations WHERE id = 1",
  },
  ["sql-migrate"] = {
    files = three("%d-make_%s.sql", "-- +migrate Up\n" .. UP .. "-- +migrate Down\n" .. DOWN),
    shape = "gorp_migrations: id text not null, applied_at timestamp with time zone; "
      .. "gorp_migrations_pkey PRIMARY KEY (id)",
    rows = "SELECT id AS row FROM gorp_migrations ORDER BY 1",
    golden = "1-make_a.sql 2-make_b.sql 3-make_c.sql", two = "1-make_a.sql 2-make_b.sql",
    time = "SELECT applied_at FROM gorp_migrations WHERE id = '1-make_a.sql'",
  },
  goose = {
    files = three("0000%d_make_%s.sql", "-- +goose Up\n" .. UP .. "-- +goose Down\n" .. DOWN),
    shape = "goose_db_version: id integer not null identity, version_id bigint not null, "
      .. "is_applied boolean not null, tstamp timestamp without time zone not null default now(); "
      .. "goose_db_version_pkey PRIMARY KEY (id)",
    rows = "SELECT concat_ws(':', id, version_id, is_applied) AS row FROM goose_db_version "
      .. "ORDER BY id",
    golden = "1:0:t 2:1:t 3:2:t 4:3:t", two = "1:0:t 2:1:t 3:2:t",
    time = "SELECT tstamp::timestamptz FROM goose_db_version WHERE version_id = 1",
  },
  ["golang-migrate"] = {
    files = three("0000%d_make_%s.up.sql", UP, "0000%d_make_%s.down.sql", DOWN),
    shape = "schema_migrations: version bigint not null, dirty boolean not null; "
      .. "schema_migrations_pkey PRIMARY KEY (version)",
    rows = "SELECT concat_ws(':', version, dirty) AS row FROM schema_migrations",
    golden = "3:f", two = "2:f", none = "",
  },
  maragu = {
    files = three("000%d-make_%s.up.sql", UP, "000%d-make_%s.down.sql", DOWN),
    shape = "migrations: version text not null",
    rows = "SELECT concat('=', version) AS row FROM migrations",
    golden = "=0003-make_c", two = "=0002-make_b", none = "=",
  },
  tern = {
    files = three("00%d_make_%s.sql", UP .. "---- create above / drop below ----\n" .. DOWN),
    shape = "schema_version: version integer not null; schema_version_pkey PRIMARY KEY (version)",
    rows = "SELECT version::text AS row FROM schema_version", golden = "3", two = "2", none = "0",
  },
  ["postgres-migrations"] = {
    files = three("%d_make-%s.sql", UP),
    shape = "migrations: id integer not null, name character varying(100) not null, "
      .. "hash character varying(40) not null, executed_at timestamp without time zone "
      .. "default CURRENT_TIMESTAMP; "
      .. "migrations_name_key UNIQUE (name), migrations_pkey PRIMARY KEY (id)",
    rows = "SELECT concat_ws(':', id, name, hash) AS row FROM migrations ORDER BY id",
    golden = "0:create-migrations-table:e18db593bcde2aca2a408c4d1100f6abba2195df "
      .. "1:make-a:87dece4aae332c5c52060b588dfac169b3c88d1d "
      .. "2:make-b:b3e7f0e8914f53b5ac13ace884a2afb33d0f23fa "
      .. "3:make-c:e3e02938c64d6115d40f8c2d5c9c334c0fbced3c",
    two = "0:create-migrations-table:e18db593bcde2aca2a408c4d1100f6abba2195df "
      .. "1:make-a:87dece4aae332c5c52060b588dfac169b3c88d1d "
      .. "2:make-b:b3e7f0e8914f53b5ac13ace884a2afb33d0f23fa",
    time = "SELECT executed_at::timestamptz FROM migrations WHERE id = 1",
  },
  ["graphile-migrate"] = {
    files = {
      ["committed/000001-the-first.sql"] = "--! Previous: -\n"
        .. "--! Hash: sha1:539e7775db0f56d9884c24fa1490a5eba8bc2d0a\n--! Message: the first\n\n"
        .. "CREATE TABLE a();\n",
      ["committed/000002.sql"] = "--! Previous: sha1:539e7775db0f56d9884c24fa1490a5eba8bc2d0a\n"
        .. "--! Hash: sha1:c02c0ead222f924548c09a1b3a5fa9a443b169bd\n\nCREATE TABLE b();\n",
    },
    shape = "current: filename text not null default 'current.sql'::text, content text not null, "
      .. "date timestamp with time zone not null default now(); "
      .. "current_pkey PRIMARY KEY (filename)\n"
      .. "migrations: hash text not null, previous_hash text, filename text not null, "
      .. "date timestamp with time zone not null default now(); "
      .. "migrations_pkey PRIMARY KEY (hash), "
      .. "migrations_previous_hash_fkey FOREIGN KEY (previous_hash) "
      .. "REFERENCES graphile_migrate.migrations(hash)",
    rows = "SELECT concat_ws('>', filename, hash, previous_hash) AS row "
      .. "FROM graphile_migrate.migrations ORDER BY filename",
    golden = "000001.sql>sha1:539e7775db0f56d9884c24fa1490a5eba8bc2d0a "
      .. "000002.sql>sha1:c02c0ead222f924548c09a1b3a5fa9a443b169bd"
      .. ">sha1:539e7775db0f56d9884c24fa1490a5eba8bc2d0a",
    two = "000001.sql>sha1:539e7775db0f56d9884c24fa1490a5eba8bc2d0a",
    time = "SELECT date FROM graphile_migrate.migrations WHERE filename = '000001.sql'",
  },
  postgrator = { -- 8.0
    files = three("00%d.do.make_%s.sql", UP, "00%d.undo.make_%s.sql", DOWN),
    shape = "schemaversion: version bigint not null, name text, md5 text, "
      .. "run_at timestamp with time zone; schemaversion_pkey PRIMARY KEY (version)",
    rows = "SELECT concat_ws(':', version, name, md5) AS row FROM schemaversion ORDER BY version",
    golden = "0 1:make_a:7d15180a72dfc3a8aa8f1e3a40256b1c "
      .. "2:make_b:32ad0d9e73ed2e3cbe7512654c84355d 3:make_c:00ae0ba5163623db16092df82c01eda8",
    two = "0 1:make_a:7d15180a72dfc3a8aa8f1e3a40256b1c "
      .. "2:make_b:32ad0d9e73ed2e3cbe7512654c84355d",
    time = "SELECT run_at FROM schemaversion WHERE version = 1",
  },
  drizzle = { -- 0.45
    files = drizzle,
    shape = "__drizzle_migrations: id integer not null "
      .. "default nextval('drizzle.__drizzle_migrations_id_seq'::regclass), hash text not null, "
      .. "created_at bigint; __drizzle_migrations_pkey PRIMARY KEY (id)",
    rows = "SELECT concat_ws(':', id, left(hash, 8), created_at) AS row "
      .. "FROM drizzle.__drizzle_migrations ORDER BY id",
    golden = "1:d2a5f8ec:1718000000001 2:f8c3431b:1718000000002 3:0fd483f7:1718000000003",
    two = "1:d2a5f8ec:1718000000001 2:f8c3431b:1718000000002",
  },
  prisma = { -- as its documents have it
    files = three("2024011510300%d_make_%s/migration.sql", UP,
      "2024011510300%d_make_%s/down.sql", DOWN),
    shape = "_prisma_migrations: id character varying(36) not null, "
      .. "checksum character varying(64) not null, finished_at timestamp with time zone, "
      .. "migration_name character varying(255) not null, logs text, "
      .. "rolled_back_at timestamp with time zone, "
      .. "started_at timestamp with time zone not null default now(), "
      .. "applied_steps_count integer not null default 0; "
      .. "_prisma_migrations_pkey PRIMARY KEY (id)",
    rows = "SELECT concat_ws(':', migration_name, left(checksum, 8), applied_steps_count, "
      .. "id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$') AS row "
      .. "FROM _prisma_migrations ORDER BY migration_name",
    golden = "20240115103001_make_a:1c0a5f21:1:t 20240115103002_make_b:7317858f:1:t "
      .. "20240115103003_make_c:0339fa9b:1:t",
    two = "20240115103001_make_a:1c0a5f21:1:t 20240115103002_make_b:7317858f:1:t",
    time = "SELECT finished_at FROM _prisma_migrations ORDER BY migration_name LIMIT 1",
  },
  supabase = { -- as its sources have it, without `statements`
    files = three("2024011510300%d_make_%s.sql", UP),
    shape = "schema_migrations: version text not null, statements text[], name text; "
      .. "schema_migrations_pkey PRIMARY KEY (version)",
    rows = "SELECT concat_ws(':', version, name) AS row "
      .. "FROM supabase_migrations.schema_migrations ORDER BY version",
    golden = "20240115103001:make_a 20240115103002:make_b 20240115103003:make_c",
    two = "20240115103001:make_a 20240115103002:make_b",
  },
  diesel = {
    files = three("2024-01-15-10300%d_make_%s/up.sql", UP, "2024-01-15-10300%d_make_%s/down.sql",
      DOWN),
    shape = "__diesel_schema_migrations: version character varying(50) not null, "
      .. "run_on timestamp without time zone not null default CURRENT_TIMESTAMP; "
      .. "__diesel_schema_migrations_pkey PRIMARY KEY (version)",
    rows = "SELECT version AS row FROM __diesel_schema_migrations ORDER BY 1",
    golden = "20240115103001 20240115103002 20240115103003",
    two = "20240115103001 20240115103002",
    time = "SELECT run_on::timestamptz FROM __diesel_schema_migrations ORDER BY version LIMIT 1",
  },
  popx = {
    files = three("00%d_make_%s.up.sql", UP, "00%d_make_%s.down.sql", DOWN),
    shape = "schema_migration: version character varying(48) not null, "
      .. "version_self integer not null default 0; schema_migration_version_idx, "
      .. "schema_migration_version_self_idx",
    rows = "SELECT concat_ws(':', version, version_self) AS row FROM schema_migration ORDER BY 1",
    golden = "001:0 002:0 003:0", two = "001:0 002:0",
  },
  micrate = { -- as its sources have it
    files = three("%d_make_%s.sql", "-- +micrate Up\n" .. UP .. "-- +micrate Down\n" .. DOWN),
    shape = "micrate_db_version: id integer not null "
      .. "default nextval('micrate_db_version_id_seq'::regclass), version_id bigint not null, "
      .. "is_applied boolean not null, tstamp timestamp without time zone default now(); "
      .. "micrate_db_version_pkey PRIMARY KEY (id)",
    rows = "SELECT concat_ws(':', id, version_id, is_applied) AS row FROM micrate_db_version "
      .. "ORDER BY id",
    golden = "1:1:t 2:2:t 3:3:t", two = "1:1:t 2:2:t",
    time = "SELECT tstamp::timestamptz FROM micrate_db_version WHERE version_id = 1",
  },
  shmig = { -- as its sources have it
    files = three("148564315%d-make_%s.sql",
      "-- ====  UP  ====\n" .. UP .. "-- ==== DOWN ====\n" .. DOWN),
    shape = "shmig_version: version integer not null, migrated_at timestamp without time zone "
      .. "not null default timezone('utc'::text, now()); shmig_version_pkey PRIMARY KEY (version)",
    rows = "SELECT version::text AS row FROM shmig_version ORDER BY 1",
    golden = "1485643151 1485643152 1485643153", two = "1485643151 1485643152",
    time = "SELECT migrated_at AT TIME ZONE 'UTC' FROM shmig_version ORDER BY version LIMIT 1",
  },
  sqlx = {
    files = three("%d_make_%s.up.sql", UP, "%d_make_%s.down.sql", DOWN),
    shape = "_sqlx_migrations: version bigint not null, description text not null, "
      .. "installed_on timestamp with time zone not null default now(), success boolean not null, "
      .. "checksum bytea not null, execution_time bigint not null; "
      .. "_sqlx_migrations_pkey PRIMARY KEY (version)",
    rows = "SELECT concat_ws(':', version, replace(description, ' ', '+'), success, "
      .. "left(encode(checksum, 'hex'), 8)) AS row FROM _sqlx_migrations ORDER BY version",
    golden = "1:make+a:t:cbe28b8c 2:make+b:t:cd9bb94e 3:make+c:t:8523cf62",
    two = "1:make+a:t:cbe28b8c 2:make+b:t:cd9bb94e",
    time = "SELECT installed_on FROM _sqlx_migrations WHERE version = 1",
  },
  refinery = {
    files = three("V%d__make_%s.sql", UP),
    shape = "refinery_schema_history: version integer not null, name character varying(255), "
      .. "applied_on character varying(255), checksum character varying(255); "
      .. "refinery_schema_history_pkey PRIMARY KEY (version)",
    rows = "SELECT concat_ws(':', version, name, checksum) AS row FROM refinery_schema_history "
      .. "ORDER BY version",
    golden = "1:make_a:15003786574936342357 2:make_b:7834061571293932359 "
      .. "3:make_c:3346174960721373055",
    two = "1:make_a:15003786574936342357 2:make_b:7834061571293932359",
    time = "SELECT applied_on::timestamptz FROM refinery_schema_history WHERE version = 1",
  },
  flyway = {
    files = three("sub/V1_%d__make__%s_it.sql", UP, "sub/U1_%d__make__%s_it.sql", DOWN),
    shape = "flyway_schema_history: installed_rank integer not null, "
      .. "version character varying(50), description character varying(200) not null, "
      .. "type character varying(20) not null, script character varying(1000) not null, "
      .. "checksum integer, installed_by character varying(100) not null, "
      .. "installed_on timestamp without time zone not null default now(), "
      .. "execution_time integer not null, success boolean not null; "
      .. "flyway_schema_history_pk PRIMARY KEY (installed_rank); flyway_schema_history_s_idx",
    rows = "SELECT concat_ws(':', installed_rank, version, replace(description, ' ', '+'), type, "
      .. "script, checksum, installed_by, success) AS row FROM flyway_schema_history ORDER BY 1",
    golden = "1:1.1:make++a+it:SQL:sub/V1_1__make__a_it.sql:-1021620224:postgres:t "
      .. "2:1.2:make++b+it:SQL:sub/V1_2__make__b_it.sql:674032387:postgres:t "
      .. "3:1.3:make++c+it:SQL:sub/V1_3__make__c_it.sql:-940670915:postgres:t",
    two = "1:1.1:make++a+it:SQL:sub/V1_1__make__a_it.sql:-1021620224:postgres:t "
      .. "2:1.2:make++b+it:SQL:sub/V1_2__make__b_it.sql:674032387:postgres:t",
    time = "SELECT installed_on::timestamptz FROM flyway_schema_history WHERE installed_rank = 1",
  },
}
