"""The commands, a file each: a new command is a new file.

The file's name is the command's, with hyphens for underscores. It offers `ORDER`, its place in
`--help`, and `command`, a function whose parameters are the arguments and options and whose
docstring is the help. It imports what is heavy inside of that function, since `--help` and `list`
load every file.
"""
