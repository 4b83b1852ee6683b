#!/usr/bin/env bash
# Install the Orfeo ToolBox and its Python module for the engine `otb`.
#
#   PYTHON=.venv/bin/python docker/otb/install.sh
#
# Debian packages the toolbox (otb-bin) but not its Python module `otbApplication`. The module is
# built from Debian's own source package, of which only the wrappers are unpacked, against headers
# that are unpacked from the development packages without installing them. The wheel is kept in
# ~/.cache/decloud/otb, so this takes seconds the next time; nothing of the machine's package sources is
# changed. Exit status 77: this machine cannot have it, with the reason.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

PYTHON=${PYTHON:-python3}
VERSION=8.1.1
SOURCE=8.1.1+dfsg-1
TARBALL=otb_8.1.1+dfsg.orig.tar.xz
SHA256=dcb464d59e441fc110febe10883b4fc392d2f302dbe02d957166d849d2051b92
HEADER_PACKAGES=(libotb-dev libinsighttoolkit4-dev libgdal-dev libboost1.74-dev)
APPLICATIONS=/usr/lib/$(uname -m)-linux-gnu/otb/applications
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/decloud/otb

cannot() {
  echo "otb: $*" >&2
  exit 77
}

works() {    # the module loads and finds its applications
  OTB_APPLICATION_PATH=$APPLICATIONS OTB_LOGGER_LEVEL=WARNING "$PYTHON" -c '
import importlib.metadata, sys, otbApplication
found = importlib.metadata.version("otbApplication"), "Mosaic" in otbApplication.Registry.GetAvailableApplications()
sys.exit(found != (sys.argv[1], True))' "$VERSION" 2>"${1:-/dev/null}"
}

need() {    # PACKAGE COMMAND...: install what is missing
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair##*:}" >/dev/null || missing+=("${pair%%:*}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || cannot "${missing[*]} missing and installing needs root: ask for it, or run as root"
  echo "otb: installing ${missing[*]}"
  DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends "${missing[@]}" >"$work/apt.log" 2>&1 \
    || { tail -n 20 "$work/apt.log" >&2; return 1; }
}

offered() {    # the place that offers the version we know
  apt-cache madison otb-bin | awk -F' *[|] *' -v version="$SOURCE" '$2 == version {print $3; exit}'
}

source_list() {    # that place, as a place of sources
  local keys=/usr/share/keyrings/debian-archive-keyring.gpg trusted= place suite
  [ ! -e "$keys" ] || trusted="[signed-by=$keys]"
  read -r place suite < <(offered)
  suite=${suite%% *}
  echo "deb-src $trusted $place ${suite%%/*} ${suite#*/}"
}

fetch() {    # the source package and the headers, without touching the machine's own lists
  mkdir -p "$work/lists/partial" "$work/wrapper"
  source_list >"$work/sources.list"
  local apart=(-q -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$work/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=)
  echo "otb: downloading Debian's source package, 701 MB, once"
  cd "$work"
  apt-get "${apart[@]}" update >apt.log 2>&1 || { tail -n 20 apt.log >&2; return 1; }
  apt-get "${apart[@]}" source --download-only --tar-only "otb=$SOURCE" >apt.log 2>&1 \
    || { tail -n 20 apt.log >&2; return 1; }
  echo "$SHA256  $TARBALL" | sha256sum --check --quiet
  apt-get -q -o APT::Sandbox::User= download "${HEADER_PACKAGES[@]}" >apt.log 2>&1 \
    || { tail -n 20 apt.log >&2; return 1; }
  local package
  for package in *.deb; do dpkg -x "$package" wrapper/headers; done
  echo "otb: unpacking the wrappers"
  tar -xf "$TARBALL" -C wrapper Modules/Wrappers/SWIG/src LICENSE NOTICE
  mv wrapper/Modules/Wrappers/SWIG/src wrapper/src
  rm "$TARBALL"
}

build() {
  local headers=../headers/usr/include
  echo "otb: building the Python module, about a minute"
  cp "$here/setup.py" "$work/wrapper/"
  cd "$work/wrapper/src"
  swig -python -c++ -flatstaticmethod -DOTB_SWIGNUMPY=1 -I. -Ipython -I"$headers/OTB-8.1" -I"$headers/ITK-4.13" \
    -outdir . -o otbApplication_wrap.cxx otbApplication.i
  cd ..
  "$PYTHON" -m pip wheel --quiet --no-deps --no-build-isolation \
    --no-index --wheel-dir "$work/wheel" .
  mkdir -p "$CACHE"
  mv "$work"/wheel/*.whl "$CACHE/"
}

if works; then
  echo "otb: there already"
  exit 0
fi
"$PYTHON" -c 'import numpy, setuptools, sys; assert numpy.__version__ >= "2"' 2>/dev/null \
  || cannot "$PYTHON has no numpy 2 and setuptools: make the environment first, then PYTHON=.venv/bin/python $0"
command -v apt-get >/dev/null || cannot "no apt-get: the toolbox is installed from Debian 12; use --engine rasterio, or the image"
PYTHON=$(command -v "$PYTHON") && PYTHON=$(cd "$(dirname "$PYTHON")" && pwd)/$(basename "$PYTHON")
mkdir -p "$CACHE"
work=$(mktemp -d "$CACHE/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
if [ -z "$(offered)" ] && [ "$(id -u)" = 0 ]; then apt-get update -qq; fi
[ -n "$(offered)" ] || cannot "apt offers no otb-bin $SOURCE here (that is Debian 12); use --engine rasterio, or the image"
need otb-bin:otbApplicationLauncherCommandLine
tag=$("$PYTHON" -c 'import sys; print("cp{0}{1}-cp{0}{1}".format(*sys.version_info))')
wheel() { find "$CACHE" -maxdepth 1 -iname "otbapplication-$VERSION-$tag-*.whl" | head -n 1; }
if [ -z "$(wheel)" ]; then
  need swig:swig g++:g++ xz-utils:xz
  (fetch)
  (build)
fi
"$PYTHON" -m pip install --quiet --no-deps --no-index --force-reinstall "$(wheel)"
works "$work/import.log" || { cat "$work/import.log" >&2; echo "otb: the module does not work; remove $CACHE and try again" >&2; exit 1; }
echo "otb: installed $(basename "$(wheel)")"
