
# Names of services, from the running pipd.
_pipctl_services() {
    local -a names
    names=(${(f)"$(command pipctl complete-services 2>/dev/null)"})
    compadd -a names
}
