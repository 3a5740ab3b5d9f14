"""One file system in an image, opened without a mount: what ``import minixfs`` and the offline commands are made of.

* `image`: `Image`, the twins of `os`; `session`, its lower half: opening, closing, how calls are made;
* `file`, `attributes`, `paths`: what the calls take and answer;
* `reader`: questions, answered by the file server itself; changes go through a `Process` of VFS;
* `guard`: one call at a time, and none that Ctrl-C tears apart;
* `tree_source`, `tree_sink`: an image as a source and as a sink of entries (`minixfs.trees`); `copying`: single copies;
* `filesystem`, `universal`: images for fsspec and universal-pathlib;
* `anatomy`: what a volume is made of.
"""
