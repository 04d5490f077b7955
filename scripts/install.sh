#!/bin/sh
# Installs what package-lock.json names if it is not here yet. With --omit=dev, for npm start, without what tests need unless
# that is here already.
needed=jest
if [ "$1" = --omit=dev ] && [ ! -e node_modules/jest ]; then needed=tsx; else set --; fi
[ node_modules/.package-lock.json -nt package-lock.json ] && [ -e "node_modules/$needed" ] && exit
npm ci --ignore-scripts "$@" && exit
echo "npm could not install what package-lock.json names: see its message above, and that the npm registry can be reached" >&2
exit 2
