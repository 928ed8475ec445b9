# Completion for bash: the options, the programs on which you may perform actions, and those actions. It offers what
# `procmgr --allowed` tells, and nothing if the daemon does not answer at once.

_procmgr() {
    local command=$1 current=$2 index word program= words=0
    local -a config=()
    COMPREPLY=()

    # What has been said already: options with their values, then words.
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        if ((words == 0)); then
            case $word in
            -c | --config)
                index=$((index + 1))
                # Bash takes --config=FILE for three words.
                [[ ${COMP_WORDS[index]} == '=' ]] && index=$((index + 1))
                ((index >= COMP_CWORD)) && break
                # As it was typed, with its quotes or a ~ in front; what is more than that is not tried.
                word=${COMP_WORDS[index]//[\\\"\']/}
                config=(-c "${word/#~\//$HOME/}")
                continue
                ;;
            -l | --log | -L | --loglevel | -P | --pid | --pidfile | -A | --autostart | --timeout)
                index=$((index + 1))
                [[ ${COMP_WORDS[index]} == '=' ]] && index=$((index + 1))
                continue
                ;;
            -*) continue ;;
            esac
        fi
        words=$((words + 1))
        ((words == 1)) && program=${word//\\/}
    done

    # The value of an option.
    if ((words == 0)); then
        word=${COMP_WORDS[COMP_CWORD - 1]}
        if [[ $word == '=' ]]; then
            word=${COMP_WORDS[COMP_CWORD - 2]}
        elif [[ $current == '=' ]]; then
            current=
        fi
        case $word in
        -c | --config | -P | --pid | --pidfile)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
        -l | --log)
            _procmgr_offer "$current" stderr auth daemon kern local{0..7} lpr mail news user uucp
            return
            ;;
        -L | --loglevel)
            _procmgr_offer "$current" DEBUG INFO NOTE WARN ERROR CRITICAL FATAL
            return
            ;;
        -A | --autostart)
            _procmgr_offer "$current" yes no
            return
            ;;
        --timeout) return ;;
        esac
        if [[ $current == -* ]]; then
            local -a options
            mapfile -t options < <("$command" -h 2>/dev/null | grep -o -e '^ *\(-.\)\?,\? *--[a-z-]*' | grep -o -e '--[a-z-]*')
            _procmgr_offer "$current" "${options[@]}"
            return
        fi
    fi

    # A program or an action; what comes after belongs to the script.
    if ((words > 1)); then
        compopt -o default
        return
    fi
    local line name
    local -a actions
    while IFS= read -r line; do
        name=${line%: *}
        name=${name%"${name##*[! ]}"}
        if ((words == 0)); then
            _procmgr_offer "${current//\\/}" "$name"
        elif [[ $name == "$program" ]]; then
            read -ra actions <<<"${line##*: }"
            _procmgr_offer "$current" "${actions[@]}"
        fi
    done < <("$command" "${config[@]}" --timeout 1 --allowed 2>/dev/null)
}

# Offers those words that begin like the first one, quoted for the shell.
_procmgr_offer() {
    local beginning=$1 word
    shift
    for word; do
        [[ $word == "$beginning"* ]] && COMPREPLY+=("$(printf %q "$word")")
    done
}

complete -F _procmgr procmgr
