"""`minixfs shell`: one image, open for a whole session, and the offline verbs with paths relative to where one is.

`words` reads a line, `session` runs what it says, `completion` completes it, `command` talks to the user.
"""
