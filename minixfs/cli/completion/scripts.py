"""The scripts that make shells ask us; see `command` for what is asked and answered.

Written for bash 4.4, zsh 5 and fish 3 or newer, without any library of completions.
"""

_BASH = """\
# Completion of minixfs for bash.
_minixfs() {
    mapfile -t COMPREPLY < <(minixfs completion bash -- "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
    compopt -o nospace # the answers have their own
}
complete -o bashdefault -o nosort -F _minixfs minixfs mkfs.minixfs fsck.minixfs
"""

_ZSH = """\
#compdef minixfs mkfs.minixfs fsck.minixfs
# Completion of minixfs for zsh.
_minixfs() {
    local line value
    local -a ended open ended_shown open_shown
    for line in "${(@f)$(minixfs completion zsh -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
        value=${line%%$'\\t'*}
        [[ -n $value ]] || continue
        if [[ $value == *' ' ]]; then
            ended+=("${value% }")
            ended_shown+=("${value% }${${line#*$'\\t'}:+  -- ${line#*$'\\t'}}")
        else
            open+=("$value")
            open_shown+=("$value${${line#*$'\\t'}:+  -- ${line#*$'\\t'}}")
        fi
    done
    compadd -l -d ended_shown -a ended
    compadd -S '' -l -d open_shown -a open
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _minixfs "$@"
else
    compdef _minixfs minixfs mkfs.minixfs fsck.minixfs
fi
"""

_FISH = """\
# Completion of minixfs for fish.
function __minixfs_complete
    set -l words (commandline -opc)
    minixfs completion fish -- $words (commandline -ct) 2>/dev/null | string replace -r ' \\t' '\\t'
end
complete -c minixfs -f -a '(__minixfs_complete)'
complete -c mkfs.minixfs -f -a '(__minixfs_complete)'
complete -c fsck.minixfs -f -a '(__minixfs_complete)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
