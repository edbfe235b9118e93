---@meta pgmig
-- Definitions for editors (lua-language-server): add this folder to `workspace.library`.

---@class pgmig.Error
---@field kind string "usage", "parse", "naming", "plan", "drift", "connect", "sql", "lock", "io", "hook", "lua", "interrupted", "unknown" or "memory"
---@field message string one line
---@field file string?
---@field line integer?
---@field column integer? in characters
---@field text string? the source line
---@field sqlstate string?
---@field detail string?
---@field hint string?
---@field context string?
---@field statement string?
---@field query string? the query that a function or block in the statement executed
---@field query_at integer? the position in `query`, in characters
---@field migration string? the label of the migration that failed
---@field applied pgmig.Migration[]? committed before it
---@field rolled_back pgmig.Migration[]? rolled back before it
---@field hook string? the event whose handler raised
---@field cause any what it raised
---@field traceback string?
---@field signal integer?
---@field code string? "no_answer", "too_many_connections", "no_password", "wrong_password", "no_database"
---@field holder pgmig.Holder? who held the lock of the tracking table
---@field blockers pgmig.Blocker[]? who blocked the statement that timed out

---@class pgmig.Holder
---@field pid integer
---@field application_name string?
---@field user string?
---@field client string?
---@field since string? ISO 8601
---@field seconds number? how long
---@field worker integer? the server process that runs its migrations
---@field query string? of the worker; hidden from roles without the privilege to see it
---@field state string?

---@class pgmig.Blocker
---@field pid integer
---@field application_name string?
---@field user string?
---@field state string?
---@field query string?
---@field since string?

---@class pgmig.Migration
---@field version integer|string|nil a number below 10^14, otherwise the string of digits; nil if repeatable
---@field id string? digits without leading zeros; nil if repeatable
---@field name string
---@field path string?
---@field label string
---@field state "applied"|"pending"|"missing"|"edited"|"unreadable"|"renamed"|"replaced"|"renumbered"|"out_of_order"|"forgotten"|"failed"|"unfinished"
---@field language "sql"|"lua"
---@field applied_at string? ISO 8601 with offset
---@field applied_at_epoch number? seconds
---@field down "ready"|"none"|"empty"|"irreversible"|nil set by status; also nil if only running the Lua code would tell
---@field missing boolean?
---@field repeatable boolean?
---@field failure { message: string, at: string, event: "failed"|"unknown"|"interrupted", sqlstate: string?, detail: string?, line: integer? }? its last attempt
---@field unfinished { direction: "up"|"down", done: integer, running: string?, since: string }? of transaction=off

---@class pgmig.Plan: pgmig.Migration[]
---@field direction "up"|"down"
---@field newest pgmig.Migration? the newest applied one
---@field ignored string[] files that look like migrations and are none
---@field warnings { state: string, migration: pgmig.Migration?, message: string }[] of the policy

---@class pgmig.Happening
---@field event "up"|"down"|"failed"|"unknown"|"interrupted"|"baseline"|"fake"|"adopted"|"unapplied"|"repaired"|"gone"|"resolved"
---@field version integer|string|nil
---@field id string?
---@field name string
---@field checksum string?
---@field started_at string
---@field finished_at string
---@field duration number seconds
---@field db_user string
---@field host string?
---@field program string?
---@field run string?
---@field message string?
---@field sqlstate string? of a failure
---@field detail string?
---@field file string?
---@field line integer?
---@field column integer?

---@class pgmig.Finding
---@field kind string
---@field message string
---@field remedy string? a shell command; nil where only a person can know what helps
---@field migration pgmig.Migration?

---@class pgmig.Problem
---@field kind string
---@field message string
---@field path string
---@field migration pgmig.Migration

---@class pgmig.Status
---@field applied_count integer
---@field pending_count integer
---@field applied pgmig.Migration[]
---@field pending pgmig.Migration[]
---@field ignored string[]
---@field reasons table<string, string> why a path is ignored
---@field repeatable pgmig.Migration[]
---@field problems pgmig.Problem[]
---@field warning string? set if the files of all applied migrations are missing
---@field untaken { from: string, from_table: string, applied: table<string, boolean>, message: string, hint: string?, remedy: string? }? what the table of the format's own tool says before adopt
---@field at_work { pid: integer?, worker: integer?, application_name: string?, user: string?, since: string?, query: string?, state: string?, blockers: table[]? }? who runs what has been begun

