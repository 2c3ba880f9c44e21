# fish: what may stand next is asked of the program itself; where it has no answer, files.
function __shardsim_candidates
    set -l words (commandline -opc) (commandline -ct)
    set -l answers (command $words[1] complete $words[2..-1] 2>/dev/null)
    if test (count $answers) -gt 0
        printf '%s\n' $answers
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c shardsim -f -a '(__shardsim_candidates)'
