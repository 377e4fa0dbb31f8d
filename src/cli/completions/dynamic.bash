
# Account names and replica ids, asked of the servers as they are needed, and profiles.
_ftchat_profiles() {
    ftchat profiles --quiet 2>/dev/null </dev/null | cut -f 1
}

_ftchat_dynamic() {
    local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}"
    local -a words=()
    local i word last before
    for ((i = 1; i < COMP_CWORD; i++)); do
        word="${COMP_WORDS[i]}"
        case "$word" in
            --config|--servers|--profile|--user|--timeout|--color|--name|--dir|--lines|-n|--id|--before) ((i++)) ;;
            -*) ;;
            *) words+=("$word") ;;
        esac
    done
    case "${words[*]} $prev" in
        *" --profile"|"connect connect"|"profiles remove remove")
            if [[ "$cur" != -* ]]; then
                [[ "$prev" == remove ]] && words=() || words=(default)
                COMPREPLY=($(compgen -W "${words[*]} $(_ftchat_profiles)" -- "$cur"))
                return 0
            fi
            ;;
        "send send"|"send -"*|"accounts "*|"history history"|"history -"*|\
        "inbox --from"|"search"*" --in"|"search"*" --from"|"block block"|"unblock unblock")
            if [[ "$cur" != -* ]]; then
                last="${cur##*,}"
                before="${cur%"$last"}"
                COMPREPLY=()
                while IFS= read -r word; do
                    COMPREPLY+=("$before$word")
                done < <(ftchat accounts "$last*" --quiet --timeout 1s 2>/dev/null </dev/null)
                return 0
            fi
            ;;
        "cluster "*" "*)
            if [[ " ACTIONS_ON_A_REPLICA " == *" ${words[1]} "* && "$cur" != -* &&
                "$prev" != --name && "$prev" != --dir ]]; then
                COMPREPLY=($(compgen -W "$(ftchat status --json 2>/dev/null </dev/null |
                    tr '{,' '\n\n' | sed -n 's/^"id":\([0-9][0-9]*\)$/\1/p')" -- "$cur"))
                return 0
            fi
            ;;
    esac
    _ftchat "$@"
}
complete -F _ftchat_dynamic -o bashdefault -o default ftchat
