"""The commands behind the Makefile.

Each module is one command. `parser` reads the command line and names the function to call;
`command` and `stack_choice` decide whether a command acts on Docker or on native processes.
A command prints progress lines, and ends a failure with one line and an exit status.
"""
