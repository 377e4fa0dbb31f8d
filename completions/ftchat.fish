# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_ftchat_global_optspecs
    string join \n config= servers= profile= user= timeout= json q/quiet v/verbose color= h/help V/version
end

function __fish_ftchat_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_ftchat_global_optspecs) -- $cmd 2>/dev/null
    or argparse -s (__fish_ftchat_global_optspecs) -- $cmd[1..-2] 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_ftchat_using_subcommand
    set -l cmd (__fish_ftchat_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c ftchat -n "__fish_ftchat_needs_command" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_needs_command" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_needs_command" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_needs_command" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_needs_command" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_needs_command" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_needs_command" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_needs_command" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_needs_command" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ftchat -n "__fish_ftchat_needs_command" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "register" -d 'Create an account and log in'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "login" -d 'Log in'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "logout" -d 'End the session'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "whoami" -d 'Print the name of the account that commands act as'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "unread" -d 'Show how much is unread, by who sent it'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "delete" -d 'Remove messages from the inbox'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "passwd" -d 'Change the password'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "sessions" -d 'List the account\'s sessions, or end some'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "blocked" -d 'List the names of accounts that are blocked'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "settings" -d 'Show or change what the account has set'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "delete-account" -d 'Delete the account with its inbox and sessions'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "status" -d 'Show the state of the cluster and of each replica'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "backup" -d 'Copy everything of a running cluster into one file'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "restore" -d 'Bring a backup into a new cluster'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "serve" -d 'Run one replica in the foreground'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "drill" -d 'Do to a cluster of its own all that may go wrong, and prove that nothing is lost'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "bench" -d 'Put load on the servers and measure how fast they answer'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "config" -d 'Show the configuration in force and where it comes from'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "completions" -d 'Print a shell\'s completion script'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "man" -d 'Write the manual pages'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "send" -d 'Send a message'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "inbox" -d 'Read messages'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "accounts" -d 'List the names of accounts'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "history" -d 'Show the conversation with an account'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "search" -d 'Find messages by words'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "block" -d 'Let nothing come any more that an account sends'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "unblock" -d 'Let it come again'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "connect" -d 'Keep a cluster by name and make it the one that commands speak to'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "profiles" -d 'List the clusters that are kept'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "cluster" -d 'Run and control a local cluster'
complete -c ftchat -n "__fish_ftchat_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ftchat -n "__fish_ftchat_using_subcommand register" -l password-file -d 'Read the password from a file' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand register" -l invite -d 'The code of an invitation, where one is needed to register [default: none: asked for on a terminal, if one is needed]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand register" -l invite-file -d 'Read the code of an invitation from a file' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand register" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand register" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand register" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand register" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand register" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand register" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand register" -l password-stdin -d 'Read the password from standard input, to its end'
complete -c ftchat -n "__fish_ftchat_using_subcommand register" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand register" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand register" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand register" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand register" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand login" -l password-file -d 'Read the password from a file' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand login" -l new-password-file -d 'Read the new password of an account that was reset from a file' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand login" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand login" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand login" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand login" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand login" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand login" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand login" -l password-stdin -d 'Read the password from standard input, to its end'
complete -c ftchat -n "__fish_ftchat_using_subcommand login" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand login" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand login" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand login" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand login" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand logout" -l confirm -d 'Who has to vouch for the answer: a majority of the servers, or, where none is there, any server that answers' -r -f -a "any\t''
majority\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand logout" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand logout" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand logout" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand logout" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand logout" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand logout" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand logout" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand logout" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand logout" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand logout" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand logout" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand whoami" -l confirm -d 'Who has to vouch for the answer: a majority of the servers, or, where none is there, any server that answers' -r -f -a "any\t''
majority\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand whoami" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand whoami" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand whoami" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand whoami" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand whoami" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand whoami" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand whoami" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand whoami" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand whoami" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand whoami" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand whoami" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand unread" -l confirm -d 'Who has to vouch for the answer: a majority of the servers, or, where none is there, any server that answers' -r -f -a "any\t''
majority\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand unread" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand unread" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand unread" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand unread" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand unread" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand unread" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand unread" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand unread" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand unread" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand unread" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand unread" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand delete" -l confirm -d 'Who has to vouch for the answer: a majority of the servers, or, where none is there, any server that answers' -r -f -a "any\t''
majority\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand delete" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand delete" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand delete" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand delete" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand delete" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand delete" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand delete" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand delete" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand delete" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand delete" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand delete" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand passwd" -l password-file -d 'Read the old password from a file' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand passwd" -l new-password-file -d 'Read the new password from a file' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand passwd" -l id -d 'The operation\'s id, to repeat a command whose outcome is unknown' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand passwd" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand passwd" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand passwd" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand passwd" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand passwd" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand passwd" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand passwd" -l password-stdin -d 'Read both passwords from standard input: the old one from the first line, the new one from the second'
complete -c ftchat -n "__fish_ftchat_using_subcommand passwd" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand passwd" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand passwd" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand passwd" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand passwd" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and not __fish_seen_subcommand_from revoke help" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and not __fish_seen_subcommand_from revoke help" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and not __fish_seen_subcommand_from revoke help" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and not __fish_seen_subcommand_from revoke help" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and not __fish_seen_subcommand_from revoke help" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and not __fish_seen_subcommand_from revoke help" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and not __fish_seen_subcommand_from revoke help" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and not __fish_seen_subcommand_from revoke help" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and not __fish_seen_subcommand_from revoke help" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and not __fish_seen_subcommand_from revoke help" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and not __fish_seen_subcommand_from revoke help" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and not __fish_seen_subcommand_from revoke help" -f -a "revoke" -d 'End sessions: those that are named, all or none, or all others'
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and not __fish_seen_subcommand_from revoke help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and __fish_seen_subcommand_from revoke" -l id -d 'The operation\'s id, to repeat a command whose outcome is unknown' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and __fish_seen_subcommand_from revoke" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and __fish_seen_subcommand_from revoke" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and __fish_seen_subcommand_from revoke" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and __fish_seen_subcommand_from revoke" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and __fish_seen_subcommand_from revoke" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and __fish_seen_subcommand_from revoke" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and __fish_seen_subcommand_from revoke" -l others -d 'All sessions but the one that asks'
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and __fish_seen_subcommand_from revoke" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and __fish_seen_subcommand_from revoke" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and __fish_seen_subcommand_from revoke" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and __fish_seen_subcommand_from revoke" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and __fish_seen_subcommand_from revoke" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and __fish_seen_subcommand_from help" -f -a "revoke" -d 'End sessions: those that are named, all or none, or all others'
complete -c ftchat -n "__fish_ftchat_using_subcommand sessions; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ftchat -n "__fish_ftchat_using_subcommand blocked" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand blocked" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand blocked" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand blocked" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand blocked" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand blocked" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand blocked" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand blocked" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand blocked" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand blocked" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand blocked" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand settings" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand settings" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand settings" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand settings" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand settings" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand settings" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand settings" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand settings" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand settings" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand settings" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand settings" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand delete-account" -l confirm -d 'The account\'s name again, in place of typing it' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand delete-account" -l password-file -d 'Read the password from a file' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand delete-account" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand delete-account" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand delete-account" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand delete-account" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand delete-account" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand delete-account" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand delete-account" -l password-stdin -d 'Read the password from standard input, to its end'
complete -c ftchat -n "__fish_ftchat_using_subcommand delete-account" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand delete-account" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand delete-account" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand delete-account" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand delete-account" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand status" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand status" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand status" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand status" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand status" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand status" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand status" -s w -l watch -d 'Show it again every second until Ctrl-C'
complete -c ftchat -n "__fish_ftchat_using_subcommand status" -l check -d 'Exit with 0 when healthy, 1 when degraded but taking messages, also where a server takes them that no majority confirms yet, 3 when not taking messages or unreachable'
complete -c ftchat -n "__fish_ftchat_using_subcommand status" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand status" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand status" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand status" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand status" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand backup" -l cluster-key-file -d 'The file with the cluster\'s secret key, by which replicas know each other; mode 0600, outside of the data directory [default: none: a server must be told]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand backup" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand backup" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand backup" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand backup" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand backup" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand backup" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand backup" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand backup" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand backup" -l unconfirmed -d 'Take what one server knows, also without a majority that confirms it: when most replicas are lost for good. It has what that server took alone; the last messages that a majority acknowledged may be missing'
complete -c ftchat -n "__fish_ftchat_using_subcommand backup" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand backup" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand backup" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand backup" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand backup" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand restore" -l cluster-key-file -d 'The file with the cluster\'s secret key, by which replicas know each other; mode 0600, outside of the data directory [default: none: a server must be told]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand restore" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand restore" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand restore" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand restore" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand restore" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand restore" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand restore" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand restore" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand restore" -l check -d 'Only verify the backup; needs no server'
complete -c ftchat -n "__fish_ftchat_using_subcommand restore" -l abandon -d 'Give up a restore that was begun, and leave the cluster empty'
complete -c ftchat -n "__fish_ftchat_using_subcommand restore" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand restore" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand restore" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand restore" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand restore" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand serve" -l id -d 'The number of this replica [default: none: a server must be told]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand serve" -l listen -d 'The address to listen on [default: this replica\'s address among the peers]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand serve" -l peers -d 'Every replica of the cluster, this one included, as 1=HOST:PORT,2=HOST:PORT and so on [default: none: a server must be told]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand serve" -l data-dir -d 'The folder that holds this replica\'s data; made if it is missing [default: none: a server must be told]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand serve" -l cluster-key-file -d 'The file with the cluster\'s secret key, by which replicas know each other; mode 0600, outside of the data directory [default: none: a server must be told]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand serve" -l survivor -d 'What a server does that is left without a majority: auto takes over the replicas of dead servers on the same host, and where nothing proves that the others are dead goes on alone, with messages that a majority confirms later; adopt only takes over; never does neither [default: auto]' -r -f -a "auto\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand serve" -l registration -d 'Who may register in a cluster that this server helps to found: anybody, whoever has an invitation, or nobody. It only proposes: later `cluster registration` shows and changes it [default: open where the server listens on loopback only, else invited]' -r -f -a "open\t''
invited\t''
closed\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand serve" -l log-format -d 'The form of the server\'s log [default: text]' -r -f -a "text\t''
json\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand serve" -l log-file -d 'The file that the server logs to; when it is full, its content goes to a file with .1 at the end of the name, and it begins anew [default: standard error]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand serve" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand serve" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand serve" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand serve" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand serve" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand serve" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand serve" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand serve" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand serve" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand serve" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand serve" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand drill" -l rounds -d 'How often all faults are gone through' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand drill" -l seed -d 'Decides about order and victims; the same seed, the same drill. Without it, a random one' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand drill" -l faults -d 'Only these faults, separated by commas, by the names that --json prints' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand drill" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand drill" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand drill" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand drill" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand drill" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand drill" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand drill" -l hosts -d 'On three machines of its own, with power cuts and partitions; needs root'
complete -c ftchat -n "__fish_ftchat_using_subcommand drill" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand drill" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand drill" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand drill" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand drill" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -l clients -d 'Connections that ask: to send, the leader; to read, all servers in turn' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -l accounts -d 'Accounts that they speak for, in turn' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -l in-flight -d 'Messages under way at once, over all clients; by default one a client' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -l messages -d 'Measure so many messages; with --duration, whatever comes first' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -l duration -d 'Measure for so long; 10s if neither this nor --messages is given' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -l warm-up -d 'Send for so long before measuring' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -l size -d 'Bytes of each text' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -l recipients -d 'Accounts that each message goes to' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -l rate -d 'Messages a second, whatever happens; several rates are measured one after the other' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -l inbox -d 'Read inboxes instead of sending: pages of so many messages' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -l followers -d 'Connections that follow the accounts, in turn, and measure how messages reach them' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -l sweep -d 'Find the highest rate, then measure at parts of it'
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -l keep -d 'Leave the accounts and their messages behind'
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand bench" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and not __fish_seen_subcommand_from show help" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and not __fish_seen_subcommand_from show help" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and not __fish_seen_subcommand_from show help" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and not __fish_seen_subcommand_from show help" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and not __fish_seen_subcommand_from show help" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and not __fish_seen_subcommand_from show help" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and not __fish_seen_subcommand_from show help" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and not __fish_seen_subcommand_from show help" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and not __fish_seen_subcommand_from show help" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and not __fish_seen_subcommand_from show help" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and not __fish_seen_subcommand_from show help" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and not __fish_seen_subcommand_from show help" -f -a "show" -d 'Print every value in force and where it comes from'
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and not __fish_seen_subcommand_from show help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and __fish_seen_subcommand_from show" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and __fish_seen_subcommand_from show" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and __fish_seen_subcommand_from show" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and __fish_seen_subcommand_from show" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and __fish_seen_subcommand_from show" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and __fish_seen_subcommand_from show" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and __fish_seen_subcommand_from show" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print every value in force and where it comes from'
complete -c ftchat -n "__fish_ftchat_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ftchat -n "__fish_ftchat_using_subcommand completions" -l dir -d 'Write the scripts of all shells into this folder' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand completions" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand completions" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand completions" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand completions" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand completions" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand completions" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand completions" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand completions" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand completions" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ftchat -n "__fish_ftchat_using_subcommand completions" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand man" -l dir -d 'The folder; made if it is missing' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand man" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand man" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand man" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand man" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand man" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand man" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand man" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand man" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand man" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand man" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand man" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand send" -l id -d 'The message\'s id: the same id again is the same message, delivered once. With --lines the ids of all lines follow from it' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand send" -l reply-to -d 'The message that this one answers: its id, or the beginning of it if it is in the inbox' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand send" -l confirm -d 'Who has to have a message before `send` is done: a majority of the servers, or, where none is there, any server that answers, which delivers it later [default: any]' -r -f -a "any\t''
majority\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand send" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand send" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand send" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand send" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand send" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand send" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand send" -l lines -d 'Send every line of standard input as a message of its own'
complete -c ftchat -n "__fish_ftchat_using_subcommand send" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand send" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand send" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand send" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand send" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -l from -d 'Only from this account' -r -f -a "(__fish_complete_users)"
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -l since -d 'Only since: 2026-11-23, 2026-11-23T18:46:00Z, 2026-11-23T18:46[Europe/Paris], or how long ago, as 2h or 3d' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -l limit -d 'At most so many, the oldest first; with --follow, end after so many' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -l exec -d 'Run a command for each message' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -l confirm -d 'Who has to vouch for the answer: a majority of the servers, or, where none is there, any server that answers' -r -f -a "any\t''
majority\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -l peek -d 'Mark nothing as read'
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -l all -d 'Also messages that were read before'
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -l sent -d 'Messages that I sent, and who has read them: their names below each message, and in JSON read_by'
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -l mentions -d 'Only those that mention me: that have my name behind an @'
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -s f -l follow -d 'Stay and print new messages as they arrive'
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -l confirmed -d 'Only messages that a majority of the servers has confirmed'
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand inbox" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand accounts" -l confirm -d 'Who has to vouch for the answer: a majority of the servers, or, where none is there, any server that answers' -r -f -a "any\t''
majority\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand accounts" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand accounts" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand accounts" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand accounts" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand accounts" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand accounts" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand accounts" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand accounts" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand accounts" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand accounts" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand accounts" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand history" -l limit -d 'At most so many, the last ones [default: 50, with --since all]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand history" -l before -d 'Only before this message: its id, or the beginning of it if it is in the inbox' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand history" -l since -d 'Only since: 2026-11-23, 2026-11-23T18:46:00Z, 2026-11-23T18:46[Europe/Paris], or how long ago, as 2h or 3d' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand history" -l confirm -d 'Who has to vouch for the answer: a majority of the servers, or, where none is there, any server that answers' -r -f -a "any\t''
majority\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand history" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand history" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand history" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand history" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand history" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand history" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand history" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand history" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand history" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand history" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand history" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand search" -l in -d 'Only in the conversation with this account' -r -f -a "(__fish_complete_users)"
complete -c ftchat -n "__fish_ftchat_using_subcommand search" -l from -d 'Only from this account' -r -f -a "(__fish_complete_users)"
complete -c ftchat -n "__fish_ftchat_using_subcommand search" -l since -d 'Only since: 2026-11-23, 2026-11-23T18:46:00Z, 2026-11-23T18:46[Europe/Paris], or how long ago, as 2h or 3d' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand search" -l limit -d 'At most so many, the newest' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand search" -l confirm -d 'Who has to vouch for the answer: a majority of the servers, or, where none is there, any server that answers' -r -f -a "any\t''
majority\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand search" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand search" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand search" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand search" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand search" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand search" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand search" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand search" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand search" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand search" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand search" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand block" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand block" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand block" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand block" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand block" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand block" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand block" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand block" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand block" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand block" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand block" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand unblock" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand unblock" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand unblock" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand unblock" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand unblock" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand unblock" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand unblock" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand unblock" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand unblock" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand unblock" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand unblock" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand connect" -l name -d 'What to call the profile' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand connect" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand connect" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand connect" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand connect" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand connect" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand connect" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand connect" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand connect" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand connect" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand connect" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand connect" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and not __fish_seen_subcommand_from remove help" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and not __fish_seen_subcommand_from remove help" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and not __fish_seen_subcommand_from remove help" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and not __fish_seen_subcommand_from remove help" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and not __fish_seen_subcommand_from remove help" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and not __fish_seen_subcommand_from remove help" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and not __fish_seen_subcommand_from remove help" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and not __fish_seen_subcommand_from remove help" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and not __fish_seen_subcommand_from remove help" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and not __fish_seen_subcommand_from remove help" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and not __fish_seen_subcommand_from remove help" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and not __fish_seen_subcommand_from remove help" -f -a "remove" -d 'Forget a cluster'
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and not __fish_seen_subcommand_from remove help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and __fish_seen_subcommand_from remove" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and __fish_seen_subcommand_from remove" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and __fish_seen_subcommand_from remove" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and __fish_seen_subcommand_from remove" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and __fish_seen_subcommand_from remove" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and __fish_seen_subcommand_from remove" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and __fish_seen_subcommand_from remove" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and __fish_seen_subcommand_from remove" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Forget a cluster'
complete -c ftchat -n "__fish_ftchat_using_subcommand profiles; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "init" -d 'Write what the machines of a new cluster need, a folder for each'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "recover" -d 'Make a new cluster out of what is left of an old one'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "hand-over" -d 'Hand over what a machine of the old cluster knows that turns up later'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "add" -d 'Add a replica to a running cluster'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "rekey" -d 'Give a running cluster a new key'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "up" -d 'Start every server that does not run'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "down" -d 'Stop all servers at once'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "invite" -d 'Make an invitation and print its code'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "invites" -d 'List invitations, or take one back'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "registration" -d 'Show who may register, or change it'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "limits" -d 'Show how much accounts may store, or change it'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "account" -d 'List accounts, reset a password, shut an account out, or delete one'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "actions" -d 'List what administrators have done'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "env" -d 'Print the shell command that points ftchat at this cluster'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "fingerprint" -d 'Print the fingerprint by which the cluster is known'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "address" -d 'Print the word by which others reach this cluster and no other'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "remove" -d 'Remove a replica from a running cluster'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "replace" -d 'Add a replica that takes the place of another'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "move" -d 'Have a replica looked for at another address'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "start" -d 'Start the server of one replica'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "stop" -d 'Stop the server of one replica gracefully'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "kill" -d 'Kill the server of one replica with SIGKILL'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "restart" -d 'Restart one server, or all of them one after the other'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "transfer" -d 'Give leadership to a replica'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "logs" -d 'Print what servers wrote to their logs'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and not __fish_seen_subcommand_from init recover hand-over add rekey up down invite invites registration limits account actions env fingerprint address remove replace move start stop kill restart transfer logs help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from init" -l hosts -d 'The machines, as they reach each other: HOST or HOST:PORT, with commas between' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from init" -l out -d 'The folder that is made' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from init" -l name -d 'What people call the cluster' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from init" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from init" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from init" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from init" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from init" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from init" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from init" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from init" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from init" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from init" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from recover" -l from -d 'Data directories of the old cluster\'s servers, or the folder of a local cluster' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from recover" -l out -d 'The folder of the new cluster, which is made' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from recover" -l others-are-gone -d 'The old cluster\'s name again, in place of typing it: its other servers are gone for good. Of a cluster on several machines it is the beginning of its id, which the command tells' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from recover" -l hosts -d 'The machines of the new cluster, as for cluster init; without it, it is a local one' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from recover" -l name -d 'What people call the new cluster' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from recover" -l replicas -d 'How many replicas a new local cluster gets [default: 3]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from recover" -l base-port -d 'The port of replica 1 of a new local cluster; the others follow [default: 8091]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from recover" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from recover" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from recover" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from recover" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from recover" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from recover" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from recover" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from recover" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from recover" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from recover" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from recover" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from hand-over" -l from -d 'Data directories of the old cluster\'s servers, or the folder of a local cluster' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from hand-over" -l cluster-key-file -d 'The file with the cluster\'s secret key, by which replicas know each other; mode 0600, outside of the data directory [default: none: a server must be told]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from hand-over" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from hand-over" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from hand-over" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from hand-over" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from hand-over" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from hand-over" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from hand-over" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from hand-over" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from hand-over" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from hand-over" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from hand-over" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from hand-over" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from hand-over" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from add" -l cluster-key-file -d 'The file with the cluster\'s secret key, by which replicas know each other; mode 0600, outside of the data directory [default: none: a server must be told]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from add" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from add" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from add" -l out -d 'The folder that is made for the new machine' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from add" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from add" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from add" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from add" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from add" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from add" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from add" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from add" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from add" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from rekey" -l cluster-key-file -d 'The file with the cluster\'s secret key, by which replicas know each other; mode 0600, outside of the data directory [default: none: a server must be told]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from rekey" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from rekey" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from rekey" -l out -d 'The folder that is made for the machines, or was made by this command before' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from rekey" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from rekey" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from rekey" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from rekey" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from rekey" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from rekey" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from rekey" -l compromised -d 'The old key was stolen: no client is to follow it to the new one'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from rekey" -l force -d 'Go on without servers that do not answer'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from rekey" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from rekey" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from rekey" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from rekey" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from rekey" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from up" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from up" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from up" -l replicas -d 'How many replicas a new local cluster gets [default: 3]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from up" -l base-port -d 'The port of replica 1 of a new local cluster; the others follow [default: 8091]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from up" -l survivor -d 'What a server does that is left without a majority: auto takes over the replicas of dead servers, and where nothing proves that the others are dead goes on alone, with messages that a majority confirms later; adopt only takes over; never does neither [default: auto]' -r -f -a "auto\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from up" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from up" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from up" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from up" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from up" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from up" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from up" -s d -l detach -d 'Return once messages are taken; the servers go on'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from up" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from up" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from up" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from up" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from up" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from down" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from down" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from down" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from down" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from down" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from down" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from down" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from down" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from down" -l purge -d 'Remove the cluster with all its accounts and messages'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from down" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from down" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from down" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from down" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from down" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invite" -l uses -d 'How many accounts may be made with it' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invite" -l expires -d 'How long it is good, such as 30m or 72h' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invite" -l cluster-key-file -d 'The file with the cluster\'s secret key, by which replicas know each other; mode 0600, outside of the data directory [default: none: a server must be told]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invite" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invite" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invite" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invite" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invite" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invite" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invite" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invite" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invite" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invite" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invite" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invite" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invite" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invites" -l cluster-key-file -d 'The file with the cluster\'s secret key, by which replicas know each other; mode 0600, outside of the data directory [default: none: a server must be told]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invites" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invites" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invites" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invites" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invites" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invites" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invites" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invites" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invites" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invites" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invites" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invites" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invites" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invites" -f -a "revoke" -d 'Take an invitation back'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from invites" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from registration" -l cluster-key-file -d 'The file with the cluster\'s secret key, by which replicas know each other; mode 0600, outside of the data directory [default: none: a server must be told]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from registration" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from registration" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from registration" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from registration" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from registration" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from registration" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from registration" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from registration" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from registration" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from registration" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from registration" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from registration" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from registration" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from limits" -l cluster-key-file -d 'The file with the cluster\'s secret key, by which replicas know each other; mode 0600, outside of the data directory [default: none: a server must be told]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from limits" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from limits" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from limits" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from limits" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from limits" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from limits" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from limits" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from limits" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from limits" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from limits" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from limits" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from limits" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from limits" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from limits" -f -a "set" -d 'Set how much may be stored, and for how long'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from limits" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from account" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from account" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from account" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from account" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from account" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from account" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from account" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from account" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from account" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from account" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from account" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from account" -f -a "list" -d 'List accounts with what they take'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from account" -f -a "reset" -d 'Take an account\'s password away and print a code for a new one'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from account" -f -a "disable" -d 'Shut an account out'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from account" -f -a "enable" -d 'Let an account in again'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from account" -f -a "delete" -d 'Delete an account with its inbox'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from account" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from actions" -l cluster-key-file -d 'The file with the cluster\'s secret key, by which replicas know each other; mode 0600, outside of the data directory [default: none: a server must be told]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from actions" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from actions" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from actions" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from actions" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from actions" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from actions" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from actions" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from actions" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from actions" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from actions" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from actions" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from actions" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from actions" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from env" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from env" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from env" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from env" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from env" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from env" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from env" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from env" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from env" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from env" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from env" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from env" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from env" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from fingerprint" -l cluster-key-file -d 'The file with the cluster\'s secret key, by which replicas know each other; mode 0600, outside of the data directory [default: none: a server must be told]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from fingerprint" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from fingerprint" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from fingerprint" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from fingerprint" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from fingerprint" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from fingerprint" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from fingerprint" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from fingerprint" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from fingerprint" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from fingerprint" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from fingerprint" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from fingerprint" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from fingerprint" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from address" -l cluster-key-file -d 'The file with the cluster\'s secret key, by which replicas know each other; mode 0600, outside of the data directory [default: none: a server must be told]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from address" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from address" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from address" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from address" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from address" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from address" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from address" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from address" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from address" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from address" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from address" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from address" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from address" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from remove" -l cluster-key-file -d 'The file with the cluster\'s secret key, by which replicas know each other; mode 0600, outside of the data directory [default: none: a server must be told]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from remove" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from remove" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from remove" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from remove" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from remove" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from remove" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from remove" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from remove" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from remove" -l force -d 'Remove it although the cluster then tolerates no failure any more'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from remove" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from remove" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from replace" -l cluster-key-file -d 'The file with the cluster\'s secret key, by which replicas know each other; mode 0600, outside of the data directory [default: none: a server must be told]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from replace" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from replace" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from replace" -l out -d 'The folder that is made for the new machine' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from replace" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from replace" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from replace" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from replace" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from replace" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from replace" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from replace" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from replace" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from replace" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from replace" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from replace" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from move" -l cluster-key-file -d 'The file with the cluster\'s secret key, by which replicas know each other; mode 0600, outside of the data directory [default: none: a server must be told]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from move" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from move" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from move" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from move" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from move" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from move" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from move" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from move" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from move" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from move" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from move" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from move" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from move" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from start" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from start" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from start" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from start" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from start" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from start" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from start" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from start" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from start" -l wait -d 'Return when the replica has caught up with the others'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from start" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from start" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from start" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from start" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from start" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from stop" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from stop" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from stop" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from stop" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from stop" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from stop" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from stop" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from stop" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from stop" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from stop" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from stop" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from stop" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from stop" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from kill" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from kill" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from kill" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from kill" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from kill" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from kill" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from kill" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from kill" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from kill" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from kill" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from kill" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from kill" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from kill" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from restart" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from restart" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from restart" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from restart" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from restart" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from restart" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from restart" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from restart" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from restart" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from restart" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from restart" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from restart" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from restart" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from transfer" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from transfer" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from transfer" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from transfer" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from transfer" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from transfer" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from transfer" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from transfer" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from transfer" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from transfer" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from transfer" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from transfer" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from transfer" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from logs" -l name -d 'The local cluster\'s name [default: default]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from logs" -l dir -d 'The local cluster\'s folder [default: ftchat/NAME in the platform\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from logs" -s n -l lines -d 'Only the last N lines of each log' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from logs" -l config -d 'The configuration file [default: ftchat/config.toml in the platform\'s configuration directory]' -r -F
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from logs" -l servers -d 'The servers to talk to, with commas between, or one word ftchat://HOST:PORT,…#FINGERPRINT; any of them will do [default: 127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from logs" -l profile -d 'The kept cluster to talk to, by its name; default means none, so that the servers are those of the configuration [default: the current one, which the verb connect sets]' -r -f
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from logs" -l user -d 'The account to act as [default: the account logged in last]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from logs" -l timeout -d 'How long to keep trying before giving up, such as 500ms, 10s or 1m30s [default: 10s]' -r
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from logs" -l color -d 'When to use colour; auto means on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from logs" -s f -l follow -d 'Stay and print what is added, until Ctrl-C'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from logs" -l json -d 'Print JSON: one object for a result, one object a line for a list'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from logs" -s q -l quiet -d 'Print results and errors only, no notices and no progress'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from logs" -s v -l verbose -d 'Say more about what is going on; repeat for more still'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from logs" -s h -l help -d 'Print help'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from logs" -s V -l version -d 'Print version'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "init" -d 'Write what the machines of a new cluster need, a folder for each'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "recover" -d 'Make a new cluster out of what is left of an old one'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "hand-over" -d 'Hand over what a machine of the old cluster knows that turns up later'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "add" -d 'Add a replica to a running cluster'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "rekey" -d 'Give a running cluster a new key'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "up" -d 'Start every server that does not run'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "down" -d 'Stop all servers at once'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "invite" -d 'Make an invitation and print its code'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "invites" -d 'List invitations, or take one back'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "registration" -d 'Show who may register, or change it'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "limits" -d 'Show how much accounts may store, or change it'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "account" -d 'List accounts, reset a password, shut an account out, or delete one'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "actions" -d 'List what administrators have done'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "env" -d 'Print the shell command that points ftchat at this cluster'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "fingerprint" -d 'Print the fingerprint by which the cluster is known'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "address" -d 'Print the word by which others reach this cluster and no other'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Remove a replica from a running cluster'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "replace" -d 'Add a replica that takes the place of another'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "move" -d 'Have a replica looked for at another address'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "start" -d 'Start the server of one replica'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "stop" -d 'Stop the server of one replica gracefully'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "kill" -d 'Kill the server of one replica with SIGKILL'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "restart" -d 'Restart one server, or all of them one after the other'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "transfer" -d 'Give leadership to a replica'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "logs" -d 'Print what servers wrote to their logs'
complete -c ftchat -n "__fish_ftchat_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "register" -d 'Create an account and log in'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "login" -d 'Log in'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "logout" -d 'End the session'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "whoami" -d 'Print the name of the account that commands act as'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "unread" -d 'Show how much is unread, by who sent it'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "delete" -d 'Remove messages from the inbox'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "passwd" -d 'Change the password'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "sessions" -d 'List the account\'s sessions, or end some'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "blocked" -d 'List the names of accounts that are blocked'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "settings" -d 'Show or change what the account has set'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "delete-account" -d 'Delete the account with its inbox and sessions'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "status" -d 'Show the state of the cluster and of each replica'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "backup" -d 'Copy everything of a running cluster into one file'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "restore" -d 'Bring a backup into a new cluster'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "serve" -d 'Run one replica in the foreground'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "drill" -d 'Do to a cluster of its own all that may go wrong, and prove that nothing is lost'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "bench" -d 'Put load on the servers and measure how fast they answer'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "config" -d 'Show the configuration in force and where it comes from'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "completions" -d 'Print a shell\'s completion script'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "man" -d 'Write the manual pages'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "send" -d 'Send a message'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "inbox" -d 'Read messages'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "accounts" -d 'List the names of accounts'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "history" -d 'Show the conversation with an account'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "search" -d 'Find messages by words'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "block" -d 'Let nothing come any more that an account sends'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "unblock" -d 'Let it come again'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "connect" -d 'Keep a cluster by name and make it the one that commands speak to'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "profiles" -d 'List the clusters that are kept'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "cluster" -d 'Run and control a local cluster'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and not __fish_seen_subcommand_from register login logout whoami unread delete passwd sessions blocked settings delete-account status backup restore serve drill bench config completions man send inbox accounts history search block unblock connect profiles cluster help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from sessions" -f -a "revoke" -d 'End sessions: those that are named, all or none, or all others'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Print every value in force and where it comes from'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from profiles" -f -a "remove" -d 'Forget a cluster'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "init" -d 'Write what the machines of a new cluster need, a folder for each'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "recover" -d 'Make a new cluster out of what is left of an old one'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "hand-over" -d 'Hand over what a machine of the old cluster knows that turns up later'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "add" -d 'Add a replica to a running cluster'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "rekey" -d 'Give a running cluster a new key'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "up" -d 'Start every server that does not run'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "down" -d 'Stop all servers at once'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "invite" -d 'Make an invitation and print its code'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "invites" -d 'List invitations, or take one back'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "registration" -d 'Show who may register, or change it'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "limits" -d 'Show how much accounts may store, or change it'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "account" -d 'List accounts, reset a password, shut an account out, or delete one'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "actions" -d 'List what administrators have done'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "env" -d 'Print the shell command that points ftchat at this cluster'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "fingerprint" -d 'Print the fingerprint by which the cluster is known'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "address" -d 'Print the word by which others reach this cluster and no other'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "remove" -d 'Remove a replica from a running cluster'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "replace" -d 'Add a replica that takes the place of another'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "move" -d 'Have a replica looked for at another address'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "start" -d 'Start the server of one replica'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "stop" -d 'Stop the server of one replica gracefully'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "kill" -d 'Kill the server of one replica with SIGKILL'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "restart" -d 'Restart one server, or all of them one after the other'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "transfer" -d 'Give leadership to a replica'
complete -c ftchat -n "__fish_ftchat_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "logs" -d 'Print what servers wrote to their logs'

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
complete -c ftchat -n "__fish_seen_subcommand_from cluster; and __fish_seen_subcommand_from remove replace move start stop kill restart transfer logs" -f -a "(__ftchat_replicas)"
