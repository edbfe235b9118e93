--- What helps when a connection is refused: servers and poolers name what they refuse, and no more.
local M = {}

local POOLER = "a pooler in between does not pass %s on (options in the connection string, "
  .. "PGOPTIONS): set it on the server with ALTER ROLE ... SET or ALTER DATABASE ... SET, connect "
  .. "directly to the server, or let pgbouncer ignore it: ignore_startup_parameters = %s"

local remedies = {
  { "unsupported startup parameter in options: ([%w_.]+)", function(name)
    return POOLER:format(name, "options")
  end },
  { "unsupported startup parameter: ([%w_.]+)", function(name)
    return POOLER:format(name, name)
  end },
  { "fe_sendauth: no password supplied", function()
    return "supply it in ~/.pgpass (PGPASSFILE), PGPASSWORD, or the connection string"
  end },
  { "server does not support SSL, but SSL was required", function()
    return "it is required by sslmode in the connection string, PGSSLMODE, or a service file"
  end },
}

--- The hint for a message; nil.
function M.of(message)
  for _, remedy in ipairs(remedies) do
    local found = message:match(remedy[1])
    if found then return remedy[2](found) end
  end
end

-- Nothing but the words tells these from other refusals: libpq keeps no SQLSTATE of them. The
-- server's are translated where lc_messages is another language; they are not known then.
local full = {
  "too many connections for ", "too many clients already",
  "remaining connection slots are reserved",
  "no more connections allowed", -- pgbouncer
}

--- Whether a message says that there is no connection left for now.
function M.is_full(message)
  for _, words in ipairs(full) do
    if message:find(words, 1, true) then return true end
  end
  return false
end

return M
