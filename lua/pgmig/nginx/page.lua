--- The page of `pgmig.nginx.dashboard`: from what is known to HTML.
local texts = require "pgmig.texts"
local html = require "pgmig.nginx.html"

local M = {}

local element, void = html.element, html.void

local SHOWN = 100 -- of the applied migrations
local REFRESH = 2 -- seconds

local style = html.trusted [[
:root { color-scheme: light dark; --back: #f6f7f9; --card: #fff; --text: #1c2330; --soft: #5b6678;
  --line: #dfe3ea; --good: #0b6b3a; --goodb: #e1f5e9; --busy: #1d4fb8; --busyb: #e4edff;
  --bad: #a61b1b; --badb: #fde8e8; --wait: #7a5200; --waitb: #fff3d6 }
@media (prefers-color-scheme: dark) { :root { --back: #10141b; --card: #191f29; --text: #e7ebf2;
  --soft: #9aa6b8; --line: #2b3442; --good: #7fe0a9; --goodb: #12301f; --busy: #9dc0ff;
  --busyb: #16294d; --bad: #ffa8a8; --badb: #421a1a; --wait: #ffd27a; --waitb: #3b2d0c } }
* { box-sizing: border-box }
body { margin: 0; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif }
header, main, footer { max-width: 62rem; margin: 0 auto; padding: 0 1.25rem }
header { padding-top: 2rem } footer { padding-bottom: 2rem; color: var(--soft); font-size: .875rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.0625rem; margin: 0 0 .75rem }
section { background: var(--card); border: 1px solid var(--line); border-radius: .625rem;
  padding: 1rem 1.25rem; margin: 1rem 0; overflow-x: auto }
.state { display: inline-block; padding: .125rem .75rem; border-radius: 1rem; font-weight: 600 }
.ready { color: var(--good); background: var(--goodb) }
.migrating, .starting { color: var(--busy); background: var(--busyb) }
.waiting { color: var(--wait); background: var(--waitb) }
.failed, .broken { color: var(--bad); background: var(--badb) }
.alert { border-color: var(--bad) } .alert h2 { color: var(--bad) }
dl.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: 1rem;
  margin: 0 } dl.facts dt { color: var(--soft); font-size: .875rem }
dl.facts dd { margin: 0; font-size: 1.375rem; font-weight: 600; overflow-wrap: anywhere }
dl.rows { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: 0 }
dl.rows dt { color: var(--soft) } dl.rows dd { margin: 0; overflow-wrap: anywhere }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .375rem .75rem .375rem 0; border-top: 1px solid var(--line);
  vertical-align: top; overflow-wrap: break-word } tbody th { overflow-wrap: anywhere }
caption { text-align: left } tbody th { font-weight: 500 }
thead th { border-top: 0; color: var(--soft); font-weight: 500; font-size: .875rem }
td.number, th.number { text-align: right; padding-right: 0; white-space: nowrap }
pre { margin: .5rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere;
  font: .875rem/1.5 ui-monospace, monospace }
code { font: .875rem/1.5 ui-monospace, monospace }
progress { width: 100%; height: .75rem; accent-color: var(--busy) } p { margin: .25rem 0 }
.soft { color: var(--soft) }
]]

-- The whole page is fetched again and its main part put in; without a script, the meta element of
-- `noscript` loads it anew.
local script = html.trusted(([[
const note = document.getElementById("connection");
async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const id of ["state", "main"])
      document.getElementById(id).replaceWith(document.adoptNode(page.getElementById(id)));
    document.title = page.title;
    note.textContent = "";
  } catch (failure) {
    note.textContent = "nginx does not respond; this page is out of date. ";
  }
}
setInterval(refresh, %d);
]]):format(REFRESH * 1000))

local titles = {
  ready = "Ready", migrating = "Migrating", waiting = "Waiting",
  failed = "Failed", starting = "Starting", broken = "Not set up",
}

-- ---- words ---------------------------------------------------------------------

local function duration(seconds)
  if not seconds then return "" end
  if seconds < 1 then return ("%.0f ms"):format(seconds * 1000) end
  if seconds < 120 then return ("%.1f s"):format(seconds) end
  return ("%d min %d s"):format(math.floor(seconds / 60), math.floor(seconds % 60))
end

--- A time of the server, to the second.
local function moment(text)
  if not text then return "" end
  local date, clock, zone = text:match "^(%d+%-%d+%-%d+)T(%d+:%d+:%d+)[%d.]*(.*)$"
  local shown = date and ("%s %s %s"):format(date, clock, zone == "+00:00" and "Z" or zone) or text
  return element("time", { datetime = text }, shown)
end

-- ---- sections --------------------------------------------------------------------

local function row(name, value)
  return value and value ~= "" and { element("dt", {}, name), element("dd", {}, value) }
end

local function fact(name, value)
  return element("div", {}, element("dt", {}, name), element("dd", {}, value))
end

