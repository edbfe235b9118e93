--- Migration folders for the fault specs. Each migration counts its executions in a table without
-- a constraint: what runs twice shows.
local support = require "spec.support"

local M = {}

--- A migration: what it does, and that it is counted.
local function transactional(n, up, down)
  local count = "INSERT INTO counter VALUES (%d);\n"
  return ("-- UP\n%s\n" .. count .. "-- DOWN\n%s\n" .. count):format(up, n, down, -n)
end

--- The ten migrations of the cut-point loops.
-- @param pooled whether they run behind a pooler, where nothing with transaction=off may need what
--   its session was set to
function M.ten(pooled)
  local dir = support.tempdir()
  local setting = pooled and "" or "SET statement_timeout = 0;\n"
  local files = { [[
-- UP
CREATE TABLE counter (version int);
INSERT INTO counter VALUES (1);
-- DOWN
DROP TABLE counter;
]],
    transactional(2, "CREATE TABLE users (id int PRIMARY KEY, name text, age int);",
      "DROP TABLE users;"),
    transactional(3, "COPY users FROM STDIN;\n1\tada\t36\n2\tgrace\t85\n\\.\n",
      "DELETE FROM users;"),
    transactional(4, "CREATE TABLE orders (id int, user_id int REFERENCES users " ..
      "DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO orders VALUES (1, 3);\n" ..
      "INSERT INTO users VALUES (3, 'alan', 41);",
      "DROP TABLE orders;\nDELETE FROM users WHERE id = 3;"),
    [[-- UP
-- pgmig: transaction=off
CREATE INDEX CONCURRENTLY users_name ON users (name);
INSERT INTO counter VALUES (5);
CREATE INDEX CONCURRENTLY users_age ON users (age);
-- DOWN
DROP INDEX users_name, users_age;
]],
    transactional(6, "SET search_path = pg_catalog;\nSET search_path = public;\nSELECT 1;\n" ..
      "ALTER TABLE users ADD email text;", "ALTER TABLE users DROP email;"),
    [[-- UP
-- pgmig: transaction=off
]] .. setting .. [[
INSERT INTO counter VALUES (7);
REINDEX INDEX CONCURRENTLY users_name;
DROP INDEX CONCURRENTLY users_age;
VACUUM users;
-- DOWN
-- pgmig: empty
]],
    transactional(8, "CREATE VIEW adults AS SELECT * FROM users WHERE age >= 18;",
      "DROP VIEW adults;"),
    transactional(9, "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';",
      "DROP FUNCTION one();"),
    [[-- UP
CREATE TABLE last (a int);
INSERT INTO counter VALUES (10);
-- DOWN
-- pgmig: transaction=off
INSERT INTO counter VALUES (-10);
DROP TABLE last;
]],
  }
  for n, text in ipairs(files) do support.write(dir, ("%03d_step.sql"):format(n), text) end
  return dir
end

--- Many migrations, for many processes at once.
-- @param count how many
-- @param alone every so many one runs without a transaction; nil: none
function M.many(count, alone)
  local dir = support.tempdir()
  support.write(dir, "001_step.sql", "-- UP\nCREATE TABLE counter (version int);\n"
    .. "INSERT INTO counter VALUES (1);\n-- DOWN\nDROP TABLE counter;\n")
  for n = 2, count do
    local up, down = ("CREATE TABLE t%d (a int);"):format(n), ("DROP TABLE t%d;"):format(n)
    if alone and n % alone == 0 then
      up = ("-- pgmig: transaction=off\n%s\nCREATE INDEX CONCURRENTLY ON t%d (a);"):format(up, n)
    end
    local text = transactional(n, up, down)
    support.write(dir, ("%03d_step.sql"):format(n), text)
  end
  return dir
end

return M
