#!/bin/sh
# Prints the Python to install with, or one sentence (and fails) naming what the machine lacks.
# Usage: check_machine.sh PYTHON
# DeepSpeed's CPU operators and torch.compile build C++ at run time: they need g++ and Python.h.
set -u

python=
for candidate in "$1" python3 python3.12 python3.11 python3.13; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        python=$candidate
        break
    fi
done

missing= packages=
need() { # NAME PACKAGE
    missing="${missing:+$missing, }$1"
    packages="$packages $2"
}

if [ -z "$python" ]; then
    need "Python 3.11 or newer with its headers" "python3 python3-dev python3-venv"
else
    name=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
        need "the venv module of $name" "$name-venv"
    "$python" -c 'import os, sysconfig
open(os.path.join(sysconfig.get_paths()["include"], "Python.h"))' >/dev/null 2>&1 ||
        need "the headers of $name (Python.h)" "$name-dev"
fi
command -v g++ >/dev/null 2>&1 || need "the C++ compiler g++" "g++"

if [ -n "$missing" ]; then
    echo "This machine lacks $missing; on Debian: apt install$packages" >&2
    exit 1
fi
echo "$python"