local function facts(status, found)
  return element("section", { ["aria-label"] = "Schema" }, element("dl", { class = "facts" },
    fact("Schema version", status.version or "unknown"),
    fact("This release requires", status.wanted or "unknown"),
    fact("Applied", found.applied and #found.applied or "unknown"),
    fact("Pending", found.pending and #found.pending or "unknown")))
end

local function alert(title, ...)
  return element("section", { class = "alert", role = "alert" }, element("h2", {}, title), ...)
end

local function unreachable(found)
  return found.unreachable and alert("The database cannot be read",
    element("pre", {}, found.unreachable))
end

local function running(status)
  local now = status.running
  if not now then return nil end
  local bar = now.total and element("progress", {
    max = now.total, value = now.done, ["aria-label"] = "migrations applied",
  })
  return element("section", {}, element("h2", {}, "Running"),
    element("p", {}, element("strong", {}, now.migration)), bar,
    element("p", { class = "soft" }, ("%d of %d done in this run, since "):format(
      now.done, now.total), moment(now.since)))
end

local function holder(found, status)
  local who = found.holder
  if not who then
    return status.waiting_for and element("section", {}, element("h2", {}, "Waiting"),
      element("p", {}, status.waiting_for))
  end
  return element("section", {}, element("h2", {}, "Lock"), element("dl", { class = "rows" },
    row("held by", ("process %d, %s, user %s"):format(who.pid, who.application_name or "?",
      who.user or "?")),
    row("from", who.client), row("since", moment(who.since)),
    row("for", duration(who.seconds)), row("its worker", who.worker and "process " .. who.worker),
    row("runs", who.query and element("code", {}, texts.excerpt(who.query)))))
end

--- What keeps the schema from being ready: it is tried again.
local function failure(status)
  local last = status.failure
  local title = status.ready and "The last run failed" or "Why it is not ready"
  return last and alert(title, element("dl", { class = "rows" },
    row("migration", last.migration), row("at", moment(last.at)),
    row("attempts", last.attempts), row("next attempt", moment(last.retry_at))),
    element("pre", {}, last.message))
end

--- The newest failure of the history, perhaps long mended.
local function last_failure(status, found)
  local event = found.last_failure
  return event and not status.failure and element("section", {}, element("h2", {}, "Last failure"),
    element("dl", { class = "rows" },
      row("migration", event.id and event.id .. " " .. event.name or event.name),
      row("at", moment(event.finished_at))),
    element("pre", {}, event.message or ""))
end

local function problems(found)
  local list = found.problems
  if not list or #list == 0 then return nil end
  local items = {}
  for i, problem in ipairs(list) do
    items[i] = element("li", {}, element("pre", {}, problem.message))
  end
  return alert("Files that cannot be run", element("ul", {}, items))
end

local function heading(columns)
  local cells = {}
  for i, name in ipairs(columns) do
    cells[i] = element("th", { scope = "col", class = name == "Took" and "number" or "" }, name)
  end
  return element("thead", {}, element("tr", {}, cells))
end

local function table_of(title, columns, rows, note)
  if #rows == 0 then return nil end
  return element("section", {}, element("table", {},
    element("caption", { class = title:lower() }, element("h2", {}, title)), heading(columns),
    element("tbody", {}, rows)), note)
end

local function state_of(m, status)
  if status.running and status.running.migration == m.label then return "running" end
  return (m.state or "applied"):gsub("_", " ")
end

local function pending(status, found)
  local rows = {}
  for i, m in ipairs(found.pending or {}) do
    rows[i] = element("tr", {}, element("th", { scope = "row" }, m.label),
      element("td", {}, (state_of(m, status))),
      element("td", {}, m.failure and m.failure.message or ""))
  end
  return table_of("Pending", { "Migration", "State", "Last error" }, rows)
end

local function applied(status, found)
  local list, rows = found.applied or {}, {}
  for i = #list, math.max(1, #list - SHOWN + 1), -1 do
    local m = list[i]
    rows[#rows + 1] = element("tr", {}, element("th", { scope = "row" }, m.label),
      element("td", {}, (state_of(m, status))), element("td", {}, moment(m.applied_at)),
      element("td", { class = "number" }, duration(found.durations[m.id])))
  end
  local more = #list > SHOWN and element("p", { class = "soft" },
    ("and %d older ones"):format(#list - SHOWN))
  return table_of("Applied", { "Migration", "State", "At", "Took" }, rows, more)
end

--- Repeatable migrations: they are pending whenever their file has changed.
local function repeatable(found)
  local rows = {}
  for i, m in ipairs(found.repeatable or {}) do
    rows[i] = element("tr", {}, element("th", { scope = "row" }, m.label),
      element("td", {}, m.state), element("td", {}, moment(m.applied_at)),
      element("td", { class = "number" }, duration(found.durations[m.name])))
  end
  return table_of("Repeatable", { "Migration", "State", "At", "Took" }, rows)
end

-- ---- the page ----------------------------------------------------------------------

local function head(title, nonce)
  return element("head", {},
    void("meta", { charset = "utf-8" }),
    void("meta", { name = "viewport", content = "width=device-width, initial-scale=1" }),
    void("meta", { name = "robots", content = "noindex" }),
    element("title", {}, title),
    element("noscript", {}, void("meta", { ["http-equiv"] = "refresh", content = REFRESH })),
    element("style", { nonce = nonce }, style))
end

--- Make the page.
-- @param status of pgmig.nginx.report
-- @param found what the database said: the fields of `migrator:status()`, durations by id,
--   last_failure, holder; or { unreachable = why }
-- @param nonce of the page's style and script
-- @return HTML
function M.render(status, found, nonce)
  local title = titles[status.state] or status.state
  local body = element("body", {},
    element("header", {}, element("h1", {}, "Database schema"),
      element("p", { id = "state", role = "status" },
        element("span", { class = "state " .. status.state }, title))),
    element("main", { id = "main" }, facts(status, found), unreachable(found), failure(status),
      running(status), holder(found, status), problems(found), pending(status, found),
      applied(status, found), repeatable(found),
      last_failure(status, found)),
    element("footer", {}, element("p", {}, element("span", { id = "connection", role = "alert" }),
      ("Refreshed every %d s. "):format(REFRESH), "pgmig")),
    element("script", { nonce = nonce }, script))
  return "<!DOCTYPE html>\n" .. tostring(element("html", { lang = "en" },
    head(title .. " - database schema", nonce), body)) .. "\n"
end

return M