---@class pgmig.Event
---@field type "start"|"applied"|"rolled_back"|"recorded"|"unapplied"|"skipped"|"warning"|"notice"|"waiting"|"blocked"|"retry"|"lost"|"resumed"|"progress"
---@field migration pgmig.Migration?
---@field direction "up"|"down"|nil
---@field duration number? seconds
---@field statements integer? applied, rolled_back: how many, where they were counted
---@field message string?
---@field severity string?
---@field detail string?
---@field hint string?
---@field file string? of `line`
---@field line integer?
---@field holder pgmig.Holder? waiting
---@field blockers pgmig.Blocker[]? blocked
---@field attempt integer? retry
---@field delay number? retry, seconds
---@field done integer? progress: migrations of the run that have ended
---@field total integer? progress: migrations of the run
---@field bytes integer? progress: of the migration's section, sent to the server
---@field size integer? progress: of the section
---@field statement string? progress: the current command, such as "CREATE INDEX"
---@field phase string? progress: as the server reports it
---@field percent number? progress: of the phase, 0 to 100

---@class pgmig.Statement
---@field sql string without its final semicolon
---@field kind string "CREATE TABLE", "INSERT", ...
---@field line integer
---@field column integer
---@field offset integer bytes from 0
---@field copy_data string?
---@field index integer?
---@field count integer?

---@class pgmig.Section
---@field line integer
---@field transaction boolean
---@field empty boolean
---@field begin string?
---@field directives table<string, string>
---@field statements pgmig.Statement[]

---@class pgmig.Script
---@field path string
---@field marked boolean
---@field directives table<string, string>
---@field warnings { line: integer, column: integer, message: string }[]
---@field irreversible string?
---@field up pgmig.Section?
---@field down pgmig.Section?

---@class pgmig.Context
---@field event string
---@field migration pgmig.Migration?
---@field direction "up"|"down"
---@field db pgmig.Connection progress: nil while a statement runs
---@field attempt integer
---@field clone boolean? true on a clone (docs/proof.md)
---@field statement pgmig.Statement?
---@field sql string? may be replaced in before_statement
---@field duration number? seconds
---@field error pgmig.Error?
---@field delay number? retry: seconds before the next attempt; may be changed
---@field holder pgmig.Holder? lock_wait
---@field blockers pgmig.Blocker[]? lock_wait
---@field plan pgmig.Plan?
---@field applied pgmig.Migration[]?
---@field done integer? progress
---@field total integer? progress
---@field bytes integer? progress
---@field size integer? progress
---@field phase string? progress
---@field percent number? progress
---@field command string? progress: the current command
local context = {}

---Skip this migration (before_each) or statement (before_statement).
---@param reason string?
function context:skip(reason) end

---Do not try again (retry).
function context:stop() end

---@alias pgmig.Read fun(path: string): string?, string the text of a file, and its path for messages

---@class pgmig.Rule
---@field parse fun(path: string): table?
---@field format fun(version: string, name: string, direction: "up"|"down"): string
---@field next? fun(newest: pgmig.Migration?): string
---@field dotted? boolean
---@field deep? boolean
---@field digits? fun(version: string): string digits that sort as the version does
---@field numbers_repeat? boolean
---@field names_differ? boolean
---@field lone_down? boolean
---@field foreign? string a Lua pattern
---@field pattern? string how files are named, for messages
---@field baseline? fun(version: string, name: string): string the path of a baseline migration
---@field baseline_replaces? boolean its version is that of the last one that it stands for
---@field parser? fun(paths: string[], read: pgmig.Read): fun(path: string): table|false|nil
---@field listed? string the file that lists the migrations, for messages

---@class pgmig.Marker
---@field text string in lower case
---@field kind "up"|"down"|"divider"|"setting"|"end"|"ignored"|"refused"
---@field key? string of a setting: a directive
---@field value? string
---@field whole_file? boolean
---@field first? boolean
---@field exact? boolean with first: byte for byte, whatever follows
---@field margin? boolean it counts at the start of a line only
---@field options? boolean
---@field loose? boolean dashes may precede it, and anything may follow it
---@field anywhere? boolean its tool finds it anywhere
---@field hint? string

---@class pgmig.Vocabulary
---@field markers? pgmig.Marker[]
---@field options? { text: string, key: string, value: string }[]
---@field transaction? "on"|"off"|"own"|"auto"
---@field unwrapped? boolean its tool does not begin a transaction for a file
---@field untransacted? string
---@field marked? boolean
---@field repeats? boolean
---@field empty? boolean
---@field placeholder? string
---@field psql? boolean psql runs the files: its commands that change nothing are passed over
---@field placeholder_end? string
---@field named? boolean a placeholder holds a name and nothing else
---@field suspects? boolean what looks like a placeholder is a warning

