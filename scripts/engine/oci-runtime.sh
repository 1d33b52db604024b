#!/bin/sh
# An OCI runtime that takes CAP_SYS_RESOURCE out of what a container asks for
# and hands over to runc. Where the machine's root lacks that capability runc
# cannot grant it, and every privileged container would fail to start.
set -eu

spec=
previous=
for argument in "$@"; do
  case $previous in
    --bundle) spec=$argument/config.json ;;
    --process) spec=$argument ;;
  esac
  previous=$argument
done

# The names stand in five lists of the spec; nothing outside them is touched.
if [ -n "$spec" ] && [ -f "$spec" ]; then
  lists='"(bounding|effective|inheritable|permitted|ambient)":\['
  sed -E -i \
    -e "s/($lists[^]]*)\"CAP_SYS_RESOURCE\",?/\1/g" \
    -e "s/($lists[^]]*),\]/\1]/g" \
    "$spec"
fi

exec runc "$@"
