# For the scripts of a package that is about to be removed, which it is put into.

# Prints the PIDs, and the names as JSON writes them, of the programs that run.
running_programs() {
    procmgr --timeout 10 -a --json 2>/dev/null |
        sed -n 's/^{"schema":1,"program":\("\([^"\\]\|\\.\)*"\),.*"pid":\([0-9]\+\),.*/\3 \1/p'
}

# Says which of those run on without the daemon; with on-exit = stop there are none.
say_which_go_on() {
    printf '%s\n' "$1" | while read -r pid name; do
        if [ -n "$pid" ] && [ -d "/proc/$pid" ]; then
            [ -n "${told:-}" ] || echo "procmgr: the daemon is stopped, and these programs go on:"
            told=yes
            echo "procmgr:   $name, pid $pid"
        fi
    done
}
