"""Statistics of trials and of agreement: numbers in, frozen records out; nothing here knows a file."""
