"""One module at a time, without a mount and mostly without an event loop."""
