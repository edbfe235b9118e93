# Completion of pgmig for fish.

set -l commands init status version up migrate down rollback plan redo goto create renumber baseline unapply adopt \
    export history doctor repair resolve trace check stats verify drift squash dump database config wait lua help
set -l formats atlas dbmate diesel drizzle evolve flyway golang-migrate goose graphile-migrate \
    hasura maragu micrate node-pg-migrate pgmig popx postgrator postgres-migrations prisma rails \
    refinery shmig sqitch sql-migrate sqlx supabase tern
set -l policies {edited,renamed,replaced,missing,renumbered,out_of_order,forgotten,ignored}={error,warn,allow}

# The command line has none of the commands yet.
set -l before "not __fish_seen_subcommand_from $commands"
# It has one of these.
set -l behind __fish_seen_subcommand_from
set -l proof "$behind trace check verify drift squash baseline"

complete -c pgmig -f

# Commands.
complete -c pgmig -n $before -a init -d 'write what a project needs'
complete -c pgmig -n $before -a status -d 'show what is applied and what is pending'
complete -c pgmig -n $before -a version -d 'show the newest applied migration'
complete -c pgmig -n $before -a 'up migrate' -d 'apply pending migrations'
complete -c pgmig -n $before -a 'down rollback' -d 'roll back applied migrations'
complete -c pgmig -n $before -a plan -d 'show what up would run'
complete -c pgmig -n $before -a redo -d 'roll back the newest migration and apply it again'
complete -c pgmig -n $before -a goto -d 'go to a version, up or down'
complete -c pgmig -n $before -a create -d 'write a new migration file'
complete -c pgmig -n $before -a renumber -d 'give files with the same number new ones'
complete -c pgmig -n $before -a baseline -d 'record migrations without running them'
complete -c pgmig -n $before -a unapply -d 'record a migration as not applied'
complete -c pgmig -n $before -a adopt -d 'take over what another tool has applied'
complete -c pgmig -n $before -a export -d 'write the rows of another tool'
complete -c pgmig -n $before -a history -d 'show what has happened'
complete -c pgmig -n $before -a doctor -d 'diagnose problems and print the fix for each'
complete -c pgmig -n $before -a repair -d 'accept files as they are now'
complete -c pgmig -n $before -a resolve -d 'resolve a statement whose outcome is not known'
complete -c pgmig -n $before -a trace -d 'show what the pending migrations lock and rewrite'
complete -c pgmig -n $before -a check -d 'judge the pending migrations before they run'
complete -c pgmig -n $before -a stats -d 'print the sizes of the tables'
complete -c pgmig -n $before -a verify -d 'try whether each migration can be rolled back'
complete -c pgmig -n $before -a drift -d 'compare the schema with what the files make'
complete -c pgmig -n $before -a squash -d 'put one file in the place of many'
complete -c pgmig -n $before -a dump -d 'write the schema and what is applied to a file'
complete -c pgmig -n $before -a database -d 'create or drop the database itself'
complete -c pgmig -n $before -a config -d 'show the settings in effect'
complete -c pgmig -n $before -a wait -d 'wait until the database accepts connections'
complete -c pgmig -n $before -a lua -d 'run a Lua script'
complete -c pgmig -n $before -a help -d 'show the help of a command'

# Options of all commands.
complete -c pgmig -s h -l help -d 'show help'
complete -c pgmig -s d -l database -x -d 'the database'
complete -c pgmig -l dir -x -a '(__fish_complete_directories)' -d 'the migrations folder'
complete -c pgmig -l table -x -d 'the tracking table'
complete -c pgmig -l format -x -a "auto $formats" -d 'the migration file format'
complete -c pgmig -l shared -d 'use the tracking table of the other tool in place'
complete -c pgmig -l lock-timeout -x -d 'how long a statement waits for a lock'
complete -c pgmig -l lock-wait -x -d 'how long to wait for another run'
complete -c pgmig -l retries -x -d 'how often to retry after a lock timeout'
complete -c pgmig -l reconnect -x -d 'how long to try to reconnect'
complete -c pgmig -l response-timeout -x -d 'how long to wait for a response from the server'
complete -c pgmig -l no-drift-check -d 'do not read the files of applied migrations'
complete -c pgmig -l no-syntax-check -d 'do not let the server parse all statements first'
complete -c pgmig -l no-pipeline -d 'wait for the response to each statement'
complete -c pgmig -l policy -x -a "$policies" -d 'how up treats a state'
complete -c pgmig -l set -x -d 'the value of a placeholder'
complete -c pgmig -l templates -x -a psql -d 'the syntax of placeholders'
complete -c pgmig -l env -x -a '(set -nx)' -d 'a variable that is a placeholder'
complete -c pgmig -l config -r -F -d 'the config file'
complete -c pgmig -l backfill -x -a 'now later' -d 'when up does backfills'
complete -c pgmig -l pg-dump -r -F -d 'the pg_dump of dump and others'
complete -c pgmig -l json -d 'print JSON, for programs'
complete -c pgmig -s q -l quiet -d 'print errors only'
complete -c pgmig -s v -l verbose -d 'print each statement with its time'
complete -c pgmig -l no-color -d 'print without colors'
complete -c pgmig -l version -d 'show the version'

# Options of the commands that try something on a clone.
complete -c pgmig -n $proof -l scratch -x -d 'a server where databases may be created'
complete -c pgmig -n $proof -l scratch-bin -x -a '(__fish_complete_directories)' \
    -d 'the programs of the server to start'
complete -c pgmig -n $proof -l schema-from -r -F -d 'a database, or a file of pg_dump -s'
complete -c pgmig -n $proof -l applied-to -x -d 'count those up to a version as applied'

