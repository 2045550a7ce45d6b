# Sourced: sets $python to a Python 3.11 or newer, one that can make environments if there is any, or ends with the
# line that installs one.

usable() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c "import sys, $2; sys.exit(sys.version_info < (3, 11))" >/dev/null 2>&1
}

find_python() {
    for modules in 'venv, ensurepip' 'os'; do
        for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
            if usable "$candidate" "$modules"; then
                echo "$candidate"
                return 0
            fi
        done
    done
    return 1
}

# With an older python3 in place, the distribution's plain package is that old one, so a versioned one is named.
python_packages() {
    if command -v apt-get >/dev/null 2>&1; then
        if command -v python3 >/dev/null 2>&1; then
            echo 'apt-get install python3.11 python3.11-venv'
        else
            echo 'apt-get install python3 python3-venv'
        fi
    elif command -v dnf >/dev/null 2>&1; then
        echo 'dnf install python3.12'
    elif command -v pacman >/dev/null 2>&1; then
        echo 'pacman -S python'
    elif command -v apk >/dev/null 2>&1; then
        echo 'apk add python3'
    elif command -v brew >/dev/null 2>&1; then
        echo 'brew install python@3.13'
    else
        return 1
    fi
}

if ! python=$(find_python); then
    echo 'edgelora needs Python 3.11 or newer, and none was found on the PATH.' >&2
    if line=$(python_packages); then
        case $line in brew*) ;; *) [ "$(id -u)" = 0 ] || line="sudo $line" ;; esac
        printf 'Install it with\n    %s\nand start again.\n' "$line" >&2
    else
        echo 'Install it with the package manager of this system and start again.' >&2
    fi
    exit 1
fi
