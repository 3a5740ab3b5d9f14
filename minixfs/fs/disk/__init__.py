"""What the file servers of disk formats share: inodes, block maps, file data, names, commits, and the requests.

A format (`fs.mfs`, `fs.ext2`) adds what is its own: the superblock, where inodes are and how they are stored, how free
zones and inodes are found, and what a directory looks like. The words are those of MINIX: a *zone* is what is allocated
to files, one block or a power of two of them; in formats without zones it is a block.
"""
