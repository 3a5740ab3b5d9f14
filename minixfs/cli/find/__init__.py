"""`minixfs find`: the expression is parsed into one function of a file (`expression`), made of tests and actions."""
