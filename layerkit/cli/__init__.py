"""The command `layerkit`: one file a verb; parses and prints, nothing else.

Messages go to standard error, what was asked for to standard output. Heavy imports wait inside the verbs, so that
`layerkit --help` answers at once. What each exit status means stands in `main.EPILOG`.
"""
