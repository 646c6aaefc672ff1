
# Names of services: those pipd knows here, before the first start those of the workspace.
_pipctl_with_services() {
    local verb="${COMP_WORDS[1]}" word="${COMP_WORDS[COMP_CWORD]}"
    if [[ $COMP_CWORD -ge 2 && "$word" != -* ]]; then
        case "$verb" in
        start | stop | restart | adopt | status | logs | url | open | why | env | forget)
            case "${COMP_WORDS[COMP_CWORD - 1]}" in
            -w | --workspace | --timeout | -n | --lines | --since | --stream) ;;
            *)
                # Names of services hold no blanks.
                # shellcheck disable=SC2207
                COMPREPLY=($(compgen -W "$(command pipctl complete-services -- "${COMP_WORDS[@]:0:COMP_CWORD}" 2>/dev/null)" -- "$word"))
                return 0
                ;;
            esac
            ;;
        esac
    fi
    _pipctl "$@"
}
complete -F _pipctl_with_services -o bashdefault -o default pipctl
