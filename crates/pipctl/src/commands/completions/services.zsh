
# Names of services: those pipd knows here, before the first start those of the workspace.
_pipctl_services() {
    local -a names line
    # For arguments `words` has arguments only; options are in `opt_args`.
    local folder="${opt_args[-w]:-${opt_args[--workspace]}}"
    line=("${(@Q)words[1,CURRENT-1]}" ${folder:+-w} ${folder:+"${(Q)folder}"})
    names=(${(f)"$(command pipctl complete-services -- "${line[@]}" 2>/dev/null)"})
    compadd -a names
}
