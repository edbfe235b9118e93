--- Faults that pgmig once had, or kin of theirs: a change of the code each, and the spec that has
-- to find it.
-- Exact texts of the code: a change there must be made here too.
return {
  ["headings of a way back are not looked for"] = {
    spec = "spec/unit/direction_spec.lua",
    { "core/text/doubt.c", "if (!pgmig_phrase_any(text, 0, len))", "if (true)" },
  },
  ["a way back by its name is applied"] = {
    spec = "spec/db/naming_spec.lua",
    { "lua/pgmig/files/way_back.lua",
      "if words[word] and joint:find(words[word]) then return word, joint end", "" },
  },
  ["a streamed line begins where a read has ended"] = {
    spec = "spec/unit/split_points_spec.lua",
    { "core/text/source.c", "return offset <= start ? s->blank", "return offset <= start ? true" },
  },
  ["whoever wants to writes the journal's row"] = {
    spec = "spec/db/takeover_spec.lua",
    { "core/ledger/journal.c",
      [[pgmig_sql_addf(s, " AND owner %= %L AND revision %= %l", owner, revision);]],
      "(void)owner, (void)revision;" },
  },
  ["down walks past a half-done migration"] = {
    spec = "spec/db/unfinished_spec.lua",
    { "lua/pgmig/state/plan.lua", "if m.unfinished and M.is_newer(m, lowest) then",
      "if false then" },
  },
  ["a tracking table in another schema is not looked for"] = {
    spec = "spec/db/placement_spec.lua",
    { "lua/pgmig/state/placement.lua", "local places = elsewhere()\n", "local places = {}\n" },
  },
  ["row-level security is not thought of"] = {
    spec = "spec/db/rights_spec.lua",
    { "lua/pgmig/state/ledger.lua", "if self.handle:hidden() then", "if false then" },
  },
  ["a transaction is known by its state"] = {
    spec = "spec/db/own_transaction_spec.lua",
    { "lua/pgmig/run/identity.lua", [[return now.id == id and "same" or "ended"]],
      [[return "same"]] },
  },
  ["rows that are gone count as pending"] = {
    spec = "spec/db/forgotten_spec.lua",
    { "lua/pgmig/state/plan.lua", [[or was_applied and "forgotten"]], "" },
  },
  ["repair and resolve take no lock"] = {
    spec = "spec/db/door_spec.lua",
    { "lua/pgmig/upkeep/repair.lua", "return locked.write(migrator, emit, function()",
      "return (function(_, _, fn) return fn() end)(migrator, emit, function()" },
  },
  ["an operator is left to the search_path"] = {
    spec = "spec/db/trap_spec.lua",
    { "core/ledger/claim.c", [["DELETE FROM %t WHERE version %= %s"]],
      [["DELETE FROM %t WHERE version = %s::pg_catalog.int8"]] },
  },
  ["tables of others are used"] = {
    spec = "spec/db/planted_spec.lua",
    { "core/ledger/probe.c", "    if (row[0].text != NULL)\n        return pgmig_trust_refuse",
      "    if (false)\n        return pgmig_trust_refuse" },
  },
  ["another migration under a number counts as renamed"] = {
    spec = "spec/db/drift_spec.lua",
    { "lua/pgmig/state/drift.lua", [[m.state == "edited" and "replaced" or "renamed"]],
      [["renamed"]] },
  },
  ["a folder without the applied files is not noticed"] = {
    spec = "spec/db/drift_spec.lua",
    { "lua/pgmig/state/drift.lua", "state.all_missing = are_all_missing(state)",
      "state.all_missing = false" },
  },
  ["a silent host is not left"] = {
    spec = "spec/db/hosts_spec.lua",
    { "lua/pgmig/db/dial.lua", "local others = silent and list and leave_out(list, host)",
      "local others = false" },
  },
  ["what a role sets for transactions ends a run"] = {
    spec = "spec/db/defaults_spec.lua",
    { "lua/pgmig/db/session.lua", "if not unfit or", "if true or" },
  },
  ["cancelling waits for the network"] = {
    spec = "spec/faults/watch_spec.lua",
    { "core/wire/cancel.c", "if (pgmig_thread_start(run, cancel) == 0)",
      "if (run(cancel) == NULL)" },
  },
  ["times are handed on as they are"] = {
    spec = "spec/db/limits_spec.lua",
    { "lua/pgmig/options.lua", "if not ms then return nil, problem end\n  return value",
      "return value" },
  },
}
