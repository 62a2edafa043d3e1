"""The command line: the root, its shared options and its ways of answering."""
