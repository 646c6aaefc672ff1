
# Names of services: those pipd knows here, before the first start those of the workspace.
complete -c pipctl -f -n "__fish_seen_subcommand_from start stop restart adopt status logs url open why env forget" -a "(command pipctl complete-services -- (commandline -opc) 2>/dev/null)"
