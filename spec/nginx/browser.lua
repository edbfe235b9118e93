--- A real browser: headless Chromium, driven through WebDriver (https://www.w3.org/TR/webdriver2/).
local dkjson = require "dkjson"
local http = require "socket.http"
local ltn12 = require "ltn12"
local support = require "spec.support"

local M = {}
local browser = {}
browser.__index = browser

local ELEMENT = "element-6066-11e4-a52e-4f735466cecf" -- the standard's name for a reference

--- Why there is no browser; nil when there is one.
function M.missing()
  if support.run "type -P chromium >/dev/null && type -P chromedriver" == 0 then return nil end
  return "needs chromium and chromium-driver: script/bootstrap --bench"
end

local function command(self, method, path, body)
  local parts, text = {}, body and dkjson.encode(body)
  local _, status = http.request {
    method = method, url = ("http://127.0.0.1:%d%s"):format(self.port, path),
    headers = { ["content-type"] = "application/json", ["content-length"] = text and #text or 0 },
    source = text and ltn12.source.string(text), sink = ltn12.sink.table(parts),
  }
  local answer = dkjson.decode(table.concat(parts))
  if status == 200 then return answer.value end
  return nil, answer and answer.value.message or tostring(status)
end

local function start_driver(self)
  self.pipe = assert(io.popen(("exec >/dev/null 2>&1; chromedriver --port=%d & cat >/dev/null;"
    .. " kill $!; wait"):format(self.port), "w"))
  support.wait(function() return command(self, "GET", "/status") end, "chromedriver's answer")
end

--- Start one, with a fresh profile.
-- @param ... further flags of Chromium
function M.start(...)
  local self = setmetatable({ port = support.free_port() }, browser)
  start_driver(self)
  local flags = {
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--window-size=1100,1300", "--user-data-dir=" .. support.tempdir(),
    ...,
  }
  local session, why = command(self, "POST", "/session", { capabilities = { alwaysMatch = {
    ["goog:chromeOptions"] = { args = flags, binary = "/usr/bin/chromium" },
    unhandledPromptBehavior = "ignore",
  } } })
  if not session then
    self.pipe:close()
    error(why, 0)
  end
  self.session = "/session/" .. session.sessionId
  return self
end

--- Load an address.
function browser:open(address)
  local _, why = command(self, "POST", self.session .. "/url", { url = address })
  if why then error(why, 2) end
end

--- The text that a person sees of the first element that fits a CSS selector; nil.
function browser:text(selector)
  local found = command(self, "POST", self.session .. "/element", {
    using = "css selector", value = selector,
  })
  return found and command(self, "GET", ("%s/element/%s/text"):format(self.session, found[ELEMENT]))
end

--- Run a function's body in the page; its result.
function browser:run(script)
  local value, why = command(self, "POST", self.session .. "/execute/sync", {
    script = script, args = setmetatable({}, { __jsontype = "array" }),
  })
  if why then error(why, 2) end
  return value
end

--- The text of a dialog that a script has opened; nil.
function browser:dialog() return (command(self, "GET", self.session .. "/alert/text")) end

--- Stop it.
function browser:stop()
  if self.session then command(self, "DELETE", self.session) end
  self.pipe:close()
end

return M
