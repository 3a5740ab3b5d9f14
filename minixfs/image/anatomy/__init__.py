"""What a volume is made of: which block belongs to what, how files lie, every structure field by field.

    anatomy = identify(device)                 the type is found by itself; None for what is no file system
    anatomy.facts(), anatomy.tags()            what the superblock says; the same as blkid says it
    anatomy.runs_of(anatomy.find(b"/etc"))     how one file lies
    anatomy.survey()                           a `BlockMap`: the kind and the owner of every block
    anatomy.dump(["inode", "5"])               `Section`s of `Field`s with their offsets

Everything is read from the device itself, so none of it needs a volume that can be mounted. `volume` has the interface
that a type of file system fulfils, `blocks` and `fields` the plain data that it answers with.
"""
