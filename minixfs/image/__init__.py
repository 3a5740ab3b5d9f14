"""One file system in an image, opened without a mount: what ``import minixfs`` and the offline commands are made of."""
