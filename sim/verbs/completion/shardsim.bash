# bash: what may stand next is asked of the program itself; where it has no answer, files.
_shardsim() {
  local IFS=$'\n'
  COMPREPLY=($("$1" complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f 1))
}
complete -o default -F _shardsim shardsim