---@class pgmig.Tracking
---@field table string
---@field columns string[]
---@field exact? boolean it has no other columns
---@field query string "%s" stands for the table
---@field newest? boolean it keeps only one row
---@field checksum? "sha384"|"sha256"|"sha1"|"md5"|"crc32"|"siphash13"|fun(m: pgmig.Migration, row: table): string
---@field judge? fun(rows: table[], set: table): table[], string[]
---@field elsewhere? string its name in another schema
---@field same? fun(text: string, row: table, m: pgmig.Migration): boolean
---@field mark? string[] a Lua pattern, and the name of what it finds

---@class pgmig.Layout SQL: %t the table, %s its schema, %k the key, %n the name, %a when it was applied, %d the checksum, %{word} of `values`
---@field create string|fun(list: pgmig.Migration[], named: fun(ending: string): string): string
---@field claim string
---@field release string
---@field correct? string
---@field key_of? fun(m: pgmig.Migration): string
---@field values? fun(m: pgmig.Migration, path: string): table<string, string>
---@field in_order? boolean the tool runs nothing that comes before what it has applied
---@field repeatable? boolean repeatable migrations have rows, too

---@class pgmig.Shared SQL: %t the table, %k the key, %n the name, %a when it was applied, %d the digest
---@field columns string
---@field key string
---@field locked? boolean
---@field key_of? fun(m: pgmig.Migration): string
---@field digest? "sha384"|"sha256"|"sha1"|"md5"|"crc32"|"siphash13"
---@field create string
---@field list string
---@field claim string
---@field release string
---@field there string
---@field correct? string

---@class pgmig.Adoption a list of migrations
---@field from string
---@field from_table string
---@field notes string[]
---@field known integer
---@field applied_at table<pgmig.Migration, string>

---@class pgmig.Export a list of the migrations whose rows are written
---@field to string
---@field to_table string
---@field creates boolean whether the table was missing
---@field known integer how many had their rows
---@field removed pgmig.Migration[]
---@field corrected pgmig.Migration[]
---@field notes string[]

---@class pgmig.Format
---@field name string
---@field about? string
---@field naming pgmig.Rule
---@field vocabulary? pgmig.Vocabulary
---@field table? string
---@field template? string|{ up: string, down: string? }
---@field fill? fun(text: string, values: table<string, string>): string
---@field timestamps? boolean
---@field create? string|fun(dir: string, words: string, sanitise: fun(words: string): string): string, string? why there is none, or what writes a file
---@field settings? fun(path: string, read: fun(path: string): string?): { transaction: "off"?, placeholders: false? }?
---@field signs? { lines: string[]?, first: string[]?, paths: string[]?, never: string[]?, dir: string?, beside: table<string, string>?, weak: boolean?, like: string? }
---@field rewrite? fun(text: string): string?
---@field rewrites? string
---@field tracking? pgmig.Tracking
---@field shared? pgmig.Shared
---@field unshared? string why its table cannot be shared
---@field export? pgmig.Layout
---@field unexported? string why its rows cannot be written

---@class pgmig.Rendered what `render` is told of a file
---@field path string
---@field id? string
---@field version? integer|string
---@field name? string
---@field label? string
---@field direction? "up"|"down"|"verify" of the file; nil: both ways are in it

---@alias pgmig.Choice "error"|"warn"|"allow"

---@class pgmig.Options
---@field table? string
---@field strict? boolean
---@field lock_timeout? string
---@field lock_wait? number|string seconds; "5min"
---@field retries? integer
---@field reconnect? number|string seconds; "1min"
---@field drift_check? boolean
---@field syntax_check? boolean
---@field pipeline? boolean
---@field policy? { edited: pgmig.Choice?, renamed: pgmig.Choice?, replaced: pgmig.Choice?, missing: pgmig.Choice?, renumbered: pgmig.Choice?, out_of_order: pgmig.Choice?, forgotten: pgmig.Choice?, ignored: pgmig.Choice? }
---@field format? string|pgmig.Format a name, "auto", the path of a .lua file, or a table
---@field placeholders? table<string, string>|false
---@field templates? "psql"
---@field environment? string[] variables of the environment that are values of placeholders
---@field render? fun(text: string, migration: pgmig.Rendered): string
---@field shared? boolean
---@field naming? pgmig.Rule
---@field pg_dump? string the program
---@field throttle? pgmig.Throttle|fun(figures: table): string|boolean|nil limits of backfills
---@field backfill? "now"|"later" when a run does the backfills of its migrations
---@field hooks? table<string, fun(ctx: pgmig.Context)|fun(ctx: pgmig.Context)[]>
---@field rules? table<string, pgmig.CheckRule|false|"note"|"warning"|"error">
---@field log? fun(level: string, message: string, event: table)

