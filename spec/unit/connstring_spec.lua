-- Connection strings that are refused: the message names the part and says what to write instead,
-- and quotes nothing, as any piece may be a password's.
local pgmig = require "pgmig"

local function refused(source)
  local ok, err = pcall(pgmig.connect, source)
  assert.is_false(ok)
  assert.equal("usage", err.kind, tostring(err))
  assert.is_string(err.hint)
  return tostring(err)
end

describe("a connection string is refused", function()
  for _, case in ipairs {
    -- around it
    { '"postgresql://joe:s3cret@db/shop"', "it is enclosed in quotes", "remove the quotes" },
    { "'postgresql://joe:s3cret@db/shop?a=b'", "it is enclosed in quotes", "remove the quotes" },
    { "postgresql://joe:s3cret@db/shop'", "it ends with a quote", "remove the quote" },
    { " postgresql://joe:s3cret@db/shop", "it starts with a space", "remove it" },
    { "\npostgresql://joe:s3cret@db/shop?sslmode=x", "it starts with a space or a line break", "" },
    { "postgresql://joe:s3cret@db/shop\n", "it ends with a space or a line "
      .. "break", "remove it" },
    { "postgresql://joe:s3c\nret@db/shop", "it contains a line break", "write it on one line" },
    { "<postgresql://joe:s3cret@db/shop>", "it is enclosed in brackets", "remove the brackets" },
    { "\239\187\191postgresql://joe:s3cret@db/shop", "byte order mark", "remove it" },
    { "DATABASE_URL=postgresql://joe:s3cret@db/shop", "there is text before postgresql://", "" },
    { "psql postgresql://joe:s3cret@db/shop", "there is text before postgresql://", "" },
    -- its scheme
    { "jdbc:postgresql://db/shop?user=joe&password=s3cret", "jdbc:postgresql://",
      "write postgresql://" },
    { "postgresql+asyncpg://joe:s3cret@db/shop", "postgresql+asyncpg://", "write postgresql://" },
    { "postgresql+mine://joe:s3cret@db/shop", "names a driver", "write postgresql:// without it" },
    { "postgre://joe:s3cret@db/shop", "postgre://", "write postgresql://" },
    { "PostgreSQL://joe:s3cret@db/shop", "not in lower case", "write postgresql://" },
    { "mysql://joe:s3cret@db/shop", "mysql://", "pgmig is for PostgreSQL" },
    { "s3cret://joe@db/shop", "does not start with postgresql://", "postgresql://user" },
    { "joe:s3cret@db/shop", "postgresql:// is missing", "postgresql://user" },
    { "joe:s3cret@db:5432/shop?sslmode=require", "does not start with postgresql://", "" },
    { "db:5432/shop", "postgresql:// is missing", "postgresql://user" },
    -- the parts of a URL
    { "postgresql://joe:s3c%zzret@db/shop", "a % in the password", "%25" },
    { "postgresql://jo%e:s3cret@db/shop", "a % in the user name", "%25" },
    { "postgresql://joe:s3cret@db/sho%p", "a % in the database name", "%25" },
    { "postgresql://joe:s3cret@d%b/shop", "a % in the host", "%25" },
    { "postgresql://joe:s3cret%00@db/shop", "NUL byte", "" },
    { "postgresql://joe:s3cr@et@db/shop", "it contains more than one @", "@ as %40" },
    { "postgresql://joe:a?b@s3cret@db/shop", "it contains more than one @", "@ as %40" },
    { "postgresql://joe:s3cr/et@db/shop", "there is a / before the @", "/ as %2F" },
    { "postgresql://joe:s3cret/?a=b@db/shop", "its port is not a number", "write / as %2F" },
    { "postgresql://joe@db:s3cret/shop", "its port is not a number", "" },
    { "postgresql://joe@db:70000/shop", "its port is not a number from 1 to 65535", "" },
    { "postgresql://joe@::1/shop", "its port is not a number", "[::1]:5432" },
    { "postgresql://joe@[::1/shop", "an address in brackets is unterminated", "[::1]:5432" },
    { "postgresql://joe@[::1]x/shop", "an address in brackets must be followed by : / ? or a "
      .. "comma", "[::1]:5432" },
    { "postgresql://db;password=s3cret/shop", "the host contains a = or ;", "postgresql://user" },
    { "postgresql://db/shop;password=s3cret", "the database name contains a =", "" },
    { "postgresql://db/shop&password=s3cret", "the database name contains a =", "" },
    { "postgresql://joe:s3cret@db/shop?s3cret", "its parameter number 1 is not a libpq "
      .. "parameter", "" },
    { "postgresql://joe:s3cret@db/shop?sslmode", "a parameter after the ? has no value", "" },
    { "postgresql://joe:s3cret@db/shop?sslmode=require=x", "a parameter after the ? contains a "
      .. "second =", "%3D" },
    -- parameters
    { "postgresql://db/shop?schema=s3cret", 'no parameter "schema"', "-csearch_path" },
    { "postgresql://db/shop?currentSchema=s3cret", '"currentSchema"', "-csearch_path" },
    { "postgresql://db/shop?pgbouncer=true", 'no parameter "pgbouncer"', "remove it" },
    { "postgresql://db/shop?sslmode=allow&pool_timeout=5", '"pool_timeout"', "remove it" },
    { "postgresql://db/shop?sslmod=s3cret", "its parameter number 1", "perhaps you meant sslmode" },
    { "postgresql://db/shop?ssl=s3cret", 'no parameter "ssl"', "write sslmode=require" },
    { "host=db username=joe", 'no parameter "username"', "write user" },
    { "host=db passwort=s3cret", "its parameter number 2", "perhaps you meant password" },
    { "host=db s3cret=x", "its parameter number 2 is not a libpq "
      .. "parameter", "libpq's parameters are listed at" },
    { "host=db password=s3cr et", "a word in it is not followed by =", "single quotes" },
    { "host=db password='s3cret", "it contains an unterminated quoted "
      .. "value", "password='two words'" },
    { '"host=db password=s3cret"', "it is enclosed in quotes", "remove the quotes" },
    { "Host=db;Username=joe;Password=s3cret", "semicolons", "host=localhost user=app" },
    { "host=db;password=s3cret", "semicolons", "host=localhost user=app" },
    { "user=joe,password=s3cret host=db", "semicolons or the like", "host=localhost user=app" },
    -- values
    { "host=/nowhere sslmode=s3cret", "parameter sslmode", "verify-full" },
    { "host=/nowhere port=s3cret", "parameter port", "1 to 65535" },
    { "host=/nowhere connect_timeout=s3c", "parameter connect_timeout", "seconds" },
    { "host=/nowhere keepalives_idle=10s", "parameter keepalives_idle", "seconds" },
    { "host=/nowhere target_session_attrs=s3cret", "parameter target_session_attrs", "read-write" },
  } do
    it((("%q"):format(case[1]):gsub("\\\n", "\\n")), function()
      local said = refused(case[1])
      assert.matches("^invalid ", said)
      assert.matches(case[2], said, 1, true)
      assert.matches(case[3], said, 1, true)
      for _, piece in ipairs { "s3c", "ret@", "joe", "shop?", "et@" } do
        assert.not_matches(piece, said, 1, true)
      end
    end)
  end

  it("also as a part of a table, whose own words may be named", function()
    assert.matches("a word in it is not followed by "
      .. "=", refused { url = "host=db password=s3cr et" }, 1, true)
    assert.matches('has no parameter "schema"', refused { host = "db", schema = "x" }, 1, true)
    assert.matches('libpq has no parameter "hots"\nHINT: perhaps you meant host',
      refused { hots = "db" }, 1, true)
    assert.matches("parameter port", refused { host = "/nowhere", port = "s3c" }, 1, true)
    for _, key in ipairs { "host", "user" } do
      local said = refused { host = "/nowhere", [key] = "postgresql://joe:s3cret@db/shop" }
      assert.matches(("connection parameter %s is a URL, but must be a "
        .. "name"):format(key), said, 1, true)
      assert.not_matches("s3c", said, 1, true)
    end
    assert.matches("connection parameter dbname is a URL, but must be a name", refused {
      url = "host=/nowhere dbname=postgresql://joe:s3cret@db/shop",
    }, 1, true)
    assert.matches("connection parameter dbname is a URL, but must be a "
      .. "name", refused { url = "host=/nowhere",
      environment = { PGDATABASE = "postgresql://joe:s3cret@db/shop" } }, 1, true)
    for _, source in ipairs { { "postgresql://db/shop" }, { host = {} }, { host = "a\0b" } } do
      local ok, err = pcall(pgmig.connect, source)
      assert.same({ false, "usage" }, { ok, err.kind })
    end
  end)
end)

describe("a connection string is passed on", function()
  for _, source in ipairs {
    "host=/nowhere password='a://b@c@d'", "host=/nowhere application_name=postgresql://x",
    " host = /nowhere password = a;b=c ", "host=/nowhere dbname='a@b/c;d=e'", "nowhere.pgmig",
    "postgresql://%2Fnowhere/db", "postgres:///db?host=/nowhere&user=a@b", "host=/nowhere port=",
    "postgresql://u:p@%2Fnowhere,%2Fnever:5433/db?sslmode=prefer&ssl=true&connect_timeout=5",
    "postgresql://joe:a?b#c$d!e&f=g;h'i\"j k@%2Fnowhere/db", "postgresql://%2Fnowhere",
    "postgresql://%2Fnowhere/db?options=-csearch_path%3D'a'", "host=/nowhere password='it\\'s'",
  } do
    it(("%q"):format(source), function()
      local ok, err = pcall(pgmig.connect, { url = source, connect_timeout = 1 })
      assert.same({ false, "connect" }, { ok, err.kind })
    end)
  end
end)
