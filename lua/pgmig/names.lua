--- Words that scripts compare with: the hooks, the events of a run, the kinds of errors, and the
-- events of the history. Each stands here once; a spec compares code and documents with it.
return {
  hooks = {
    "before_all", "before_each", "before_statement", "after_statement", "after_each", "committed",
    "after_all", "error", "progress", "retry", "lock_wait",
  },
  events = {
    "start", "applied", "rolled_back", "recorded", "unapplied", "skipped", "warning", "notice",
    "waiting", "blocked", "retry", "lost", "resumed", "progress",
  },
  kinds = {
    "usage", "parse", "naming", "io", "plan", "drift", "sql", "lock", "connect", "unknown", "hook",
    "lua", "interrupted", "memory",
  },
  history = {
    "up", "down", "failed", "unknown", "interrupted", "baseline", "fake", "adopted", "unapplied",
    "repaired", "gone", "resolved",
  },
}
