"""Trees of files, wherever they are: a host directory, a tar file, a prototype, an image.

Whatever carries files from one place to another is made of a *source*, an iterable of `entry.Entry`, and a sink that
takes entries one by one. Sources yield a directory before what is in it, and their order depends on names alone.
"""
