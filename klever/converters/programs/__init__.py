"""The programs of Klever's own converters: they run in the Python of their environment and import nothing of Klever.

`python -I programs REQUEST` starts `__main__`, which loads this folder as a package of the name `programs`. Modules
import each other relatively, because the package has another name here than in Klever's own interpreter.
"""
