"""The `minixfs` command: `main` dispatches, one module for each family of commands. Start-up time counts: a module is
imported when its command runs, and imports what is heavy inside its functions."""
