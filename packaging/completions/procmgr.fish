# Completion for fish: the options, then the programs and the actions that you may perform, as the daemon tells them.
#
# What stands on the line is unquoted and never expanded, and fish quotes what is offered: names run nothing. Names that
# a terminal would obey are left out.

# Reads the words ahead of the one that is typed into variables of the caller. What comes next is the `stage`:
# `option` (or a program), `value`, `program` (behind --), `action` or `argument`.
function __procmgr_read --no-scope-shadowing
    set stage option
    set mode
    set file
    set program
    set -l option
    for word in (commandline -opc)[2..]
        switch $stage
            case value
                contains -- $option -c --config; and set file $word
                set stage option
            case action argument
                set stage argument
            case program
                set program $word
                set stage action
            case option
                switch $word
                    case --
                        set stage program
                    case --config --log --loglevel --pidfile --pid --autostart --timeout
                        set option $word
                        set stage value
                    case '--config=*'
                        set file (string replace -- --config= '' $word)
                    case --daemon --test --stop --reload --upgrade --all --check --allowed --watch --help --version
                        set mode $word
                    case '--*'
                    case '-?*'
                        set -l parts (string match -r -- '^-([^clLPA=]*)([clLPA]?)=?(.*)$' $word)
                        string match -qr '[dtsruahV]' -- $parts[2]; and set mode $word
                        if test -n "$parts[3]" -a -z "$parts[4]"
                            set option -$parts[3]
                            set stage value
                        else if test "$parts[3]" = c
                            set file $parts[4]
                        end
                    case '*'
                        set program $word
                        set stage action
                end
        end
    end
end

# Tells whether one of these comes next.
function __procmgr_expects
    set -l stage
    set -l mode
    set -l file
    set -l program
    __procmgr_read
    contains -- $stage $argv
end

# Prints the programs, or, behind one, its actions.
function __procmgr_allowed
    set -l stage
    set -l mode
    set -l file
    set -l program
    __procmgr_read
    test -z "$mode"; or return
    set -l config
    string match -q -- '~/*' $file; and set file $HOME/(string sub -s 3 -- $file)
    test -n "$file"; and set config --config=$file
    set -l allowed (command procmgr $config --timeout 1 --allowed -0 </dev/null 2>/dev/null | string split0)
    set -l last
    while set -q allowed[2]
        set -l name $allowed[1]
        if test $stage = action
            test "$name" = "$program"; and set name $allowed[2]; or set name
        else if test "$name" = "$last"
            set name
        else
            set last $name
            # What begins like an option is a program behind -- only.
            test $stage = option; and string match -q -- '-*' $name; and set name
        end
        set -q name[1]; and not string match -qr '\p{Cc}' -- $name; and printf '%s\n' $name
        set -e allowed[1..2]
    end
end

complete -c procmgr -f
complete -c procmgr -n '__procmgr_expects option program action' -a '(__procmgr_allowed)'
complete -c procmgr -n '__procmgr_expects argument' -F

set -l logs stderr auth daemon kern local(seq 0 7) lpr mail news user uucp
set -l options complete -c procmgr -n '__procmgr_expects option value'
$options -s c -l config -r -F -d 'Configuration file'
$options -s l -l log -x -a "$logs" -d 'Where to log'
$options -s L -l loglevel -x -a 'DEBUG INFO NOTE WARN ERROR CRITICAL FATAL' -d 'What to log'
$options -s P -l pidfile -r -F -d 'File that tells the PID of the daemon'
$options -s q -l quiet -d 'Tell nothing but errors'
$options -l timeout -x -d 'Wait no longer than that many seconds'
$options -l idempotent -d 'Succeed if there is nothing to do'
$options -s d -l daemon -d 'Start the daemon'
$options -s f -l foreground -d 'Stay in the foreground'
$options -s A -l autostart -x -a 'yes no' -d 'Programs to start with the daemon'
$options -s t -l test -d 'Check whether the daemon is running'
$options -s s -l stop -d 'Stop the daemon'
$options -s r -l reload -d 'Reload the configuration'
$options -s n -l dry-run -d 'Only show what would change'
$options -s u -l upgrade -d 'Execute the executable anew, in place'
$options -s a -l all -d 'List the programs'
$options -s 0 -l null -d 'End names and words with NUL bytes'
$options -l long -d 'Show a table'
$options -l check -d 'Check the configuration file'
$options -l allowed -d 'List what you may do'
$options -l watch -d 'Show each change as it happens'
$options -l json -d 'Show JSON'
$options -s h -l help -d 'Show the help'
$options -s V -l version -d 'Show the version'
