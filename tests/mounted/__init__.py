"""Behaviour that only a real mount can show: the kernel in front, a process of its own, an image behind."""