---@class pgmig.Place
---@field name string of the database
---@field user string
---@field host string a name, an address or the folder of a socket
---@field port integer

---@class pgmig.Connection
local connection = {}

---@param sql string
---@param ... string|number|boolean|nil
---@return table[] rows
function connection:query(sql, ...) end

---@param sql string
---@param ... string|number|boolean|nil
---@return table[] rows
function connection:ask(sql, ...) end

---Like `ask`, but the response must have the given shape (core/wire/answer.h); otherwise the connection is closed.
---@param shape string how many rows, and their columns
---@param sql string
---@param ... string|number|boolean|nil
---@return table<string, any>[] rows
function connection:ask_rows(shape, sql, ...) end

---The first row of what `ask_rows` returns.
---@param shape string
---@param sql string
---@param ... string|number|boolean|nil
---@return table<string, any>? row
function connection:ask_row(shape, sql, ...) end

---@param script string
---@return string tag
function connection:exec(script) end

---@param fn fun(db: pgmig.Connection): ...
---@return any ...
function connection:transaction(fn) end

---@param sql string
---@param peer string|fun(): string?|fun(piece: string)|nil
---@return integer|string|nil
function connection:copy(sql, peer) end

---@class pgmig.Throttle docs/backfill.md#what-a-batch-waits-for
---@field replica_lag? "auto"|number|false bytes
---@field slot_wal? number|false bytes
---@field archive_wal? number|false bytes
---@field lock_waiters? number|false
---@field vacuum? boolean
---@field check? fun(figures: table): string|boolean|nil

---@class pgmig.BackfillOptions docs/backfill.md
---@field table string
---@field key? string|string[] default: the primary key
---@field set? string what stands behind SET
---@field each? fun(rows: table[], db: pgmig.Connection) instead of set: called in each batch's transaction
---@field where? string
---@field batch? integer rows of the first batch, default 100
---@field target? number seconds of a batch, default 0.25
---@field skip? integer how many rows may be left out that cannot be changed, default 0
---@field name? string outside of migrations: by which it is known when it is called again
---@field tracking? string outside of migrations: the tracking table
---@field rate? number rows a second
---@field duty? number share of the time, 0.01 to 1
---@field hours? string "22:00-06:00"
---@field throttle? pgmig.Throttle|fun(figures: table): string|boolean|nil
---@field analyze? boolean false: no ANALYZE at the end
---@field stop? fun(): boolean? whether to end behind the batch under way
---@field on_progress? fun(event: table)

---@class pgmig.Backfill
---@field migration string its version, or "script:NAME"
---@field step integer
---@field label string
---@field table string
---@field key string[]?
---@field state "pending"|"running"|"paused"|"failed"|"cancelled"|"done"
---@field rows integer that were changed
---@field seen integer that were passed
---@field estimated integer?
---@field fraction number 0 to 1
---@field rate number? rows a second
---@field eta number? seconds
---@field batch integer? rows
---@field waiting string? what for
---@field error string?
---@field failed_key string[]?
---@field skipped { key: string[], error: string }[]

---Fill a table, batch after batch: resumable, each row once.
---@param options pgmig.BackfillOptions
---@return pgmig.Backfill
function connection:backfill(options) end

---@param s string
---@return string
function connection:quote_literal(s) end

---@param s string
---@return string
function connection:quote_ident(s) end

---@param fn fun(notice: table)?
function connection:on_notice(fn) end

---@return integer
function connection:backend_pid() end

---Which database it is connected to, or was before it was lost: as the connection has it.
---@return pgmig.Place
function connection:place() end

---@return integer
function connection:server_version() end

function connection:check_interrupted() end

---@return boolean
function connection:is_lost() end

---@param deadline number? of core.now()
function connection:reconnect(deadline) end

---@param application_name string
---@param deadline number? of core.now()
---@param wait function? its driver
---@return pgmig.Connection
function connection:beside(application_name, deadline, wait) end

---@return table? limit
function connection:patience() end

