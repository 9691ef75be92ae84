# Sourced by build-guest and ../cluster_guest/build-guest: a Debian kernel, its modules and programs for
# an initramfs. The kernel is a package, downloaded into ${XDG_CACHE_HOME:-~/.cache}/baton and
# unpacked, never installed; without a network the newest one in that cache serves.
# shellcheck shell=bash

fail() { echo "${0##*/}: $*" >&2; exit 1; }
note() { echo "${0##*/}: $*" >&2; }

need() {  # need COMMAND PACKAGE
  command -v "$1" >/dev/null || PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null ||
    fail "$1 is missing: apt-get install $2"
}

# Prints the path of the kernel package's file: the one that $meta_package depends on.
# shellcheck disable=SC2154  # the caller says which
fetch_kernel() {
  local cache=${XDG_CACHE_HOME:-$HOME/.cache}/baton package record version file sum
  mkdir -p "$cache"
  package=$(apt-cache depends --important "$meta_package" 2>/dev/null |
    sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n1)
  if [ -n "$package" ]; then
    record=$(apt-cache show --no-all-versions "$package")
    version=$(sed -n 's/^Version: //p' <<<"$record")
    sum=$(sed -n 's/^SHA256: //p' <<<"$record")
    file=$cache/${package}_${version/:/%3a}_amd64.deb
    if [ -e "$file" ] && sha256sum --status -c <<<"$sum  $file"; then
      echo "$file"
      return
    fi
    note "downloading $package $version"
    # apt's own sandbox user may not write to a home directory.
    if (cd "$cache" && apt-get -q -o APT::Sandbox::User=root download "$package=$version" >&2) &&
       sha256sum --status -c <<<"$sum  $file"; then
      echo "$file"
      return
    fi
    note "the download of $package failed"
  else
    note "apt does not know $meta_package: run apt-get update"
  fi
  file=$(find "$cache" -name "linux-image-[0-9]*[0-9]${meta_package#linux-image}_*_amd64.deb" |
    sort -V | tail -n1)
  [ -n "$file" ] || fail "no kernel: run apt-get update with a network, or put a kernel's package" \
    "(the one that $meta_package depends on) into $cache"
  note "going on with ${file##*/} from an earlier run"
  echo "$file"
}

# Prints the module's file and, before it, those it depends on. Packages carry no modules.dep
# (depmod makes it at installation), so the modules themselves are asked.
modules_in_order() {  # modules_in_order TREE NAME...
  local tree=$1 name file dependencies
  shift
  for name in "$@"; do
    file=$(find "$tree" -name "${name//_/[-_]}.ko*" | head -n1)
    [ -n "$file" ] || continue
    dependencies=$(plain "$file" | tr '\0' '\n' | sed -n 's/^depends=//p' | head -n1)
    # shellcheck disable=SC2086  # a list of names
    modules_in_order "$tree" ${dependencies//,/ }
    echo "$file"
  done
}

plain() {  # the content of a file that may be compressed
  case $1 in
    *.xz) xz -dc "$1" ;;
    *.zst) zstd -dcq "$1" ;;
    *) cat "$1" ;;
  esac
}

# Copies a program with the libraries it is linked to, at the paths where its loader looks.
copy_program() {  # copy_program ROOT PROGRAM
  local path file
  path=$(PATH="$PATH:/usr/sbin:/sbin" command -v "$2")
  install -D "$path" "$1/sbin/$2"
  ldd "$path" | sed -nE 's/.*=> (\/[^ ]+) .*/\1/p; s/^\s*(\/[^ ]+) .*/\1/p' |
    while read -r file; do install -D "$file" "$1$file"; done
}

# Copies the modules and those they depend on to ROOT/modules, named so that they load in their order.
copy_modules() {  # copy_modules TREE ROOT NAME...
  local tree=$1 root=$2 number=10 file name
  shift 2
  for file in $(modules_in_order "$tree/lib/modules" "$@" | awk '!seen[$0]++'); do
    name=${file##*/}
    plain "$file" >"$root/modules/$number-${name%%.ko*}.ko"
    number=$((number + 1))
  done
}

pack() {  # pack ROOT OUTPUT
  (cd "$1" && find . -print0 | cpio --quiet -0 -o -H newc --owner 0:0) | gzip -1 >"$2"
}
