#!/usr/bin/env bash
# To be sourced where `pip` runs the wanted pip: gives uv the package indexes that pip is set up for.
pip_setting() {
    local section variable
    variable=PIP_$(printf %s "$1" | tr 'a-z-' 'A-Z_')
    if [ -n "${!variable:-}" ]; then
        printf '%s\n' "${!variable}"
        return
    fi
    for section in install global; do
        pip config get "$section.$1" 2>/dev/null && return
    done
    return 0
}
words() { tr -s ' \n' "$1" | sed "s/^$1//; s/$1\$//"; }
export_unless_set() { if [ -z "${!1:-}" ] && [ -n "$2" ]; then export "$1=$2"; fi; }
export_unless_set UV_FIND_LINKS "$(pip_setting find-links | words ,)"
export_unless_set UV_DEFAULT_INDEX "$(pip_setting index-url)"
export_unless_set UV_INDEX "$(pip_setting extra-index-url | words ' ')"
export_unless_set SSL_CERT_FILE "$(pip_setting cert)"
export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-180}"
