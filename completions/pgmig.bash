# Completion of pgmig for bash.

_pgmig() {
  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' i
  local global='-h --help -d --database --dir --table --lock-timeout --config --json -q --quiet
    -v --verbose --no-color --version'
  local commands='status up migrate down rollback plan redo create baseline config wait'

  COMPREPLY=()
  case $previous in
    --dir)
      mapfile -t COMPREPLY < <(compgen -d -- "$word")
      return
      ;;
    --config)
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    -d | --database | --table | --lock-timeout | --to | --steps | --timeout) return ;;
  esac

  for ((i = 1; i < COMP_CWORD; i++)); do
    if [[ " $commands " == *" ${COMP_WORDS[i]} "* ]]; then
      command=${COMP_WORDS[i]}
      break
    fi
  done

  local own=''
  case $command in
    '') own=$commands ;;
    status) own='--exit-code' ;;
    up | migrate) own='--to --steps --dry-run' ;;
    down | rollback) own='--steps --to --all --dry-run' ;;
    plan) own='--to --steps' ;;
    redo) own='--steps' ;;
    create) own='--timestamp' ;;
    wait) own='--timeout' ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$own $global" -- "$word")
}

complete -F _pgmig pgmig