---@param watch table?
---@param fn function
---@param ... any
---@return any
function connection:watched_by(watch, fn, ...) end

---@param fn function
function connection:despite_signals(fn) end

---@return pgmig.Blocker[]?
function connection:seen_blockers() end

---@param pause_seconds number
function connection:sleep(pause_seconds) end

function connection:close() end

---@param limit number|table?
---@param observer fun()?
function connection:run(limit, observer) end

---@param operation userdata? the core's object that it is of; nil: a request
---@param ... any what its finish takes
---@return any
function connection:finish(operation, ...) end

---@param ledger userdata the core's
---@param jobs table[] as of core.apply
---@return userdata run the core's
function connection:apply(ledger, jobs) end

---@return integer? bytes
---@return integer? size
---@return integer? done
---@return string? kind
function connection:progress() end

---@class pgmig.Migrator
local migrator = {}

---@return pgmig.Status
function migrator:status() end

---@return pgmig.Migration[]
function migrator:pending() end

---@return pgmig.Migration[]
function migrator:applied() end

---@param options integer|{ limit: integer? }|nil
---@return pgmig.Happening[]
function migrator:history(options) end

---@class pgmig.RunOptions
---@field on_event? fun(event: pgmig.Event)
---@field stop? fun(): boolean
---@field unattended? boolean

---@class pgmig.UpOptions: pgmig.RunOptions
---@field to? integer|string the last version; `target` is the same
---@field steps? integer
---@field phase? "pre"|"post"|"all"
---@field dry_run? boolean

---@class pgmig.DownOptions: pgmig.RunOptions
---@field to? integer|string the version that stays
---@field steps? integer
---@field all? boolean
---@field dry_run? boolean

---@param options integer|string|pgmig.UpOptions|nil
---@return pgmig.Plan
function migrator:plan(options) end

---@param options integer|pgmig.DownOptions|nil
---@return pgmig.Plan
function migrator:plan_rollback(options) end

---@param m pgmig.Migration
---@param direction "up"|"down"
---@return { migration: pgmig.Migration, table: string, transaction: boolean, statements: pgmig.Statement[], problem: string?, resume: { done: integer, drops: string[], finish: string?, problem: pgmig.Error?, unsure: string? }? }
function migrator:describe(m, direction) end

---Write a plan as a script for psql; refuses migrations in Lua and half-finished ones.
---@param plan pgmig.Plan of `plan`
---@param write fun(text: string)
function migrator:script(plan, write) end

---@param event "before_all"|"after_all"|"before_each"|"before_statement"|"after_statement"|"after_each"|"committed"|"error"|"progress"|"retry"|"lock_wait"
---@param fn fun(ctx: pgmig.Context)
---@return pgmig.Migrator
function migrator:on(event, fn) end

---@param plan pgmig.Plan
---@param options pgmig.RunOptions?
---@return pgmig.Migration[]
function migrator:run(plan, options) end

---@param version integer|string
---@param options pgmig.RunOptions?
---@return pgmig.Migration[]
function migrator:baseline(version, options) end

---@param version integer|string
---@param options pgmig.RunOptions?
---@return pgmig.Migration[]
function migrator:fake(version, options) end

---@param version integer|string
---@param options pgmig.RunOptions?
---@return pgmig.Migration[]
function migrator:unapply(version, options) end

---@param options { from: string|pgmig.Format?, from_table: string?, dry_run: boolean?, on_event: fun(event: pgmig.Event)? }?
---@return pgmig.Adoption
function migrator:adopt(options) end

---@param options { to: string|pgmig.Format?, to_table: string?, dry_run: boolean?, on_event: fun(event: pgmig.Event)? }?
---@return pgmig.Export
function migrator:export(options) end

---@return pgmig.Finding[]
function migrator:doctor() end

---@param version integer|string|nil nil: all
---@param options { replaced: boolean?, gone: boolean?, on_event: fun(event: pgmig.Event)? }?
---@return pgmig.Migration[]
function migrator:repair(version, options) end

---@param version integer|string
---@param how "done"|"redo"|"restart"
---@param options { on_event: fun(event: pgmig.Event)? }?
---@return pgmig.Migration
function migrator:resolve(version, how, options) end

---@param options integer|string|pgmig.UpOptions|nil
---@return pgmig.Migration[]
function migrator:migrate(options) end

---@param options integer|pgmig.DownOptions|nil
---@return pgmig.Migration[]
function migrator:rollback(options) end

