--- The workloads, in the order in which they run.
--
-- `make` gives `size.full` or `size.quick` migrations or rows (corpus.lua); a contender that gets
-- less stands there as { key, share = }. `base` is the one that ratios refer to. A run is right
-- when its size is the number of rows in `rows` (SQL behind FROM), and the tracking table has all
-- migrations. `delay` is a latency in milliseconds each way; `nothing`: all was applied before;
-- `memory`: the server's memory is looked at; `scan`: no server at all.
local corpus = require "bench.corpus"

local TABLES = "pg_class WHERE relkind = 'r' AND relname ~ '^t[0-9]+$'"
local FUNCTIONS = "pg_proc WHERE proname ~ '^f[0-9]+$'"

local SLOW_SHARE = 0.1 -- of the migrations, for what takes a process each

return {
  {
    key = "small",
    about = "1,000 small migrations",
    title = "%s migrations of CREATE TABLE and CREATE INDEX",
    size = { full = 1000, quick = 50 },
    make = corpus.small,
    rows = TABLES,
    base = "psql_one",
    contenders = { "pgmig54", "pgmigjit", "pgmig_one", "psql_one", "psql_files", "dbmate", "node",
      "node_each", { "sqitch", share = SLOW_SHARE }, "pipeline" },
  },
  {
    key = "link",
    about = "the same over a link of 10 ms",
    title = "%s migrations of CREATE TABLE and CREATE INDEX, round-trip time 10 ms",
    size = { full = 1000, quick = 20 },
    make = corpus.small,
    rows = TABLES,
    delay = 5,
    base = "psql_one",
    contenders = { "pgmig54", "pgmigjit", "pgmig_one", "psql_one", "dbmate", "node", "node_each",
      { "sqitch", share = SLOW_SHARE }, "pipeline" },
  },
  {
    key = "nothing",
    about = "nothing to do, 1,000 files",
    title = "nothing to do, %s files",
    size = { full = 1000, quick = 50 },
    make = corpus.small,
    nothing = true,
    base = "psql_look",
    contenders = { "pgmig54", "pgmig54_fast", "pgmigjit", "pgmigjit_fast", "pgmig_one",
      "pgmig_one_fast", "psql_look", "dbmate",
      "node",
      { "sqitch", share = SLOW_SHARE } },
  },
  {
    key = "nothing-10000",
    about = "nothing to do, 10,000 files",
    title = "nothing to do, %s files",
    size = { full = 10000, quick = 200 },
    make = corpus.small,
    nothing = true,
    base = "psql_look",
    contenders = { "pgmig54", "pgmig54_fast", "pgmigjit", "pgmigjit_fast", "pgmig_one",
      "pgmig_one_fast", "psql_look", "dbmate",
      "node" },
  },
  {
    key = "functions",
    about = "one file of 2,000 functions, 5 MB",
    title = "one migration of %s functions with dollar-quoted bodies",
    size = { full = 2000, quick = 100 },
    make = corpus.functions,
    rows = FUNCTIONS,
    base = "psql_one",
    contenders = { "pgmig54", "pgmigjit", "pgmig_one", "psql_one", "dbmate", "node", "sqitch",
      "pipeline" },
  },
  {
    key = "inserts",
    about = "one file of 2,000,000 INSERTs, 200 MB",
    title = "one migration of %s INSERTs",
    size = { full = 2000000, quick = 5000 },
    make = corpus.inserts,
    rows = "big",
    memory = true,
    base = "psql_one",
    contenders = { "pgmig54", "pgmigjit", "pgmig_one", "psql_one", "dbmate", "node", "pipeline" },
  },
  {
    key = "copy",
    about = "the same rows as COPY data",
    title = "one migration of %s rows of COPY data",
    size = { full = 2000000, quick = 5000 },
    make = corpus.copy,
    rows = "big",
    memory = true,
    base = "psql_one",
    contenders = { "pgmig54", "pgmigjit", "pgmig_one", "psql_one", "dbmate", "node" },
  },
  {
    key = "scan",
    about = "scanning 200 MB of INSERTs, without a server",
    title = "scanning a file of %s INSERTs",
    size = { full = 2000000, quick = 5000 },
    make = corpus.inserts,
    scan = true,
    base = "scan_pg_query",
    contenders = { "scan", "scan_pg_query", "cat" },
  },
}
