"""The command line: one verb a file, each parses flags and calls one function."""
