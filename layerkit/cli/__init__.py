"""The command `layerkit`: one file a verb; parses and prints, nothing else.

Exit status: 0 done; 1 a bug in layerkit; 2 something to mend, said in one sentence on standard error; 130 interrupted.
Messages go to standard error, what was asked for to standard output. Heavy imports wait inside the verbs, so that
`layerkit --help` answers at once.
"""