---@param options integer|{ steps: integer?, on_event: fun(event: pgmig.Event)? }|nil
---@return { rolled_back: pgmig.Migration[], applied: pgmig.Migration[] }
function migrator:redo(options) end

---@param version integer|string the last one that is to be applied; 0: none
---@return pgmig.Plan plan with target, and again = what is applied behind a rollback
function migrator:plan_go_to(version) end

---@param version integer|string the last one that is to be applied; 0: none
---@param options { dry_run: boolean?, on_event: fun(event: pgmig.Event)?, stop: (fun(): boolean)?, unattended: boolean? }?
---@return { rolled_back: pgmig.Migration[], applied: pgmig.Migration[] }
function migrator:go_to(version, options) end

---@param options { keep: string|string[]|nil, base: string?, out_of_order: boolean?, dry_run: boolean? }?
---@return { renamed: { from: string, to: string }[], kept: { path: string, reason: string }[], notes: string[] }
function migrator:renumber(options) end

---@param version? string|number "12", "12.2" for its second step, or a script's name
---@return pgmig.Backfill[]
function migrator:backfills(version) end

---@param options? { version?: string|number, rate?: number, duty?: number, hours?: string, throttle?: pgmig.Throttle|function, stop?: fun(): boolean?, on_event?: fun(event: table) }
---@return pgmig.Backfill[]
function migrator:run_backfills(options) end

---@param version? string|number
---@param how "pause"|"resume"|"cancel"|"retry"
---@return pgmig.Backfill[] those that were changed
function migrator:set_backfills(version, how) end

---@class pgmig.CloneOptions
---@field scratch? string URL of a server where databases may be created
---@field scratch_bin? string folder of a server's programs
---@field schema_from? string URL of a database, or a file of pg_dump -s
---@field applied_to? integer|string
---@field on_event? fun(event: pgmig.Event)

---@class pgmig.TraceOptions: pgmig.CloneOptions
---@field to? integer|string
---@field steps? integer
---@field phase? "pre"|"post"|"all"

---@class pgmig.Effect docs/proof.md#the-effects-record
---@field migration string
---@field version integer|string|nil
---@field direction "up"|"down"
---@field file string
---@field line integer
---@field column integer
---@field statement integer
---@field kind string
---@field sql string
---@field transaction boolean
---@field locks table<string, string>
---@field held table<string, string>
---@field relations table<string, { oid: integer, kind: string, table: string?, existed: boolean, named: boolean }>
---@field rewrites string[]
---@field reasons table<string, string>
---@field scans table<string, integer>
---@field builds { index: string, table: string, new: boolean?, rebuilt: boolean? }[]
---@field kept string[]
---@field written table<string, { inserted: integer, updated: integer, deleted: integer }>
---@field created { kind: string, name: string, table: string? }[]
---@field dropped { kind: string, name: string, table: string? }[]
---@field changed table[]?
---@field settings { lock_timeout: string, statement_timeout: string }
---@field commands { tag: string, object: string? }[]
---@field duration number seconds
---@field error pgmig.Error?
---@field source "table"|"catalog"|nil
---@field waits string?

---@alias pgmig.CheckRule fun(effect: pgmig.Effect, facts: pgmig.Facts, report: fun(finding: string|table))

---@class pgmig.CheckOptions: pgmig.TraceOptions
---@field facts? string|table a file of `pgmig stats`, or what is in it
---@field queries? string|string[] a file, "pg_stat_statements", or a list
---@field rules? table<string, pgmig.CheckRule|false|"note"|"warning"|"error">

---@class pgmig.Facts
---@field version string?
---@field settings table<string, string>
---@field rows fun(self: pgmig.Facts, relation: string): integer? of `schema.name`
---@field bytes fun(self: pgmig.Facts, relation: string): integer?

---@class pgmig.CheckFinding docs/check.md
---@field id string
---@field severity "error"|"warning"|"note"
---@field message string
---@field migration string?
---@field file string?
---@field line integer?
---@field column integer?
---@field statement integer?
---@field relation string?
---@field why string?
---@field rewrite string? the same change in a safe way, in SQL
---@field link string?
---@field accepted string? the reason of lint-ignore
---@field forecast string?
---@field lock string?
---@field query string?
---@field calls integer?
---@field sqlstate string?

---@param options pgmig.CheckOptions?
---@return { findings: pgmig.CheckFinding[], counts: { error: integer, warning: integer, note: integer, accepted: integer }, migrations: integer, statements: integer, notes: string[], server_version: integer }
function migrator:check(options) end

