--- Tools whose folders pgmig recognises and has no format for: what only their files have.
-- @return list of { name, signs = { lines, first, paths } as a format's, advice = what to do }
local OWN_FORMAT = "write a format of your own: docs/formats.md"

return {
  { name = "Play evolutions",
    signs = { lines = { "^#.*!Ups", "^#.*!Downs", "^%-%-.*!Ups", "^%-%-.*!Downs" } },
    advice = "replace its markers with -- UP and -- DOWN, and name the files NNN_name.sql" },
  { name = "Drizzle", signs = {
    lines = { "^%-%-> statement%-breakpoint" }, paths = { "^meta/_journal%.json$" },
  }, advice = "use --format sqlx: to it, the lines between the statements are comments" },
  { name = "movine", signs = { paths = { "^1970%-01%-01%-000000_movine_init/" } },
    advice = "use --format diesel, which reads the same names" },
  { name = "Prisma", signs = { paths = { "^%d[^/]*/migration%.sql$", "^migration_lock%.toml$" } },
    advice = OWN_FORMAT },
  { name = "MyBatis Migrations", signs = { lines = { "^%-%-%s*//%s*@UNDO" } },
    advice = OWN_FORMAT },
  { name = "Liquibase", signs = { first = { "^%s*%-%-%s*[lL]iquibase formatted sql" } },
    advice = OWN_FORMAT },
  { name = "sqitch", signs = { paths = { "^sqitch%.plan$" } }, advice = OWN_FORMAT },
  { name = "rambler", signs = { lines = { "^%-%- rambler up", "^%-%- rambler down" } },
    advice = OWN_FORMAT },
  { name = "yoyo", signs = { lines = { "^%-%-%s*depends:" } }, advice = OWN_FORMAT },
}
