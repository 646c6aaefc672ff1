
# Names of services, from the running pipd.
complete -c pipctl -f -n "__fish_seen_subcommand_from start stop restart logs url open why" -a "(command pipctl complete-services 2>/dev/null)"