---@param options pgmig.TraceOptions?
---@return { effects: pgmig.Effect[], notes: string[], server_version: integer, error: pgmig.Error? }
function migrator:trace(options) end

---@class pgmig.VerifyOptions: pgmig.CloneOptions
---@field pending? boolean
---@field to? integer|string
---@field seed? string|fun(db: pgmig.Connection, version: integer|string|nil) a file of SQL
---@field rows? boolean

---@class pgmig.Difference
---@field object { kind: string, name: string }
---@field part? string
---@field field? string
---@field old? string
---@field new? string
---@field columns? string[]
---@field change "added"|"dropped"|"changed"|"renamed"|"order"

---@class pgmig.Drift
---@field equal boolean
---@field of string what it is compared with
---@field differences pgmig.Difference[]
---@field lines string[]
---@field beside pgmig.Difference[] of what no file touches
---@field beside_lines string[]
---@field notes string[]

---@param options? table those of trace, and against: the URL of another database
---@return pgmig.Drift
function migrator:drift(options) end

---@class pgmig.DetectedBaseline
---@field migration? pgmig.Migration the last one of those that make the schema
---@field fits string[] labels
---@field nearest? pgmig.Migration
---@field lines? string[] what differs from the nearest
---@field error? pgmig.Error
---@field notes string[]

---@param options? table those of trace
---@return pgmig.DetectedBaseline
function migrator:detect_baseline(options) end

---@class pgmig.Verified
---@field migration pgmig.Migration
---@field label string
---@field version integer|string|nil
---@field result "reversible"|"irreversible"|"none"|"reordered"|"broken"|"leftover"|"nothing"|"failed"|"unreached"|"repeatable"
---@field reason? string
---@field error? pgmig.Error
---@field again? boolean
---@field differences? pgmig.Difference[]
---@field lines? string[]

---@param options pgmig.VerifyOptions?
---@return { ok: boolean, results: pgmig.Verified[], chain: { complete: boolean, because_of: string? }, complaints: string[], notes: string[], server_version: integer }
function migrator:verify(options) end

---@class pgmig.Squash
---@field path string
---@field text string
---@field replaced pgmig.Migration[]
---@field behind integer how many others were tried behind it
---@field lost { name: string, rows: integer? }[] what is not in the file
---@field written? boolean
---@field notes string[]

---@param options integer|string|{ to: integer|string, data: boolean?, delete: boolean?, dry_run: boolean?, scratch: string?, scratch_bin: string? }
---@return pgmig.Squash
function migrator:squash(options) end

---@class pgmig.Dump
---@field text string
---@field path? string
---@field changed? boolean whether the file has changed
---@field left_out string[] what is not in it because it may hold a password

---@param options? string|{ output: string? } a path
---@return pgmig.Dump
function migrator:dump(options) end

---@param name string
---@param options { timestamp: boolean? }?
---@return string path
---@return string? down_path
function migrator:create(name, options) end

---@return table
function migrator:files() end

---@class pgmig.naming
---@field default pgmig.Rule
---@field numbered pgmig.Rule
---@field paired pgmig.Rule
---@field folders pgmig.Rule
local naming = {}

---@param pattern string a Lua pattern of paths that captures version, name, and "up" or "down"
---@return fun(path: string): table?
function naming.parse_directed(pattern) end

---@param version string
---@return string digits
function naming.dotted(version) end

---@param version string
---@param width integer
---@return string digits
function naming.sortable(version, width) end

---@param version string
---@param width integer
---@return string digits
function naming.sortable_name(version, width) end

---@param utc string
---@return string digits
function naming.milliseconds(utc) end

---@param newest pgmig.Migration?
---@return string digits
function naming.next_number(newest) end

---@param newest pgmig.Migration?
---@param now string
---@return string digits
function naming.next_time(newest, now) end

---@param version string
---@return string digits
function naming.parts(version) end

---@param rule pgmig.Rule
---@return pgmig.Rule
function naming.check(rule) end

---@param rule pgmig.Rule
---@param paths string[]
---@param read pgmig.Read
---@return fun(path: string): table|false|nil
function naming.parser(rule, paths, read) end

---@class pgmig.formats
---@field names string[]
local formats = {}

---@param given string|pgmig.Format
---@return pgmig.Format
function formats.find(given) end

---@param given string|pgmig.Format
---@param placeholders table<string, string>|false|nil
---@param options { templates: "psql"?, environment: string[]?, render: function? }?
---@return table
function formats.load(given, placeholders, options) end

