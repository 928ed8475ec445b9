# Completion for bash: the options, then the programs and the actions that you may perform, as the daemon tells them.
#
# What stands on the line is taken apart and never expanded, and what is offered is quoted: names run nothing. Names
# that a terminal would obey are left out, and so are those that have no place within the quotes that are open.

_procmgr() {
    local IFS=$' \t\n' typed beginning word count=0
    local quote='' lead='' option='' value='' file='' program='' is_over='' has_mode=''
    local -a words=()
    COMPREPLY=()

    # Readline completes what follows a colon or the like; what stands ahead of that is not offered once more.
    _procmgr_split "$2"
    beginning=${words[-1]}
    _procmgr_split "${COMP_LINE:0:COMP_POINT}"
    [[ $quote ]] && beginning=$2
    typed=${words[-1]}
    ((${#words[@]} > 1)) && [[ $typed == *"$beginning" ]] || return 0
    beginning=${typed%"$beginning"}

    for word in "${words[@]:1:${#words[@]}-2}"; do
        if [[ $option ]]; then
            _procmgr_heed "$word"
        elif [[ $is_over || $count -gt 0 || $word != -?* ]]; then
            count=$((count + 1))
            ((count > 1)) || program=$word
        elif [[ $word == -- ]]; then
            is_over=1
        else
            _procmgr_option "$word"
            [[ ! $lead ]] || _procmgr_heed "$value"
        fi
    done

    lead=''
    if ((count > 1)); then
        _procmgr_offer_files
    elif [[ $option ]]; then
        _procmgr_offer_values
    elif [[ ! $is_over && $count -eq 0 && $typed == -* ]]; then
        _procmgr_option "$typed"
        if [[ $lead ]]; then
            _procmgr_offer_values
        else
            _procmgr_offer -c --config -l --log -L --loglevel -P --pidfile -q --quiet --timeout --idempotent \
                -d --daemon -f --foreground -A --autostart -t --test -s --stop -r --reload -n --dry-run \
                -u --upgrade -a --all -0 --null --long --check --allowed --watch --json -h --help -V --version
        fi
    elif [[ ! $has_mode ]]; then
        _procmgr_offer_allowed
    fi
    return 0
}

# Takes a line apart into `words` without their quotes, the last one being typed. Sets `quote` to the one that is open.
_procmgr_split() {
    local line=$1 word='' part is_begun=''
    words=() quote=''
    while [[ $line ]]; do
        part=${line%%[[:space:]\\\'\"]*}
        word+=$part line=${line#"$part"}
        [[ ! $part ]] || is_begun=1
        case $line in
        '') ;;
        [[:space:]]*)
            [[ ! $is_begun ]] || words+=("$word")
            word='' is_begun='' line=${line:1}
            ;;
        \\*) word+=${line:1:1} line=${line:2} is_begun=1 ;;
        *)
            quote=${line:0:1} line=${line:1} is_begun=1
            while [[ $quote && $line ]]; do
                part=${line%%["\\$quote"]*}
                word+=$part line=${line#"$part"}
                case $quote$line in
                [\'\"]) ;;
                \'\'* | \"\"*) quote='' line=${line:1} ;;
                \"\\[\\\"\$\`]*) word+=${line:1:1} line=${line:2} ;;
                *) word+=\\ line=${line:1} ;;
                esac
            done
            ;;
        esac
    done
    words+=("$word")
}

# Sets `option` to the option of this word that takes a value, and, if that is in the same word, `value` to it and
# `lead` to what stands ahead of it.
_procmgr_option() {
    local letters='^(-[^-clLPA=]*([clLPA]))(=?)(.*)$'
    option='' lead='' value=''
    case $1 in
    --config | --log | --loglevel | --pidfile | --pid | --autostart | --timeout) option=$1 ;;
    --*=*) option=${1%%=*} lead=$option='' value=${1#*=} ;;
    --daemon | --test | --stop | --reload | --upgrade | --all | --check | --allowed | --watch) has_mode=1 ;;
    --help | --version) has_mode=1 ;;
    --*) ;;
    *)
        word=$1
        if [[ $1 =~ $letters ]]; then
            word=${BASH_REMATCH[1]} option=-${BASH_REMATCH[2]} value=${BASH_REMATCH[4]}
            [[ ! ${BASH_REMATCH[3]}$value ]] || lead=$word${BASH_REMATCH[3]}
        fi
        [[ $word != *[dtsruahV]* ]] || has_mode=1
        ;;
    esac
}

# Notes the value of `option`.
_procmgr_heed() {
    case $option in
    -c | --config) file=${1/#'~/'/"${HOME-}/"} ;;
    esac
    option=''
}

_procmgr_offer_values() {
    local -a values=()
    case $option in
    -c | --config | -P | --pidfile | --pid) _procmgr_offer_files ;;
    -l | --log) values=(stderr auth daemon kern local{0..7} lpr mail news user uucp) ;;
    -L | --loglevel) values=(DEBUG INFO NOTE WARN ERROR CRITICAL FATAL) ;;
    -A | --autostart) values=(yes no) ;;
    esac
    ((${#values[@]} == 0)) || _procmgr_offer "${values[@]/#/$lead}"
}

# Leaves the word to bash.
_procmgr_offer_files() {
    compopt -o bashdefault -o default
}

# Offers programs, or, behind one, its actions.
_procmgr_offer_allowed() {
    local name action last=
    while IFS= read -r -d '' name && IFS= read -r -d '' action; do
        if ((count > 0)); then
            [[ $name != "$program" ]] || _procmgr_offer "$action"
        elif [[ $name != "$last" && ($is_over || $name != -*) ]]; then
            _procmgr_offer "$name"
            last=$name
        fi
    done < <(command procmgr ${file:+"--config=$file"} --timeout 1 --allowed -0 </dev/null 2>/dev/null)
}

# Offers those words that begin like what is typed.
_procmgr_offer() {
    local word
    for word; do
        [[ $word && $word == "$typed"* && $word != *[[:cntrl:]]* ]] || continue
        word=${word#"$beginning"}
        case $quote in
        \') [[ $word != *\'* ]] || continue ;;
        \") [[ $word != *[\\\"\$\`!]* ]] || continue ;;
        *) [[ ! $word ]] || printf -v word %q "$word" ;;
        esac
        # Without a locale that knows its letters, a name would be written in octal numbers.
        [[ ! $quote && $word == \$\'* ]] || COMPREPLY+=("$word")
    done
}

complete -F _procmgr procmgr
