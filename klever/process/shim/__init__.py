"""The shim: owns one child process, and outlives the control plane.

The control plane runs `python -I -S shim/__main__.py DIRECTORY` with a JSON object on standard input. `spec` holds the
fields of `klever.process.ProcessSpec`. `run` holds those of `klever.process.record.Run`, which says what the shim
really starts: the process, or a sandbox around it. The shim forks, and the first process ends. The second has no parent
among Klever's processes and leads its own session. Files in DIRECTORY:

    state.json       the record: specification, process ids, phase, exit; replaced atomically
    state.reserve    disk blocks for the next record, so that an exit is recorded on a full disk
    log, log.1       output of the child, rotated
    lock             held while the shim lives; a second shim for the directory ends
    grace            seconds from SIGTERM to SIGKILL that replace the specification's; written by the manager
                     that stops the shim

The child runs in the cgroups of `run` (`klever.process.cgroups`), which exist as long as the shim. The shim itself
watches the limits that have no cgroup.

SIGTERM stops the payload, which is the child or what a sandbox runs, and then the shim. The shim ends and reaps all
descendants of the child. A child dies with its shim.

Each process has a resident shim, so the shim uses little of the standard library and nothing else. Its modules import
each other relatively: a program that runs with -I and -S does not find `klever`. They use `os` instead of `pathlib` and
`contextlib`, which would add a megabyte to each shim.
"""