---@class pgmig.drivers
local drivers = {}

---@param handle userdata? nil: only wait for the deadline
---@param want "r"|"w"|"rw"|nil
---@param deadline number?
---@return integer? signal
function drivers.blocking(handle, want, deadline) end

---@param handle userdata? nil: only wait for the deadline
---@param want "r"|"w"|"rw"|nil
---@param deadline number?
---@return integer? signal
function drivers.coroutine(handle, want, deadline) end

---@class pgmig.nginx.Options: pgmig.Options
---@field database? string|table what pgmig.connect takes
---@field dir? string|string[] relative to nginx's prefix unless absolute
---@field to? integer|string the version that this release requires; `target` is the same
---@field mode? "migrate"|"check"
---@field shm? string the lua_shared_dict, "pgmig"
---@field pool? string the thread_pool, "pgmig"
---@field on_event? fun(event: pgmig.Event)
---@field phase? "pre"|"all" what to wait for, and to apply; default "pre"
---@field refuse? boolean check raises an error if the schema is not as required

---require "pgmig.nginx"
---@class pgmig.nginx
local nginx = {}

---In init_worker_by_lua.
---@param options pgmig.nginx.Options
function nginx.setup(options) end

---In access_by_lua.
function nginx.gate() end

---In content_by_lua: JSON.
function nginx.status() end

---In content_by_lua: a page.
function nginx.dashboard() end

---In init_by_lua.
---@param options pgmig.nginx.Options
---@return boolean
function nginx.check(options) end

---In exit_worker_by_lua.
function nginx.on_exit() end

---@class pgmig.testing
local testing = {}

---A connection to a new database with all migrations applied; it has database_name and database_url.
---Beside these options it takes those of pgmig.migrator.
---@param options { dir: string|string[]?, url: string?, table: string?, format: string|table?, naming: table?, placeholders: table|false? }?
---@return pgmig.Connection
function testing.database(options) end

---@param dir string|string[]|nil
---@param options (pgmig.VerifyOptions|pgmig.MigratorOptions|{ url: string? })?
---@return table as of migrator:verify
function testing.verify(dir, options) end

---@param db pgmig.Connection?
function testing.drop(db) end

---@class pgmig.scratch.Server
---@field password string of postgres, over TCP
---@field host string the folder of its socket
---@field port integer
---@field log string
local server = {}

---@param dbname string?
---@return string
function server:url(dbname) end

function server:stop() end

---@class pgmig.scratch
local scratch = {}

---@param options { settings: table<string, string>?, memory: boolean? }?
---@return pgmig.scratch.Server
function scratch.start(options) end

---@class pgmig.config
---@field FILE string
local config = {}

---@param path string
---@return table
function config.load(path) end

---@class pgmig.errors
local errors = {}

---@param kind string
---@param message string
---@param fields table?
---@return pgmig.Error
function errors.new(kind, message, fields) end

---@param kind string
---@param message string
---@param fields table?
function errors.raise(kind, message, fields) end

---@param value any
---@param kind string?
---@return boolean
function errors.is(value, kind) end

---Whether the outcome of the interrupted operation is not known.
---@param err any
---@return boolean
function errors.is_untold(err) end

---@class pgmig
---@field _VERSION string
---@field naming pgmig.naming
---@field drivers pgmig.drivers
---@field formats pgmig.formats
local pgmig = {}

---@param source string|table|nil
---@return pgmig.Connection
function pgmig.connect(source) end

---@param db pgmig.Connection?
---@param dir string|string[]
---@param options pgmig.Options?
---@return pgmig.Migrator
function pgmig.migrator(db, dir, options) end

pgmig.database = {}

---@param source string|table|nil as of `pgmig.connect`
---@param options { owner: string?, template: string?, encoding: string? }?
---@return boolean made false: it was there
function pgmig.database.create(source, options) end

---@param source string|table|nil as of `pgmig.connect`
---@param options { force: boolean?, confirm: fun()? }?
---@return boolean dropped false: it was not there
function pgmig.database.drop(source, options) end

---@param value any
---@param kind string?
---@return boolean
function pgmig.is_error(value, kind) end

---@param text_or_path string
---@param options { format: string|pgmig.Format?, placeholders: table<string, string>|false?, templates: "psql"?, environment: string[]?, render: function? }?
---@return pgmig.Script
function pgmig.parse(text_or_path, options) end

---@param text string
---@return string
function pgmig.checksum(text) end

return pgmig
