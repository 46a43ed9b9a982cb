"""Runs the shim as a program. It puts the directory of the package `shim` on the path, behind the standard library."""

import sys

sys.path.append(__file__.rpartition("/shim/")[0])

from shim.main import main  # type: ignore[import-not-found]  # it is found on the path above only

main(sys.argv[1])
