
# Account names and replica ids, asked of the servers as they are needed, and profiles.
function __ftchat_accounts
    set -l token (commandline -ct)
    set -l last (string replace -r '^.*,' '' -- $token)
    set -l before (string replace -r '[^,]*$' '' -- $token)
    for name in (ftchat accounts "$last*" --quiet --timeout 1s 2>/dev/null </dev/null)
        echo "$before$name"
    end
end

function __ftchat_replicas
    ftchat status --json 2>/dev/null </dev/null | tr '{,' '\n\n' |
        string replace -rf '^"id":([0-9]+)$' '$1'
end

function __ftchat_profiles
    ftchat profiles --quiet 2>/dev/null </dev/null | cut -f 1
end

complete -c ftchat -l profile -x -a "default (__ftchat_profiles)"
complete -c ftchat -n "__fish_seen_subcommand_from connect" -f -a "default (__ftchat_profiles)"
complete -c ftchat -n "__fish_seen_subcommand_from profiles; and __fish_seen_subcommand_from remove" -f -a "(__ftchat_profiles)"
complete -c ftchat -n "__fish_seen_subcommand_from send accounts history block unblock" -f -a "(__ftchat_accounts)"
complete -c ftchat -n "__fish_seen_subcommand_from inbox search" -l from -x -a "(__ftchat_accounts)"
complete -c ftchat -n "__fish_seen_subcommand_from search" -l in -x -a "(__ftchat_accounts)"
complete -c ftchat -n "__fish_seen_subcommand_from cluster; and __fish_seen_subcommand_from ACTIONS_ON_A_REPLICA" -f -a "(__ftchat_replicas)"
