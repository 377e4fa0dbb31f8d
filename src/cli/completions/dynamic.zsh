# Account names and replica ids, asked of the servers as they are needed.
_ftchat_accounts() {
    compset -P '*,'
    local -a names
    names=(${(f)"$(ftchat accounts "$PREFIX*" --quiet --timeout 1s 2>/dev/null </dev/null)"})
    compadd -a names
}

_ftchat_replicas() {
    local -a ids
    ids=(${(f)"$(ftchat status --json 2>/dev/null </dev/null |
        tr '{,' '\n\n' | sed -n 's/^"id":\([0-9][0-9]*\)$/\1/p')"})
    compadd -a ids
}

