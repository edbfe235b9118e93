# Completion of pgmig for bash.

_pgmig() {
  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' i
  local global='-h --help -d --database --dir --table --format --shared --lock-timeout --lock-wait
    --retries --reconnect --response-timeout --no-drift-check --no-syntax-check --no-pipeline
    --policy --set --templates --env --config --backfill --pg-dump --json -q --quiet -v --verbose --no-color --version'
  local commands='init status version up migrate down rollback plan redo goto create renumber baseline unapply adopt export history
    doctor repair resolve trace check stats verify drift squash dump backfill database config wait lua help'

  local proof='--scratch --scratch-bin --schema-from --applied-to'

  COMPREPLY=()
  case $previous in
    --dir | --scratch-bin)
      mapfile -t COMPREPLY < <(compgen -d -- "$word")
      return
      ;;
    --config | --keep | --schema-from | --seed | --dump | --output | --pg-dump)
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    --format | --from)
      mapfile -t COMPREPLY < <(compgen -W 'auto atlas dbmate diesel drizzle evolve flyway golang-migrate goose
        graphile-migrate hasura maragu micrate node-pg-migrate pgmig popx postgrator
        postgres-migrations prisma rails refinery shmig sqitch sql-migrate sqlx
        supabase tern' -- "$word")
      return
      ;;
    --backfill)
      mapfile -t COMPREPLY < <(compgen -W 'now later' -- "$word")
      return
      ;;
    --ci)
      mapfile -t COMPREPLY < <(compgen -W 'github gitlab' -- "$word")
      return
      ;;
    --policy)
      local states='edited renamed replaced missing renumbered out_of_order forgotten ignored'
      local choices='' state
      for state in $states; do
        choices+=" $state=error $state=warn $state=allow"
      done
      mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
      return
      ;;
    --templates)
      mapfile -t COMPREPLY < <(compgen -W psql -- "$word")
      return
      ;;
    --env)
      mapfile -t COMPREPLY < <(compgen -e -- "$word")
      return
      ;;
    -d | --database | --table | --lock-timeout | --lock-wait | --retries | --reconnect | \
      --response-timeout | --until | --hours | --rate | --duty | --set | --to | --steps | --fake | --limit | --timeout | --base | --owner | --template | --encoding | --from-table | --to-table | --scratch | --against | \
      --applied-to) return ;;
  esac

  for ((i = 1; i < COMP_CWORD; i++)); do
    if [[ " ${commands//[[:space:]]/ } " == *" ${COMP_WORDS[i]} "* ]]; then
      command=${COMP_WORDS[i]}
      break
    fi
  done

  local own=''
  case $command in
    '') own=$commands ;;
    init) own='--ci' ;;
    status) own='--exit-code --local-time' ;;
    doctor) own='--exit-code' ;;
    up | migrate) own='--to --steps --phase --fake --check --dry-run --script --dump' ;;
    down | rollback) own='--steps --to --all --dry-run --dump' ;;
    plan) own='--to --steps --phase --script' ;;
    redo) own='--steps --dump' ;;
    goto) own='--dry-run --dump' ;;
    verify) own="--pending --to --rows --seed $proof" ;;
    dump) own='--output' ;;
    backfill) own='status run pause resume cancel retry --until --hours --rate --duty --exit-code' ;;
    baseline) own="--detect --dry-run $proof" ;;
    squash) own="--to --data --delete --dry-run $proof" ;;
    drift) own="--against $proof" ;;
    adopt) own='--from --from-table --dry-run' ;;
    export) own='--to --to-table --dry-run' ;;
    create) own='--timestamp --edit' ;;
    renumber) own='--dry-run --keep --base --offline --out-of-order' ;;
    history) own='--limit --local-time' ;;
    repair) own='--all --replaced --gone' ;;
    resolve) own='--done --redo --restart' ;;
    trace) own="--to --steps --phase --report $proof" ;;
    check) own="--to --steps --phase --facts --queries --fail-on --report --watch $proof" ;;
    wait) own='--timeout --server' ;;
    database) own='create drop --owner --template --encoding --yes --force' ;;
    help) own=$commands ;;
  esac
  if [ "$command" = lua ]; then
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
    return
  fi
  mapfile -t COMPREPLY < <(compgen -W "$own $global" -- "$word")
}

complete -F _pgmig pgmig
