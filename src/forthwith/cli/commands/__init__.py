"""The commands, one a file; each module holds its click command under the name `command`."""
