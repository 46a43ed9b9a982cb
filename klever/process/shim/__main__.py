"""Runs the shim as a program. It appends the directory of the package `shim` to the path."""

import sys

sys.path.append(__file__.rpartition("/shim/")[0])

from shim.main import main  # type: ignore[import-not-found]  # it is found on the path above only

main(sys.argv[1])
