"""The command line: one file a command; render alone prints."""
