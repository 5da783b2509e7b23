# What the scripts in this folder share; to be sourced. Nothing here needs a network or writes into the checkout.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${STREAMSPAN_CACHE:-$HOME/.cache/streamspan}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_QUIET=1 PYTHONDONTWRITEBYTECODE=1

# python_of VERSION: print an interpreter of this version, from PATH or from pyenv; fail if there is none that starts.
python_of() {
  local candidate
  for candidate in "$(command -v "python$1" || true)" "$HOME/.pyenv/versions/$1".*/bin/python3; do
    # A shim of pyenv is on PATH also when its version is not active, and then only prints an error.
    if [ -x "$candidate" ] && [ "$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$1" ]; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  return 1
}

# main_python: print the interpreter that everything but the other versions runs on.
main_python() {
  local version
  for version in 3.11 3.12 3.13 3.14 3.10; do
    python_of "$version" && return
  done
  echo "no Python from 3.10 to 3.14 was found on PATH or in ~/.pyenv/versions" >&2
  return 1
}

# venv DIRECTORY PYTHON: make a virtual environment with a pip that knows dependency groups, unless it is there.
venv() {
  [ -x "$1/bin/python" ] || "$2" -m venv "$1"
  "$1/bin/python" -c 'import sys, pip; sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (25, 1))' ||
    "$1/bin/python" -m pip install --quiet --upgrade pip
}

# checkout DIRECTORY: copy what is in the checkout and not ignored, as a clone of it would have it.
checkout() {
  mkdir -p "$1"
  if [ -e "$root/.git" ]; then
    (cd "$root" && git ls-files -z --cached --others --exclude-standard |
      while IFS= read -r -d '' file; do [ -e "$file" ] && printf '%s\0' "$file"; done) |
      tar -C "$root" --null -T - -cf - | tar -C "$1" -xf -
  else
    tar -C "$root" --exclude .venv --exclude __pycache__ --exclude '.*_cache' -cf - . | tar -C "$1" -xf -
  fi
}

# readme_command NUMBER: print one of the shell commands of README.md, as it stands.
readme_command() {
  awk -v wanted="$1" '/^```sh$/ { number++; getline; if (number == wanted) print }' "$root/README.md"
}
