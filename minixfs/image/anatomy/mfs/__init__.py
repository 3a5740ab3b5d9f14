"""The anatomy of MFS volumes."""
