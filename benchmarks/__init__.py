"""Times minixfs beside fuse2fs and a null pyfuse3 server, interleaved: `python -m benchmarks --help`.

What a figure means: the same client processes run against every contender, in turn within each round; a
figure is the median over the rounds. Each session (a group of workloads) starts from a new image and a new
mount. "Cold" means that image, kernel and server hold nothing in memory: the mount is made anew and the
host's cached pages of the image are dropped. The null server would lose its files by that, so for it only
the kernel's caches are dropped, which takes root; without it those figures are left out. No root is needed
otherwise.

`contenders` says what is compared, `mount` keeps one server, `workloads` says what is timed, `material` makes what
they work on, `client` holds the timed bodies, `measure` runs it all, `machine` and `report` tell of it, `null_server`
is the floor of what pyfuse3 allows.

Beside that, `tools` times the offline commands, `growth` (with `samples`) what operations cost as file systems grow,
and `memory` shows what a mount takes.
"""
