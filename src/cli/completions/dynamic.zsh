# Account names and replica ids, asked of the servers as they are needed, and profiles.
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


_ftchat_profiles() {
    local -a names
    names=(${(f)"$(ftchat profiles --quiet 2>/dev/null </dev/null | cut -f 1)"})
    # What removes a profile has nothing to do with the one that is none.
    (( ${words[(I)remove]} )) || names+=(default)
    compadd -a names
}

