--- Tools whose folders pgmig recognizes and has no format for, by what only their files have.
-- @return list of { name, signs = as a format's, advice = what to do }
local OWN = "write a format of your own: docs/formats.md"
local SQLX = "use --format sqlx: to it, what divides the statements is a comment"

local function of_lines(name, lines, advice)
  return { name = name, signs = { lines = lines }, advice = advice or OWN }
end

local function of_names(name, names, advice)
  return { name = name, signs = { names = names }, advice = advice or OWN }
end

return {
  of_lines("Play evolutions", { "^#.*!Ups", "^#.*!Downs", "^%-%-.*!Ups", "^%-%-.*!Downs" },
    "replace its markers with -- UP and -- DOWN, and name the files NNN_name.sql"),
  { name = "bun", advice = SQLX, signs = {
    lines = { "^%-%-bun:split" }, names = { "^%d+_.*%.tx%.up%.sql$", "^%d+_.*%.tx%.down%.sql$" },
  } },
  of_lines("Morph", { "^%-%- morph:" },
    "use --format golang-migrate, which runs what needs it outside a transaction"),
  of_lines("migratus", { "^%-%-;;" }),
  of_lines("MyBatis Migrations", { "^%-%-%s*//%s*@UNDO" }),
  of_lines("rambler", { "^%-%- rambler up", "^%-%- rambler down" }),
  { name = "yoyo", advice = OWN, signs = {
    lines = { "^%-%-%s*depends:" }, names = { "%.rollback%.sql$" },
  } },
  { name = "Liquibase", advice = OWN, signs = {
    first = { "^%s*%-%-%s*[lL]iquibase formatted sql" },
  } },
  { name = "movine", advice = "use --format diesel, which reads the same names",
    signs = { paths = { "^1970%-01%-01%-000000_movine_init/" } } },
  of_names("db-migrate", { "^%d+%-.*%-down%.sql$" }),
}
