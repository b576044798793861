#!/usr/bin/env bash
# Copies the shared libraries that PROGRAM needs into FOLDER/ARCHITECTURE, where
# the dynamic linker of Debian looks: those it is linked to, and libwebp and
# libheif, which it loads by itself. The C and C++ runtimes are left out, which
# the base image has.
#
#   docker-libraries.sh PROGRAM FOLDER
set -euo pipefail
libraries=/usr/lib/$(gcc -print-multiarch)
target=$2/${libraries##*/}
mkdir -p "$target"
loaded=("$libraries/libwebp.so.7" "$libraries/libheif.so.1")
cp -L "${loaded[@]}" "$target"
ldd "$1" "${loaded[@]}" | awk '$2 == "=>" {print $3}' | sort -u |
  { grep -vE '/(libc|libm|libgcc_s|libstdc\+\+)\.so\.' || true; } | xargs -r cp -L -t "$target"