# Options of one command or a few.
complete -c pgmig -n "$behind lua" -F
complete -c pgmig -n "$behind lua" -s e -x -d 'run a piece of code'
complete -c pgmig -n "$behind init" -l ci -x -a 'github gitlab' -d 'also a file for the CI'
complete -c pgmig -n "$behind status" -l exit-code -d 'exit with code 3 if anything is pending'
complete -c pgmig -n "$behind status history" -l local-time -d 'times in the local time zone'
complete -c pgmig -n "$behind doctor" -l exit-code -d 'exit with code 3 if there are findings'
complete -c pgmig -n "$behind up migrate plan trace check verify" -l to -x \
    -d 'stop after a version'
complete -c pgmig -n "$behind down rollback" -l to -x -d 'keep a version'
complete -c pgmig -n "$behind squash" -l to -x -d 'the last version to replace'
complete -c pgmig -n "$behind up migrate plan trace check" -l steps -x -d 'at most this many'
complete -c pgmig -n "$behind up migrate plan trace check" -l phase -x -a 'pre post all' \
    -d 'before or after the deploy'
complete -c pgmig -n "$behind down rollback redo" -l steps -x -d 'this many'
complete -c pgmig -n "$behind down rollback" -l all -d 'roll back everything'
complete -c pgmig -n "$behind up migrate" -l fake -x -d 'record a version without running it'
complete -c pgmig -n "$behind up migrate" -l check -d 'do not begin if check finds errors'
complete -c pgmig -n "$behind up migrate down rollback goto" -l dry-run -d 'only show what would run'
complete -c pgmig -n "$behind adopt baseline" -l dry-run -d 'only show what would be recorded'
complete -c pgmig -n "$behind renumber" -l dry-run -d 'only show what would be renamed'
complete -c pgmig -n "$behind renumber" -l keep -r -F -d 'this file stays'
complete -c pgmig -n "$behind renumber" -l base -x -d 'the main branch'
complete -c pgmig -n "$behind renumber" -l offline -d 'ask no database'
complete -c pgmig -n "$behind renumber" -l out-of-order -d 'also what is below the newest applied'
complete -c pgmig -n "$behind squash" -l dry-run -d 'write and delete nothing'
complete -c pgmig -n "$behind up migrate plan" -l script -d 'write a script for psql'
complete -c pgmig -n "$behind up migrate down rollback redo goto" -l dump -r -F \
    -d 'then write the schema to a file'
complete -c pgmig -n "$behind create" -l timestamp -d 'use the time as the version'
complete -c pgmig -n "$behind create" -l edit -d 'open it in the editor'
complete -c pgmig -n "$behind baseline" -l detect -d 'find the version on a clone'
complete -c pgmig -n "$behind adopt" -l from -x -a "$formats" -d 'the tool'
complete -c pgmig -n "$behind adopt" -l from-table -x -d 'its table'
complete -c pgmig -n "$behind export" -l to -x -a "$formats" -d 'the tool'
complete -c pgmig -n "$behind export" -l to-table -x -d 'its table'
complete -c pgmig -n "$behind export" -l dry-run -d 'only show what would be written'
complete -c pgmig -n "$behind history" -l limit -x -d 'show only the newest events'
complete -c pgmig -n "$behind repair" -l all -d 'all migrations'
complete -c pgmig -n "$behind repair" -l replaced -d 'even if name and text differ'
complete -c pgmig -n "$behind repair" -l gone -d 'its file is gone for good'
complete -c pgmig -n "$behind resolve" -l done -d 'it took effect'
complete -c pgmig -n "$behind resolve" -l redo -d 'it did not take effect'
complete -c pgmig -n "$behind resolve" -l restart -d 'start again'
complete -c pgmig -n "$behind trace" -l report -x -a 'terminal json markdown' -d 'how it is told'
complete -c pgmig -n "$behind check" -l report -x -a 'terminal json markdown sarif github' \
    -d 'what is written'
complete -c pgmig -n "$behind check" -l facts -r -F -d 'sizes of production'
complete -c pgmig -n "$behind check" -l queries -r -F -d 'queries of the application'
complete -c pgmig -n "$behind check" -l fail-on -x -a 'error warning' -d 'exit with code 3'
complete -c pgmig -n "$behind check" -l watch -d 'check on every save'
complete -c pgmig -n "$behind verify" -l pending -d 'only those that are pending'
complete -c pgmig -n "$behind verify" -l rows -d 'compare the rows of tables, too'
complete -c pgmig -n "$behind verify" -l seed -r -F -d 'put rows into the tables first'
complete -c pgmig -n "$behind drift" -l against -x -d 'compare with this database'
complete -c pgmig -n "$behind squash" -l data -d 'write the rows, too'
complete -c pgmig -n "$behind squash" -l delete -d 'then delete the replaced files'
complete -c pgmig -n "$behind dump" -l output -r -F -d 'the file, - for standard output'
complete -c pgmig -n "$behind wait" -l timeout -x -d 'how long to wait'
complete -c pgmig -n "$behind help" -a "$commands" -d 'command'
complete -c pgmig -n "$behind wait" -l server -d 'only until the server answers'
complete -c pgmig -n "$behind database" -a 'create drop'
complete -c pgmig -n "$behind database" -l owner -x -d 'its owner'
complete -c pgmig -n "$behind database" -l template -x -d 'what it is a copy of'
complete -c pgmig -n "$behind database" -l encoding -x -d 'its encoding'
complete -c pgmig -n "$behind database" -l yes -d 'do not ask'
complete -c pgmig -n "$behind database" -l force -d 'end all other sessions first'
